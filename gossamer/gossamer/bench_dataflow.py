"""What the weight-stationary dataflow saves on the ready networks, chosen product by product."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from gossamer.bench_record import Measurement

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture
    from gossamer_models.network import Network

__all__ = ["dataflow_cycles", "dataflows"]

_BATCHES: Final = {
    "resnet9-32": 512, "vgg19-32": 512, "resnet18-64": 512, "resnet18-224": 512, "resnet50-224": 512,
    "mobilenetv2-224": 512, "vit-32": 512, "vit-b16-224": 64, "bert-base": 32, "gpt2-small": 8, "llama-7b-block": 4,
}  # fmt: skip
_ARCHITECTURE: Final = "vcu1525-32x32"


def dataflows() -> Iterator[Measurement]:
    """Simulate one training iteration, BDWP 2:8, with each dataflow alone and with the better one of each product."""
    from gossamer_models.architecture import load_architecture
    from gossamer_models.network import load_network

    built = load_architecture(_ARCHITECTURE)
    array = built.array.model_copy(update={"dataflows": ("os", "ws")})
    machine = built.model_copy(update={"array": array})
    for name, batch in _BATCHES.items():
        stationary, alone, both = dataflow_cycles(load_network(name), batch, machine)
        yield Measurement(
            f"weight-stationary where it is predicted faster, {name}, batch {batch}, BDWP 2:8: cycles saved",
            f"{1 - both / stationary:.2%} of {stationary:,}; everywhere: {alone / stationary - 1:+.2%}",
            "1% to build it",
        )


def dataflow_cycles(network: "Network", batch: int, machine: "Architecture") -> tuple[int, int, int]:
    """Cycles of an iteration output-stationary, weight-stationary, and as the compiler chooses."""
    from gossamer_compiler.training import compile_training
    from gossamer_models.methods import METHODS
    from gossamer_models.sparsity import Pattern
    from gossamer_sim.executor import simulate

    found = []
    for dataflow in ("os", "ws", "auto"):
        limited = machine.limited_to(dataflow)
        program = compile_training(network, batch, METHODS["bdwp"], Pattern(2, 8), limited, "sgd-momentum")
        found.append(simulate(program, limited).cycles)
    return found[0], found[1], found[2]
