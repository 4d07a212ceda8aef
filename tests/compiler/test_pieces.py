"""A store whose contiguous part begins inside a data word becomes several that do not."""

from gossamer_compiler.pieces import whole_pieces
from gossamer_models.isa.instructions import Dim, Modifier, ModifierKind, Store
from gossamer_models.isa.tokens import Buffer, Semaphore
from gossamer_models.timing.dma import misaligned

STORE = Store(
    buffer=Buffer.PRN_META, format=2, mem_base=48, buf_base=96, dims=(Dim(8, 1, 1, 3), Dim(6, 8, 8, 3)),
    wait=Semaphore.PRN_FULL, signal=Semaphore.PRN_FREE, advance=32,
    modifiers=(Modifier(8, ModifierKind.STEP, 1, 48),),
)  # fmt: skip


def places(store: Store) -> list[tuple[int, int]]:
    found = [(store.mem_base, store.buf_base)]
    for dim in store.dims:
        found = [(m + i * dim.mem_stride, b + i * dim.buf_stride) for i in range(dim.count) for m, b in found]
    return found


def test_the_same_bytes_move_in_whole_pieces() -> None:
    assert misaligned(STORE, 32)
    cut = whole_pieces(STORE, 32)
    assert sorted(place for store in cut for place in places(store)) == sorted(places(STORE))
    assert not any(misaligned(store, 32) for store in cut)
    assert [store.wait for store in cut] == [STORE.wait, 0, 0]
    assert [(store.signal, store.advance) for store in cut] == [(0, 0), (0, 0), (STORE.signal, STORE.advance)]


def test_an_aligned_store_stays() -> None:
    assert whole_pieces(STORE, 16) == [STORE]
