"""What the engine refuses, and that it goes on behind it."""

from typing import Any

import numpy as np
import pytest

from gossamer_hw.vector.engine import VectorEngine
from gossamer_models.architecture import Vector as VectorConfig
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import MODELLED_OPERATIONS, Format, FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Advance, Buffer
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.registers import Fault
from gossamer_models.timing.vector import vector_cycles
from tests.hw.vector.test_stream import contents_of
from tests.hw.vector.vector_bench import Bench, differences, golden_run, machine_of, place

SEED = 51

# Tests of one shape share an engine.
pytestmark = pytest.mark.xdist_group("vector")

REFUSAL_CYCLES = 3

STATISTICS: dict[str, Any] = {
    "op": VectorOp.DRAIN, "flags": VectorFlag.STATISTICS, "format": Format.FP16, "channel_low": 4, "channels": 16,
}  # fmt: skip

SCALE: dict[str, Any] = {
    "op": VectorOp.LOSS_SCALE, "count": 8, "scalar0": 1 << 30, "scalar1": 0x00800000, "scalar2": 1 << 30,
    "scalar3": 0x7F000000,
}  # fmt: skip

REFUSED_BY_GOLDEN_TOO: list[dict[str, Any]] = [
    {"op": 23},
    {"op": 63},
    {"op": VectorOp.FILL, "flags": VectorFlag.RELU},
    {"op": VectorOp.APPLY, "flags": VectorFlag.MASK},
    {"op": VectorOp.REDUCE, "flags": VectorFlag.SR_STE},
    {"op": VectorOp.NORM_FORWARD, "flags": VectorFlag.AFFINE},
    {"op": VectorOp.APPLY, "found_mode": FoundMode.SET},
    {"op": VectorOp.DRAIN, "found_mode": FoundMode.OBEY},
    {"op": VectorOp.LOSS_SCALE, "found_mode": FoundMode.SET},
    {"op": VectorOp.APPLY, "flags": VectorFlag.SCALED},
    *({**SCALE, name: factor} for name in ("scalar0", "scalar1") for factor in (0, 0x40400000, 0xC0000000, 0x7F000000)),
    {"op": VectorOp.UPDATE, "found_mode": FoundMode.SET},
    {"op": VectorOp.DRAIN, "format": Format.BYTE},
    {"op": VectorOp.APPLY, "flags": VectorFlag.AFFINE, "channel_low": 0},
    {"op": VectorOp.REDUCE, "channel_mid_period": 0},
    {"op": VectorOp.GRADIENT, "flags": VectorFlag.AFFINE, "channel_mid_count": 0},
    {"op": VectorOp.DRAIN, "flags": VectorFlag.AFFINE, "channel_high_period": 0},
    {"op": VectorOp.APPLY, "samples": 3, "sample_period": 0},
    {"op": VectorOp.REDUCE, "flags": VectorFlag.STATISTICS},
    {"op": VectorOp.APPLY, "flags": VectorFlag.ACCUMULATE},
    {**STATISTICS, "format": Format.FP32},
    {**STATISTICS, "channel_mid_count": 0},
    {"op": VectorOp.UPDATE, "flags": VectorFlag.SR_STE, "keep": 0, "of": 8},
    {"op": VectorOp.UPDATE, "flags": VectorFlag.SR_STE, "keep": 5, "of": 4},
    {"op": VectorOp.UPDATE, "flags": VectorFlag.SR_STE, "keep": 2, "of": 8, "count": 63},
]

ILLEGAL: list[dict[str, Any]] = [
    {"op": VectorOp.FILL, "format": Format.BYTE},
    {"op": VectorOp.REDUCE, "channel_low": 16, "channels": 16},
    {**STATISTICS, "channel_low": 8},
    {"op": VectorOp.UPDATE, "flags": VectorFlag.SR_STE, "keep": 2, "of": 3},
    *({"op": op, "size": 8} for op in sorted(MODELLED_OPERATIONS | RENDER_OPERATIONS)),
]

