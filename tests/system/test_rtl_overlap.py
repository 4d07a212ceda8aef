"""The whole machine in Verilator keeps its array busy while DRAM is read and written, and its DRAM during updates."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from gossamer.verify import random_operands
from gossamer_compiler.product import compile_product
from gossamer_compiler.training import compile_training
from gossamer_hw.cosim.program import IDEAL, ProgramRun, run_programs
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import Gemm, Load, Prune, Store, Vector
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Engine
from gossamer_models.methods import METHODS
from gossamer_models.program import Program
from gossamer_models.registers import ENGINES, State
from gossamer_models.sparsity import Pattern
from gossamer_models.timeline import StageTiming
from gossamer_models.timing.dma import transfer_cycles
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.prune import prune_cycles
from gossamer_models.timing.vector import vector_cycles
from gossamer_sim import simulate
from tests.system.training_cases import convolution

MACHINE = load_architecture("wide-4x4")
SEED = 12
LEAST_SHARE = 0.95

# Sparsity, (i, r, j), tiles of the array, entries of a reduction. As loading the first operands and storing the last
# results takes as long as some tiles, short reductions need many tiles, and 64 tiles long reductions.
STAGES = [
    ("1:1", (4096, 8, 64), 4096, 8),
    ("2:8", (4096, 32, 64), 4096, 8),
    ("1:1", (64, 512, 64), 64, 512),
    ("2:8", (64, 2048, 64), 64, 512),
]

# Kernel, input and output channels, image.
UPDATES = [(3, 64, 64), (1, 128, 128), (3, 8, 8), (3, 24, 40)]
SMALL_UPDATES = [(3, 8, 8), (5, 8, 8), (3, 16, 16), (3, 12, 20)]
"""The last one's tiles are half a tap each, two loops."""
OTHER_MACHINES = {
    "small-8x8": UPDATES, "vu9p-32x32": UPDATES, "tiny-4x4": SMALL_UPDATES, "lean-4x4": SMALL_UPDATES,
}  # fmt: skip
SPARE_CYCLES = 30
"""Between engines, once per stage."""
TRANSFER_CYCLES = 52
"""Of a transfer beyond its data: 20 of its own and the memory's latency of 32."""
MOST_STORES = 5
"""Of a tile: masters with momentum, values and metadata for FF and for BP."""

pytestmark = pytest.mark.slow


def product(sparsity: str, i: int, r: int, j: int) -> Program:
    """A matrix product, filled."""
    pattern = Pattern.parse(sparsity)
    program = compile_product(i, r, j, pattern, MACHINE)
    program.memory.fill()
    a, b = random_operands(i, r, j, SEED)
    host.write(program, "a", a.reshape(i, r, 1, 1))
    host.write_entries(program, "b", b, pattern)
    return program


