"""The whole machine in RTL: how busy its array is, what a training step takes; one product on a large array."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gossamer.bench_record import Measurement
from gossamer.bench_rtl import speed

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture
    from gossamer_models.sparsity import Pattern

__all__ = ["Busy", "busy", "large_product", "overlaps", "training_steps"]

_SEED: Final = 64
_MACHINE, _TRAINED, _LARGE = "wide-4x4", "tiny-4x4", "vcu1525-32x32"
_SPARSITIES: Final = {"dense": "1:1", "2:8": "2:8"}
# Tiles of 2 R x 2 C, and entries of a reduction in units of R: a stage is loaded and stored once, the fewer tiles the
# longer it must compute. The last one is over before that pays.
_STAGES: Final = ((4096, 2), (64, 128), (64, 2))
_TILES_J: Final = 8
_LEAST_CYCLES: Final = 50_000
_REPEATS: Final = 33


@dataclass(frozen=True, slots=True)
class Busy:
    """How busy the array is during a product.

    Members
    -------
    steps : entry steps issued, each one multiply-add per element.
    gemm_cycles : of all GEMM instructions, from acceptance to end.
    stage_cycles : of the whole stage in RTL: barrier, transfers, drains and all.
    """

    steps: int
    gemm_cycles: int
    stage_cycles: int

    @property
    def array(self) -> float:
        """What the array reaches by itself."""
        return self.steps / self.gemm_cycles

    @property
    def machine(self) -> float:
        """What the whole machine reaches."""
        return self.steps / self.stage_cycles


def busy(architecture: "Architecture", pattern: "Pattern", tiles: int, entries: int) -> Busy:
    """Measure a product on the whole machine in RTL, DRAM to DRAM.

    Parameters
    ----------
    tiles : of 2 R x 2 C, eight of them side by side.
    entries : of a reduction, after pruning.

    Raises
    ------
    RuntimeError
        RTL differs from golden in a bit or from the simulator in a cycle.
    """
    from gossamer.verify import verify_product
    from gossamer_compiler.product import compile_product
    from gossamer_models.isa.tokens import Engine
    from gossamer_sim.executor import simulate

    array = architecture.array
    i, j = tiles // _TILES_J * 2 * array.rows, _TILES_J * 2 * array.columns
    r = entries // pattern.entries_per_word(array.group) * array.group
    found = verify_product(i, r, j, pattern, architecture, _SEED)
    cycles = found.rtl_cycles
    if not found.passed or cycles is None:
        raise RuntimeError(f"{found.program} in RTL differs from golden or from the simulator")
    timing = simulate(compile_product(i, r, j, pattern, architecture), architecture, trace=True, periodic=False)
    spans = [span for stage in timing.stages for span in stage.spans if span.engine is Engine.GEMM]
    steps = i * j * entries // array.macs_per_cycle
    return Busy(steps, sum(span.end - span.start for span in spans), cycles)


def overlaps() -> Iterator[Measurement]:
    """Measure many tiles of short reductions, few of long ones and few of short ones, dense and 2:8."""
    from gossamer_models.architecture import load_architecture
    from gossamer_models.sparsity import Pattern

    architecture = load_architecture(_MACHINE)
    for tiles, factor in _STAGES:
        entries = factor * architecture.array.rows
        for sparsity, pattern in _SPARSITIES.items():
            found = busy(architecture, Pattern.parse(pattern), tiles, entries)
            yield Measurement(
                f"RTL utilisation of the whole machine, {_MACHINE}, {sparsity}, a stage of {tiles} tiles, "
                f"{factor} R = {entries} entries per reduction",
                f"{found.machine:.1%}, {found.machine / found.array:.1%} of the array's own {found.array:.1%}; "
                f"{found.stage_cycles:,} cycles, equal to the simulator",
                "95% of the array's own",
            )


def training_steps() -> Iterator[Measurement]:
    """Train one step in RTL behind both memories."""
    from gossamer.rtl_runs import Executed
    from gossamer.train_rtl import TrainingPlan, run_in_verilator, train
    from gossamer_hw.cosim.machine import build_bench
    from gossamer_hw.cosim.program import Behaviour
    from gossamer_models.architecture import load_architecture

    architecture = load_architecture(_TRAINED)
    build_bench(architecture)
    seconds = 0.0

    def timed(plan: TrainingPlan, machine: "Architecture", behaviour: Behaviour) -> list[Executed]:
        nonlocal seconds
        start = time.monotonic()
        runs = run_in_verilator(plan, machine, behaviour)
        seconds = time.monotonic() - start
        return runs

    for memory in ("ideal", "scripted"):
        found = train(architecture, steps=1, behaviour=Behaviour(memory), execute=timed)
        (step,) = found.steps
        if not found.agrees:
            raise RuntimeError(f"a training step in RTL behind {memory} differs from golden or from the simulator")
        yield Measurement(
            f"training step of digits-resnet, batch 16, {_TRAINED} in RTL, memory {memory}",
            f"{step.rtl_cycles:,} cycles, equal to the simulator; every byte equal to golden; "
            f"{(step.rtl_cycles + found.prepare.rtl_cycles) / seconds / 1e3:.0f} k cycles/s, DRAM's filling included",
            command="make train-rtl",
        )


def large_product() -> Iterator[Measurement]:
    """Run a product of at least 50,000 cycles on the array of 32 x 32 with its scratchpads, dense and 2:8."""
    from gossamer.verify import verify_product
    from gossamer_hw.cosim.executor import build_machine
    from gossamer_models.architecture import load_architecture
    from gossamer_models.sparsity import Pattern

    architecture = load_architecture(_LARGE)
    build_machine(architecture)
    for sparsity, text in _SPARSITIES.items():
        pattern = Pattern.parse(text)
        entries = pattern.entries_per_word(architecture.array.group)
        i, r, j = 256, 1024, 256 * architecture.array.group // entries
        start = time.monotonic()
        found = verify_product(i, r, j, pattern, architecture, _SEED)
        seconds = time.monotonic() - start
        cycles = found.rtl_cycles or 0
        if not found.passed or cycles < _LEAST_CYCLES:
            raise RuntimeError(
                f"{found.program} on {_LARGE} differs from golden or from the simulator, or is too small"
            )
        yield Measurement(
            f"product {i} x {r} x {j}, {sparsity}, on the array and scratchpads of {_LARGE} in RTL",
            f"{cycles:,} cycles, equal to the simulator; all {i * j:,} results equal to golden in every bit; "
            f"{seconds:.0f} s, golden and the buffers' filling included",
            f"{_LEAST_CYCLES:,} cycles",
            f"gossamer verify --gemm {i},{r},{j} --sparsity {text} --arch {_LARGE}",
        )
    yield speed(_LARGE, _REPEATS)
