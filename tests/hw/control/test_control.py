"""The control unit: order, operands and cycle of every instruction equal a model of the machine's rules."""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gossamer_hw.control.control import Control
from gossamer_hw.driver import AsyncDriver
from gossamer_hw.layouts import operand_bits
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import EndLoop, Instruction, Loop
from gossamer_models.isa.loops import Body, first, last, nest, resolve, step
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.program import Program, StageProgram
from gossamer_models.registers import ENGINES, State
from gossamer_models.timing.sequencer import (
    END_LOOP_CYCLES,
    LOOP_CYCLES,
    Transaction,
    barrier_cycles,
    deal_cycles,
    scripted_barrier_cycles,
)
from tests.hw.control.control_bench import (
    DURATION_FIELDS,
    Bench,
    LiteMaster,
    Start,
    architecture_of,
    cycles_of,
    program_of,
    stage_of,
    timed,
)

SEED = 29
S = Semaphore
_PAIRS = [
    (S.A_FULL, S.A_FREE),
    (S.B_FULL, S.B_FREE),
    (S.ACC_FULL, S.ACC_FREE),
    (S.VIN_FULL, S.VIN_FREE),
    (S.VOUT_FULL, S.VOUT_FREE),
    (S.PRN_FULL, S.PRN_FREE),
    (S.PRM_FULL, S.PRM_FREE),
]


@dataclass(slots=True)
class Expected:
    """What the machine's rules say of one stage, from its first dealing cycle on."""

    starts: list[Start] = field(default_factory=list)
    end: int = 0
    busy: dict[Engine, int] = field(default_factory=lambda: dict.fromkeys(ENGINES, 0))


def actions(body: Body, counters: dict[int, int], counts: dict[int, int]) -> Iterator[tuple[int, Instruction | None]]:
    """Cycles of everything that the sequencer does, and what it deals."""
    for item in body.items:
        if isinstance(item, Body):
            yield LOOP_CYCLES, None
            for index in range(item.count):
                yield from actions(item, {**counters, item.level: index}, {**counts, item.level: item.count})
                yield END_LOOP_CYCLES, None
        else:
            yield deal_cycles(item), resolve(item, counters, counts)


def model(stage: StageProgram, depth: int) -> Expected:
    """Cycle by cycle; whatever one unit does is seen by the others a cycle later."""
    found = Expected()
    todo = deque(actions(nest(stage.instructions), {}, {}))
    queues: dict[Engine, deque[Instruction]] = {engine: deque() for engine in ENGINES}
    running: dict[Engine, tuple[Instruction, int]] = {}
    tokens = {semaphore: dict(stage.credits).get(semaphore, 0) for semaphore in Semaphore}
    spent = cycle = 0
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
                running[engine] = head, cycle + cycles_of(head)
                found.busy[engine] += cycles_of(head)
                found.starts.append(Start(cycle, engine, head.advance, operand_bits(head)))
        spent += 1
        if todo and spent >= todo[0][0]:
            dealt = todo[0][1]
            if dealt is None or room[dealt.engine]:
                todo.popleft()
                spent = 0
                if dealt is not None:
                    queues[dealt.engine].append(dealt)
        tokens = given
        cycle += 1


def _move(tokens: dict[Semaphore, int], mask: int, amount: int) -> None:
    for semaphore in Semaphore:
        tokens[semaphore] += amount * bool(semaphore & mask)


def random_instruction(generator: random.Random, engine: Engine, levels: list[int], **fields: Any) -> Instruction:
    """Of any duration, which may follow the loops, as may the halves that it leaves."""
    base = timed(engine, generator.choice([1, 1, 2, 5, generator.randint(1, 40)]), **fields)
    name = DURATION_FIELDS[engine]
    modifiers = []
    for level in levels:
        if generator.random() < 0.5:
            modifiers.append(step(type(base), name, level, generator.randint(0, 2)))
    if levels and generator.random() < 0.3:
        modifiers.append(generator.choice([first, last])(type(base), "advance", levels, generator.randrange(64)))
    fields = {name: getattr(base, name), "advance": generator.randrange(8), **fields}
    return type(base)(**fields, modifiers=tuple(modifiers))