def update(kernel: int, c_in: int, c_out: int, machine: Architecture = MACHINE) -> Program:
    """Update and pruning of a convolution's weights, filled with random numbers."""
    net = convolution(kernel, 1, kernel // 2, c_in, c_out, (4, 4), 1)
    program = compile_training(net, 8, METHODS["bdwp"], Pattern(2, 8), machine)
    # The bias has a small tile of its own, which says nothing of weights.
    stage = next(stage for stage in program.stages if (stage.layer, stage.stage) == ("conv", "update"))
    loops = [place for place, item in enumerate(stage.instructions) if item.opcode.name == "END_LOOP"]
    stage = dataclasses.replace(stage, instructions=stage.instructions[: loops[-1] + 1])
    program = dataclasses.replace(program, stages=(stage,))
    program.memory.fill()
    rng = np.random.default_rng(SEED)
    for part in ("weight", "momentum", "gradient"):
        shape = program.memory.tensors[f"conv.{part}"].shape
        host.write(program, f"conv.{part}", rng.standard_normal(shape).astype(np.float32))
    return program


def measured(programs: Sequence[Program]) -> list[tuple[ProgramRun, StageTiming]]:
    """Run Programs of one stage in RTL and in the simulator: bits of golden, equal cycles."""
    found = []
    for program, item in zip(programs, run_programs(programs, MACHINE, [IDEAL] * len(programs)), strict=True):
        assert item.job.state is State.DONE, program.name
        assert not item.job.violation, program.name
        run(program, MACHINE)
        assert program.memory.data is not None
        assert np.array_equal(item.image, program.memory.data), program.name
        timing = simulate(program, MACHINE, memory="ideal")
        assert item.cycles == timing.cycles, program.name
        busy = dict(zip(ENGINES, item.job.busy_cycles, strict=True))
        assert busy == timing.stages[0].busy_cycles, program.name
        found.append((item, timing.stages[0]))
    return found


def test_transfers_hide_behind_the_array() -> None:
    runs = measured([product(sparsity, *sizes) for sparsity, sizes, _, _ in STAGES])
    for (sparsity, sizes, tiles, entries), (item, timing) in zip(STAGES, runs, strict=True):
        label = f"{sparsity} {sizes}"
        program = compile_product(*sizes, Pattern.parse(sparsity), MACHINE)
        gemms = [gemm for gemm in walk(program.stages[0].instructions) if isinstance(gemm, Gemm)]
        assert sum(gemm.tiles for gemm in gemms) == tiles, label
        issued = sum(gemm_cycles(MACHINE.array, gemm).issue for gemm in gemms)
        assert issued == 4 * tiles * entries, label
        alone = item.job.busy_cycles[ENGINES.index(Engine.GEMM)]
        # Equal to the machine's utilisation over the array's own: issued / cycles over issued / alone.
        assert alone / item.cycles >= LEAST_SHARE, f"{label}: {alone / item.cycles:.3f}"
        assert timing.ledger.padding == 0, label


def test_updates_take_as_long_as_their_traffic() -> None:
    """The slower direction of DRAM and a constant per tile, behind the first tile's way from its load to its stores."""
    programs = [update(*sizes) for sizes in UPDATES]
    for sizes, program, (item, timing) in zip(UPDATES, programs, measured(programs), strict=True):
        traffic = max(timing.bytes_read, timing.bytes_written) // (MACHINE.memory.port_bits // 8)
        tiles = timing.executed[Engine.VECTOR]
        begun = timing.ledger.barrier + first_tile(program, MACHINE)
        spare = item.cycles - begun - traffic * (tiles - 1) // tiles
        assert spare <= (tiles - 1) * MOST_STORES * TRANSFER_CYCLES, f"{sizes}: {spare} cycles for {tiles} tiles"
        assert item.cycles <= paced(program, timing, MACHINE), sizes


@pytest.mark.parametrize("name", OTHER_MACHINES)
def test_updates_of_other_machines_go_at_the_pace_of_one_engine(name: str) -> None:
    """By the simulator, whose cycles are the RTL's."""
    machine = load_architecture(name)
    for sizes in OTHER_MACHINES[name]:
        program = update(*sizes, machine)
        timing = simulate(program, machine, memory="ideal").stages[0]
        assert timing.cycles <= paced(program, timing, machine), sizes


def paced(program: Program, timing: StageTiming, machine: Architecture) -> int:
    """The first tile's way from its load to its stores, and behind it one engine that never waits."""
    tiles = timing.executed[Engine.VECTOR]
    begun = timing.ledger.barrier + first_tile(program, machine)
    return begun + max(timing.busy_cycles.values()) * (tiles - 1) // tiles + SPARE_CYCLES


def first_tile(program: Program, machine: Architecture) -> int:
    """Cycles of a tile that nothing runs beside."""
    total, stored = 0, False
    for item in walk(program.stages[0].instructions):
        if stored and not isinstance(item, Store):
            break
        match item:
            case Load() | Store():
                total += transfer_cycles(machine.memory, item)
            case Vector():
                total += vector_cycles(machine, item)
            case Prune():
                total += prune_cycles(machine.vector, item)
        stored = isinstance(item, Store)
    return total
