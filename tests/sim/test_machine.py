"""The machine's rules: hand-computed cycles, order of events, blocking, deadlock."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import simpy

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, GossamerError
from gossamer_models.isa.instructions import Dim, EndLoop, Instruction, Load, Loop, Prune, Store, Vector
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Engine, Semaphore
from gossamer_models.program import StageProgram
from gossamer_models.timing.dma import LOAD_START_CYCLES
from gossamer_models.timing.prune import prune_overhead_cycles
from gossamer_models.timing.sequencer import BARRIER_CYCLES, BODY_CYCLES, DEAL_CYCLES, LOOP_CYCLES
from gossamer_models.timing.vector import VECTOR_OVERHEAD_CYCLES
from gossamer_sim.machine import Machine
from gossamer_sim.memory import memory_model
from gossamer_sim.sequencer import Sequencer, compile_stage
from gossamer_sim.stage import StageRun, run_stage
from gossamer_sim.work import CostBook, WorkShop

S = Semaphore
L, V, P, ST = Engine.LOAD, Engine.VECTOR, Engine.PRUNE, Engine.STORE


def machine(**changes: int) -> Architecture:
    base = load_architecture("small-8x8").model_dump(mode="python")
    base["memory"] = {"ports": 1, "port_bits": 512, "latency_cycles": 20}
    base["vector"] = {"lanes": 8, "prune_lanes": 1}
    return Architecture.model_validate(base | changes)


def load(beats: int, **fields: Any) -> Load:
    """A load of LOAD + beats cycles."""
    return Load(dims=(Dim(count=32 * beats, mem_stride=2, buf_stride=2, axis=3),), **fields)


def vector(steps: int, **fields: Any) -> Vector:
    """A vector instruction of 24 + steps cycles."""
    return Vector(op=1, count=8 * steps, **fields)


DEAL = DEAL_CYCLES
LOAD = 20 + LOAD_START_CYCLES
VECTOR = VECTOR_OVERHEAD_CYCLES


def run(
    instructions: list[Instruction],
    tokens: dict[Semaphore, int] | None = None,
    *,
    memory: str = "ideal",
    environment: simpy.Environment | None = None,
    **changes: int,
) -> tuple[StageRun, list[tuple[Engine, int, int]]]:
    """Run of a stage, and its spans counted from the first dealing cycle; equal to the run without a clock."""
    architecture = machine(**changes)
    stage = StageProgram("layer", "ff", tuple(instructions), tuple((tokens or {}).items()))
    model = memory_model(architecture, memory)[1]
    found = run_stage(stage, architecture, model, trace=True, periodic=False, environment=environment)
    quick = run_stage(stage, architecture, model, trace=True)
    assert quick.occupancy == found.occupancy
    if not quick.skips:
        assert sorted(quick.spans, key=repr) == sorted(found.spans, key=repr)
    offset = found.barrier_cycles
    return found, sorted((span.engine, span.start - offset, span.end - offset) for span in found.spans)


def test_tokens_arrive_one_cycle_later() -> None:
    _, spans = run([load(2, signal=S.VIN_FULL), vector(3, wait=S.VIN_FULL)])
    end = DEAL + LOAD + 2  # dealt in the last of its dealing cycles, seen in the next
    assert spans == [(L, DEAL, end), (V, end + 1, end + 1 + VECTOR + 3)]


def test_engine_restarts_at_once_and_dealing_takes_cycles_each() -> None:
    _, spans = run([load(1), load(2), vector(1)])
    first = DEAL + LOAD + 1
    assert spans == [(L, DEAL, first), (L, first, first + LOAD + 2), (V, 3 * DEAL, 3 * DEAL + VECTOR + 1)]


def test_double_buffering_overlaps() -> None:
    """With two halves the loads run ahead; with one they alternate with the vector engine."""
    body = [load(40, wait=S.VIN_FREE, signal=S.VIN_FULL), vector(40, wait=S.VIN_FULL, signal=S.VIN_FREE)]
    stage: list[Instruction] = [Loop(level=0, count=10), *body, EndLoop(level=0)]
    a, b = LOAD + 40, VECTOR + 40
    assert sum(run(stage, {S.VIN_FREE: 1})[0].occupancy) == LOOP_CYCLES + DEAL + 10 * (a + 1 + b) + 9
    # the load is the slower one: it never waits, and the last vector instruction follows it
    assert a > b
    assert sum(run(stage, {S.VIN_FREE: 2})[0].occupancy) == LOOP_CYCLES + DEAL + 10 * a + 1 + b


def test_full_queue_blocks_the_sequencer() -> None:
    """Depth 1: the third load is dealt the cycle after the second starts, the vector instruction behind it."""
    _, spans = run([load(1), load(1), load(1), vector(1)], queue_depth=1)
    third = DEAL + LOAD + 1 + 1  # the slot that the second load leaves
    assert (V, third + 1 + DEAL, third + 1 + DEAL + VECTOR + 1) in spans
    _, spans = run([load(1), load(1), load(1), vector(1)], queue_depth=3)
    assert (V, 4 * DEAL, 4 * DEAL + VECTOR + 1) in spans


def test_words_need_a_slot_before_the_first_and_are_there_with_the_last() -> None:
    """Three words of 512 bits: read in three cycles more, dealt in two more."""
    deal, behind = DEAL + 3 + 2, 1 + 3  # the one behind it has been read, and is decoded and dealt
    found, spans = run([load(1), load(1), load(1), vector(1)], queue_depth=1, serial_dealing=True)
    assert spans[0] == (L, deal, deal + LOAD + 1)
    third = deal + LOAD + 1 + 1 + 2  # the words follow each other into the slot that the second load leaves
    assert (V, third + 1 + behind, third + 1 + behind + VECTOR + 1) in spans
    assert found.barrier_cycles == BARRIER_CYCLES + 20 + 3 + BODY_CYCLES + 20 + 12 + 3
    loop: list[Instruction] = [Loop(level=0, count=2), load(1), EndLoop(level=0)]
    _, spans = run([*loop, vector(1)], queue_depth=1, serial_dealing=True)
    loops = LOOP_CYCLES + 3 + 2 * (deal + 1)
    assert (V, loops + deal, loops + deal + VECTOR + 1) in spans


def test_barrier_fetches_the_stage() -> None:
    assert run([])[0].barrier_cycles == BARRIER_CYCLES + 20 + 3  # a header of 192 bytes is three beats
    found, _ = run([load(1)] * 9)
    assert found.barrier_cycles == BARRIER_CYCLES + 20 + 3 + BODY_CYCLES + 20 + 27


def test_stage_ends_with_its_last_instruction() -> None:
    """The load outlives the store beside it and speeds up: the end it had been given before is of no consequence."""
    beside = Store(dims=(Dim(count=32 * 300, mem_stride=2, buf_stride=2, axis=3),))
    found, spans = run([load(900), beside], memory="ddr4", clock_hz=400_000_000)
    assert spans[0][2] > spans[1][2]
    assert sum(found.occupancy) == max(end for _, _, end in spans)


def test_empty_stage() -> None:
    found, spans = run([])
    assert (sum(found.occupancy), spans) == (0, [])


def test_deadlock_names_stage_engines_and_tokens() -> None:
    with pytest.raises(GossamerError) as raised:
        run([load(1, wait=S.VIN_FREE), vector(1, wait=S.VIN_FULL)])
    message = str(raised.value)
    for part in ("stage layer.ff deadlocks", "LOAD (instruction 0) waits for VIN_FREE", "VECTOR", "VIN_FULL"):
        assert part in message


def test_deadlock_of_the_sequencer() -> None:
    with pytest.raises(GossamerError, match="SEQUENCER waits for a slot in the queue of LOAD"):
        run([load(1, wait=S.VIN_FREE)] * 3, queue_depth=1)


def test_semaphores_belong_to_engines() -> None:
    with pytest.raises(GossamerError, match="instruction 0 on VECTOR signals A_FULL, which belongs to LOAD"):
        run([vector(1, signal=S.A_FULL)])
    with pytest.raises(GossamerError, match="instruction 0 on LOAD waits for A_FULL, which belongs to GEMM"):
        run([load(1, wait=S.A_FULL)])


def test_semaphore_overflow() -> None:
    with pytest.raises(GossamerError, match="A_FULL would hold more than 15 tokens"):
        run([load(1, signal=S.A_FULL)] * 16)
    run([load(1, signal=S.A_FULL)] * 15)


def test_stage_too_long() -> None:
    with pytest.raises(DoesNotFitError, match="needs 513 instructions, has 512"):
        run([load(1)] * 513)
    with pytest.raises(DoesNotFitError, match="needs 17 instructions, has 16"):
        run([load(1)] * 17, stage_instructions=16)
    run([load(1)] * 16, stage_instructions=16)


def test_modifier_of_a_loop_that_is_not_there() -> None:
    with pytest.raises(GossamerError, match="must name loops around it"):
        run([load(1, modifiers=(step(Load, "axis0_base", 1, 1),))])


class Shuffled(simpy.Environment):
    """Kernel that handles the events of one cycle in a random order."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._eid = self._random(seed)  # type: ignore[assignment] # SimPy breaks ties by this counter

    @staticmethod
    def _random(seed: int) -> Iterator[float]:
        generator = random.Random(seed)
        while True:
            yield generator.random()


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
@pytest.mark.parametrize("seed", range(20))
def test_order_within_a_cycle_is_free(memory: str, seed: int) -> None:
    lengths = random.Random(seed)
    body: list[Instruction] = [
        load(lengths.randint(1, 60), wait=S.VIN_FREE, signal=S.VIN_FULL),
        vector(lengths.randint(1, 60), wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL | S.WEIGHT_FULL),
        Prune(keep=2, of=8, n0=lengths.randint(1, 9), wait=S.WEIGHT_FULL | S.PRN_FREE, signal=S.PRN_FULL),
        store(lengths.randint(1, 60), wait=S.VOUT_FULL, signal=S.VOUT_FREE),
        store(lengths.randint(1, 9), wait=S.PRN_FULL, signal=S.PRN_FREE | S.STORED),
        load(lengths.randint(1, 9), wait=S.STORED),
    ]
    stage = [Loop(level=0, count=12), *body, EndLoop(level=0)]
    tokens = {S.VIN_FREE: 2, S.VOUT_FREE: 2, S.PRN_FREE: 2, S.STORED: 2}
    ordered, spans = run(stage, tokens, memory=memory)
    shuffled, other = run(stage, tokens, memory=memory, environment=Shuffled(seed))
    assert other == spans
    assert shuffled.occupancy == ordered.occupancy
    assert {engine for engine, _, _ in spans} == {L, V, P, ST}


