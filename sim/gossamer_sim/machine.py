"""The machine that runs one stage: a sequencer and five engines on SimPy.

Whatever one unit does at cycle t reaches another as a time stamp of t + 1 or later: a token, a queue entry or a free
queue slot is a number in a FIFO that says from when on it may be used. A unit therefore never reads what another
writes in the same cycle, and the order of events within a cycle cannot matter. The sequencer, which nobody can
hurry or stop but a full queue, deals ahead of time until it meets one.
"""

from collections import deque
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, TypeVar

from gossamer_models.errors import GossamerError
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.timeline import Skip, Span
from gossamer_sim.engines import ENGINES, MAX_TOKENS, Tally
from gossamer_sim.memory import SharedChannel
from gossamer_sim.work import Work

if TYPE_CHECKING:
    import simpy

__all__ = ["Fifo", "Machine", "Process", "Unit"]

_T = TypeVar("_T")
Process = Generator["simpy.Event", None, None]


class Fifo(deque[_T]):
    """First in, first out, between one writer and one reader, who may sleep until something comes."""

    __slots__ = ("_alarm",)

    def __init__(self, items: Iterable[_T] = ()) -> None:
        super().__init__(items)
        self._alarm: simpy.Event | None = None

    def put(self, item: _T) -> None:
        """Append an item and wake the reader."""
        self.append(item)
        if self._alarm is not None:
            alarm, self._alarm = self._alarm, None
            alarm.succeed()

    def filled(self, environment: "simpy.Environment") -> "simpy.Event":
        """Event that fires when the next item comes."""
        self._alarm = environment.event()
        return self._alarm


class Unit:
    """An engine: its queue of (work, stamp), the stamps of the queue's free slots, and what it does since when."""

    __slots__ = ("bit", "engine", "queue", "since", "slots", "work")

    def __init__(self, engine: Engine, queue_depth: int) -> None:
        self.engine = engine
        self.bit = 1 << ENGINES.index(engine)
        self.queue: Fifo[tuple[Work, int]] = Fifo()
        self.slots: Fifo[int] = Fifo([0] * queue_depth)
        self.work: Work | None = None
        self.since = 0


