"""The control unit: order, operands and cycle of every instruction equal a model of the machine's rules."""

import dataclasses
import random
from typing import Any

import pytest

from gossamer_compiler.training import compile_training
from gossamer_hw.control.control import Control as ControlUnit
from gossamer_hw.driver import AsyncDriver
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import EndLoop, Instruction, Loop
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import StageProgram
from gossamer_models.registers import ENGINES, Control, State, offset
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.sequencer import Transaction, barrier_cycles, dealing, scripted_barrier_cycles
from tests.hw.control.control_bench import (
    DURATION_FIELDS,
    Bench,
    LiteMaster,
    architecture_of,
    program_of,
    stage_of,
    timed,
)
from tests.hw.control.control_model import check_run

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


@pytest.mark.fast_one_in(6)
@pytest.mark.parametrize("seed", range(SEED, SEED + 6))
def test_random_programs(seed: int) -> None:
    generator = random.Random(seed)
    width, depth = generator.choice([16, 32, 64]), generator.choice([1, 2, 3, 4])
    architecture = architecture_of(width, depth)
    stages = [random_stage(generator) for _ in range(3)]
    barriers = [barrier_cycles(architecture.memory, len(stage.instructions)) for stage in stages]
    check_run(Bench(architecture), program_of(*stages), depth, barriers)


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "width"), [(SEED, 16), (SEED + 1, 16), (SEED + 2, 32), (SEED + 3, 64)])
def test_random_programs_as_words(seed: int, width: int) -> None:
    generator = random.Random(seed)
    architecture = architecture_of(width, 1, serial=True)
    how = dealing(architecture)
    assert how.words == 192 // width
    stages = [random_stage(generator) for _ in range(3)]
    barriers = [barrier_cycles(architecture.memory, len(stage.instructions)) + how.words for stage in stages]
    check_run(Bench(architecture), program_of(*stages), 1, barriers, how)


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


@pytest.mark.parametrize("width", [16, *(pytest.param(width, marks=pytest.mark.slow) for width in (8, 32, 64))])
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


@pytest.mark.slow
@pytest.mark.parametrize(("count", "serial"), [(512, False), (16, False), (16, True)])
def test_longest_stage(count: int, serial: bool) -> None:
    """All of an instruction memory, of the largest and of a small one."""
    stage = stage_of([timed(ENGINES[n % 5], 1 + n % 7) for n in range(count)])
    depth = 1 if serial else 4
    architecture = architecture_of(64, depth, serial=serial).model_copy(update={"stage_instructions": count})
    how = dealing(architecture)
    check_run(
        Bench(architecture), program_of(stage), depth, [barrier_cycles(architecture.memory, count) + how.words], how
    )


def test_nothing_to_run() -> None:
    async def test(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        await driver.load(program_of(), memory_bytes=4096)
        await driver.start()
        assert (await driver.wait()).state is State.DONE
        assert await driver.cycles() == 0

    Bench(architecture_of()).run(test)


@pytest.mark.slow
def test_stop_ends_behind_the_stage() -> None:
    stage = stage_of([timed(Engine.LOAD, 60)] * 4)

    async def test(ctx: Any, driver: AsyncDriver, _: LiteMaster) -> None:
        await driver.load(program_of(stage, stage, stage))
        await driver.start()
        await ctx.tick().repeat(600)
        await driver.stop()
        await driver.wait()
        assert (await driver.counters()).stages == 2
        await driver.start()
        await driver.wait()
        assert (await driver.counters()).stages == 3

    Bench(architecture_of()).run(test)


@pytest.mark.slow
def test_a_run_takes_its_program_at_the_start() -> None:
    """A stop before it, or in the same write, is none; what is written in the run is for the next one."""
    stage = stage_of([timed(Engine.LOAD, 60)] * 2)

    async def test(ctx: Any, driver: AsyncDriver, bus: LiteMaster) -> None:
        await driver.load(program_of(stage, stage))
        await driver.stop()
        await bus.write32(offset("CONTROL"), int(Control.START | Control.STOP))
        await bus.write32(offset("PROGRAM_BASE_LOW"), 4096)
        await bus.write32(offset("PROGRAM_STAGES"), 0)
        await driver.wait()
        assert (await driver.counters()).stages == 2
        await driver.start()
        await driver.wait()
        assert (await driver.counters()).stages == 0

    Bench(architecture_of()).run(test)


def test_several_ports_are_refused() -> None:
    tiny = load_architecture("wide-4x4")
    with pytest.raises(ValueError, match=r"`memory\.ports` must be 1, not 2"):
        ControlUnit(tiny.model_copy(update={"memory": tiny.memory.model_copy(update={"ports": 2})}))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide-4x4", "tiny-4x4"])
def test_compiled_programs(name: str) -> None:
    """Stages of a real training step, their instructions' cycles made up: every operand, token and cycle."""
    architecture = load_architecture(name)
    how = dealing(architecture)
    network = load_network("digits-cnn")
    program = compile_training(network, 16, METHODS["bdwp"], Pattern(2, 8), architecture, prepare=True)
    chosen = {stage.stage: stage for stage in program.stages if stage.layer in ("conv1", "conv3", "fc")}
    chosen |= {stage.layer: stage for stage in program.stages if stage.layer in ("pool", "loss", "mean")}
    stages = tuple(chosen.values())
    barriers = [barrier_cycles(architecture.memory, len(stage.instructions)) + how.words for stage in stages]
    bench = Bench(architecture, faults=False)
    program = dataclasses.replace(program_of(*stages), architecture=name)
    check_run(bench, program, architecture.queue_depth, barriers, how)
    assert {start.engine for start in bench.starts} == set(ENGINES)
