"""Pictures as Programs: golden's executor gives the renderer's bits, the simulator both ways one time."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer_compiler.emit_render import JobPlan
from gossamer_compiler.picture_parts import groups_of
from gossamer_compiler.render import PICTURE, compile_picture
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError, GossamerError, InputError, UnsupportedError
from gossamer_models.golden import executor
from gossamer_models.golden.executor import Step
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Gemm, Vector, VectorOp
from gossamer_models.isa.tokens import Buffer
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.program import Program, Tensor
from gossamer_models.program_file import load_program, save_program
from gossamer_models.recorded import SweepCounts
from gossamer_models.render.field import Field
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.scene import load_scene
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate
from tests.models.render.test_renderer import DEFERRED, EYES, FIELD, camera

SHIPPED = load_architecture("render-8x8")
ENGINE = SHIPPED.render_engine.model_copy(update={"components": (4, 6), "kept": 1 << 14})
READY = SHIPPED.model_copy(update={"render": ENGINE})
SPARSE = dataclasses.replace(FIELD, shader=FIELD.shader.pruned(Pattern(2, 8)))


def machine(**changes: int | tuple[int, int]) -> Architecture:
    """The ready machine with another tile, block and so on."""
    return READY.model_copy(update={"render": READY.render_engine.model_copy(update=changes)})


def picture(field: Field, eye: str, architecture: Architecture, settings: Settings) -> Program:
    """A picture that has been executed, checked against the renderer's bits."""
    view = camera(EYES[eye])
    program = compile_picture(field, view, settings, architecture)
    recorded: dict[int, SweepCounts] = {}

    def watch(step: Step) -> None:
        recorded.update(step.machine.render.sweeps)

    executor.run(program, architecture, observer=watch)
    found, wanted = host.read(program, PICTURE), render(field, view, "sweep", settings).image
    np.testing.assert_array_equal(found.view(np.uint32), wanted.view(np.uint32))
    assert recorded == dict(enumerate(program.recorded))
    return program


@pytest.mark.parametrize("op", [VectorOp.RENDER_SWEEP, VectorOp.RENDER_PRODUCTS])
def test_patches_must_have_been_written(op: VectorOp) -> None:
    """All bytes of a table that an operation decodes, but none behind the last one."""
    architecture = machine(block=4)

    def run(place: int) -> None:
        def forget(step: Step) -> None:
            v = step.instruction
            if isinstance(v, Vector) and v.op == op and not step.finished:
                gone = v.source1 if place == 0 else architecture.buffers.vector_in_bytes - 1
                old = step.machine.held(v.engine, Buffer.VIN)[gone : gone + 1].copy()
                step.machine.write(v.engine, Buffer.VIN, gone, old, known=np.zeros(1, np.bool_))

        program = compile_picture(FIELD, camera(EYES["outside"]), Settings(termination=None), architecture)
        executor.run(program, architecture, observer=forget)

    run(-1)
    if op == VectorOp.RENDER_SWEEP:
        with pytest.raises(ExecutionError, match=r"\(VECTOR\): reads byte \d+ of half \d of VIN, which nothing"):
            run(0)
    else:
        run(0)  # of density, only where it ends counts


def read_bytes(program: Program) -> list[int]:
    """What loads of each stage bring, by shapes."""
    reads = [stage.reads for stage in program.stages]
    assert all(part is not None and part.least >= 0 for part in reads)
    return [part.total for part in reads if part is not None]


@pytest.mark.fast_one_in(5)
@pytest.mark.parametrize("field", [FIELD, SPARSE, DEFERRED], ids=["dense", "2:8", "2:8, deferred"])
@pytest.mark.parametrize("termination", [None, 0.1])
@pytest.mark.parametrize("eye", ["outside", "inside", "on a cube's corner"])
def test_the_picture_has_the_renderers_bits(eye: str, termination: float | None, field: Field) -> None:
    picture(field, eye, machine(block=4), Settings(termination=termination))