def test_prune_cycles() -> None:
    _, spans = run([Prune(keep=2, of=8, n0=2)])
    lanes = machine().vector.prune_lanes
    assert spans == [(P, DEAL, DEAL + prune_overhead_cycles(lanes) + 2 * 8 // lanes)]


def states(transfers: list[Instruction], memory: str, cycles: range) -> list[tuple[object, ...]]:
    """State that the shortcut compares, at some cycles of a run."""
    architecture = machine()
    model = memory_model(architecture, memory)[1]
    environment = simpy.Environment()
    shop = WorkShop(CostBook(architecture, model))
    unit = Machine(environment, 2, {}, shop.works, model.channel(environment))
    environment.process(Sequencer(unit, periodic=False).run(compile_stage(transfers, shop)))
    found = []
    for cycle in cycles:
        environment.run(until=cycle)
        found.append(unit.state())
    return found


def store(beats: int, **fields: Any) -> Store:
    return Store(dims=(Dim(count=32 * beats, mem_stride=2, axis=3),), **fields)


@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
def test_state_tells_moments_of_an_instruction_apart(memory: str) -> None:
    found = states([load(60), store(60)], memory, range(5, 60))
    assert len(set(found)) == len(found)


def test_state_knows_who_shared_the_channel() -> None:
    """A load is as old in both runs, but the store beside it, now gone, took more from it in one of them."""
    short, long = (states([load(900), store(beats)], "ddr4", range(400, 401)) for beats in (2, 200))
    assert short != long