MISALIGNED: list[dict[str, Any]] = [
    {"op": VectorOp.APPLY, "source0": 16},
    {"op": VectorOp.APPLY, "flags": VectorFlag.RESIDUAL, "source1": 34},
    {"op": VectorOp.GRADIENT, "flags": VectorFlag.MASK, "source2": 8},
    {"op": VectorOp.GRADIENT, "flags": VectorFlag.SECOND_OUTPUT, "target1": 16},
    {"op": VectorOp.UPDATE, "target2": 24},
    {"op": VectorOp.DRAIN, "target0": 4},
    {"op": VectorOp.REDUCE, "parameter": 4},
    {"op": VectorOp.UPDATE, "flags": VectorFlag.SCALED, "parameter": 12},
    {"op": VectorOp.APPLY, "flags": VectorFlag.AFFINE, "parameter": 4},
    {"op": VectorOp.APPLY, "flags": VectorFlag.AFFINE, "channel_low": 6},
    {"op": VectorOp.APPLY, "flags": VectorFlag.AFFINE, "channel_mid_period": 4},
    {"op": VectorOp.APPLY, "samples": 1, "sample_period": 12},
    {**STATISTICS, "target1": 4},
    {**STATISTICS, "target2": 20},
    {**STATISTICS, "channels": 12},
    {**STATISTICS, "channel_mid_period": 4},
    {**STATISTICS, "count": 60},
]

UNUSED: list[dict[str, Any]] = [
    {"op": VectorOp.FILL, "source0": 1, "target1": 3, "parameter": 1, "channel_low": 3},
    {"op": VectorOp.DRAIN, "source0": 5, "source1": 6, "target2": 1, "channels": 4096},
    {**STATISTICS, "parameter": 12, "size": 1},
    {"op": VectorOp.APPLY, "source1": 2, "source2": 1, "channel_mid_period": 0, "sample_period": 0},
]


@pytest.mark.parametrize("fields", REFUSED_BY_GOLDEN_TOO, ids=str)
def test_golden_refuses(fields: dict[str, Any]) -> None:
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    with pytest.raises(GossamerError):
        golden_run(architecture, contents, [Vector(**{"count": 64, **fields})])


@pytest.mark.slow
@pytest.mark.parametrize("units", [2, None])
def test_faults_change_nothing(units: int | None) -> None:
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    cases = [(fields, Fault.ILLEGAL) for fields in (*REFUSED_BY_GOLDEN_TOO, *ILLEGAL)]
    cases += [(fields, Fault.ALIGNMENT) for fields in MISALIGNED]
    # Sums for 1024 words of parameters: at most 512 channels.
    cases += [({**fields, "channels": 520}, Fault.BUFFER) for fields in ({"op": VectorOp.REDUCE}, STATISTICS)]
    if units is None:
        cases.append(({**SCALE, "parameter": 4}, Fault.ALIGNMENT))
    bench = Bench(architecture, contents, units=units)
    cycles = bench.execute([Vector(**{"count": 64, **fields}) for fields, _ in cases])
    assert bench.faults == [fault for _, fault in cases]
    assert not differences(bench.contents, contents)
    assert cycles == [REFUSAL_CYCLES] * len(cases)


@pytest.mark.slow
def test_an_operation_without_a_unit_is_illegal() -> None:
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    bench = Bench(architecture, contents, units=2)
    operations = [VectorOp.MAX_POOL, VectorOp.NORM_FORWARD, VectorOp.LOSS_SCALE]
    cycles = bench.execute([Vector(**{"count": 8, **SCALE, "op": op}) for op in operations])
    assert bench.faults == [Fault.ILLEGAL] * len(operations)
    assert cycles == [REFUSAL_CYCLES] * len(operations)


@pytest.mark.slow
def test_what_an_operation_does_not_have_is_not_looked_at() -> None:
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    bad = Vector(op=VectorOp.APPLY, count=64, source0=4, advance=Advance.VOUT)
    legal = [Vector(**{"count": 40, **fields}) for fields in UNUSED]
    bench = Bench(architecture, contents, units=2)
    cycles = bench.execute([*legal, bad, *legal])
    assert bench.faults == [0] * len(legal) + [Fault.ALIGNMENT] + [0] * len(legal)
    assert cycles[: len(legal)] == [vector_cycles(architecture, v) for v in legal]


