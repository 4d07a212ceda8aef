"""Pictures as Programs: how many jobs and samples they have, where their cycles go, how busy the array is."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from gossamer.bench_record import Measurement

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture
    from gossamer_models.render.scene import Scene

__all__ = ["pictures", "pinned_tile", "rtl_pictures", "rtl_tile", "rtl_tile_part"]

_COMMAND: Final = "make bench PARTS=pictures"
_SCENE: Final = "solid"
_SIDE: Final = 32
_MACHINE: Final = "render-8x8"
_PARTS: Final = {
    "rays": "rays", "sweep": "sweeps and basis", "ff": "network", "inputs": "inputs", "colours": "colours",
}  # fmt: skip
_TILE_COMMAND: Final = "make bench PARTS=tile"
_PINNED: Final = {"tile": 80, "grid": 300, "patch": 20}
"""What `render-8x8` must have room for to render a tile of the scene `pinned`."""
_TARGET: Final = 0.9
_PART: Final = 16
"""Pixels along either side of the part of the tile that RTL renders."""


def pictures() -> Iterator[Measurement]:
    """The scene `solid` at 32 x 32 as a Program for `render-8x8`, whose render operations take what their RTL takes."""
    from gossamer_compiler.render import compile_picture
    from gossamer_models.architecture import load_architecture
    from gossamer_models.isa.instructions import Vector, VectorOp
    from gossamer_models.render.scene import load_scene
    from gossamer_sim.executor import simulate

    scene, machine = load_scene(_SCENE), load_architecture(_MACHINE)
    program = compile_picture(scene.field, scene.camera.resized(_SIDE, _SIDE), scene.settings, machine)
    items = [item for stage in program.stages for item in stage.instructions]
    rooms = sum(item.count for item in items if isinstance(item, Vector) and item.op == VectorOp.RENDER_SWEEP)
    samples = sum(sweep.samples for sweep in program.recorded)
    yield Measurement(
        "jobs; samples; room for shaded ones", f"{len(program.recorded)}; {samples:,}; {rooms:,}", "", _COMMAND
    )
    for memory in ("ideal", "scripted"):
        run = simulate(program, machine, memory=memory)
        parts: Counter[str] = Counter()
        for stage in run.stages:
            parts["sweeps and basis" if stage.layer.endswith(".basis") else _PARTS.get(stage.stage, "else")] += (
                stage.cycles
            )
        share = ", ".join(f"{name} {100 * cycles / run.cycles:.1f} %" for name, cycles in parts.most_common())
        yield Measurement(f"cycles behind memory `{memory}`", f"{run.cycles:,}: {share}", "", _COMMAND)


def pinned_tile() -> Iterator[Measurement]:
    """The median tile of `pinned` at 800 x 800 as a Program for `render-8x8`: how busy its busiest engine is.

    The median is by shaded samples, of all tiles. No picture is done before the busiest engine is.
    """
    from gossamer_compiler.picture_parts import tiles_of
    from gossamer_compiler.render import PICTURE, compile_picture
    from gossamer_models import host
    from gossamer_models.architecture import load_architecture
    from gossamer_models.golden import executor
    from gossamer_models.isa.tokens import Engine
    from gossamer_models.render.renderer import render
    from gossamer_models.render.scene import load_scene
    from gossamer_sim.executor import simulate

    scene, machine = load_scene("pinned"), _with_room(load_architecture(_MACHINE), **_PINNED)
    shaded = _shaded(scene, _PINNED["tile"])
    median = _median(shaded)
    program = compile_picture(scene.field, scene.camera, scene.settings, machine, tile=median)
    samples = sum(sweep.samples for sweep in program.recorded)
    yield Measurement(
        f"tile {median} of {len(shaded)}: jobs; samples; shaded",
        f"{len(program.recorded)}; {samples:,}; {shaded[median]:,}", "", _TILE_COMMAND,
    )  # fmt: skip
    executor.run(program, machine)
    found = host.read(program, PICTURE).view(np.uint32)
    wanted = render(scene.field, scene.camera, "sweep", scene.settings).image.view(np.uint32)
    width, height = scene.camera.width, scene.camera.height
    place = tiles_of(width, height, machine.render_engine.tile)[median].pixels(width)
    different = int((found.reshape(-1, 3)[place] != wanted.reshape(-1, 3)[place]).sum())
    yield Measurement(
        "numbers of the tile by golden's executor that differ from the renderer's",
        f"{different:,} of {3 * len(place):,}", "0", _TILE_COMMAND,
    )  # fmt: skip
    for memory in ("ideal", "scripted"):
        run = simulate(program, machine, memory=memory)
        busy: Counter[Engine] = Counter()
        for stage in run.stages:
            busy.update(stage.busy_cycles)
        ((busiest, bound),) = busy.most_common(1)
        yield Measurement(
            f"cycles of the busiest engine over all cycles, memory `{memory}`",
            f"{busiest.name} {bound:,} / {run.cycles:,} = {bound / run.cycles:.1%}; vector engine"
            f" {busy[Engine.VECTOR]:,}",
            f"at least {_TARGET:.0%}", _TILE_COMMAND,
        )  # fmt: skip


def rtl_tile() -> Iterator[Measurement]:
    """The whole of that tile of `pinned` in Verilator, on the machine for tiles of 80: about an hour."""
    yield from _rtl_pixels(_PINNED["tile"], "make bench PARTS=tile-rtl")


def rtl_tile_part() -> Iterator[Measurement]:
    """The median 16 x 16 pixels, not empty, of that tile of `pinned` in Verilator, on the machine for tiles of 80."""
    yield from _rtl_pixels(_PART, "make bench PARTS=part-rtl")


def _rtl_pixels(side: int, command: str) -> Iterator[Measurement]:
    """Render `side` x `side` pixels of the tile in RTL: its median part that is not empty, which may be the whole."""
    from gossamer.rtl_runs import executed, holding, image_of, late_stages
    from gossamer_compiler.picture_parts import tiles_of
    from gossamer_compiler.render import compile_picture
    from gossamer_hw.cosim.machine import build_bench, run_jobs
    from gossamer_hw.cosim.program import program_job
    from gossamer_models.architecture import load_architecture
    from gossamer_models.golden import executor
    from gossamer_models.registers import ENGINES
    from gossamer_models.render.scene import load_scene
    from gossamer_sim.executor import simulate

    scene, machine = load_scene("pinned"), _with_room(load_architecture(_MACHINE), **_PINNED)
    size = scene.camera.width, scene.camera.height
    median = _median(_shaded(scene, _PINNED["tile"]))
    tile = tiles_of(*size, _PINNED["tile"])[median]
    shaded, parts = _shaded(scene, side), tiles_of(*size, side)
    inside = [
        number for number, part in enumerate(parts)
        if 0 <= part.left - tile.left < tile.width and 0 <= part.top - tile.top < tile.height and shaded[number]
    ]  # fmt: skip
    chosen = inside[_median([shaded[number] for number in inside])]
    part = parts[chosen]
    program = compile_picture(
        scene.field, scene.camera, scene.settings, _with_room(machine, tile=side), tile=chosen
    )  # fmt: skip
    job = program_job(program)
    image = image_of(program)
    executor.run(holding(program, image), machine)
    simulated = simulate(program, machine)
    build_bench(machine, job.memory_bytes)
    start = time.monotonic()
    (result,) = run_jobs(machine, [job])
    seconds, found = time.monotonic() - start, executed(program, result)
    late = late_stages(program, found.stage_cycles, [stage.cycles for stage in simulated.stages])
    if late or found.faults or (found.image != image).any():
        raise RuntimeError(f"a part of a tile in RTL differs from golden or from the simulator: {late} {found.faults}")
    bound, busiest = max(zip(result.busy_cycles, ENGINES, strict=True), key=lambda pair: pair[0])
    yield Measurement(
        f"{part.width} x {part.height} pixels at {part.left}, {part.top}: shaded samples, of those of tile {median}",
        f"{shaded[chosen]:,} of {sum(shaded[number] for number in inside):,}", "", command,
    )  # fmt: skip
    yield Measurement(
        "cycles in RTL, memory `ideal`",
        f"{result.cycles:,}, equal to the simulator in all {len(program.stages)} stages; every byte of DRAM equal to"
        f" golden; {result.cycles / seconds / 1e3:.1f} k cycles/s, DRAM's filling included", "", command,
    )  # fmt: skip
    yield Measurement(
        "cycles of the busiest engine over all cycles, by the machine's own registers",
        f"{busiest.name} {bound:,} / {result.cycles:,} = {bound / result.cycles:.1%}", "", command,
    )  # fmt: skip


def _with_room(machine: "Architecture", **room: int) -> "Architecture":
    return machine.model_copy(update={"render": machine.render_engine.model_copy(update=room)})


def _shaded(scene: "Scene", side: int) -> list[int]:
    """Return the shaded samples of every tile of so many pixels along either side."""
    from gossamer_models.architecture import load_architecture
    from gossamer_models.render.frame import count_frame

    # What is counted of a tile does not depend on the rest of the engine.
    counting = _with_room(load_architecture("rtnerf-edge"), tile=side).render_engine
    frame = count_frame(scene.field, scene.camera, scene.settings, counting)
    return [int(tile.counts.shaded.sum()) for tile in frame.tiles]


def _median(values: list[int]) -> int:
    """Return the place of the median."""
    return sorted(range(len(values)), key=lambda place: values[place])[len(values) // 2]


def rtl_pictures() -> Iterator[Measurement]:
    """Render trained fields at 32 x 32 in Verilator behind both memories, on `render-8x8` with an engine for them."""
    from gossamer.render_rtl import FIELDS, render_into, shipped_subject

    for item in render_into(Path("out") / "render-rtl", {name: shipped_subject(name) for name in FIELDS}):
        if not item.passed:
            raise RuntimeError(f"{item.field} in RTL behind {item.memory} differs from golden or from the simulator")
        yield Measurement(
            f"picture of {item.field}, {item.title}, memory {item.memory}",
            f"{item.rtl_cycles:,} cycles, equal to the simulator; every byte equal to golden; {item.psnr_db:.2f} dB "
            f"against the scene; {item.rtl_cycles / item.seconds / 1e3:.1f} k cycles/s, DRAM's filling included",
            command="make render-rtl",
        )
