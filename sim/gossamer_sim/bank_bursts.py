"""Bursts of a transfer one by one, as the reference model of DRAM takes them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.timing.dram_address import AddressMap
from gossamer_models.timing.transfer import axis_span

__all__ = ["ChannelBursts", "channel_bursts", "transfer_runs"]

Integers = NDArray[np.int64]
_AXES = (0, 1, 2)


@dataclass(frozen=True, slots=True, eq=False)
class ChannelBursts:
    """Bursts of one channel in their order.

    Members
    -------
    banks, rows : bank (of all groups, the group above) and row of each.
    heads : number of the first burst of each one's run on this channel.
    """

    banks: list[int]
    rows: list[int]
    heads: list[int]


def channel_bursts(addresses: AddressMap, burst_bytes: int, runs: tuple[Integers, Integers]) -> list[ChannelBursts]:
    """Bursts of every channel; each run takes bursts of its own.

    Parameters
    ----------
    runs : address and bytes of each run, as :func:`transfer_runs` gives them.
    """
    starts, sizes = runs
    first = starts // burst_bytes
    counts = (starts + sizes - 1) // burst_bytes - first + 1
    before = np.cumsum(counts) - counts
    bursts = np.arange(counts.sum()) + np.repeat(first - before, counts)
    channel, bank, row = addresses.places(bursts)
    run = np.repeat(np.arange(counts.size), counts)
    found = []
    for number in range(addresses.channels):
        mine = np.flatnonzero(channel == number)
        begins = np.diff(run[mine], prepend=-1) != 0
        heads = np.maximum.accumulate(np.where(begins, np.arange(mine.size), 0))
        found.append(ChannelBursts(bank[mine].tolist(), row[mine].tolist(), heads.tolist()))
    return found


def transfer_runs(transfer: Load | Store, *, ordered: bool) -> tuple[Integers, Integers]:
    """Address and bytes of each contiguous stretch in bounds.

    Parameters
    ----------
    ordered : dimensions are walked in the order of their strides, else in the instruction's own.
    """
    dims = [dim for dim in transfer.dims if dim.count]
    if ordered:
        dims.sort(key=lambda dim: (not dim.mem_stride, dim.mem_stride, dim.count))
    atom_bytes, rest = _atom(transfer, dims)
    places = np.full(1, transfer.mem_base, np.int64)
    axes = [np.full(1, base, np.int64) for base in (transfer.axis0_base, transfer.axis1_base, transfer.axis2_base)]
    for dim in reversed(rest):
        steps = np.arange(dim.count, dtype=np.int64)
        places = np.add.outer(places, steps * dim.mem_stride).ravel()
        axes = [
            np.add.outer(values, steps * (dim.weight if dim.axis == axis else 0)).ravel()
            for axis, values in zip(_AXES, axes, strict=True)
        ]
    bounds = (transfer.axis0_bound, transfer.axis1_bound, transfer.axis2_bound)
    inside = np.ones(places.size, bool)
    for values, bound in zip(axes, bounds, strict=True):
        inside &= (values >= 0) & (values < bound)
    places = places[inside]
    heads = np.flatnonzero(np.diff(places, prepend=-1 - atom_bytes) != atom_bytes)
    return places[heads], np.diff(heads, append=places.size) * atom_bytes


def _atom(transfer: Load | Store, dims: Sequence[Dim]) -> tuple[int, Sequence[Dim]]:
    """Bytes that the innermost dimensions make contiguous without being clipped, and the dimensions beyond."""
    bases = (transfer.axis0_base, transfer.axis1_base, transfer.axis2_base)
    size = Format(transfer.format).bytes
    for taken, dim in enumerate(dims):
        clipped = dim.axis in _AXES and not axis_span(transfer, dim.axis).whole(bases[dim.axis])
        if clipped or (dim.count > 1 and dim.mem_stride != size):
            return size, dims[taken:]
        size *= dim.count
    return size, ()
