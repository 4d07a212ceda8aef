"""What ``make demo`` runs: the main job end to end, and where to look afterwards."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gossamer import api
from gossamer.commands import FAILED, PASSED, Parser, command, read_arguments
from gossamer.digits import DigitsTraining
from gossamer.printing import Printer
from gossamer_hw.cosim.replay import record, replay
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.isa.tokens import Engine
from gossamer_reports.tables import print_simulation
from gossamer_sim.executor import simulate

__all__ = ["main"]

_WORKLOAD = Path("workloads") / "resnet18-64-bdwp.yaml"
_SEED, _BATCH, _STEPS = 0, 32, 40
_LAYER = "conv2"


@command
def main(argv: Sequence[str] = ()) -> int:
    """Simulate, draw, generate, verify; return 1 if the verification found a difference.

    The working directory is the project's root, where the workload lies.
    """
    parser = Parser(
        prog="python -m gossamer.demo", description="simulate, draw, generate Verilog, verify: in the project's root"
    )
    parser.add_argument("--out", type=Path, default=Path("out") / "demo", metavar="DIR", help="default %(default)s")
    out: Path = read_arguments(parser, argv).out
    console, start = Printer(highlight=False, markup=False), time.monotonic()
    console.rule("1. Simulate: ResNet-18 at 64x64, batch 512, dense against BDWP 2:8")
    simulation = api.simulate(_WORKLOAD, trace=True)
    files = api.write_simulation(simulation, out / "resnet18-64")
    print_simulation(simulation.result, console)
    console.rule("2. Generate: Verilog of the 4x4 machine")
    machine = api.generate("tiny-4x4", out / "tiny-4x4")
    console.print(f"{', '.join(machine['files'])} ({machine['verilog_bytes'] / 1e6:.1f} MB of Verilog)")
    console.rule("3. Verify: a product of the digits CNN in RTL, on real images and trained weights")
    passed, verdict = _verify(console)
    console.print(verdict)
    result = simulation.result
    console.rule("Headline")
    console.print(
        f"ResNet-18/64, batch 512, vcu1525-32x32: BDWP 2:8 is {result['speedup']:.3f}x as fast as dense training "
        f"(array ceiling {result['machine_ceiling']:.3f}x, ideal {result['speedup_ceiling']:.3f}x)."
    )
    console.print(verdict)
    for file in files:
        console.print(f"  {file}")
    console.print(f"  {out / 'tiny-4x4' / 'gossamer.v'}")
    console.print(f"done in {time.monotonic() - start:.0f} s")
    return PASSED if passed else FAILED


def _verify(console: Printer) -> tuple[bool, str]:
    """Train a few steps on golden, then run the forward product of one layer in Verilator."""
    architecture = load_architecture("wide-4x4")
    training = DigitsTraining.start(architecture, _BATCH, _SEED)
    losses = [training.step(number) for number in range(_STEPS)]
    console.print(
        f"digits CNN, batch {_BATCH}, seed {_SEED}: {_STEPS} BDWP 2:8 steps on golden, "
        f"mean cross-entropy {sum(losses[:5]) / 5:.2f} (first five) -> {sum(losses[-5:]) / 5:.2f} (last five)"
    )
    stage = training.stage(_LAYER, "ff")
    training.load_batch(_STEPS)
    run(training.program, architecture, stages=slice(training.first_stage, stage))
    recorded = record(training.program, architecture, slice(stage, stage + 1))
    with console.status("building and running the Verilated engine"):
        measured = replay(recorded, architecture)
    timing = simulate(training.program, architecture, trace=True, periodic=False).stages[stage]
    cycles = [span.end - span.start for span in timing.spans if span.engine is Engine.GEMM]
    mismatches = sum(item.mismatches for item in measured)
    exact = [item.cycles for item in measured] == cycles
    bits = f"{sum(item.results for item in measured):,} sums, {mismatches} bits differ from golden"
    clock = f"{sum(item.cycles for item in measured):,} cycles in RTL, {sum(cycles):,} in the simulator"
    return not mismatches and exact, f"{_LAYER} forward, weights 2:8, {len(measured)} instructions: {bits}; {clock}"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
