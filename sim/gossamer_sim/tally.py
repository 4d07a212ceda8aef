"""What a stage's executions add up to: cycles of each set of busy engines, and executions per work."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gossamer_sim.engines import ENGINES, Tally

__all__ = ["Executions", "Parts", "Ring", "tally"]

Parts = Sequence[list[tuple[int, int, int]]]
"""Per engine, the number of each work executed, its start and its end; those of an engine do not overlap."""

_WIDTH = len(ENGINES)
_SETS = 1 << _WIDTH


@dataclass(slots=True)
class Ring:
    """A stretch of time that repeats, bent so that what goes past its end goes on at its beginning.

    Members
    -------
    cycles : its length; all times count modulo this.
    times : how often it counts.
    """

    parts: Parts
    cycles: int
    times: int


@dataclass(frozen=True, slots=True)
class Executions:
    """Executions as arrays, engine after engine."""

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """Those of some parts."""
        flat = list(chain.from_iterable(chain.from_iterable(parts)))
        return cls(*np.array(flat, np.int64).reshape(-1, 3).T)


def tally(rings: Sequence[Ring], works: int) -> Tally:
    """Sum over rings, with ``works`` works: all of them are laid side by side on one axis of time."""
    sizes = [[len(part) for part in ring.parts] for ring in rings]
    found = Executions.of(list(chain.from_iterable(ring.parts for ring in rings)))
    cycles, times = np.array([(ring.cycles, ring.times) for ring in rings], np.int64).T
    origins = cycles.cumsum() - cycles
    bits = np.repeat(np.tile(1 << np.arange(_WIDTH), len(rings)), list(chain.from_iterable(sizes)))
    ring_of = np.repeat(np.arange(len(rings)), [sum(size) for size in sizes])
    executed = np.bincount(found.numbers, times[ring_of], works)
    begin, size = origins[ring_of], cycles[ring_of]
    starts = begin + found.starts % np.maximum(size, 1)
    stops = starts + found.ends - found.starts
    beyond = np.flatnonzero(stops > begin + size)
    again = begin[beyond], stops[beyond] - size[beyond]
    stops[beyond] = (begin + size)[beyond]
    # A start and a stop alike turn the engine's bit over; a ring's beginning turns none.
    events = np.concatenate((
        origins << _WIDTH,
        starts << _WIDTH | bits, stops << _WIDTH | bits,
        again[0] << _WIDTH | bits[beyond], again[1] << _WIDTH | bits[beyond],
    ))  # fmt: skip
    events.sort()
    moments = events >> _WIDTH
    busy = np.bitwise_xor.accumulate(events & (_SETS - 1))
    weights = times[np.searchsorted(origins, moments, side="right") - 1]
    lasting = np.diff(moments, append=origins[-1] + cycles[-1])
    occupancy = np.bincount(busy, weights * lasting, _SETS)
    return Tally(*(counts.astype(np.int64).tolist() for counts in (occupancy, executed)))
