"""Pictures as Programs: how many jobs and samples they have, where their cycles go, how busy the array is."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from gossamer.bench_record import Measurement

__all__ = ["pictures", "pinned_tile", "rtl_pictures"]

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
    from gossamer_models.render.frame import count_frame
    from gossamer_models.render.renderer import render
    from gossamer_models.render.scene import load_scene
    from gossamer_sim.executor import simulate

    scene, machine = load_scene("pinned"), load_architecture("render-8x8")
    machine = machine.model_copy(update={"render": machine.render_engine.model_copy(update=_PINNED)})
    # Tiles of the same size; what is counted of a tile does not depend on the rest of the engine.
    counting = load_architecture("rtnerf-edge").render_engine
    frame = count_frame(scene.field, scene.camera, scene.settings, counting)
    shaded = [int(tile.counts.shaded.sum()) for tile in frame.tiles]
    median = sorted(range(len(shaded)), key=lambda tile: shaded[tile])[len(shaded) // 2]
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


def rtl_pictures() -> Iterator[Measurement]:
    """Render trained fields at 32 x 32 in Verilator behind both memories, on `render-8x8` with an engine for them."""
    from gossamer.render_rtl import FIELDS, render_into

    for item in render_into(Path("out") / "render-rtl", list(FIELDS)):
        if not item.passed:
            raise RuntimeError(f"{item.field} in RTL behind {item.memory} differs from golden or from the simulator")
        yield Measurement(
            f"picture of {item.field}, {FIELDS[item.field]}, memory {item.memory}",
            f"{item.rtl_cycles:,} cycles, equal to the simulator; every byte equal to golden; {item.psnr_db:.2f} dB "
            f"against the scene; {item.rtl_cycles / item.seconds / 1e3:.1f} k cycles/s, DRAM's filling included",
            command="make render-rtl",
        )