class Machine:
    """State of the machine during one stage, from the first dealt instruction on.

    Parameters
    ----------
    environment : clock; time 0 is the first dealing cycle.
    queue_depth : instructions that an engine's queue holds.
    tokens : tokens at the start, per semaphore bit.
    works : the stage's works; grows while the stage runs.
    channel : memory that epochs share, if the memory model has one.
    fill_cycles : from the one that needs a free slot to the one in which an instruction is in its queue.
    trace : whether to record spans and skips.
    """

    def __init__(
        self,
        environment: "simpy.Environment",
        queue_depth: int,
        tokens: dict[int, int],
        works: list[Work],
        channel: SharedChannel | None,
        *,
        fill_cycles: int = 0,
        trace: bool = False,
    ) -> None:
        self.environment = environment
        self.units = {engine: Unit(engine, queue_depth) for engine in ENGINES}
        self.tokens = [Fifo([0] * tokens.get(bit, 0)) for bit in range(len(Semaphore))]
        self.cursor = 0
        self.skipped = 0
        self.end = 0
        self.tally = Tally([0] * (1 << len(ENGINES)), [])
        self.spans: list[Span] | None = [] if trace else None
        self.skips: list[Skip] = []
        self.dealing_to: Unit | None = None
        self._fill_cycles = fill_cycles
        self._works = works
        self._channel = channel
        self._by_place = tuple(self.units.values())
        self._occupied = 0
        self._accounted = 0
        for unit in self._by_place:
            environment.process(self._execute(unit))

    def decode(self, cycles: int) -> None:
        """Spend cycles on an instruction of the sequencer's own (sequencer only)."""
        self.cursor += cycles

    def deal(self, work: Work, cycles: int) -> Process:
        """Put a work into its engine's queue, ``cycles`` from the first look at it to its slot (sequencer only)."""
        unit = self.units[work.engine]
        self.cursor += cycles - 1
        if not unit.slots:
            self.dealing_to = unit
            yield unit.slots.filled(self.environment)
            self.dealing_to = None
        self.cursor = max(self.cursor, unit.slots.popleft())
        self.cursor += 1 + self._fill_cycles
        unit.queue.put((work, self.cursor))

    def state(self) -> tuple[object, ...]:
        """All that decides the machine's future besides what is still to be dealt, relative to now.

        Stamps in the past count as now: how long something has been ready is of no consequence.
        """
        now, cursor = int(self.environment.now), self.cursor
        parts: list[object] = [max(cursor - now, 0)]
        for unit in self._by_place:
            parts.append(unit.work and (unit.work.number, now - unit.since))
            parts.append(tuple([(work.number, stamp - now if stamp > now else 0) for work, stamp in unit.queue]))
            parts.append(tuple([stamp - now if stamp > cursor else 0 for stamp in unit.slots]))
        for tokens in self.tokens:
            parts.append(tuple([stamp - now if stamp > now else 0 for stamp in tokens]) if tokens else None)
        if self._channel is not None:
            parts.append(self._channel.state(now))
        return tuple(parts)

    def now(self) -> int:
        """Cycle in the stage's own time, which includes what has been skipped."""
        return int(self.environment.now) + self.skipped

    def close(self) -> None:
        """Account for the stage's end: the last instruction's, or the sequencer's look behind it if that is later.

        The clock may stand later still, at a timer of the memory that had been overtaken.
        """
        behind = self.cursor - self._accounted
        if behind > 0:
            self.tally.occupancy[0] += behind
            self.end = self.cursor + self.skipped

    def snapshot(self) -> Tally:
        """Copy of the tally up to now."""
        self._account()
        return Tally(self.tally.occupancy.copy(), self.executed().copy())

    def repeat(self, times: int, cycles: int, since: Tally) -> None:
        """Add ``times`` repetitions of all that has happened since a snapshot, which took ``cycles``."""
        self._account()
        self.skipped += times * cycles
        executed = self.executed()
        old = since.executed + [0] * (len(executed) - len(since.executed))
        for total, before in ((self.tally.occupancy, since.occupancy), (executed, old)):
            for index, value in enumerate(before):
                total[index] += times * (total[index] - value)

    def waiting(self) -> list[str]:
        """Who waits for what; empty once every dealt instruction has ended."""
        lines = []
        for unit in self._by_place:
            if unit.queue:
                work = unit.queue[0][0]
                missing = [Semaphore(1 << bit).name or "?" for bit in work.waits if not self.tokens[bit]]
                lines.append(f"{unit.engine.name} (instruction {work.instruction}) waits for {', '.join(missing)}")
        if self.dealing_to is not None:
            lines.append(f"SEQUENCER waits for a slot in the queue of {self.dealing_to.engine.name}")
        return lines

    def _execute(self, unit: Unit) -> Process:
        """An engine's life: take the head of the queue when its tokens are there, work, signal."""
        environment = self.environment
        while True:
            lacking, ready = self._next(unit)
            if lacking is not None:
                yield lacking.filled(environment)
                continue
            if ready > environment.now:
                yield environment.timeout(ready - environment.now)
            work = self._start(unit)
            yield environment.timeout(work.cycles)
            if work.epoch is not None and self._channel is not None:
                yield self._channel.stream(work.epoch, write=unit.engine == Engine.STORE)
            self._finish(unit, work)

    def _next(self, unit: Unit) -> tuple[Fifo[int] | Fifo[tuple[Work, int]] | None, int]:
        """FIFO that lacks what the next start needs, or None and the cycle of that start."""
        if not unit.queue:
            return unit.queue, 0
        work, ready = unit.queue[0]
        for bit in work.waits:
            tokens = self.tokens[bit]
            if not tokens:
                return tokens, 0
            if tokens[0] > ready:
                ready = tokens[0]
        return None, ready

    def _start(self, unit: Unit) -> Work:
        self._account()
        now = int(self.environment.now)
        work, _ = unit.queue.popleft()
        for bit in work.waits:
            self.tokens[bit].popleft()
        unit.slots.put(now + 1)
        unit.work, unit.since = work, now
        self._occupied |= unit.bit
        return work

    def _finish(self, unit: Unit, work: Work) -> None:
        self._account()
        now = int(self.environment.now)
        self._occupied &= ~unit.bit
        self.executed()[work.number] += 1
        for bit in work.signals:
            tokens = self.tokens[bit]
            if len(tokens) >= MAX_TOKENS:
                raise GossamerError(f"semaphore {Semaphore(1 << bit).name} would hold more than {MAX_TOKENS} tokens")
            tokens.put(now + 1)
        self.end = now + self.skipped
        if self.spans is not None:
            self.spans.append(Span(unit.engine, work.instruction, self.end - (now - unit.since), self.end))
        unit.work = None

    def executed(self) -> list[int]:
        """Executions so far, per work."""
        executed = self.tally.executed
        executed.extend([0] * (len(self._works) - len(executed)))
        return executed

    def _account(self) -> None:
        now = int(self.environment.now)
        if now > self._accounted:
            self.tally.occupancy[self._occupied] += now - self._accounted
            self._accounted = now
