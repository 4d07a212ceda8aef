"""The sequencer: deals a stage's instructions, and skips what repeats.

**Periodic shortcut.** Let the machine's state, in relative time, be the same at the start of iterations i and i + p
of a loop, and let iterations i to m all be of one kind (:mod:`gossamer_sim.kinds`). Then the machine does from i + p on
what it did from i on, p iterations at a time, as long as they stay below m: the time and everything counted between
the two are added as often as whole periods fit, and the walk goes on behind them. That is exact, for nested loops too,
because what an inner loop skips is already counted when the outer one compares.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gossamer_models.isa.instructions import LOOP_LEVELS, Instruction, ModifierKind
from gossamer_models.isa.loops import Body, nest
from gossamer_models.timeline import Skip
from gossamer_sim.engines import Tally
from gossamer_sim.kinds import Range, Template
from gossamer_sim.machine import Machine, Process
from gossamer_sim.work import Kind, Work, WorkShop

__all__ = ["MAX_MEMORIES", "LoopNode", "Sequencer", "Straight", "compile_stage"]

MAX_MEMORIES = 1024
"""States remembered per loop; a loop that does not repeat within as many iterations starts over remembering."""


class Item:
    """An instruction of a stage.

    Parameters
    ----------
    position : index into the stage's instructions.
    template : its kinds.
    shop : makes its works.
    ahead_cycles : that it takes less, because it is read while the one before is dealt.
    """

    __slots__ = ("_fixed", "_position", "_shop", "_works", "slot_cycles", "template")

    def __init__(self, position: int, template: Template, shop: WorkShop, ahead_cycles: int) -> None:
        self.template = template
        self.slot_cycles = template.slot_cycles - ahead_cycles
        self._position, self._shop = position, shop
        self._works: dict[Kind, Work] = {}
        self._fixed: Work | None = None

    def work(self, counters: list[int]) -> Work:
        """Work of the iteration at the given counters (one per level, those not around it 0)."""
        if self._fixed is not None:
            return self._fixed
        kind = self.template.kind(counters)
        work = self._works.get(kind)
        if work is None:
            work = self._works[kind] = self._shop.make(self._position, kind)
            if self.template.fixed is not None:
                self._fixed = work
        return work


@dataclass(frozen=True, slots=True)
class Straight:
    """Instructions that a loop deals one behind the other in every iteration, those of loops of one iteration too.

    Members
    -------
    items : each with the cycles until it needs a slot, and what the sequencer reads between the one before and it.
    behind : cycles of what the sequencer reads behind the last.
    """

    items: tuple[tuple[Item, int], ...]
    behind: int


@dataclass(frozen=True, slots=True)
class LoopNode:
    """A loop with items in place of instructions.

    Members
    -------
    templates : all unlike templates inside, those of inner loops too.
    stepping : those of them whose bases step with the loop.
    alike : first and last iteration that no FIRST or LAST modifier inside can tell apart.
    straight : all that an iteration deals; None if a loop inside repeats instructions.
    enter_cycles, leave_cycles : of its LOOP and its END_LOOP.
    """

    level: int
    count: int
    items: tuple["Item | LoopNode", ...]
    templates: tuple[Template, ...]
    stepping: tuple[Template, ...]
    alike: Range
    straight: Straight | None
    enter_cycles: int
    leave_cycles: int

    def own_cycles(self) -> int:
        """Cycles of a loop that deals nothing."""
        inside = sum(item.own_cycles() for item in self.items if isinstance(item, LoopNode))
        return self.enter_cycles + self.count * (inside + self.leave_cycles)

    def one_kind(self, counters: list[int]) -> Range:
        """Longest known stretch of iterations of one kind, at the given counters of the outer loops."""
        low, high = self.alike
        for template in self.stepping:
            first, last = template.unclipped_range(self.level, counters)
            low, high = max(low, first), min(high, last)
        return low, high


def compile_stage(
    instructions: Sequence[Instruction], shop: WorkShop, numbers: Sequence[int] | None = None
) -> LoopNode:
    """Loops of a stage with an item for every instruction.

    Parameters
    ----------
    numbers : of all instructions, as the shop's book numbers them, if they are known.

    Raises
    ------
    ValueError
        The loops do not nest.
    """
    if numbers is None:
        numbers = [shop.costs.number(item) for item in instructions]
    positions = iter([position for position, item in enumerate(instructions) if item.engine])
    return _compile(nest(instructions), {}, shop, positions, numbers)


def _compile(
    body: Body,
    counts: dict[int, int],
    shop: WorkShop,
    positions: Iterator[int],
    numbers: Sequence[int],
    ahead_cycles: int = 0,
) -> LoopNode:
    """Node of a loop whose LOOP takes `ahead_cycles` less."""
    how, enter_cycles, ahead_cycles = shop.costs.dealing, shop.costs.dealing.loop_cycles - ahead_cycles, 0
    counts = {**counts, body.level: body.count} if body.level >= 0 else counts
    items: list[Item | LoopNode] = []
    unlike: dict[Template, None] = {}
    for item in body.items:
        if isinstance(item, Body):
            node = _compile(item, counts, shop, positions, numbers, ahead_cycles)
            items.append(node)
            unlike.update(dict.fromkeys(node.templates))
            ahead_cycles = 0
        else:
            position = next(positions)
            template = shop.costs.template(item, counts, numbers[position])
            items.append(Item(position, template, shop, ahead_cycles))
            unlike[template] = None
            ahead_cycles = how.ahead_cycles
    templates = tuple(unlike)
    telling = [template for template in templates if template.levels >> body.level & 1] if body.level >= 0 else []
    low = int(any(template.sensitive(ModifierKind.FIRST, body.level) for template in telling))
    high = body.count - 1 - int(any(template.sensitive(ModifierKind.LAST, body.level) for template in telling))
    stepping = tuple(template for template in telling if template.sensitive(ModifierKind.STEP, body.level))
    leave_cycles, straight = how.end_loop_cycles - ahead_cycles, _straight(items)
    return LoopNode(
        body.level, body.count, tuple(items), templates, stepping, (low, high), straight, enter_cycles, leave_cycles
    )


def _straight(items: Sequence[Item | LoopNode]) -> Straight | None:
    found: list[tuple[Item, int]] = []
    read = 0
    for item in items:
        if isinstance(item, Item):
            found.append((item, read + item.slot_cycles))
            read = 0
        elif not item.templates:
            read += item.own_cycles()
        elif item.count == 1 and item.straight is not None:
            (first, cycles), *others = item.straight.items
            found += [(first, read + item.enter_cycles + cycles), *others]
            read = item.straight.behind + item.leave_cycles
        else:
            return None
    return Straight(tuple(found), read)


class Sequencer:
    """Walks a stage's loops on a machine.

    Parameters
    ----------
    machine : takes what is dealt.
    periodic : whether to skip what repeats.
    """

    def __init__(self, machine: Machine, *, periodic: bool) -> None:
        self.done = False
        self._machine = machine
        self._periodic = periodic
        self._counters = [0] * LOOP_LEVELS

    def run(self, stage: LoopNode) -> Process:
        """Deal a whole stage."""
        yield from self._deal(stage)
        self.done = True

    def _deal(self, node: LoopNode) -> Process:
        for item in node.items:
            if isinstance(item, LoopNode):
                yield from self._loop(item)
            else:
                yield from self._machine.deal(item.work(self._counters), item.slot_cycles)

    def _loop(self, node: LoopNode) -> Process:
        if not node.templates:
            self._machine.decode(node.own_cycles())
            return
        self._machine.decode(node.enter_cycles)
        first, last = node.one_kind(self._counters) if self._periodic else (0, -1)
        seen = _Memory(self._machine)
        index = 0
        while index < node.count:
            if first <= index < last:
                skipped = seen.skip(node.level, index, last)
                if skipped:
                    index += skipped
                    last = -1  # less than a period of this kind is left
                    continue
            self._counters[node.level] = index
            yield from self._deal(node)
            self._machine.decode(node.leave_cycles)
            index += 1
        self._counters[node.level] = 0


class _Memory:
    """States at the iterations of one loop so far."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._seen: dict[tuple[object, ...], tuple[int, int, Tally]] = {}

    def skip(self, level: int, index: int, last: int) -> int:
        """Iterations skipped at the start of ``index``, of which ``last`` is the last of its kind."""
        machine = self._machine
        state = machine.state()
        now = machine.now()
        found = self._seen.get(state)
        if found is None:
            if len(self._seen) >= MAX_MEMORIES:
                self._seen.clear()
            self._seen[state] = index, now, machine.snapshot()
            return 0
        before, then, tally = found
        period = index - before
        times = (last + 1 - index) // period
        if times:
            machine.repeat(times, now - then, tally)
            if machine.spans is not None:
                machine.skips.append(Skip(level, times * period, now, machine.now()))
        return times * period
