"""A transfer whose atoms would begin inside a data word gets smaller ones, and moves the same bytes."""

import dataclasses

import pytest

from gossamer_compiler.pieces import whole_pieces
from gossamer_models.architecture import Memory
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import Dim, Load, Modifier, ModifierKind, Store
from gossamer_models.isa.loops import field_number
from gossamer_models.isa.tokens import Buffer
from gossamer_models.timing.dma import misaligned, transfer_plan

STEP = Modifier(field_number(Store, "mem_base"), ModifierKind.STEP, 1, 48)
STORE = Store(
    buffer=Buffer.PRN_META, format=2, mem_base=48, buf_base=96, axis0_bound=99, axis1_bound=99, modifiers=(STEP,)
)
ONE_PORT = Memory(port_bits=256)


def moves(store: Store) -> list[tuple[int, int, tuple[int, ...]]]:
    """DRAM address, buffer address and axis values of every element."""
    found: list[tuple[int, int, tuple[int, ...]]] = [(store.mem_base, store.buf_base, (0, 0, 0))]
    for dim in store.dims:
        weights = tuple(dim.weight * (dim.axis == axis) for axis in range(3))
        found = [
            (
                m + i * dim.mem_stride,
                b + i * dim.buf_stride,
                tuple(v + i * w for v, w in zip(axes, weights, strict=True)),
            )
            for i in range(dim.count)
            for m, b, axes in found
        ]
    return sorted(found)


@pytest.mark.parametrize(
    ("dims", "atom"),
    [
        ((Dim(8, 1, 1, 3), Dim(6, 8, 8, 3)), 8),  # three atoms of 16 have no order; six of 8 do
        ((Dim(48, 1, 1, 3),), 8),
        ((Dim(144, 1, 1, 3), Dim(1, 144, 144, 2, 1)), 16),  # one iteration separates nothing
        ((Dim(16, 1, 1, 3), Dim(9, 16, 16, 0, 2)), 16),
        ((Dim(8, 1, 1, 3), Dim(6, 8, 8, 3), Dim(4, 96, 480, 1, 3)), 16),
    ],
)
def test_the_same_bytes_move_in_aligned_atoms(dims: tuple[Dim, ...], atom: int) -> None:
    store = dataclasses.replace(STORE, dims=dims)
    assert misaligned(store, 32)
    cut = whole_pieces(store, ONE_PORT)
    assert moves(cut) == moves(store)
    assert transfer_plan(cut, 32).atom_bytes == atom
    for base in (48, 96, 144, 192):
        assert misaligned(dataclasses.replace(cut, mem_base=base), 32) is None


def test_a_few_words_at_odd_places_move_one_by_one() -> None:
    """Rows of one pixel, three words each: a fourth word would not belong to the atom."""
    rows = dataclasses.replace(
        STORE, mem_base=4, buf_base=0, format=1, modifiers=(), dims=(Dim(3, 4, 4), Dim(5, 100, 12))
    )
    cut = whole_pieces(rows, ONE_PORT)
    assert moves(cut) == moves(rows)
    assert transfer_plan(cut, 32).atom_bytes == 4


def test_steps_along_an_axis_are_no_addresses() -> None:
    axis = Modifier(field_number(Load, "axis1_base"), ModifierKind.STEP, 1, 1)
    move = Modifier(field_number(Load, "mem_base"), ModifierKind.STEP, 1, 48)
    load = Load(buffer=Buffer.B_META, format=2, mem_base=48, dims=(Dim(48, 1, 1, 3),), modifiers=(axis, move))
    assert transfer_plan(whole_pieces(load, ONE_PORT), 32).atom_bytes == 8


def test_what_is_aligned_stays() -> None:
    store = dataclasses.replace(STORE, dims=(Dim(48, 1, 1, 3),))
    assert whole_pieces(store, Memory(port_bits=128)) is store
    assert whole_pieces(store, Memory(ports=4)) is store


def test_no_order_is_one_line() -> None:
    store = Store(buffer=Buffer.PRN, mem_base=2, buf_base=2, dims=(Dim(3, 2, 2, 3),))
    with pytest.raises(UnsupportedError, match="begins inside a data word"):
        whole_pieces(store, ONE_PORT)
