"""What chunks side by side and the weight-stationary dataflow save on the ready networks, product by product."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gossamer.bench_hardware import synthesised_area
from gossamer.bench_record import Measurement

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture
    from gossamer_models.network import Network

__all__ = ["DataflowCycles", "dataflow_cycles", "dataflows"]

_BATCHES: Final = {
    "resnet20-32": 512, "resnet9-32": 512, "vgg19-32": 512, "resnet18-64": 512, "resnet18-224": 512,
    "resnet50-224": 512, "mobilenetv2-224": 512, "vit-32": 512, "vit-b16-224": 64,
    "bert-base": 32, "gpt2-small": 8, "llama-7b-block": 4,
}  # fmt: skip
_ARCHITECTURE: Final = "vcu1525-32x32"


def dataflows() -> Iterator[Measurement]:
    """Simulate one training iteration, BDWP 2:8, with chunks one by one and side by side, then with both dataflows.

    And synthesise what chunks side by side change.
    """
    from gossamer_models.architecture import load_architecture
    from gossamer_models.network import load_network

    built = load_architecture(_ARCHITECTURE)
    array = built.array.model_copy(update={"dataflows": ("os", "ws")})
    machine = built.model_copy(update={"array": array})
    yield from _chunk_area(machine)
    for name, batch in _BATCHES.items():
        found = dataflow_cycles(load_network(name), batch, machine)
        run = f"{name}, batch {batch}, BDWP 2:8: cycles saved"
        yield Measurement(
            f"chunks side by side where it is predicted faster, {run}",
            f"{1 - found.beside / found.one_by_one:.2%} of {found.one_by_one:,}",
            "-",
        )
        yield Measurement(
            f"weight-stationary where it is predicted faster, {run}",
            f"{1 - found.both / found.beside:.2%} of {found.beside:,}; everywhere: "
            f"{found.stationary / found.beside - 1:+.2%}",
            "1% to build it",
        )


def _chunk_area(machine: "Architecture") -> Iterator[Measurement]:
    """Both parts that know of chunks side by side, without and with them."""
    from gossamer_hw.array.sequencer import DrainSequencer
    from gossamer_hw.gemm.controller import IssueController
    from gossamer_hw.gemm.records import Places
    from gossamer_hw.verilog import emit_verilog

    array, buffers = machine.array, machine.buffers
    sizes = (buffers.a_words, buffers.b_entries, buffers.accumulator_words)
    places = Places(*((size - 1).bit_length() for size in sizes))
    for chunks in (1, array.chunks):
        parts = {
            "issue controller": IssueController(
                places, rows=array.rows, slots=array.slots, drain_ports=array.drain_ports, chunks=chunks
            ),
            "drain sequencer": DrainSequencer(
                rows=array.rows, blocks=2 * buffers.accumulator_words // array.rows, depth=4,
                interleaves=(array.slots,), chunks=chunks,
            ),
        }  # fmt: skip
        for name, part in parts.items():
            area = synthesised_area(emit_verilog(part, name="part"), "part", "xilinx")
            yield Measurement(f"{name} of {_ARCHITECTURE}, chunks: {chunks}, UltraScale+", area)


@dataclass(frozen=True, slots=True)
class DataflowCycles:
    """Cycles of a training iteration.

    Members
    -------
    one_by_one, beside : output-stationary, chunks one by one, and side by side where the compiler chooses so.
    stationary : weight-stationary.
    both : either, as the compiler chooses.
    """

    one_by_one: int
    beside: int
    stationary: int
    both: int


def dataflow_cycles(network: "Network", batch: int, machine: "Architecture") -> DataflowCycles:
    """Compile and simulate an iteration on a machine with both dataflows, each time limited to some of what it has."""
    from gossamer_compiler.training import compile_training
    from gossamer_models.methods import METHODS
    from gossamer_models.sparsity import Pattern
    from gossamer_sim.executor import simulate

    def cycles(limited: "Architecture") -> int:
        program = compile_training(network, batch, METHODS["bdwp"], Pattern(2, 8), limited, "sgd-momentum")
        return simulate(program, limited).cycles

    single = machine.model_copy(update={"array": machine.array.model_copy(update={"chunks": 1})})
    return DataflowCycles(
        cycles(single.limited_to("os")), *(cycles(machine.limited_to(flow)) for flow in ("os", "ws", "auto"))
    )
