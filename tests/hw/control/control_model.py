"""The machine's rules, cycle by cycle, and a check of a control unit against them."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gossamer_hw.driver import AsyncDriver
from gossamer_hw.layouts import operand_bits
from gossamer_models.isa.instructions import Instruction
from gossamer_models.isa.loops import Body, nest, resolve
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.program import Program, StageProgram
from gossamer_models.registers import ENGINES, State
from gossamer_models.timing.sequencer import Dealing
from tests.hw.control.control_bench import Bench, LiteMaster, Start, cycles_of

__all__ = ["check_run", "model"]

WHOLE = Dealing()


@dataclass(slots=True)
class Expected:
    """What the machine's rules say of one stage, from its first dealing cycle on."""

    starts: list[Start] = field(default_factory=list)
    end: int = 0
    busy: dict[Engine, int] = field(default_factory=lambda: dict.fromkeys(ENGINES, 0))


def actions(
    body: Body, counters: dict[int, int], counts: dict[int, int], how: Dealing
) -> Iterator[tuple[int, Instruction | None]]:
    """Cycles of everything that the sequencer does, up to where it needs a slot, and what it deals."""
    ahead = 0
    for item in body.items:
        if isinstance(item, Body):
            yield how.loop_cycles - ahead, None
            leaves = item.items and not isinstance(item.items[-1], Body)
            for index in range(item.count):
                yield from actions(item, {**counters, item.level: index}, {**counts, item.level: item.count}, how)
                yield how.end_loop_cycles - (how.ahead_cycles if leaves else 0), None
            ahead = 0
        else:
            yield how.slot_cycles(item) - ahead, resolve(item, counters, counts)
            ahead = how.ahead_cycles


def model(
    stage: StageProgram, depth: int, how: Dealing = WHOLE, takes: Callable[[Instruction], int] = cycles_of
) -> Expected:
    """Cycle by cycle; whatever one unit does is seen by the others a cycle later. An instruction `takes` its cycles."""
    found = Expected()
    todo = deque(actions(nest(stage.instructions), {}, {}, how))
    queues: dict[Engine, deque[Instruction]] = {engine: deque() for engine in ENGINES}
    running: dict[Engine, tuple[Instruction, int]] = {}
    tokens = {semaphore: dict(stage.credits).get(semaphore, 0) for semaphore in Semaphore}
    spent = filling = cycle = 0
    while True:
        finished = [engine for engine, (_, end) in running.items() if end == cycle]
        if not todo and not any(queues.values()) and len(finished) == len(running):
            found.end = cycle
            return found
        given, room = dict(tokens), {engine: len(queue) < depth for engine, queue in queues.items()}
        heads = {engine: queue[0] for engine, queue in queues.items() if queue}
        for engine in finished:
            _move(given, running.pop(engine)[0].signal, 1)
        for engine, head in heads.items():
            if engine not in running and all(tokens[s] for s in Semaphore if s & head.wait):
                queues[engine].popleft()
                _move(given, head.wait, -1)
                running[engine] = head, cycle + takes(head)
                found.busy[engine] += takes(head)
                found.starts.append(Start(cycle, engine, head.advance, operand_bits(head)))
        spent += 1
        filling -= 1
        if todo and spent >= todo[0][0] and filling <= 0:
            dealt = todo[0][1]
            if dealt is not None and filling < 0 and room[dealt.engine]:
                filling = how.fill_cycles
            if dealt is None or filling == 0:
                todo.popleft()
                spent = 0
                if dealt is not None:
                    queues[dealt.engine].append(dealt)
        tokens = given
        cycle += 1


def _move(tokens: dict[Semaphore, int], mask: int, amount: int) -> None:
    for semaphore in Semaphore:
        tokens[semaphore] += amount * bool(semaphore & mask)


def check_run(bench: Bench, program: Program, depth: int, barriers: Sequence[int], how: Dealing = WHOLE) -> None:
    """Run a program; every start, the counters and the total must be as expected."""
    expected = [model(stage, depth, how) for stage in program.stages]

    async def test(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        await driver.load(program, memory_bytes=1 << 30)
        await driver.start()
        assert (await driver.wait()).state is State.DONE
        assert ctx.get(bench.dut.irq)
        counters = await driver.counters()
        assert counters.cycles == sum(barriers) + sum(stage.end for stage in expected)
        assert counters.stages == len(program.stages)
        assert counters.executed == sum(len(stage.starts) for stage in expected)
        assert counters.busy_cycles == {e: sum(stage.busy[e] for stage in expected) for e in ENGINES}

    bench.run(test)
    assert len(bench.rewinds) == len(program.stages)
    begin = bench.rewinds[0] - 1 if bench.rewinds else 0
    wanted: list[Start] = []
    for stage, rewind, barrier in zip(expected, bench.rewinds, barriers, strict=True):
        assert rewind == begin + 1
        wanted += [replace(start, cycle=begin + barrier + start.cycle) for start in stage.starts]
        begin += barrier + stage.end
    assert sorted(bench.starts, key=_order) == sorted(wanted, key=_order)


def _order(start: Start) -> tuple[int, Engine]:
    return start.cycle, start.engine
