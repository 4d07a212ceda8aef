"""A picture as a Program: how many jobs and samples it has, and where its cycles go."""

from collections import Counter
from collections.abc import Iterator
from typing import Final

from gossamer.bench_record import Measurement

__all__ = ["pictures"]

_COMMAND: Final = "make bench PARTS=pictures"
_SCENE: Final = "solid"
_SIDE: Final = 32
_MACHINE: Final = "render-8x8"
_PARTS: Final = {"rays": "rays", "sweep": "sweeps", "ff": "basis and network", "inputs": "inputs", "colours": "colours"}


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
            parts[_PARTS.get(stage.stage, "else")] += stage.cycles
        share = ", ".join(f"{name} {100 * cycles / run.cycles:.1f} %" for name, cycles in parts.most_common())
        yield Measurement(f"cycles behind memory `{memory}`", f"{run.cycles:,}: {share}", "", _COMMAND)
