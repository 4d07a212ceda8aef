"""The machine of :mod:`gossamer_sim.machine` without a clock: every instruction's start follows from what is known.

Engines and sequencer talk in FIFOs alone, so the start of an instruction is a maximum over time stamps, whatever order
they are worked out in. Each engine therefore runs ahead as far as its tokens reach. Only the memory of an epoch model
needs an order: a transfer's end depends on what else is under way. When all else waits for the memory, nothing
unknown can happen before its next event, so that event comes next.

Time left out by the periodic shortcut is kept apart (``skipped``): all stamps are as if it had not passed.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

import numpy as np

from gossamer_models.errors import GossamerError
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.timeline import Skip, Span
from gossamer_models.timing.dram import Epoch
from gossamer_sim.engines import ENGINES, MAX_TOKENS, Tally
from gossamer_sim.lanes import Lanes
from gossamer_sim.work import Work

__all__ = ["DataflowMachine", "DisorderError", "Mark"]

_READER, _WRITER = ENGINES.index(Engine.LOAD), ENGINES.index(Engine.STORE)
_PRODUCERS = tuple(ENGINES.index(producer(semaphore)) for semaphore in Semaphore)
_CONSUMERS = tuple(ENGINES.index(consumer(semaphore)) for semaphore in Semaphore)
_number = itemgetter(0)
_BITS = range(len(ENGINES))
_WIDTH = len(ENGINES)
_SETS = 1 << _WIDTH


class DisorderError(GossamerError):
    """The stage deadlocks or overfills a semaphore: the machine with a clock says where."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What had happened when a state was seen: executions per engine and skips so far, and what these have added."""

    cursor: int
    skipped: int
    lengths: tuple[int, ...]
    skips: int
    added: Tally


