"""Pictures from DRAM to DRAM in Verilator: golden's bits, the simulator's cycles, on one machine in one process."""

import dataclasses
import re
from dataclasses import dataclass

import numpy as np
import pytest

from gossamer_hw.cosim.machine import build_bench, run_jobs
from gossamer_hw.cosim.program import IDEAL, program_job, run_programs
from gossamer_models.golden.executor import run
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Engine
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS, VectorOp
from gossamer_models.program import MemoryImage, Program
from gossamer_models.registers import Fault, State
from gossamer_models.render.engine.patches import RECORD_WORDS
from gossamer_sim import simulate
from tests.compiler.random_pictures import drawn_programs
from tests.system.faulty_jobs import COMMAND_CYCLES, engine_count
from tests.system.render_pictures import MACHINE, picture
from tests.system.rtl_programs import alternating, compare, disagreements

pytestmark = pytest.mark.slow


def test_pictures() -> None:
    """Rays that end and rays that never do; eyes outside, inside and at a corner; a tile and several; a full block."""
    programs = [
        picture("outside", 1, shading="deferred"),
        picture("inside", 2),
        picture("above", 3, termination=None),
        picture("on a cube's corner", 4, cut=1.0, size=12),
        picture("outside", 5, occupied=1.1, termination=0.5),
    ]
    items = [item for program in programs for item in program.unlike_instructions()]
    assert {item.op for item in items if isinstance(item, Vector)} >= RENDER_OPERATIONS
    wrong = disagreements(programs, MACHINE, alternating(len(programs)))
    assert not wrong, wrong


def test_random_pictures() -> None:
    """Fields, cameras and settings by hypothesis, of one tile and of several."""
    drawn = drawn_programs(MACHINE, side=9)
    wrong = disagreements([program for _, program in drawn], MACHINE, alternating(len(drawn)))
    assert not wrong, {drawn[place][0]: text for place, text in wrong.items()}


def moved(program: Program, block: str, axis: int) -> Program:
    """A picture whose job record says that its patches lie one texel further along an axis."""
    held = program.memory
    assert held.data is not None
    data, place = held.data.copy(), held.tensors[block].address
    record = data[place : place + 4 * RECORD_WORDS].view(np.uint32)
    record[[3 + axis, 6 + axis]] += 1
    return dataclasses.replace(program, memory=MemoryImage(held.tensors, held.size_bytes, data))


def refused_by_golden(program: Program) -> tuple[int, int]:
    """Stage and instruction of a sweep whose samples need texels that its patches lack."""
    with pytest.raises(ExecutionError, match="must lie in the patches' ") as caught:
        run(program, MACHINE)
    found = re.match(r"stage (\d+) .*, instruction (\d+) ", str(caught.value))
    assert found
    return int(found[1]), int(found[2])


def test_samples_whose_texels_the_patches_lack() -> None:
    """The machine stops where golden does, and the next picture is right, to the cycle."""
    good = picture("outside", 1)
    wrong = [
        moved(good, block, axis)
        for block, axis in (("block.1.0.0", 2), ("block.0.0.1", 0), ("block.0.0.0", 0), ("block.0.0.0", 2))
    ]
    *ends, after = run_programs([*wrong, good], MACHINE, [IDEAL] * (len(wrong) + 1))
    for program, found in zip(wrong, (end.job for end in ends), strict=True):
        assert (found.state, found.fault, found.fault_engine) == (State.ERROR, Fault.BUFFER, Engine.VECTOR)
        assert (found.fault_stage, found.fault_index) == refused_by_golden(program)
        assert not found.violation
    assert not compare(good, MACHINE, after, IDEAL)


@dataclass(frozen=True, slots=True, order=True)
class Middle:
    """Cycle, from the run's start, amid an instruction, and how many of its engine's came before."""

    length: int
    cycle: int
    before: int


def longest(program: Program) -> dict[VectorOp, Middle]:
    """Of each operation of rendering."""
    found: dict[VectorOp, Middle] = {}
    begun = before = 0
    result = simulate(program, MACHINE, memory="ideal", trace=True, periodic=False)
    for stage, timing in zip(program.stages, result.stages, strict=True):
        spans = sorted((span for span in timing.spans if span.engine is Engine.VECTOR), key=lambda span: span.start)
        for number, span in enumerate(spans, start=before):
            item = stage.instructions[span.instruction]
            assert isinstance(item, Vector)
            if item.op in RENDER_OPERATIONS:
                middle = Middle(span.end - span.start, begun + (span.start + span.end) // 2, number)
                operation = VectorOp(item.op)
                found[operation] = max(found.get(operation, middle), middle)
        begun, before = begun + timing.cycles, before + len(spans)
    return found


def test_soft_reset_in_every_operation() -> None:
    """The picture behind each reset is right, to the cycle."""
    good = picture("inside", 1, shading="deferred", size=4)
    middles, job = longest(good), program_job(good)
    assert middles.keys() == RENDER_OPERATIONS
    cuts = [dataclasses.replace(job, reset_cycles=middle.cycle - COMMAND_CYCLES) for middle in middles.values()]
    results = run_jobs(MACHINE, [item for cut in cuts for item in (cut, job)])
    run(good, MACHINE)
    cycles = simulate(good, MACHINE, memory="ideal").cycles
    for (operation, middle), cut, whole in zip(middles.items(), results[::2], results[1::2], strict=True):
        assert (cut.state, cut.violation) == (State.IDLE, False), operation.name
        assert engine_count(cut, 1, Engine.VECTOR) == middle.before + 1, operation.name
        # What is short ends while bursts under way do.
        assert engine_count(cut, 2, Engine.VECTOR) in (middle.before, middle.before + 1), operation.name
        assert (whole.state, whole.violation, whole.cycles) == (State.DONE, False, cycles), operation.name
        assert good.memory.data is not None
        assert np.array_equal(whole.image[: good.memory.size_bytes], good.memory.data), operation.name


def test_what_is_repeated_is_written_once() -> None:
    """Lanes over planes and lines, six of them, three of which are held while a sample waits."""
    build = build_bench(MACHINE)
    text = (build.directory / f"{build.top}.v").read_text()
    assert text.count("module gossamer_interpolation_lane_2(") == 1
    assert text.count("  gossamer_interpolation_lane_2 ") == text.count("  gossamer_interpolation_lane_2_held ") == 3


def test_a_machine_that_renders_holds_every_unit() -> None:
    """A training machine none: ``tests/hw/test_generate.py``."""
    build = build_bench(MACHINE)
    modules = set(re.findall(r"^module (\S+?) ?\(", (build.directory / f"{build.top}.v").read_text(), re.MULTILINE))
    parts = {part for module in modules for part in module.lstrip("\\").split(".")}
    units = {"decoder", "search", "projector", "sampler", "fetch", "exponential", "softplus", "compositor"}
    assert units <= parts, units - parts
