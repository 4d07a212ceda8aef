"""Stores cut where the machine's data words would cut them."""

import dataclasses
from math import gcd

from gossamer_compiler.dims import NO_AXIS
from gossamer_models.isa.instructions import Dim, Format, Store
from gossamer_models.timing.dma import misaligned

__all__ = ["whole_pieces"]


def whole_pieces(store: Store, width_bytes: int) -> list[Store]:
    """The store, or several in its place where its contiguous part would begin inside a piece."""
    moves = [modifier.value for modifier in store.modifiers]
    bases = [store.mem_base + move for move in (0, *moves)]
    if not any(misaligned(dataclasses.replace(store, mem_base=base), width_bytes) for base in bases):
        return [store]
    size_bytes, rest = Format(store.format).bytes, list(store.dims)
    contiguous = size_bytes
    while rest and rest[0].axis == NO_AXIS and rest[0].mem_stride == rest[0].buf_stride == contiguous:
        contiguous *= rest.pop(0).count
    strides = [stride for dim in rest for stride in (dim.mem_stride, dim.buf_stride)]
    piece = gcd(width_bytes, contiguous, store.buf_base, *bases, *strides)
    dims = (Dim(piece // size_bytes, size_bytes, size_bytes), *rest)
    pieces = [
        dataclasses.replace(
            store,
            mem_base=store.mem_base + offset,
            buf_base=store.buf_base + offset,
            dims=dims,
            wait=0,
            signal=0,
            advance=0,
        )
        for offset in range(0, contiguous, piece)
    ]
    pieces[0] = dataclasses.replace(pieces[0], wait=store.wait)
    pieces[-1] = dataclasses.replace(pieces[-1], signal=store.signal, advance=store.advance)
    return pieces
