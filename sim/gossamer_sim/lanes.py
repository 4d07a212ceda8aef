"""The channels of an epoch memory without a clock: see :mod:`gossamer_sim.dataflow`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gossamer_models.timing.dram import Epoch, Units

__all__ = ["Lanes"]

_NEVER: Final = 1 << 62
_NONE: Final = Epoch(latency_cycles=0, bursts=0, channel_pace=1, port_pace=1, mean_pace=1)


class Lanes:
    """The channels of :class:`gossamer_sim.memory.Channel` without a clock: one event after another, when asked.

    Parameters
    ----------
    base : time base.
    shared_paces : units per burst of a read and of a write that overlap.
    """

    def __init__(self, base: Units, shared_paces: Callable[[Epoch, Epoch], tuple[int, int]]) -> None:
        self._units = base
        self._shared_paces = shared_paces
        self._paces: dict[tuple[int, int], tuple[tuple[int, int], Epoch, Epoch]] = {}
        self._lanes = (_Lane(), _Lane())
        self._since = 0

    def expect(self, work: Epoch, pace: int, start: int, *, write: bool) -> None:
        """Let a stream of some pace begin at a cycle not before the last event."""
        lane = self._lanes[write]
        lane.epoch, lane.start, lane.pace_alone = work, start, pace

    def next_event(self) -> int:
        """Cycle of the next start or end; past all others if there is none."""
        read, write = self._lanes
        return min(read.start, read.end, write.start, write.end)

    def step(self) -> list[tuple[bool, int]]:
        """Take events until a stream ends; return (write, end) of what has ended."""
        read, write = self._lanes
        per_cycle = self._units.per_cycle
        if write.start == write.end == _NEVER:
            return self._alone(read)
        if read.start == read.end == _NEVER:
            return self._alone(write)
        ended: list[tuple[bool, int]] = []
        while not ended:
            now = min(read.start, read.end, write.start, write.end)
            if now == _NEVER:
                break
            amount = (now - self._since) * per_cycle
            self._since = now
            for lane in self._lanes:
                if lane.start == now:
                    lane.start, lane.end, lane.bursts = _NEVER, now, lane.epoch.bursts
                elif lane.end == now:
                    lane.end = _NEVER
                    ended.append((lane is write, now))
                elif lane.end != _NEVER:
                    left = lane.bursts - amount // lane.pace
                    lane.bursts = left if left > 0 else 0
            if read.end != _NEVER and write.end != _NEVER:
                read.pace, write.pace = self._shared(read.epoch, write.epoch)
            else:
                read.pace, write.pace = read.pace_alone, write.pace_alone
            for lane in self._lanes:
                if lane.end != _NEVER:
                    lane.end = now - (-lane.bursts * lane.pace // per_cycle)
        return ended

    def _alone(self, lane: "_Lane") -> list[tuple[bool, int]]:
        """The same for a stream that meets no other one."""
        if lane.start != _NEVER:
            lane.end = lane.start - (-lane.epoch.bursts * lane.pace_alone // self._units.per_cycle)
            lane.start = _NEVER
        if lane.end == _NEVER:
            return []
        self._since, lane.end = lane.end, _NEVER
        return [(lane is self._lanes[True], self._since)]

    def _shared(self, read: Epoch, write: Epoch) -> tuple[int, int]:
        pair = id(read), id(write)
        found = self._paces.get(pair)
        if found is None:
            # The epochs stay beside it, so that no other one gets their numbers.
            found = self._paces[pair] = self._shared_paces(read, write), read, write
        return found[0]

    def state(self, origin: int) -> tuple[object, ...]:
        """All that decides the future of the streams, relative to ``origin``."""
        read, write = self._lanes
        if read.end == write.end == _NEVER:
            return tuple([None if lane.start == _NEVER else lane.start - origin for lane in self._lanes])
        parts: list[object] = [self._since - origin]
        for lane in self._lanes:
            parts.append(None if lane.start == _NEVER else lane.start - origin)
            parts.append(None if lane.end == _NEVER else (lane.bursts, lane.pace))
        return tuple(parts)


@dataclass(slots=True)
class _Lane:
    """A stream: when it will start or, if it runs, end unless something happens before; bursts still to come."""

    epoch: Epoch = _NONE
    pace_alone: int = 1
    start: int = _NEVER
    end: int = _NEVER
    bursts: int = 0
    pace: int = 1
