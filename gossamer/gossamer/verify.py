"""Verification: the same Program on golden, on the cycle simulator and in Verilator.

Machines of one memory port run as a whole. Of the others only the gemm engine exists in RTL: it replays every GEMM
instruction on the operands that golden had.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer.rtl import run_machine
from gossamer.verify_file import MAX_RTL_CYCLES, FileVerification, verify_image
from gossamer_compiler.objective import objective_of
from gossamer_compiler.product import compile_product
from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_hw.cosim.replay import Replayed, record, replay
from gossamer_models import host
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError, InputError, UnsupportedError
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.fields import FieldRangeError
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.status import require_in_rtl
from gossamer_models.workload import Workload
from gossamer_sim.executor import simulate

__all__ = ["Verification", "random_operands", "verify_product", "verify_program", "verify_training"]

_MAX_IMAGE_BYTES = 1 << 30
_MAX_RECORDED_BYTES = 1 << 32
_SPECIALS = np.array(
    [np.inf, -np.inf, np.nan, 65504.0, -65504.0, 2.0**-24, -(2.0**-24), 2.0**-14 - 2.0**-24, -0.0], np.float16
)


@dataclass(frozen=True, slots=True)
class Verification:
    """What the three executors say of a Program's GEMM instructions.

    Members
    -------
    dataflow : of its GEMM instructions.
    instructions, results : GEMM instructions executed, accumulators compared.
    mismatches : accumulators whose bits differ between golden and RTL.
    rtl_cycles, sim_cycles : sum over the instructions, measured and simulated.
    late : instructions whose cycles differ, as (layer, stage, RTL, simulator).
    """

    program: str
    architecture: str
    dataflow: str
    seed: int
    instructions: int
    results: int
    mismatches: int
    rtl_cycles: int
    sim_cycles: int
    late: tuple[tuple[str, str, int, int], ...]

    @property
    def passed(self) -> bool:
        """Every bit and every cycle agree."""
        return not self.mismatches and not self.late


def verify_program(program: Program, architecture: Architecture, seed: int) -> Verification | FileVerification:
    """Run a filled Program on golden, on the simulator and in Verilator; weight-stationary, no RTL is there to run.

    Raises
    ------
    InputError
        The Program would take Verilator too long.
    UnsupportedError
        It has instructions that do not exist in RTL.
    """
    if "ws" in program.dataflows:
        return verify_image(program, architecture, seed)
    if not architecture.whole_in_rtl:
        return _verify_engine(program, architecture, seed)
    require_in_rtl(program)
    total = simulate(program, architecture, memory="ideal").cycles
    if total > MAX_RTL_CYCLES:
        raise InputError(f"the program takes {total} cycles in RTL", f"at most {MAX_RTL_CYCLES}: a smaller problem")
    return verify_image(program, architecture, seed, run_machine)


def _verify_engine(program: Program, architecture: Architecture, seed: int) -> Verification:
    timing = simulate(program, architecture, trace=True, periodic=False)
    simulated = [
        (stage.layer, stage.stage, span.end - span.start)
        for stage in timing.stages
        for span in stage.spans
        if span.engine is Engine.GEMM
    ]
    total = sum(cycles for _, _, cycles in simulated)
    if total > MAX_RTL_CYCLES:
        raise InputError(f"the program takes {total} cycles in RTL", f"at most {MAX_RTL_CYCLES}: a smaller problem")
    sizes = buffer_bytes(architecture)
    recorded = len(simulated) * sum(sizes[buffer] for buffer in (Buffer.A, Buffer.B, Buffer.B_META))
    if recorded > _MAX_RECORDED_BYTES:
        raise InputError(
            f"the program's {len(simulated)} GEMM instructions have {recorded} bytes of operands",
            f"at most {_MAX_RECORDED_BYTES}: a smaller problem or smaller buffers",
        )
    return _compare(program, architecture, seed, replay(record(program, architecture), architecture), simulated)


def _compare(
    program: Program,
    architecture: Architecture,
    seed: int,
    measured: Sequence[Replayed],
    simulated: Sequence[tuple[str, str, int]],
) -> Verification:
    late = tuple(
        (layer, stage, item.cycles, cycles)
        for item, (layer, stage, cycles) in zip(measured, simulated, strict=True)
        if item.cycles != cycles
    )
    return Verification(
        program=program.name,
        architecture=architecture.name,
        dataflow=", ".join(program.dataflows),
        seed=seed,
        instructions=len(measured),
        results=sum(item.results for item in measured),
        mismatches=sum(item.mismatches for item in measured),
        rtl_cycles=sum(item.cycles for item in measured),
        sim_cycles=sum(cycles for _, _, cycles in simulated),
        late=late,
    )


def verify_product(
    i: int, r: int, j: int, pattern: Pattern, architecture: Architecture, seed: int
) -> Verification | FileVerification:
    """Verify one product with random operands, specials among them.

    Raises
    ------
    DoesNotFitError
        A buffer cannot hold the smallest tile.
    InputError
        A size is not positive, or the product would take the Verilated engine too long.
    """
    for name, size in (("I", i), ("R", r), ("J", j)):
        if size < 1:
            raise InputError(f"{name} of --gemm I,R,J must be a positive integer, not {size}")
    if i * r * j > MAX_RTL_CYCLES * architecture.array.macs_per_cycle:
        raise InputError(f"a product of {i} x {r} x {j} is too large for RTL", f"at most {MAX_RTL_CYCLES} cycles")
    try:
        program = compile_product(i, r, j, pattern, architecture)
    except FieldRangeError as error:
        raise UnsupportedError(f"the product exceeds the instruction set: {error}", "smaller sizes") from error
    a, b = random_operands(i, r, j, seed)
    return verify_operands(program, a, b, pattern, architecture, seed)


def verify_operands(
    program: Program,
    a: NDArray[np.float16],
    b: NDArray[np.float16],
    pattern: Pattern,
    architecture: Architecture,
    seed: int,
) -> Verification | FileVerification:
    """Verify a compiled product on given operands, A (i, r) and B (r, j)."""
    _fill(program)
    host.write(program, "a", a[:, :, None, None])
    host.write_entries(program, "b", b, pattern)
    return verify_program(program, architecture, seed)


def random_operands(i: int, r: int, j: int, seed: int) -> tuple[NDArray[np.float16], NDArray[np.float16]]:
    """Return A (i, r) and B (r, j): normal numbers, specials in a sixteenth of A's rows and of B's columns."""
    rng = _generator(seed)
    a = rng.standard_normal((i, r)).astype(np.float16)
    b = rng.standard_normal((r, j)).astype(np.float16)
    for matrix in (a, b.T):
        rows = rng.choice(len(matrix), -(-len(matrix) // 16), replace=False)
        places = rng.integers(0, r, len(rows))
        matrix[rows, places] = rng.choice(_SPECIALS, len(rows))
    return a, b


def _generator(seed: int) -> np.random.Generator:
    if seed < 0:
        raise InputError(f"the seed must be a non-negative integer, not {seed}")
    return np.random.default_rng(seed)


def verify_training(
    workload: Workload, network: Network, architecture: Architecture, seed: int
) -> Verification | FileVerification:
    """Verify one training step of a workload, or one inference, on random images, labels and weights.

    Raises
    ------
    DoesNotFitError
        A layer does not fit the machine, or the step's tensors this one's memory.
    InputError
        The step would take the Verilated engine too long, or its schedules are chosen by energy without a table.
    """
    use = workload.training
    objective = objective_of(workload.objective, architecture, workload.memory or architecture.memory.model)
    program = compile_training(
        network, workload.batch, METHODS[use.method], use.pattern, architecture, use.optimizer, prepare=True,
        hyperparameters=Hyperparameters(loss_scale=use.loss_scale), objective=objective,
        gathers=workload.im2col == "machine",
    )  # fmt: skip
    _fill(program)
    _write_random(program, network, workload.batch, seed, trains=METHODS[use.method].trains)
    host.write_loss_scale(program, use.loss_scale, workload.batch)
    return verify_program(program, architecture, seed)


def _fill(program: Program) -> None:
    if program.memory.size_bytes > _MAX_IMAGE_BYTES:
        raise DoesNotFitError(
            f"program {program.name!r} cannot be verified with data",
            program.memory.size_bytes,
            _MAX_IMAGE_BYTES,
            "bytes",
            "a smaller batch or network",
        )
    program.memory.fill()


def _write_random(program: Program, network: Network, batch: int, seed: int, *, trains: bool) -> None:
    """Random images, weights, given maps, labels or gradients at boundaries; scales and shifts near their usual start.

    Inference reads neither labels nor gradient, but the factors that training's statistics would give.
    """
    rng = _generator(seed)
    host.write_input(program, network, rng.standard_normal((batch, *network.input_shape)).astype(np.float16))
    given = [layer.name for layer in network.layers if layer.type == "given"]
    if trains:
        given += [f"{layer.inputs[0]}.grad" for layer in network.layers if layer.type == "boundary"]
    else:
        _write_factors(program, network, rng)
    for name in given:
        host.write(program, name, rng.standard_normal(program.memory.tensors[name].shape).astype(np.float16))
    if trains and network.layers[-1].type == "softmax_cross_entropy":
        host.write(program, "labels", rng.integers(0, network.classes, batch).astype(np.float32))
    host.write_parameters(program, network, batch, seed, spread=0.5)


def _write_factors(program: Program, network: Network, rng: np.random.Generator) -> None:
    """Scales near 1 and shifts near 0 of each batch normalisation; padded channels get zeros, as in training."""
    for shape in infer(network):
        name = f"{shape.name}.norm"
        if name in program.memory.tensors:
            channels = shape.in_shape[0]
            factors = np.zeros(program.memory.tensors[name].shape, np.float32)
            factors[0, :channels] = rng.uniform(0.5, 1.5, channels)
            factors[1, :channels] = rng.standard_normal(channels) / 2
            host.write(program, name, factors)
