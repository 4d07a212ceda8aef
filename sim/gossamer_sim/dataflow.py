"""The machine of :mod:`gossamer_sim.machine` without a clock: every instruction's start follows from what is known.

Engines and sequencer talk in FIFOs alone, so the start of an instruction is a maximum over time stamps, whatever order
they are worked out in. Each engine therefore runs ahead as far as its tokens reach. Only the memory of an epoch model
needs an order: a transfer's end depends on what else is under way. When all else waits for the memory, nothing
unknown can happen before its next event, so that event comes next.

Time left out by the periodic shortcut is kept apart (``skipped``): all stamps are as if it had not passed.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from gossamer_models.errors import GossamerError
from gossamer_models.isa.tokens import Engine, Semaphore, consumer
from gossamer_models.timeline import Skip, Span
from gossamer_models.timing.dram import Epoch
from gossamer_sim.engines import ENGINES, MAX_TOKENS, Tally
from gossamer_sim.lanes import Lanes
from gossamer_sim.tally import Executions, Ring, tally
from gossamer_sim.work import Work

__all__ = ["DataflowMachine", "DisorderError", "Job", "Mark"]

_READER, _WRITER = ENGINES.index(Engine.LOAD), ENGINES.index(Engine.STORE)
_CONSUMERS = tuple(ENGINES.index(consumer(semaphore)) for semaphore in Semaphore)
_PLACES = range(len(ENGINES))


class DisorderError(GossamerError):
    """The stage deadlocks or overfills a semaphore: the machine with a clock says where."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Where everything stood when a state was seen: the sequencer, executions per engine, skips and rings."""

    cursor: int
    skipped: int
    lengths: tuple[int, ...]
    skips: int
    rings: int


Job = tuple[int, int, tuple[deque[int], ...], tuple[tuple[deque[int], int], ...], int, tuple[Epoch, int] | None]
"""A work as its machine executes it: number, place, tokens it takes, tokens it gives and to whom, cycles, and what it
does on a shared memory, with its pace."""


