"""The whole machine in Verilator when something is wrong: a defined end, and the next run is right to the cycle."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from gossamer_hw.cosim.machine import run_jobs
from gossamer_hw.cosim.machine_jobs import Failure, Job
from gossamer_hw.cosim.program import Behaviour, program_job
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.encoding import OPCODE_BITS, encode
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import (
    INSTRUCTION_BYTES,
    MAX_STAGE_INSTRUCTIONS,
    EndLoop,
    Gemm,
    Instruction,
    Load,
    Loop,
    Modifier,
    ModifierKind,
    Prune,
    PruneMode,
    Stage,
    Store,
    Vector,
    VectorOp,
)
from gossamer_models.isa.loops import field_number
from gossamer_models.isa.tokens import Buffer, Engine, Semaphore
from gossamer_models.program import Program
from gossamer_models.program_encoding import encode_program
from gossamer_models.registers import Fault, State
from gossamer_models.timing.scripted import Direction
from tests.system.faulty_jobs import (
    COMMAND_CYCLES,
    MACHINE,
    Trial,
    burst_owners,
    case_with,
    changed,
    check_good,
    engine_count,
    place_of,
    run_trials,
    spans_of,
    with_bytes,
    with_instruction,
)
from tests.system.machine_training import StageCase, stage_cases

DRAM_BYTES = 1 << 24
"""Size of the bench's memory: what lies behind is answered with DECERR."""
FAR = 4 * DRAM_BYTES
WATCHDOG_CYCLES = 20_000
WRONG_PROGRAMS = 40
SEED = 41

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("direction", Direction)
def test_slave_errors(direction: Direction) -> None:
    """SLVERR on the first and the last burst of each engine, and on some between."""
    trials = []
    for name in (("conv2", "ff"), ("bn2", "ff"), ("conv2", "update"), ("conv2", "wu")):
        case = case_with(*name)
        owners = burst_owners(case, direction)
        fetches = sum(owner.engine is Engine.SEQUENCER for owner in owners)
        last = len(owners) - 1
        for number in sorted({0, fetches - 1, fetches, (fetches + last) // 2, last} - {-1}):
            owner = owners[number]
            job = program_job(case.program, Behaviour(failure=Failure(direction, number)))
            label = f"{case.name}, {direction.name} {number}"
            trials.append(Trial(label, case, job, Fault.SLAVE_ERROR, owner.engine, owner.index))
    engines = {trial.engine for trial in trials}
    assert engines == ({Engine.SEQUENCER, Engine.LOAD} if direction is Direction.READ else {Engine.STORE})
    run_trials(trials)


def test_errors_of_late_bursts_behind_a_slow_memory() -> None:
    """The same burst fails whatever the latencies are, with others under way."""
    case = case_with("bn2", "ff")
    trials = []
    for direction in Direction:
        owners = burst_owners(case, direction)
        for seed, number in enumerate(range(len(owners) // 3, len(owners), len(owners) // 4)):
            job = program_job(case.program, Behaviour("scripted", seed, Failure(direction, number)))
            owner = owners[number]
            trials.append(Trial(f"{direction.name} {number}", case, job, Fault.SLAVE_ERROR, owner.engine, owner.index))
    run_trials(trials)


def claiming(job: Job) -> Job:
    """The machine believes in more memory than there is."""
    return dataclasses.replace(job, claimed_bytes=2 * FAR)


def test_decode_errors() -> None:
    """DECERR for the fetch, and for loads and stores that are the first or a later one."""
    case = case_with("bn3", "bp")
    trials = []
    for kind in (Load, Store):
        for number in (0, 1):
            place = place_of(case, kind, number)
            job = claiming(changed(case, place, mem_base=FAR))
            trials.append(Trial(f"{kind.__name__} {number}", case, job, Fault.DECODE_ERROR, kind.engine, place))
    fetch = dataclasses.replace(claiming(program_job(case.program)), base=FAR)
    run_trials([*trials, Trial("fetch", case, fetch, Fault.DECODE_ERROR)])


def cut(case: StageCase, left_bytes: int) -> Job:
    """Memory ends so far behind the stages' start."""
    job = program_job(case.program)
    return dataclasses.replace(job, claimed_bytes=job.base + left_bytes)


def test_truncated_programs() -> None:
    case = case_with("conv2", "ff")
    job = program_job(case.program)
    items = case.program.stages[0].instructions
    whole = INSTRUCTION_BYTES * (1 + len(items))
    trials = [
        Trial(f"memory ends behind {left} bytes", case, cut(case, left), Fault.ADDRESS)
        for left in (-job.base, -1, 0, INSTRUCTION_BYTES - 1, INSTRUCTION_BYTES, whole // 2, whole - 1)
        if job.base + left
    ]
    zeros = bytes(INSTRUCTION_BYTES)
    longer = Stage(length=len(items) + 1)
    trials += [
        Trial("nothing", case, with_bytes(job, 0, zeros), Fault.ILLEGAL),
        Trial("instructions of zeros", case, with_bytes(job, INSTRUCTION_BYTES, zeros), Fault.ILLEGAL, index=0),
        Trial("last one missing", case, with_bytes(job, whole - INSTRUCTION_BYTES, zeros), Fault.ILLEGAL,
              index=len(items) - 1),
        Trial("length beyond memory", case, with_bytes(job, 0, encode(longer)), Fault.ADDRESS),
        Trial("longest length", case, with_bytes(job, 0, encode(Stage(length=MAX_STAGE_INSTRUCTIONS))), Fault.ADDRESS),
        Trial("length beyond all", case, with_bytes(job, 0, encode(Stage(length=0xFFFF))), Fault.ILLEGAL),
        Trial("unaligned", case, dataclasses.replace(job, base=job.base + 16), Fault.ALIGNMENT),
    ]  # fmt: skip
    run_trials(trials)


def test_second_stage_is_missing() -> None:
    """The first one is done; the register names the stage."""
    case = case_with("conv2", "ff")
    job = program_job(case.program)
    behind = INSTRUCTION_BYTES * (1 + len(case.program.stages[0].instructions))
    longer = dataclasses.replace(job, stages=2, memory_bytes=job.memory_bytes + INSTRUCTION_BYTES)
    (found,) = run_trials(
        [Trial("two stages", case, with_bytes(longer, behind, bytes(INSTRUCTION_BYTES)), Fault.ILLEGAL)]
    )
    assert found.fault_stage == 1
    assert len(found.stage_cycles) == 2
    assert np.array_equal(found.image[: len(case.after)], case.after)


def test_illegal_instructions() -> None:
    case = case_with("conv2", "ff")
    items = case.program.stages[0].instructions
    load, vector = place_of(case, Load, 1), place_of(case, Vector)
    job = program_job(case.program)
    byte = INSTRUCTION_BYTES * (1 + load)
    foreign = Modifier(127, ModifierKind.STEP, 1, 1)
    trials = [
        Trial(f"opcode {opcode}", case, with_bytes(job, byte, bytes([opcode])), Fault.ILLEGAL, index=load)
        for opcode in (0, 4, 18, 255)
    ]
    trials += [
        Trial("a load as header", case, with_bytes(job, 0, encode(items[load])), Fault.ILLEGAL),
        Trial("a header inside", case, with_instruction(case, load, Stage(length=1)), Fault.ILLEGAL, index=load),
        Trial("bit behind the fields", case, with_bytes(job, byte + INSTRUCTION_BYTES - 1, b"\x80"), Fault.ILLEGAL,
              index=load),
        Trial("end of no loop", case, with_instruction(case, 0, EndLoop(level=0)), Fault.ILLEGAL, index=0),
        Trial("loop of no iterations", case, with_instruction(case, 0, Loop(level=0, count=0)), Fault.ILLEGAL,
              index=0),
        Trial("field that is none", case, with_instruction(case, load, Load(modifiers=(foreign,))), Fault.ILLEGAL,
              index=load),
        Trial("operation that is none", case, changed(case, vector, op=63), Fault.ILLEGAL, Engine.VECTOR, vector),
        Trial("option that it lacks", case, changed(case, vector, flags=255), Fault.ILLEGAL, Engine.VECTOR, vector),
        Trial("format that is none", case, changed(case, load, format=3), Fault.ILLEGAL, Engine.LOAD, load),
    ]  # fmt: skip
    updating = case_with("conv2", "update")
    prune = place_of(updating, Prune)
    trials += [
        Trial(f"prune {field}", updating, changed(updating, prune, **field), Fault.ILLEGAL, Engine.PRUNE, prune)
        for field in (*({"mode": int(mode)} for mode in PruneMode if mode), {"of": 7}, {"valid": 0})
    ]
    gemm = place_of(case, Gemm)
    always = Modifier(field_number(Gemm, "dataflow"), ModifierKind.FIRST, levels=0, value=1)
    trials += [
        Trial(f"gemm {field}", case, changed(case, gemm, **field), fault, Engine.GEMM, gemm)
        for field, fault in (
            ({"chunk_words": 0}, Fault.ILLEGAL),
            ({"i0": 0}, Fault.ILLEGAL),
            ({"log2_lr": 3}, Fault.ILLEGAL),
            ({"dataflow": 1}, Fault.ILLEGAL),
            ({"modifiers": (always,)}, Fault.ILLEGAL),
            ({"acc_base": 2}, Fault.ALIGNMENT),
        )
    ]
    open_loop = dataclasses.replace(case.program.stages[0], instructions=(Loop(level=0, count=2), items[load]))
    left_open = dataclasses.replace(case.program, stages=(open_loop,))
    run_trials([*trials, Trial("open loop", case, program_job(left_open), Fault.ILLEGAL, index=2)])


def test_illegal_places() -> None:
    """Outside DRAM, outside a buffer, between the multiples that are legal."""
    trials = []
    for name in (("conv2", "ff"), ("conv2", "update")):
        case = case_with(*name)
        size = program_job(case.program).memory_bytes
        for kind in (Load, Store):
            place = place_of(case, kind)
            last_word = size - size % 16 - 16
            wrong: dict[Fault, list[dict[str, int]]] = {
                Fault.ADDRESS: [{"mem_base": address} for address in (FAR, -64, -(1 << 39), last_word)],
                Fault.BUFFER: [{"buf_base": (1 << 24) - 64}, {"buffer": Buffer.ACC}, {"buffer": 15}],
                Fault.ALIGNMENT: [{"mem_base": 1}, {"buf_base": 2}],
            }
            for fault, choices in wrong.items():
                trials += [
                    Trial(f"{case.name}, {kind.__name__} {field}", case, changed(case, place, **field), fault,
                          kind.engine, place)
                    for field in choices
                ]  # fmt: skip
    case = case_with("bn2", "ff")
    place = place_of(case, Vector)
    for wrong_place in ({"source0": 4}, {"target0": 2}):
        job = changed(case, place, **wrong_place)
        trials.append(Trial(f"APPLY {wrong_place}", case, job, Fault.ALIGNMENT, Engine.VECTOR, place))
    case = case_with("conv2", "update")
    place = place_of(case, Prune)
    job = changed(case, place, values=8)
    trials.append(Trial("PRUNE between words", case, job, Fault.ALIGNMENT, Engine.PRUNE, place))
    run_trials(trials)


def test_tokens() -> None:
    """Tokens of others, too many, too few."""
    case = case_with("conv2", "bp")
    stage = case.program.stages[0]
    load = place_of(case, Load)
    full = (*stage.credits, (Semaphore.A_FULL, 15))

    def with_credits(credit: tuple[tuple[Semaphore, int], ...]) -> Program:
        return dataclasses.replace(case.program, stages=(dataclasses.replace(stage, credits=credit),))

    signalling = [place for place, item in enumerate(stage.instructions) if item.signal & Semaphore.A_FULL]
    starved = dataclasses.replace(program_job(with_credits(())), watchdog_cycles=3000)
    trials = [
        Trial("waits for another's", case, changed(case, load, wait=int(Semaphore.ACC_FULL)), Fault.TOKEN, index=load),
        Trial("gives another's", case, changed(case, load, signal=int(Semaphore.ACC_FREE)), Fault.TOKEN, index=load),
        Trial("sixteenth token", case, program_job(with_credits(full)), Fault.TOKEN, Engine.LOAD, signalling[0]),
    ]
    run_trials(trials)
    found, good = run_jobs(MACHINE, [starved, program_job(case.program)])
    assert (found.state, found.fault, found.fault_engine) == (State.ERROR, Fault.WATCHDOG, Engine.SEQUENCER)
    assert 3000 < found.cycles < 4000
    assert not found.events[:, 1].any()
    assert not found.violation
    check_good("a deadlock", case, good)


_Picks = Callable[[Instruction], bool]


def of(operation: VectorOp) -> _Picks:
    return lambda item: isinstance(item, Vector) and item.op == operation


RESET_IN: dict[str, tuple[str, str, _Picks]] = {
    "load": ("conv2", "ff", lambda item: isinstance(item, Load)),
    "load to PRM": ("conv3", "update", lambda item: isinstance(item, Load)),
    "transposed load": ("conv2", "wu", lambda item: isinstance(item, Load) and bool(item.transpose)),
    "store": ("conv2", "ff", lambda item: isinstance(item, Store)),
    "store of entries": ("conv2", "update", lambda item: isinstance(item, Store) and item.buffer == Buffer.PRN),
    "gemm": ("conv2", "ff", lambda item: isinstance(item, Gemm)),
    "prune": ("conv2", "update", lambda item: isinstance(item, Prune)),
    "drain": ("conv2", "bp", of(VectorOp.DRAIN)),
    "drain that sums": ("conv2", "ff", of(VectorOp.DRAIN)),
    "apply": ("bn2", "ff", of(VectorOp.APPLY)),
    "apply on load": ("conv2", "ff", of(VectorOp.APPLY)),
    "gradient": ("bn3", "bp", of(VectorOp.GRADIENT)),
    "update": ("conv2", "update", of(VectorOp.UPDATE)),
    "reduce": ("bn3", "bp", of(VectorOp.REDUCE)),
    "pool": ("pool", "ff", of(VectorOp.MAX_POOL)),
    "pool's gradient": ("pool", "bp", of(VectorOp.MAX_POOL_GRADIENT)),
    "mean": ("mean", "ff", of(VectorOp.AVG_POOL)),
    "mean's gradient": ("mean", "bp", of(VectorOp.AVG_POOL_GRADIENT)),
    "fill": ("loss", "ff", of(VectorOp.FILL)),
    "micro, loss scale": ("loss", "update", of(VectorOp.LOSS_SCALE)),
    "micro, forward": ("conv2", "ff", of(VectorOp.NORM_FORWARD)),
    "micro, backward": ("bn3", "bp", of(VectorOp.NORM_BACKWARD)),
    "micro, softmax": ("loss", "ff", of(VectorOp.SOFTMAX_CROSS_ENTROPY)),
}


def test_every_kind_of_a_step_is_reset() -> None:
    """Every engine's, and every operation of the vector engine; a render engine's: ``test_rtl_render.py``."""
    picks = [picks for _, _, picks in RESET_IN.values()]
    for case in stage_cases():
        for item in case.program.unlike_instructions():
            assert item.engine is Engine.SEQUENCER or any(pick(item) for pick in picks), f"{case.name}: {item}"


@pytest.mark.parametrize(
    ("machine", "memory"), [("wide-4x4", "ideal"), ("wide-4x4", "scripted"), ("tiny-4x4", "scripted")]
)
def test_soft_reset_in_every_instruction(machine: str, memory: str) -> None:
    """Amid the first of its kind, behind one memory also amid a later one; `tiny-4x4` moves instructions as words."""
    trials, places = [], []
    for seed, (name, (layer, stage, picks)) in enumerate(RESET_IN.items()):
        case = case_with(layer, stage, machine)
        spans = spans_of(case, memory, seed)
        chosen = [span for item, span in spans if picks(item)]
        if name == "apply on load" and not load_architecture(machine).vector.feeds_array:
            assert not chosen
            continue
        later = chosen[len(chosen) // 2] if (machine, memory) == (MACHINE.name, "scripted") else chosen[0]
        for span in {chosen[0], later}:
            job = program_job(case.program, Behaviour(memory, seed))
            after = (span.start + span.end) // 2 - COMMAND_CYCLES
            trials.append(Trial(f"{name} at {after}", case, dataclasses.replace(job, reset_cycles=after)))
            before = sum(other.engine is span.engine and other.start < span.start for _, other in spans)
            places.append((span.engine, before))
    for trial, (engine, before), found in zip(trials, places, run_trials(trials), strict=True):
        accepted, done = (engine_count(found, column, engine) for column in (1, 2))
        assert accepted == before + 1, trial.name
        # Bursts under way end before the reset, and what is short ends while it waits for them.
        assert done in (before, before + 1), trial.name


@pytest.mark.parametrize("memory", ["ideal", "scripted"])
def test_soft_reset_in_the_fetch(memory: str) -> None:
    case = case_with("conv2", "ff")
    first = spans_of(case, memory, SEED)[0][1].start
    trials = []
    for after in range(1, first - 2 * COMMAND_CYCLES, 11):
        job = program_job(case.program, Behaviour(memory, SEED))
        trials.append(Trial(f"after {after}", case, dataclasses.replace(job, reset_cycles=after)))
    assert len(trials) > 15
    for trial, found in zip(trials, run_trials(trials), strict=True):
        assert not found.events[:, 1].any(), trial.name


def test_soft_reset_at_any_time() -> None:
    """Transfers in every phase: addresses offered, bursts under way, responses missing."""
    rng = np.random.default_rng(SEED)
    trials = []
    for case in (case_with("conv2", "ff"), case_with("bn2", "ff"), case_with("conv2", "update")):
        end = max(span.end for _, span in spans_of(case))
        for number, after in enumerate(rng.integers(20, end - 2 * COMMAND_CYCLES, 12).tolist()):
            job = program_job(case.program, Behaviour("scripted" if number % 2 else "ideal", number))
            trials.append(Trial(f"{case.name} {after}", case, dataclasses.replace(job, reset_cycles=after)))
    run_trials(trials)


def test_programs_with_wrong_bits() -> None:
    """Whatever a stage's words say, the machine ends in time and can be reset."""
    rng = np.random.default_rng(SEED)
    cases = [case_with(*name) for name in (("mean", "ff"), ("conv3", "ff"), ("bn4", "ff"), ("conv1", "prepare"))]
    jobs, faults = [], set()
    for number in range(WRONG_PROGRAMS):
        case = cases[number % len(cases)]
        clean = program_job(case.program)
        words = bytearray(encode_program(case.program))
        items = case.program.stages[0].instructions
        for place in rng.integers(len(items), size=1 + number % 3).tolist():
            last = list(leaves(type(items[place])))[-1]
            bit = 8 * INSTRUCTION_BYTES * (1 + place) + OPCODE_BITS + int(rng.integers(last.offset_bits))
            words[bit // 8] ^= 1 << bit % 8
        wrong = with_bytes(clean, 0, bytes(words))
        jobs += [dataclasses.replace(wrong, watchdog_cycles=WATCHDOG_CYCLES), clean]
    results = run_jobs(MACHINE, jobs)
    for number, (found, good) in enumerate(zip(results[::2], results[1::2], strict=True)):
        assert found.state in (State.DONE, State.ERROR), number
        assert not found.violation, number
        faults.add(found.fault)
        check_good(f"wrong bits {number}", cases[number % len(cases)], good)
    assert {Fault.NONE, Fault.ILLEGAL} < faults, faults
