"""Counted actions against literal walks: every step of a GEMM, every element of a transfer, every access of golden."""

import dataclasses
import random
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.actions import NO_ACTIONS, Actions, instruction_actions
from gossamer_models.architecture import Array, load_architecture
from gossamer_models.golden import vector_elementwise, vector_norm
from gossamer_models.golden.executor import Step, run
from gossamer_models.golden.state import Machine
from gossamer_models.isa.instructions import (
    Dim,
    Format,
    Gemm,
    Instruction,
    Load,
    Prune,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_sim import simulate
from tests.references.gemm_instructions import random_instruction
from tests.references.gemm_steps import walk_abreast
from tests.system.training_cases import network, random_network

TINY = load_architecture("wide-4x4")
ARRAYS = {
    "4x4": Array(rows=4, columns=4),
    "8x4 two drains": Array(rows=8, columns=4, drain_ports=2),
    "4x8 eight slots": Array(rows=4, columns=8, slots=8),
    "4x4 words of sixteen": Array(rows=4, columns=4, group=16),
    "8x4 four chunks": Array(rows=8, columns=4, slots=8, chunks=4),
}
WINDOWS = {VectorOp.MAX_POOL, VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT}


def walked(array: Array, g: Gemm) -> Actions:
    """Count a GEMM by its steps, its sums by the places they pass."""
    cells, segment = array.rows * array.columns, array.rows // array.drain_ports
    passed = sum(segment - row % segment for row in range(array.rows)) * array.columns
    tag_bits = {8: 3, 16: 4}[array.group] + 1
    counts: Counter[str] = Counter()
    held = -1 if g.li * g.lr > 1 else 0
    for step in walk_abreast(g, rows=array.rows, drain_steps=segment):
        counts["macs" if step.product else "null_macs"] += cells
        if step.a is not None:
            counts["a_read_bits"] += array.rows * array.group * 16
        if step.b is not None:
            counts["b_read_bits"] += array.columns * (16 + tag_bits)
        if step.a is not None or step.li != held:
            counts["word_bits"] += cells * (array.group - 1) * 16
        held = step.li
        if step.last:
            counts["accumulator_read_bits"] += cells * 32
            counts["accumulator_write_bits"] += cells * 32
            counts["chain_bits"] += passed * (g.li * g.lj * g.lr + 1) * 32
    return Actions(**counts)


@pytest.mark.fast_one_in(4)
@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("seed", range(40))
def test_gemm_against_walked_steps(name: str, seed: int) -> None:
    array = ARRAYS[name]
    g = random_instruction(random.Random(seed), array)
    assert instruction_actions(array, g) == walked(array, g), f"seed {seed}: {g}"


def test_gemm_by_hand() -> None:
    # 2 x 1 slots, 3 words of 2 entries, 4 x 4 elements: 12 cycles; a chunk drains in 4 steps, so nothing is padded.
    g = Gemm(log2_li=1, log2_lj=0, entries=2, chunk_words=3, r0=3, li_last=2)
    found = instruction_actions(Array(rows=4, columns=4, slots=2, add_latency_cycles=2), g)
    assert found == Actions(
        macs=12 * 16, word_bits=12 * 16 * 112, chain_bits=2 * 4 * (4 + 3 + 2 + 1) * 3 * 32,
        a_read_bits=3 * 2 * 4 * 128, b_read_bits=6 * 4 * 20, accumulator_read_bits=2 * 16 * 32,
        accumulator_write_bits=2 * 16 * 32,
    )  # fmt: skip


def in_bounds(g: Load | Store) -> tuple[int, int]:
    """Elements of a transfer, and how many of them lie in bounds."""
    bounds = [(getattr(g, f"axis{n}_base"), getattr(g, f"axis{n}_bound")) for n in range(3)]
    everything = inside = 0
    for index in product(*(range(dim.count) for dim in g.dims)):
        everything += 1
        values = [base for base, _ in bounds]
        for dim, i in zip(g.dims, index, strict=True):
            if dim.axis < 3:
                values[dim.axis] += i * dim.weight
        inside += all(0 <= value < bound for value, (_, bound) in zip(values, bounds, strict=True))
    return everything, inside


@pytest.mark.parametrize("seed", range(20))
def test_transfers_against_enumeration(seed: int) -> None:
    rng = random.Random(seed)
    dims = tuple(Dim(rng.randint(1, 5), 2 << n, 2, rng.choice((0, 1, 2, 3)), rng.randint(0, 3)) for n in range(3))
    bounds: dict[str, Any] = {f"axis{n}_{what}": rng.randint(-3 if what == "base" else 1, 6) for n in range(3)
              for what in ("base", "bound")}  # fmt: skip
    load = Load(buffer=Buffer.VIN, format=Format.FP32, dims=dims, **bounds)
    store = Store(buffer=Buffer.VOUT, format=Format.FP16, dims=dims, **bounds)
    everything, inside = in_bounds(load)
    assert instruction_actions(TINY.array, load) == Actions(
        dram_read_bits=32 * inside, vector_in_write_bits=32 * everything
    )
    assert instruction_actions(TINY.array, store) == Actions(
        dram_write_bits=16 * inside, vector_out_read_bits=16 * inside
    )


def test_entries_carry_a_tag_of_four_bits() -> None:
    dims = (Dim(10, 2, 2, 3, 0),)
    values = Load(buffer=Buffer.B, format=Format.FP16, dims=dims)
    metadata = Load(buffer=Buffer.B_META, format=Format.BYTE, dims=dims)
    assert instruction_actions(TINY.array, values).b_write_bits == 160
    assert instruction_actions(TINY.array, dataclasses.replace(values, index_dim=0)).b_write_bits == 200
    assert instruction_actions(TINY.array, metadata) == Actions(dram_read_bits=80, b_write_bits=40, metadata_bits=80)
    for buffer, metadata_bits in ((Buffer.PRN, 0), (Buffer.PRN_META, 80)):
        store = Store(buffer=buffer, format=Format.BYTE, dims=dims)
        assert instruction_actions(TINY.array, store) == Actions(
            dram_write_bits=80, prune_read_bits=80, metadata_bits=metadata_bits
        )


def training_program(seed: int, pattern: str | None) -> Program:
    rng = np.random.default_rng(seed)
    method = "bdwp" if pattern else "dense"
    return compile_training(
        random_network(rng), 9, METHODS[method], Pattern.parse(pattern) if pattern else None, TINY, prepare=True
    )


class Watch:
    """Counts what golden does: bits by direction and buffer, multiplications and additions by name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: Counter[tuple[str, Buffer] | str] = Counter()
        self.seen: Counter[str] = Counter()
        read, read_known, write = Machine.read, Machine.read_known, Machine.write

        def counted_read(machine: Machine, engine: Engine, buffer: Buffer, *rest: Any) -> Any:
            values = read(machine, engine, buffer, *rest)
            self.counts["read", buffer] += 8 * values.nbytes
            return values

        def counted_read_known(machine: Machine, engine: Engine, buffer: Buffer, *rest: Any) -> Any:
            values, known = read_known(machine, engine, buffer, *rest)
            self.counts["read", buffer] += 8 * values.nbytes
            return values, known

        def counted_write(
            machine: Machine, engine: Engine, buffer: Buffer, address: int, values: Any, *rest: Any
        ) -> None:
            self.counts["write", buffer] += 8 * values.nbytes
            write(machine, engine, buffer, address, values, *rest)

        monkeypatch.setattr(Machine, "read", counted_read)
        monkeypatch.setattr(Machine, "read_known", counted_read_known)
        monkeypatch.setattr(Machine, "write", counted_write)
        for module, name in product((vector_elementwise, vector_norm), ("multiply", "add")):
            monkeypatch.setattr(module, name, self._counted(name, getattr(module, name)))

    def _counted(self, name: str, function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def counted(x: Any, y: Any) -> Any:
            result = function(x, y)
            self.counts[name] += result.size
            return result

        return counted

    def observe(self, step: Step) -> None:
        """Compare, behind each instruction."""
        g = step.instruction
        if step.finished and isinstance(g, Prune | Vector):
            found = instruction_actions(TINY.array, g)
            self._check_accesses(g, found)
            if isinstance(g, Vector) and g.op not in WINDOWS:
                self._check_operation(g, found)
            self.seen[type(g).__name__ if isinstance(g, Prune) else VectorOp(g.op).name] += 1
        self.counts.clear()

    def _check_accesses(self, g: Instruction, found: Actions) -> None:
        assert found.vector_out_write_bits == self.counts["write", Buffer.VOUT], g
        written = self.counts["write", Buffer.PRN] + self.counts["write", Buffer.PRN_META]
        assert found.prune_write_bits == written, g
        assert found.vector_out_read_bits == self.counts["read", Buffer.VOUT], g
        assert found.parameter_write_bits == self.counts["write", Buffer.PRM], g
        assert found.accumulator_read_bits == self.counts["read", Buffer.ACC], g

    def _check_operation(self, g: Vector, found: Actions) -> None:
        """Golden reads a parameter once; the lanes once per block, where an operation works on elements."""
        assert found.vector_in_read_bits == self.counts["read", Buffer.VIN], g
        per_channel = g.op in (VectorOp.NORM_FORWARD, VectorOp.NORM_BACKWARD)
        times = 1 if per_channel else Fraction(-(-g.count // 8), g.channels)
        assert found.parameter_read_bits == self.counts["read", Buffer.PRM] * times, g
        if g.op in (VectorOp.SOFTMAX_CROSS_ENTROPY, VectorOp.REDUCE):
            return  # functions of their own
        newton = g.count if g.op == VectorOp.NORM_FORWARD else 0
        squares = g.count if g.flags & VectorFlag.STATISTICS else 0
        assert found.multiplications == self.counts["multiply"] + 8 * newton + squares, g
        assert found.additions == self.counts["add"] + 2 * newton, g


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(("seed", "pattern"), [(0, "2:8"), (1, None), (2, "1:4"), (3, "4:8")])
def test_vector_and_prune_against_golden(monkeypatch: pytest.MonkeyPatch, seed: int, pattern: str | None) -> None:
    watch = Watch(monkeypatch)
    program = training_program(seed, pattern)
    program.memory.fill()
    run(program, TINY, observer=watch.observe)
    assert watch.seen["Prune"] > 0
    assert {"DRAIN", "UPDATE", "SOFTMAX_CROSS_ENTROPY"} < set(watch.seen)


def test_normalised_network_against_golden(monkeypatch: pytest.MonkeyPatch) -> None:
    layers: list[dict[str, Any]] = [
        {"name": "conv", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "bn", "type": "batchnorm"},
        {"name": "relu", "type": "relu"},
        {"name": "inner", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "inner_bn", "type": "batchnorm"},
        {"name": "join", "type": "add", "inputs": ["inner_bn", "relu"]},
        {"name": "join_relu", "type": "relu"},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    watch = Watch(monkeypatch)
    program = compile_training(
        network("n", 8, (4, 4), 3, layers), 8, METHODS["sr-ste"], Pattern(2, 8), TINY, "sgd-momentum", prepare=True
    )
    program.memory.fill()
    run(program, TINY, observer=watch.observe)
    assert {"APPLY", "GRADIENT", "REDUCE", "NORM_FORWARD", "NORM_BACKWARD", "UPDATE"} < set(watch.seen)


@pytest.mark.parametrize(("flags", "products"), [(0, 0), (VectorFlag.PRODUCT, 640), (VectorFlag.MASK, 0)])
def test_reduction_multiplies_only_for_its_second_sum(flags: int, products: int) -> None:
    found = instruction_actions(TINY.array, Vector(op=VectorOp.REDUCE, flags=flags, count=640, channels=16))
    assert (found.multiplications, found.additions) == (products, 0)


def test_statistics_square_what_is_drained() -> None:
    fields: dict[str, Any] = {"op": VectorOp.DRAIN, "count": 640, "channels": 16, "size": 1}
    plain = instruction_actions(TINY.array, Vector(**fields))
    found = instruction_actions(TINY.array, Vector(flags=VectorFlag.STATISTICS, **fields))
    assert found == dataclasses.replace(plain, multiplications=640, parameter_write_bits=2 * 16 * 32)


@pytest.mark.parametrize(
    ("op", "reads", "multiplications", "additions"),
    [
        (VectorOp.MAX_POOL, 6, 0, 0),
        (VectorOp.AVG_POOL, 6, 1, 6),
        (VectorOp.MAX_POOL_GRADIENT, 2 * 4, 0, 4),
        (VectorOp.AVG_POOL_GRADIENT, 4, 1, 4),
    ],
)
def test_pooling(op: VectorOp, reads: int, multiplications: int, additions: int) -> None:
    # A window of 3 x 2 in steps of two: an element lies in 2 x 1 windows; in steps of one it would lie in six.
    g = Vector(op=op, count=640, kernel=3, kernel_x=3 if "GRADIENT" in op.name else 2, stride=2)
    found = instruction_actions(TINY.array, g)
    assert found.vector_in_read_bits == 640 * 16 * reads
    assert found.vector_out_write_bits == 640 * 16
    assert (found.multiplications, found.additions) == (640 * multiplications, 640 * additions)


def test_pruning_compares_every_pair_of_a_word() -> None:
    found = instruction_actions(TINY.array, Prune(keep=2, of=8, n0=3, valid=24))
    assert found == Actions(vector_out_read_bits=3 * 64 * 16, prune_write_bits=3 * 16 * 24, comparisons=3 * 8 * 28)


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("memory", ["ideal", "ddr4"])
@pytest.mark.parametrize("pattern", ["2:8", None])
def test_simulated_stages_count_every_executed_instruction(memory: str, pattern: str | None) -> None:
    for seed in range(3):
        program = training_program(seed, pattern)
        short, long = (simulate(program, TINY, memory=memory, periodic=periodic) for periodic in (True, False))
        for stage, found, again in zip(program.stages, short.stages, long.stages, strict=True):
            concrete = [item for item in walk(stage.instructions) if item.engine]
            expected = Actions.total((instruction_actions(TINY.array, item), 1) for item in concrete)
            assert found.actions == again.actions == expected, f"seed {seed}: {stage.layer} {stage.stage}"
            assert found.actions.dram_read_bits == 8 * found.bytes_read
            assert found.actions.dram_write_bits == 8 * found.bytes_written


def test_skipped_iterations_count() -> None:
    machine = load_architecture("small-8x8")
    program = compile_training(load_network("digits-cnn"), 256, METHODS["bdwp"], Pattern(2, 8), machine)
    traced = simulate(program, machine, trace=True)
    assert any(stage.skips for stage in traced.stages)
    assert [s.actions for s in traced.stages] == [s.actions for s in simulate(program, machine, periodic=False).stages]


def test_results_leave_the_accumulators_once() -> None:
    """Every drained sum of a last chunk is read by the vector engine: reads beyond the adders' are whole results."""
    program = training_program(0, "2:8")
    for stage in program.stages:
        concrete = list(walk(stage.instructions))
        gemms = [g for g in concrete if isinstance(g, Gemm)]
        drains = [g for g in concrete if isinstance(g, Vector) and g.op == VectorOp.DRAIN]
        results = sum(g.tiles * g.li * g.lj * TINY.array.rows * TINY.array.columns for g in gemms if not g.accumulate)
        counted = Actions.total((instruction_actions(TINY.array, g), 1) for g in drains)
        assert counted.accumulator_read_bits == 32 * results, stage.layer


def test_sum_of_nothing() -> None:
    assert Actions.total(()) == NO_ACTIONS
    assert set(NO_ACTIONS.as_dict().values()) == {0}


@pytest.mark.parametrize("op", VectorOp)
def test_every_vector_operation_is_counted(op: VectorOp) -> None:
    found = instruction_actions(TINY.array, Vector(op=op, count=64, channels=8, size=1))
    if op in RENDER_OPERATIONS:
        assert any(found.as_dict().values()) == (op != VectorOp.RENDER_SWEEP)
    else:
        assert found.vector_out_write_bits + found.parameter_write_bits > 0
