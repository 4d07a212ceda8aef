"""The channels of an epoch memory without a clock: see :mod:`gossamer_sim.dataflow`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gossamer_models.timing.dram import Epoch, Units

__all__ = ["Lanes"]

_NEVER: Final = 1 << 62


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
        self._expected: dict[bool, tuple[int, Epoch]] = {}
        self._active: dict[bool, _Lane] = {}
        self._since = 0

    def expect(self, work: Epoch, start: int, *, write: bool) -> None:
        """Let a stream begin at a cycle not before the last event."""
        self._expected[write] = start, work

    def next_event(self) -> int:
        """Cycle of the next start or end; past all others if there is none."""
        events = [lane.end for lane in self._active.values()]
        events += [start for start, _ in self._expected.values()]
        return min(events, default=_NEVER)

    def step(self) -> list[tuple[bool, int]]:
        """Take the next event; return (write, end) of what has ended."""
        now = self.next_event()
        elapsed = (now - self._since) * self._units.per_cycle
        self._since = now
        ended = []
        for write, lane in list(self._active.items()):
            lane.bursts = max(lane.bursts - elapsed // lane.pace, 0)
            if lane.end == now:
                del self._active[write]
                ended.append((write, now))
        for write, (start, work) in list(self._expected.items()):
            if start == now:
                del self._expected[write]
                self._active[write] = _Lane(work, work.bursts)
        read, written = self._active.get(False), self._active.get(True)
        if read and written:
            read.pace, written.pace = self._shared_paces(read.epoch, written.epoch)
        for lane in self._active.values():
            if not (read and written):
                lane.pace = lane.epoch.pace
            lane.end = now + self._units.cycles(lane.bursts * lane.pace)
        return ended

    def state(self, origin: int) -> tuple[object, ...]:
        """All that decides the future of the streams, relative to ``origin``."""
        if not self._active:
            return tuple([(write, start - origin) for write, (start, _) in self._expected.items()])
        parts: list[object] = [self._since - origin]
        for write in (False, True):
            lane, expected = self._active.get(write), self._expected.get(write)
            parts.append(lane and (lane.bursts, lane.pace))
            parts.append(expected and expected[0] - origin)
        return tuple(parts)


@dataclass(slots=True)
class _Lane:
    """An active epoch: bursts still to come, units per burst, and the cycle of its end if nothing happens before."""

    epoch: Epoch
    bursts: int
    pace: int = 1
    end: int = 0
