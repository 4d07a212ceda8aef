"""What a stage's executions add up to: cycles of each set of busy engines, and executions per work."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gossamer_sim.engines import ENGINES, Tally

__all__ = ["Executions", "Ring", "tally"]

_WIDTH = len(ENGINES)
_SETS = 1 << _WIDTH


@dataclass(slots=True)
class Ring:
    """A stretch of time that repeats, bent so that what goes past its end goes on at its beginning.

    Members
    -------
    begins, ends : per engine, the first of its executions that lies in it, and the first that does not any more.
    cycles : its length; all times count modulo this.
    times : how often it counts.
    """

    begins: tuple[int, ...]
    ends: tuple[int, ...]
    cycles: int
    times: int


@dataclass(frozen=True, slots=True)
class Executions:
    """Executions as arrays, engine after engine; those of an engine do not overlap.

    Members
    -------
    numbers, starts, ends : the work, and when.
    firsts : where those of each engine begin.
    """

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    firsts: tuple[int, ...]

    @classmethod
    def of(cls, parts: Sequence[list[tuple[int, int, int]]]) -> Self:
        """Those of all engines, each as (number, start, end)."""
        sizes = [len(part) for part in parts]
        flat = np.fromiter(chain.from_iterable(chain.from_iterable(parts)), np.int64, 3 * sum(sizes))
        numbers, starts, ends = flat.reshape(-1, 3).T
        return cls(numbers, starts, ends, tuple(accumulate(sizes[:-1], initial=0)))


def tally(found: Executions, rings: Sequence[Ring], works: int) -> Tally:
    """Sum over rings, with ``works`` works: all of them are laid side by side on one axis of time."""
    cycles, times = np.array([(ring.cycles, ring.times) for ring in rings], np.int64).T
    ranges = [
        (first + begin, first + end)
        for ring in rings
        for first, begin, end in zip(found.firsts, ring.begins, ring.ends, strict=True)
    ]
    sizes = np.array([end - begin for begin, end in ranges])
    taken = np.concatenate([np.arange(begin, end) for begin, end in ranges])
    numbers, first_cycles, last_cycles = found.numbers[taken], found.starts[taken], found.ends[taken]
    origins = cycles.cumsum() - cycles
    bits = np.repeat(np.tile(1 << np.arange(_WIDTH), len(rings)), sizes)
    ring_of = np.repeat(np.arange(len(rings)), sizes.reshape(-1, _WIDTH).sum(axis=1))
    executed = np.bincount(numbers, times[ring_of], works)
    begin, size = origins[ring_of], cycles[ring_of]
    starts = begin + first_cycles % np.maximum(size, 1)
    stops = starts + last_cycles - first_cycles
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
