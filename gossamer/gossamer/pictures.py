"""What ``make docs`` draws: the pictures of README.md and docs/machine.md that need no RTL."""

from pathlib import Path

from gossamer import api
from gossamer.commands import PASSED, command
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.sparsity import Pattern
from gossamer_reports.plots_speedup import speedup_figure
from gossamer_reports.plots_timeline import timeline_figure
from gossamer_sim.executor import simulate

__all__ = ["main"]

_FOLDER = Path("docs") / "img"
_WORKLOAD = Path("workloads") / "resnet18-64-bdwp.yaml"
_STAGES = (("conv2", "ff"), ("bn2", "ff"), ("conv4", "wu"), ("conv2", "update"))
_DPI = 110


@command
def main() -> int:
    """Draw both pictures."""
    speedup_figure(api.simulate(_WORKLOAD).result).savefig(_FOLDER / "speedup.png", dpi=_DPI)
    machine = load_architecture("tiny-4x4")
    program = compile_training(load_network("digits-resnet"), 16, METHODS["bdwp"], Pattern(2, 8), machine)
    timings = simulate(program, machine, memory="ideal", trace=True, periodic=False).stages
    stages = {(timing.layer, timing.stage): timing for timing in timings}
    title = "digits-resnet, BDWP 2:8, on tiny-4x4: four stages of a training step"
    timeline_figure([stages[name] for name in _STAGES], title).savefig(_FOLDER / "stages.png", dpi=_DPI)
    return PASSED


if __name__ == "__main__":
    raise SystemExit(main())