class DataflowMachine:
    """State of the machine during one stage; time 0 is the first dealing cycle.

    Parameters
    ----------
    queue_depth, tokens, works, trace : as in :class:`gossamer_sim.machine.Machine`.
    lanes : memory that transfers share, if the memory model has one.
    """

    def __init__(
        self, queue_depth: int, tokens: dict[int, int], works: list[Work], lanes: Lanes | None, *, trace: bool = False
    ) -> None:
        self.cursor = 0
        self.skipped = 0
        self.skips: list[Skip] = []
        self.spans: list[Span] | None = [] if trace else None
        self._works = works
        self._lanes = lanes
        self._credits = tuple(tokens.get(bit, 0) for bit in range(len(Semaphore)))
        self._tokens = tuple(deque([0] * count) for count in self._credits)
        self._queues: tuple[deque[tuple[Work, int]], ...] = tuple(deque() for _ in ENGINES)
        self._slots = tuple(deque([0] * queue_depth) for _ in ENGINES)
        self._free = [0] * len(ENGINES)
        self._under_way: list[tuple[Work, int] | None] = [None] * len(ENGINES)
        self._done: tuple[list[tuple[int, int, int]], ...] = tuple([] for _ in ENGINES)
        self._shifts: list[tuple[tuple[int, ...], int]] = []
        self._added = Tally([0] * _SETS, [])

    def decode(self, cycles: int) -> None:
        """Spend cycles on an instruction of the sequencer's own."""
        self.cursor += cycles

    def deal(self, work: Work, cycles: int) -> None:
        """Put a work into its engine's queue, ``cycles`` from the first look at it to its slot.

        Raises
        ------
        DisorderError
            No slot will ever be free.
        """
        place = work.place
        slots = self._slots[place]
        while not slots:
            self._go_on()
        slot = slots.popleft()
        cursor = self.cursor + cycles - 1
        self.cursor = cursor = (slot if slot > cursor else cursor) + 1
        queue = self._queues[place]
        queue.append((work, cursor))
        if len(queue) == 1 and self._under_way[place] is None:
            self._run([place])

    def finish(self) -> None:
        """Let everything that was dealt end.

        Raises
        ------
        DisorderError
            Something waits for ever, or a semaphore would have held more than it can.
        """
        while any(self._under_way):
            self._go_on()
        if any(self._queues):
            raise DisorderError("an instruction waits for ever")
        self._check_semaphores()

    def state(self) -> tuple[tuple[object, ...], int]:
        """All that decides the future besides what is still to be dealt, relative to the sequencer; and a span.

        Nothing unknown happens before ``base``, so earlier stamps count as that. The span is how far apart the
        engines are whose past is complete.
        """
        cursor, lanes = self.cursor, self._lanes
        base = cursor
        if lanes is not None:
            base = min(lanes.next_event(), cursor)
        known: list[int] = []
        parts: list[object] = []
        for place in _BITS:
            running = self._under_way[place]
            if running is None:
                free = self._free[place]
                known.append((free if free > base else base) - cursor)
            else:
                known.append(running[1] - cursor)
                parts.append((place, running[0].number))
            queue = self._queues[place]
            if queue:
                parts.append(tuple([(w.number, (s if s > base else base) - cursor) for w, s in queue]))
            else:
                parts.append(None)
            parts.append(tuple([s - cursor for s in self._slots[place] if s > cursor]))
            parts.append(len(self._slots[place]))
        for tokens in self._tokens:
            parts.append(tuple([(s if s > base else base) - cursor for s in tokens]) if tokens else None)
        if lanes is not None:
            parts.append(lanes.state(cursor))
        return (tuple(known), *parts), max(known) - min(known)

    def snapshot(self) -> Mark:
        """Mark of this moment for :meth:`repeat`."""
        added = Tally(self._added.occupancy.copy(), self._executions().copy())
        return Mark(self.cursor, self.skipped, tuple(map(len, self._done)), len(self.skips), added)

    def repeat(self, times: int, level: int, iterations: int, since: Mark) -> None:
        """Add ``times`` repetitions of what has been worked out since a snapshot of the same state.

        The repetitions of each engine follow each other without a gap, so what they add to the time of each set of
        busy engines is what one period adds if it is bent into a ring.
        """
        period = self.cursor - since.cursor
        parts = [done[length:] for done, length in zip(self._done, since.lengths, strict=True)]
        added, executions = self._added, self._executions()
        before = since.added.executed + [0] * (len(executions) - len(since.added.executed))
        for number, count in enumerate(before):
            executions[number] += times * (executions[number] - count)
        for number, count in _counted(parts):
            executions[number] += times * count
        for index, cycles in enumerate(_ring(parts, period)):
            added.occupancy[index] += times * (added.occupancy[index] - since.added.occupancy[index] + cycles)
        left_out = times * (period + self.skipped - since.skipped)
        if self.spans is not None:
            # Shown in front of the period that was walked through, which is then the last one.
            self.skips[since.skips :] = [
                Skip(skip.level, skip.iterations, skip.start + left_out, skip.end + left_out)
                for skip in self.skips[since.skips :]
            ]
            start = since.cursor + since.skipped
            self.skips.append(Skip(level, iterations, start, start + left_out))
            self._shifts.append((since.lengths, left_out))
        self.skipped += left_out

    def total(self) -> Tally:
        """Cycles of each set of busy engines, from the first dealing cycle to the last end, and executions per work."""
        executions = self._executions().copy()
        for number, count in _counted(self._done):
            executions[number] += count
        walked = _occupancy(self._done, max(self.cursor, *self._free))
        return Tally([a + b for a, b in zip(self._added.occupancy, walked, strict=True)], executions)

    def close(self) -> None:
        """Write the spans, in order of their ends."""
        if self.spans is None:
            return
        for place, part in enumerate(self._done):
            bounds = sorted((lengths[place], shift) for lengths, shift in self._shifts)
            bounds.append((len(part), 0))
            shift, begin = 0, 0
            for end, more in bounds:
                for number, start, stop in part[begin:end]:
                    instruction = self._works[number].instruction
                    self.spans.append(Span(ENGINES[place], instruction, start + shift, stop + shift))
                shift, begin = shift + more, end
        self.spans.sort(key=lambda span: (span.end, span.start))

    def _executions(self) -> list[int]:
        executed = self._added.executed
        executed.extend([0] * (len(self._works) - len(executed)))
        return executed

    def _run(self, waiting: list[int]) -> None:
        """Let some engines, and whom they give tokens, run as far as they can."""
        tokens, free, lanes = self._tokens, self._free, self._lanes
        while waiting:
            place = waiting.pop()
            queue, slots, done = self._queues[place], self._slots[place], self._done[place]
            while queue and self._under_way[place] is None:
                work, start = queue[0]
                missing = False
                for bit in work.waits:
                    held = tokens[bit]
                    if not held:
                        missing = True
                        break
                    if held[0] > start:
                        start = held[0]
                if missing:
                    break
                if free[place] > start:
                    start = free[place]
                queue.popleft()
                for bit in work.waits:
                    tokens[bit].popleft()
                slots.append(start + 1)
                end = start + work.cycles
                if lanes is not None and isinstance(work.epoch, Epoch):
                    self._under_way[place] = work, start
                    lanes.expect(work.epoch, end, write=place == _WRITER)
                    break
                free[place] = end
                done.append((work.number, start, end))
                for bit in work.signals:
                    tokens[bit].append(end + 1)
                    reader = _CONSUMERS[bit]
                    if reader != place and reader not in waiting:
                        waiting.append(reader)

    def _go_on(self) -> None:
        """Take the memory's next event."""
        ended = self._lanes.step() if self._lanes is not None else ()
        if not ended:
            raise DisorderError("nothing can go on")
        for write, end in ended:
            place = _WRITER if write else _READER
            running = self._under_way[place]
            if running is None:
                raise DisorderError("a transfer ends that has not begun")
            work, start = running
            self._under_way[place] = None
            self._free[place] = end
            self._done[place].append((work.number, start, end))
            waiting = [place]
            for bit in work.signals:
                self._tokens[bit].append(end + 1)
                waiting.append(_CONSUMERS[bit])
            self._run(waiting)

    def _check_semaphores(self) -> None:
        """Tokens held after each signal, those of waits that start in its last cycle taken off."""
        held = list(self._credits)
        for number, count in _counted(self._done):
            for bit in self._works[number].signals:
                held[bit] += count
        for bit, most in enumerate(held):
            if most > MAX_TOKENS:
                signals = {work.number for work in self._works if bit in work.signals}
                waits = {work.number for work in self._works if bit in work.waits}
                ends = [end for number, _, end in self._done[_PRODUCERS[bit]] if number in signals]
                starts = [start for number, start, _ in self._done[_CONSUMERS[bit]] if number in waits]
                taken = np.searchsorted(np.array(starts, np.int64), ends, side="right")
                if int((self._credits[bit] + 1 + np.arange(len(ends)) - taken).max()) > MAX_TOKENS:
                    raise DisorderError(f"a semaphore would hold more than {MAX_TOKENS} tokens")


