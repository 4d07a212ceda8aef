"""The sequencer of :mod:`gossamer_sim.sequencer` on a machine without a clock, with the same periodic shortcut."""

from gossamer_models.isa.instructions import LOOP_LEVELS
from gossamer_models.timing.sequencer import END_LOOP_CYCLES, LOOP_CYCLES
from gossamer_sim.dataflow import DataflowMachine, Job, Mark
from gossamer_sim.sequencer import MAX_MEMORIES, LoopNode

__all__ = ["walk"]


def walk(machine: DataflowMachine, stage: LoopNode) -> None:
    """Deal a whole stage and let it end.

    Raises
    ------
    DisorderError
        The stage deadlocks or overfills a semaphore.
    """
    _deal(machine, stage, [0] * LOOP_LEVELS)
    machine.finish()


def _deal(machine: DataflowMachine, node: LoopNode, counters: list[int]) -> None:
    for item in node.items:
        if isinstance(item, LoopNode):
            _loop(machine, item, counters)
        else:
            machine.deal([(machine.job(item.work(counters)), item.deal_cycles)])


def _loop(machine: DataflowMachine, node: LoopNode, counters: list[int]) -> None:
    if not node.templates:
        machine.decode(node.own_cycles())
        return
    machine.decode(LOOP_CYCLES)
    first, last = alike = node.one_kind(counters)
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
            _deal(machine, node, counters)
        else:
            if not jobs or not alike[0] < index <= alike[1]:
                jobs = [(machine.job(item.work(counters)), cycles) for item, cycles in straight.items]
            machine.deal(jobs)
            machine.decode(straight.behind)
        machine.decode(END_LOOP_CYCLES)
        index += 1
    counters[node.level] = 0