@pytest.mark.parametrize("field", [FIELD, DEFERRED], ids=["per sample", "deferred"])
def test_the_basis_is_applied_beside_sweeps(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """On accumulators for few samples: a job's basis runs beside later jobs, and the picture stays the renderer's."""
    monkeypatch.setattr("gossamer_compiler.render._STAGE_CYCLES", -(1 << 20))  # as if stages cost nothing
    ready = machine(block=4)
    small = ready.model_copy(update={"buffers": ready.buffers.model_copy(update={"accumulator_words": 512})})
    program = picture(field, "outside", small, Settings(termination=None))
    assert [stage.bytes_read for stage in simulate(program, small).stages] == read_bytes(program)
    both = [stage.instructions for stage in program.stages if stage.stage == "sweep" and stage.macs]
    assert len(both) >= 2
    for items in both:
        product = next(n for n, item in enumerate(items) if isinstance(item, Gemm))
        drains, sweeps = (
            [n for n, item in enumerate(items) if isinstance(item, Vector) and item.op == op]
            for op in (VectorOp.DRAIN, VectorOp.RENDER_SWEEP)
        )
        assert product < sweeps[0] <= sweeps[-1] < drains[0]


def test_jobs_in_groups() -> None:
    """As many samples as the array takes at once are due beside the next group; a large job's stay due for several."""
    rooms = [40, 40, 0, 8, 200, 0, 8, 8, 24, 0]
    nowhere = Tensor("", 0, 0, "raw", ())
    firsts = [sum(rooms[:n]) for n in range(len(rooms))]
    jobs = [
        JobPlan(n, nowhere, (), (2, 2, 2), first, room)
        for n, (first, room) in enumerate(zip(firsts, rooms, strict=True))
    ]
    assert [(len(group), part) for group, part in groups_of(jobs, None)] == [(10, 0)]
    found = [([job.number for job in group], part) for group, part in groups_of(jobs, 64)]
    assert found == [([0, 1], 0), ([2, 3, 4], 64), ([5], 64), ([6], 64), ([7, 8], 64), ([9], 64)]


@pytest.mark.slow
def test_the_shipped_field() -> None:
    """A procedural scene, its factors and network as they were trained."""
    scene = load_scene("solid")
    architecture = machine(block=16, patch=32, components=(16, 48))
    # The scene's own picture is large: its colours would be summed by a library, which differs from machine to machine.
    settings = dataclasses.replace(scene.settings, exact=True)
    program = compile_picture(scene.field, scene.camera.resized(16, 16), settings, architecture)
    executor.run(program, architecture)
    wanted = render(scene.field, scene.camera.resized(16, 16), "sweep", settings).image
    np.testing.assert_array_equal(host.read(program, PICTURE).view(np.uint32), wanted.view(np.uint32))


@pytest.mark.parametrize(("tile", "block"), [(8, 4), (16, 8)])
def test_several_tiles_with_ragged_ones_at_the_edge(tile: int, block: int) -> None:
    program = picture(FIELD, "outside", machine(tile=tile, block=block), Settings(background=0.25))
    assert len({stage.layer for stage in program.stages if stage.stage == "rays"}) == -(-24 // tile) * -(-21 // tile)


def test_a_picture_of_nothing_is_background() -> None:
    view = camera(EYES["far"])
    turned = view.pose.copy()
    turned[:3, :3] = turned[:3, :3] @ np.diag([-1.0, 1.0, -1.0])  # looks the other way
    program = compile_picture(FIELD, dataclasses.replace(view, pose=turned), Settings(background=0.5), READY)
    executor.run(program, READY)
    assert not program.recorded
    assert np.unique(host.read(program, PICTURE)).tolist() == [0.5]


def test_the_simulator_takes_one_time_both_ways() -> None:
    program = picture(FIELD, "outside", machine(block=4), Settings())
    for memory in ("ideal", "scripted"):
        short, long = (simulate(program, machine(block=4), memory=memory, periodic=way) for way in (True, False))
        assert short.cycles == long.cycles
        assert [stage.cycles for stage in short.stages] == [stage.cycles for stage in long.stages]


def test_time_depends_on_data_through_recorded_counts_alone() -> None:
    """Without them there is none; with more cycles of a sweep there are more."""
    architecture = machine(block=4)
    program = picture(FIELD, "outside", architecture, Settings())
    before = simulate(program, architecture)
    empty = dataclasses.replace(program, memory=dataclasses.replace(program.memory, data=None))
    assert simulate(empty, architecture).cycles == before.cycles
    with pytest.raises(GossamerError, match="no counts of job 0 were recorded"):
        simulate(dataclasses.replace(program, recorded=()), architecture)
    first = program.recorded[0]
    more = dataclasses.replace(first, cycles=first.cycles + 5000)
    after = simulate(dataclasses.replace(program, recorded=(more, *program.recorded[1:])), architecture)
    assert after.cycles > before.cycles


def altered(program: Program, op: VectorOp, name: str, value: int) -> Program:
    """The Program with a field of an operation's instructions changed."""
    stages = []
    for stage in program.stages:
        items = [
            changed(item, **{name: value}) if isinstance(item, Vector) and item.op == op else item
            for item in stage.instructions
        ]
        stages.append(dataclasses.replace(stage, instructions=tuple(items)))
    return dataclasses.replace(program, stages=tuple(stages))


@pytest.mark.parametrize(
    ("op", "name", "value", "message"),
    [
        (VectorOp.RENDER_SWEEP, "count", 8, r"`count` must be at least the \d+ samples that are shaded, not 8"),
        (VectorOp.RENDER_PRODUCTS, "size", 5, "`size` must be 6, not 5"),
        (VectorOp.RENDER_SWEEP, "source1", 1 << 20, r"leaves the buffer at byte 0 of 0|must lie in"),
        (VectorOp.RENDER_PRODUCTS, "source1", 1 << 20, r"leaves the buffer at byte 0 of 0|must lie in"),
        (VectorOp.RENDER_INPUTS, "channels", 8, "`channels` must be 40, not 8"),
        (VectorOp.RENDER_FINISH, "parameter", 8, r"pixels up to \d+ must lie in a tile of 504"),
        (VectorOp.RENDER_VIEW, "op", VectorOp.FILL, "needs what RENDER_VIEW takes, and none has run"),
        (VectorOp.RENDER_TILE, "op", VectorOp.FILL, "needs what RENDER_TILE takes"),
        (VectorOp.RENDER_LINES, "op", VectorOp.FILL, "needs what RENDER_LINES takes"),
    ],
)
def test_what_the_engine_refuses(op: VectorOp, name: str, value: int, message: str) -> None:
    architecture = machine(block=4)
    program = compile_picture(FIELD, camera(EYES["outside"]), Settings(), architecture)
    with pytest.raises(ExecutionError, match=message):
        executor.run(altered(program, op, name, value), architecture)


def test_samples_beyond_their_blocks_patches_are_noticed() -> None:
    """The record of a block says that its patches lie a texel nearer along some axis."""
    architecture = machine(block=4)
    program = compile_picture(FIELD, camera(EYES["outside"]), Settings(), architecture)
    first = next(name for name in program.memory.tensors if name.startswith("block."))
    data, address = program.memory.data, program.memory.tensors[first].address
    assert data is not None
    words = data[address : address + 36].view(np.uint32)
    nearer = (words[3:6] > 0).astype(np.uint32)
    assert nearer.any()
    words[3:6] -= nearer
    words[6:9] -= nearer
    with pytest.raises(ExecutionError, match="must lie in the patches'"):
        executor.run(program, architecture)


def test_what_is_not_compiled() -> None:
    view = camera(EYES["outside"])
    with pytest.raises(InputError, match="has no render engine"):
        compile_picture(FIELD, view, Settings(), load_architecture("small-8x8"))
    for tile in (-1, 999):
        with pytest.raises(InputError, match=f"has no tile {tile}"):
            compile_picture(FIELD, view, Settings(), READY, tile=tile)
    for name, size, message in (
        ("vector_in_bytes", 2048, "patches of a block of cubes do not fit"),
        ("vector_out_bytes", 512, "do not fit the vector engine's buffers"),
    ):
        small = READY.model_copy(update={"buffers": READY.buffers.model_copy(update={name: size})})
        with pytest.raises(DoesNotFitError, match=message):
            compile_picture(FIELD, view, Settings(), small)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kept": 8}, "a job does not fit the render engine.*raise render.kept"),
        ({"patch": 3}, "a job does not fit the render engine.*raise render.patch"),
        ({"components": (4, 7)}, r"for \(4, 7\) components and 128 texels renders no field of \(4, 6\) and 12"),
        ({"grid": 11}, r"for \(4, 6\) components and 11 texels renders no field of \(4, 6\) and 12"),
    ],
)
def test_what_the_engine_cannot_hold(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_picture(FIELD, camera(EYES["outside"]), Settings(), machine(**changes))


def test_a_program_file_keeps_the_counts(tmp_path: Path) -> None:
    program = compile_picture(FIELD, camera(EYES["outside"]), Settings(), READY)
    save_program(program, READY, tmp_path / "picture.gossamer")
    again, architecture = load_program(tmp_path / "picture.gossamer")
    assert again.recorded == program.recorded
    assert simulate(again, architecture).cycles == simulate(program, READY).cycles
    executor.run(again, architecture)
    executor.run(program, READY)
    np.testing.assert_array_equal(host.read(again, PICTURE), host.read(program, PICTURE))


def test_one_lane_of_each_kind_executes_programs() -> None:
    programs = [compile_picture(field, camera(EYES["outside"]), Settings(), READY) for field in (FIELD, DEFERRED)]
    items = [item for program in programs for item in program.unlike_instructions()]
    assert {item.op for item in items if isinstance(item, Vector)} >= RENDER_OPERATIONS
    assert not any(program.modelled_operations for program in programs)
    assert READY.whole_in_rtl
    several = machine(compositor_lanes=2)
    assert not several.whole_in_rtl
    with pytest.raises(UnsupportedError, match="of render-8x8 executes no Program"):
        compile_picture(FIELD, camera(EYES["outside"]), Settings(), several)
