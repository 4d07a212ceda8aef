"""What the weight-stationary dataflow could save on the ready networks, at most."""

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gossamer.bench_record import Measurement

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture
    from gossamer_models.isa.instructions import Gemm
    from gossamer_models.program import Program

__all__ = ["dataflows", "saved_cycles"]

_NETWORKS: Final = ("resnet9-32", "vgg19-32", "resnet18-64", "resnet50-224", "mobilenetv2-224")
_ARCHITECTURE: Final = "vcu1525-32x32"
_BATCH: Final = 512


def dataflows() -> Iterator[Measurement]:
    """Choose per GEMM instruction of one training iteration, BDWP 2:8, the better of both dataflows."""
    from gossamer_compiler.training import compile_training
    from gossamer_models.architecture import load_architecture
    from gossamer_models.methods import METHODS
    from gossamer_models.network import load_network
    from gossamer_models.sparsity import Pattern

    machine = load_architecture(_ARCHITECTURE)
    for name in _NETWORKS:
        network = load_network(name)
        program = compile_training(network, _BATCH, METHODS["bdwp"], Pattern(2, 8), machine, "sgd-momentum")
        cycles, saved = saved_cycles(program, machine)
        yield Measurement(
            f"weight-stationary where it is faster, {name}, batch {_BATCH}, BDWP 2:8: array cycles saved, at most",
            f"{saved / cycles:.2%} of {cycles:,}",
            "1% to build it",
            "make bench",
        )


def saved_cycles(program: "Program", architecture: "Architecture") -> tuple[int, int]:
    """Return the array's cycles of a Program, and what a perfect weight-stationary choice takes off them."""
    from gossamer_models.timing.gemm import gemm_cycles
    from gossamer_models.timing.weight_stationary import least_cycles

    cycles = saved = 0
    for gemm, times in _gemms(program).items():
        cost = gemm_cycles(architecture.array, gemm)
        ours = cost.issue + cost.drain
        cycles += times * ours
        saved += times * max(0, ours - least_cycles(architecture.array, gemm))
    return cycles, saved


def _gemms(program: "Program") -> Counter["Gemm"]:
    """Concrete GEMM instructions, and how often each runs; where operands lie makes no difference."""
    from gossamer_models.isa.instructions import Gemm
    from gossamer_models.isa.loops import walk
    from gossamer_models.timing.gemm import without_places

    items = (item for stage in program.stages for item in walk(stage.instructions))
    return Counter(without_places(item) for item in items if isinstance(item, Gemm))