def random_body(generator: random.Random, levels: list[int]) -> list[Instruction]:
    """Producers before their consumers, so that nothing can deadlock; perhaps a loop."""
    body: list[Instruction] = []
    for full, free in generator.sample(_PAIRS, generator.randint(0, 3)):
        body.append(random_instruction(generator, producer(full), levels, wait=free, signal=full))
        for _ in range(generator.randint(0, 2)):
            body.append(random_instruction(generator, generator.choice(ENGINES), levels))
        body.append(random_instruction(generator, consumer(full), levels, wait=full, signal=free))
    deeper = [level for level in range(4) if level > max(levels, default=-1)]
    if deeper and generator.random() < 0.7:
        level = generator.choice(deeper[:2])
        inner = random_body(generator, [*levels, level])
        loop = [Loop(level=level, count=generator.randint(1, 3)), *inner, EndLoop(level=level)]
        body = [*body, *loop] if generator.random() < 0.5 else [*loop, *body]
    return body


def random_stage(generator: random.Random) -> StageProgram:
    return stage_of(random_body(generator, []), {free: generator.randint(1, 3) for _, free in _PAIRS})


def check_run(bench: Bench, program: Program, depth: int, barriers: Sequence[int]) -> None:
    """Run a program; every start, the counters and the total must be as expected."""
    expected = [model(stage, depth) for stage in program.stages]

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


@pytest.mark.parametrize("seed", range(SEED, SEED + 6))
def test_random_programs(seed: int) -> None:
    generator = random.Random(seed)
    width, depth = generator.choice([16, 32, 64]), generator.choice([1, 2, 3, 4])
    architecture = architecture_of(width, depth)
    stages = [random_stage(generator) for _ in range(3)]
    barriers = [barrier_cycles(architecture.memory, len(stage.instructions)) for stage in stages]
    check_run(Bench(architecture), program_of(*stages), depth, barriers)


def test_hand_computed() -> None:
    """Two loads and a vector instruction, all numbers by hand."""
    load, vector = timed(Engine.LOAD, 10, signal=S.VIN_FULL), timed(Engine.VECTOR, 3, wait=S.VIN_FULL)
    stage = stage_of([load, vector])
    bench = Bench(architecture_of())
    barrier = 9 + 2 * 32 + 12 * 3  # two latencies, twelve beats per header or instruction
    check_run(bench, program_of(stage), 4, [barrier])
    begin = bench.rewinds[0] - 1 + barrier
    # Dealt in cycle 3, started in 4, done in 14, its token is there in 15.
    assert [(start.cycle - begin, start.engine) for start in bench.starts] == [(4, Engine.LOAD), (15, Engine.VECTOR)]


@pytest.mark.parametrize("width", [8, 16, 64])
def test_fetch_behind_a_scripted_memory(width: int) -> None:
    """Bursts end at 4 KiB, and a late or slow memory costs what the formula says."""
    generator = random.Random(SEED + width)
    stages = [stage_of([timed(Engine.PRUNE, 1) for _ in range(count)]) for count in (20, 0, 31)]
    transactions = [Transaction(generator.randint(0, 5), generator.randint(1, 40)) for _ in range(40)]
    script, address, barriers = iter(transactions), 4096, []
    for stage in stages:
        barriers.append(scripted_barrier_cycles(address, len(stage.instructions), width, script))
        address += 192 * (1 + len(stage.instructions))
    bench = Bench(architecture_of(width), transactions)
    check_run(bench, program_of(*stages, address=4096), 4, barriers)
    for place, beats in bench.memory.bursts:
        assert 1 <= beats <= 256
        assert place // 4096 == (place + beats * width - 1) // 4096
    assert sum(beats for _, beats in bench.memory.bursts) * width == address - 4096


def test_longest_stage() -> None:
    stage = stage_of([timed(ENGINES[n % 5], 1) for n in range(512)])
    architecture = architecture_of(64)
    check_run(Bench(architecture), program_of(stage), 4, [barrier_cycles(architecture.memory, 512)])


def test_nothing_to_run() -> None:
    async def test(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        await driver.load(program_of(), memory_bytes=4096)
        await driver.start()
        assert (await driver.wait()).state is State.DONE
        assert await driver.cycles() == 0

    Bench(architecture_of()).run(test)


def test_several_ports_are_refused() -> None:
    tiny = load_architecture("tiny-4x4")
    with pytest.raises(ValueError, match=r"`memory\.ports` must be 1, not 2"):
        Control(tiny.model_copy(update={"memory": tiny.memory.model_copy(update={"ports": 2})}))