@pytest.mark.slow
def test_every_unit_has_its_operations() -> None:
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    window: dict[str, Any] = {"height": 4, "width": 4, "kernel": 2, "kernel_x": 2, "stride": 2}
    norm: dict[str, Any] = {"count": 8, "scalar0": 0x3D000000, "scalar1": 0x3727C5AC}
    flag: dict[str, Any] = {"found": 9, "found_mode": FoundMode.CLEAR_AND_SET}
    instructions = [
        Vector(op=VectorOp.MAX_POOL, count=256, advance=Advance.VOUT, **window),
        Vector(op=VectorOp.REDUCE, count=256, flags=VectorFlag.PRODUCT, parameter=64, size=1),
        Vector(op=VectorOp.NORM_FORWARD, source0=64, source1=128, parameter=256, **norm),
        Vector(op=VectorOp.NORM_BACKWARD, source0=64, source1=256, parameter=512, **norm, **flag),
        Vector(op=VectorOp.APPLY, flags=VectorFlag.AFFINE, count=256, parameter=256),
        Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, count=64, size=3, source1=4096, target0=2048, target1=4096,
               flags=VectorFlag.SCALED, parameter=264),
        Vector(op=VectorOp.UPDATE, count=64, source1=256, source2=512, target0=8192, target1=9216, target2=10240,
               found=9, found_mode=FoundMode.OBEY),
        Vector(op=VectorOp.FILL, count=0, **flag),
        Vector(**SCALE, parameter=264, found=9, found_mode=FoundMode.OBEY),
        Vector(op=VectorOp.UPDATE, count=64, source1=256, source2=512, target0=12288, target1=12544, target2=12800,
               flags=VectorFlag.SCALED, parameter=280),
    ]  # fmt: skip
    bench = Bench(architecture, contents)
    cycles = bench.execute(instructions)
    assert not any(bench.faults)
    assert not differences(bench.contents, golden_run(architecture, contents, instructions))
    assert cycles == [vector_cycles(architecture, v) for v in instructions]


@pytest.mark.slow
def test_flags_stay_until_they_are_cleared() -> None:
    architecture = machine_of(8, 4)
    contents = contents_of(architecture, np.random.default_rng(SEED))
    # Accumulator word 0 holds an infinity, word 1 four ones; VIN holds ones everywhere.
    for half in (0, 1):
        place(contents, Buffer.ACC, half, 0, np.array([np.inf, 1, 1, 1, 1, 1, 1, 1], np.float32))
    contents[Buffer.VIN][:] = np.full(contents[Buffer.VIN].size // 4, 1, np.float32).view(np.uint8).reshape(2, -1)
    places = iter(range(400))

    def drain(word: int, found: int, mode: FoundMode) -> Vector:
        return Vector(op=VectorOp.DRAIN, count=4, source0=word, target0=16384, found=found, found_mode=mode)

    def obey(found: int) -> Vector:
        target: dict[str, Any] = {f"target{n}": 32 * next(places) for n in range(3)}
        return Vector(op=VectorOp.UPDATE, count=1, found=found, found_mode=FoundMode.OBEY, scalar0=1 << 29, **target)

    clear, set_ = FoundMode.CLEAR_AND_SET, FoundMode.SET
    partial = Vector(op=VectorOp.REDUCE, count=64, found=40, found_mode=clear)
    instructions = [
        obey(40), drain(1, 40, set_), obey(40), drain(0, 40, set_), obey(40), obey(41), drain(1, 40, set_), obey(40),
        drain(1, 41, clear), obey(40), partial, obey(40), drain(1, 40, clear), obey(40), drain(0, 4095, clear),
        obey(4095), drain(0, 40, FoundMode.NONE), obey(40),
    ]  # fmt: skip
    bench = Bench(architecture, contents, units=2)
    bench.execute(instructions, rewind_before=frozenset({5, 9}))
    assert not any(bench.faults)
    assert not differences(bench.contents, golden_run(architecture, contents, instructions))


@pytest.mark.parametrize("lanes", [3, 12, 128])
def test_lanes(lanes: int) -> None:
    architecture = machine_of(8, 4).model_copy(update={"vector": VectorConfig.model_construct(lanes=lanes)})
    with pytest.raises(ValueError, match=f"lanes` must be a power of two from 1 to 64, not {lanes}"):
        VectorEngine(architecture)