def _counted(parts: Iterable[list[tuple[int, int, int]]]) -> Iterator[tuple[int, int]]:
    """Numbers of works, and how often each was executed."""
    for part in parts:
        yield from Counter(map(_number, part)).items()


def _occupancy(parts: tuple[list[tuple[int, int, int]], ...], end: int) -> list[int]:
    """Cycles of each set of busy engines from 0 to ``end``; executions of an engine do not overlap."""
    return _sweep([(start, stop, 1 << place) for place, part in enumerate(parts) for _, start, stop in part], end)


def _ring(parts: list[list[tuple[int, int, int]]], period: int) -> list[int]:
    """The same, all times taken modulo a period."""
    pieces = []
    for place, part in enumerate(parts):
        for _, start, stop in part:
            first = start % period
            last = first + stop - start
            pieces.append((first, min(last, period), 1 << place))
            if last > period:
                pieces.append((0, last - period, 1 << place))
    return _sweep(pieces, period)


def _sweep(pieces: list[tuple[int, int, int]], end: int) -> list[int]:
    occupancy = [0] * _SETS
    if not pieces:
        occupancy[0] = end
        return occupancy
    starts, stops, bits = np.fromiter(chain.from_iterable(pieces), np.int64, 3 * len(pieces)).reshape(-1, 3).T
    events = np.concatenate((starts << _WIDTH | bits, stops << _WIDTH | bits))
    events.sort()
    times = events >> _WIDTH
    # A start and a stop alike turn the engine's bit over.
    busy = np.bitwise_xor.accumulate(events & (_SETS - 1))
    counts = np.bincount(busy, np.diff(times, append=end), _SETS)
    occupancy = [int(cycles) for cycles in counts]
    occupancy[0] += int(times[0])
    return occupancy
