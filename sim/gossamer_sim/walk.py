"""The sequencer of :mod:`gossamer_sim.sequencer` on a machine without a clock, with the same periodic shortcut."""

from dataclasses import dataclass

from gossamer_models.isa.instructions import LOOP_LEVELS
from gossamer_sim.dataflow import DataflowMachine, Job, Mark
from gossamer_sim.sequencer import MAX_MEMORIES, LoopNode, Straight

__all__ = ["walk"]


def walk(machine: DataflowMachine, stage: LoopNode) -> None:
    """Deal a whole stage and let it end.

    Raises
    ------
    DisorderError
        The stage deadlocks or overfills a semaphore.
    """
    _Walk(machine).deal(stage)
    machine.finish()


@dataclass(slots=True)
class _Dealt:
    """Jobs of the latest iteration of a straight loop, and its counters.

    Members
    -------
    places : of the jobs that may change with the counters of some levels, a bit each.
    """

    jobs: list[tuple[Job, int]]
    counters: list[int]
    places: dict[int, list[int]]


class _Walk:
    """Walks a stage's loops on a machine."""

    def __init__(self, machine: DataflowMachine) -> None:
        self._machine = machine
        self._counters = [0] * LOOP_LEVELS
        self._dealt: dict[int, _Dealt] = {}

    def deal(self, node: LoopNode) -> None:
        """Deal one iteration of a loop."""
        machine = self._machine
        for item in node.items:
            if isinstance(item, LoopNode):
                self._loop(item)
            else:
                machine.deal([(machine.job(item.work(self._counters)), item.slot_cycles)])

    def _loop(self, node: LoopNode) -> None:
        machine, counters = self._machine, self._counters
        if not node.templates:
            machine.decode(node.own_cycles())
            return
        machine.decode(node.enter_cycles)
        first, last = alike = node.one_kind(counters)
        if last - first < 2:
            last = -1  # no two of its states would be compared
        seen: dict[tuple[object, ...], tuple[int, Mark]] = {}
        straight, jobs = node.straight, list[tuple[Job, int]]()
        index = 0
        while index < node.count:
            if first <= index < last:
                state, span = machine.state()
                found = seen.get(state)
                if found is None:
                    if len(seen) >= MAX_MEMORIES:
                        seen.clear()
                    seen[state] = index, machine.snapshot()
                else:
                    period = index - found[0]
                    times = (last + 1 - index) // period
                    # Engines further apart than a period meet only after several: a later state is compared then.
                    if times and machine.cursor - found[1].cursor >= span:
                        machine.repeat(times, node.level, times * period, found[1])
                        index += times * period
                        last = -1
                        continue
            counters[node.level] = index
            if straight is None:
                self.deal(node)
            else:
                if not jobs or not alike[0] < index <= alike[1]:
                    jobs = self._jobs(straight)
                machine.deal(jobs)
                machine.decode(straight.behind)
            machine.decode(node.leave_cycles)
            index += 1
        counters[node.level] = 0

    def _jobs(self, straight: Straight) -> list[tuple[Job, int]]:
        """What an iteration deals: as in the latest one, but for what its counters may have changed."""
        machine, counters, items = self._machine, self._counters, straight.items
        dealt = self._dealt.get(id(straight))
        if dealt is None:
            jobs = [(machine.job(item.work(counters)), cycles) for item, cycles in items]
            self._dealt[id(straight)] = _Dealt(jobs, counters.copy(), {})
            return jobs
        moved = sum([1 << level for level in range(LOOP_LEVELS) if counters[level] != dealt.counters[level]])
        places = dealt.places.get(moved)
        if places is None:
            places = dealt.places[moved] = [n for n, (item, _) in enumerate(items) if item.template.levels & moved]
        for place in places:
            item, cycles = items[place]
            dealt.jobs[place] = machine.job(item.work(counters)), cycles
        dealt.counters[:] = counters
        return dealt.jobs