class DataflowMachine:
    """State of the machine during one stage; time 0 is the first dealing cycle.

    Parameters
    ----------
    queue_depth, tokens, works, fill_cycles, trace : as in :class:`gossamer_sim.machine.Machine`.
    lanes : memory that transfers share, if the memory model has one.
    """

    def __init__(
        self,
        queue_depth: int,
        tokens: dict[int, int],
        works: list[Work],
        lanes: Lanes | None,
        *,
        fill_cycles: int = 0,
        trace: bool = False,
    ) -> None:
        self.cursor = 0
        self.skipped = 0
        self.skips: list[Skip] = []
        self.spans: list[Span] | None = [] if trace else None
        self._fill_cycles = fill_cycles
        self._works = works
        self._jobs: dict[Work, Job] = {}
        self._lanes = lanes
        self._credits = tuple(tokens.get(bit, 0) for bit in range(len(Semaphore)))
        self._tokens = tuple(deque([0] * count) for count in self._credits)
        self._queues: tuple[deque[tuple[Job, int]], ...] = tuple(deque() for _ in ENGINES)
        self._slots = tuple(deque([0] * queue_depth) for _ in ENGINES)
        self._free = [0] * len(ENGINES)
        self._under_way: list[tuple[Job, int] | None] = [None] * len(ENGINES)
        self._done: tuple[list[tuple[int, int, int]], ...] = tuple([] for _ in ENGINES)
        self._shifts: list[tuple[tuple[int, ...], int]] = []
        self._rings: list[Ring] = []
        self._executions = Executions.of(self._done)

    def job(self, work: Work) -> Job:
        """A work as :meth:`deal` takes it."""
        found = self._jobs.get(work)
        if found is None:
            tokens = self._tokens
            epoch = work.epoch
            shared = (epoch, epoch.pace) if self._lanes is not None and isinstance(epoch, Epoch) else None
            waits = tuple([tokens[bit] for bit in work.waits])
            signals = tuple([(tokens[bit], _CONSUMERS[bit]) for bit in work.signals])
            found = self._jobs[work] = work.number, work.place, waits, signals, work.cycles, shared
        return found

    def decode(self, cycles: int) -> None:
        """Spend cycles on an instruction of the sequencer's own."""
        self.cursor += cycles

    def deal(self, jobs: Iterable[tuple[Job, int]]) -> None:
        """Put jobs into their engines' queues, each with the cycles from the first look at it to its slot.

        Raises
        ------
        DisorderError
            No slot will ever be free.
        """
        cursor, fill_cycles = self.cursor, self._fill_cycles
        for job, cycles in jobs:
            place = job[1]
            slots = self._slots[place]
            while not slots:
                self._go_on()
            slot = slots.popleft()
            cursor += cycles
            if slot >= cursor:
                cursor = slot + 1
            cursor += fill_cycles
            queue = self._queues[place]
            queue.append((job, cursor))
            if len(queue) == 1 and self._under_way[place] is None:
                self._run([place])
        self.cursor = cursor

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
        self._executions = Executions.of(self._done)
        self._check_semaphores()

    def state(self) -> tuple[tuple[object, ...], int]:
        """All that decides the future besides what is still to be dealt, relative to the sequencer; and a span.

        Nothing unknown happens before ``base``, so earlier stamps count as that. The span is how far apart the
        engines are whose past is complete.
        """
        cursor, lanes = self.cursor, self._lanes
        base = cursor if lanes is None else min(lanes.next_event(), cursor)
        known: list[int] = []
        parts: list[object] = []
        for place in _PLACES:
            running = self._under_way[place]
            if running is None:
                free = self._free[place]
                known.append((free if free > base else base) - cursor)
            else:
                known.append(running[1] - cursor)
                parts.append((place, running[0][0]))
            queue = self._queues[place]
            if queue:
                parts.append(tuple([job[0] for job, _ in queue]))
                if queue[-1][1] > base:
                    parts.append(tuple([(s if s > base else base) - cursor for _, s in queue]))
            else:
                parts.append(None)
            slots = self._slots[place]
            parts.append(len(slots))
            if slots and slots[-1] > cursor:
                parts.append(tuple([s - cursor for s in slots if s > cursor]))
        for tokens in self._tokens:
            parts.append(tuple([(s if s > base else base) - cursor for s in tokens]) if tokens else None)
        if lanes is not None:
            parts.append(lanes.state(cursor))
        return (tuple(known), *parts), max(known) - min(known)

    def snapshot(self) -> Mark:
        """Mark of this moment for :meth:`repeat`."""
        return Mark(self.cursor, self.skipped, tuple(map(len, self._done)), len(self.skips), len(self._rings))

    def repeat(self, times: int, level: int, iterations: int, since: Mark) -> None:
        """Add ``times`` repetitions of what has been worked out since a snapshot of the same state.

        The repetitions of each engine follow each other without a gap, so what they add to the time of each set of
        busy engines is what one period adds if it is bent into a ring.
        """
        period = self.cursor - since.cursor
        for ring in self._rings[since.rings :]:
            ring.times *= times + 1
        self._rings.append(Ring(since.lengths, tuple(map(len, self._done)), period, times))
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
        """Cycles of each set of busy engines, from the first dealing cycle to the last end, and executions per work.

        All must have ended.
        """
        whole = Ring((0,) * len(ENGINES), tuple(map(len, self._done)), max(self.cursor, *self._free), 1)
        return tally(self._executions, [whole, *self._rings], len(self._works))

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

    def _run(self, waiting: list[int]) -> None:
        """Let some engines, and whom they give tokens, run as far as they can."""
        under_way, queues, free = self._under_way, self._queues, self._free
        while waiting:
            place = waiting.pop()
            queue = queues[place]
            while queue and under_way[place] is None:
                job, start = queue[0]
                number, _, waits, signals, cycles, shared = job
                for tokens in waits:
                    if not tokens:
                        break
                    if tokens[0] > start:
                        start = tokens[0]
                else:
                    if free[place] > start:
                        start = free[place]
                    queue.popleft()
                    for tokens in waits:
                        tokens.popleft()
                    self._slots[place].append(start + 1)
                    end = start + cycles
                    if shared is not None and self._lanes is not None:
                        under_way[place] = job, start
                        self._lanes.expect(*shared, end, write=place == _WRITER)
                        break
                    free[place] = end
                    self._done[place].append((number, start, end))
                    for tokens, reader in signals:
                        tokens.append(end + 1)
                        if queues[reader] and reader != place and reader not in waiting:
                            waiting.append(reader)
                    continue
                break  # a token is missing

    def _go_on(self) -> None:
        """Take the memory's next event."""
        ended = self._lanes.step() if self._lanes is not None else ()
        if not ended:
            raise DisorderError("nothing can go on")
        under_way, queues = self._under_way, self._queues
        for write, end in ended:
            place = _WRITER if write else _READER
            running = under_way[place]
            if running is None:
                raise DisorderError("a transfer ends that has not begun")
            (number, _, _, signals, _, _), start = running
            under_way[place] = None
            self._free[place] = end
            self._done[place].append((number, start, end))
            waiting = [place]
            for tokens, reader in signals:
                tokens.append(end + 1)
                if queues[reader] and under_way[reader] is None and reader not in waiting:
                    waiting.append(reader)
            self._run(waiting)

    def _check_semaphores(self) -> None:
        """Tokens held after each signal, those of waits that start in its last cycle taken off.

        So the last signals need a wait each that has started by then.
        """
        found, most = self._executions, list(self._credits)
        executed = np.bincount(found.numbers, minlength=len(self._works)).tolist()
        for work in self._works:
            for bit in work.signals:
                most[bit] += executed[work.number]
        gives = np.array([_mask(work.signals) for work in self._works], np.int64)[found.numbers]
        takes = np.array([_mask(work.waits) for work in self._works], np.int64)[found.numbers]
        for bit in [bit for bit, tokens in enumerate(most) if tokens > MAX_TOKENS]:
            spare = MAX_TOKENS - self._credits[bit]
            ends = found.ends[(gives & 1 << bit) > 0][max(spare, 0) :]
            starts = found.starts[(takes & 1 << bit) > 0][max(-spare, 0) :]
            if len(starts) < len(ends) or bool((starts[: len(ends)] > ends).any()):
                raise DisorderError(f"a semaphore would hold more than {MAX_TOKENS} tokens")


@cache
def _mask(bits: tuple[int, ...]) -> int:
    return sum(1 << bit for bit in bits)
