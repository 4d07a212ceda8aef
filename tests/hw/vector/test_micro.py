"""The small processor in Amaranth's simulator: bits as golden, cycles as the closed form."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer_hw.vector import micro
from gossamer_hw.vector.micro import MicroUnit
from gossamer_models.golden import vector_softmax
from gossamer_models.isa.instructions import FoundMode, Vector, VectorOp
from gossamer_models.loss_scale import scale_state
from gossamer_models.numerics.formats import UInt32
from gossamer_models.registers import Fault
from gossamer_models.timing import vector_micro
from gossamer_models.timing.vector_micro import micro_cycles
from tests.hw.rig import Rig
from tests.hw.vector.unit_bench import UnitBench, WithLanes, halves, machine_of, rig_of

SEED = 3
LANES = [8, 1, 16, 64]
FEW_LANES = [8, *(pytest.param(lanes, marks=pytest.mark.slow) for lanes in LANES[1:])]
SINGLE_SPECIALS = [
    0x00000000, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00000, 0xFF800001, 0x00000001, 0x80000001, 0x007FFFFF,
    0x00800000, 0x7F7FFFFF, 0xFF7FFFFF, 0x3F800000, 0xBF800000,
]  # fmt: skip
EPSILON, INVERSE = 0x3727C5AC, 0x3C800000


def singles(rng: np.random.Generator, count: int, special: float) -> UInt32:
    """fp32 numbers: any bits, or near 1, or subnormal, and some special ones."""
    bits = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    kind = rng.integers(0, 8, count)
    near = (bits & np.uint32(0x807FFFFF)) | (rng.integers(110, 140, count).astype(np.uint32) << np.uint32(23))
    bits = np.where(kind >= 2, near, np.where(kind == 1, bits & np.uint32(0x807FFFFF), bits))
    chosen = np.asarray(SINGLE_SPECIALS, np.uint32)[rng.integers(0, len(SINGLE_SPECIALS), count)]
    return np.where(rng.random(count) < special, chosen, bits).astype(np.uint32)


def bench_of(lanes: int, seed: int) -> UnitBench:
    architecture = machine_of(lanes, words=2048)
    bench = UnitBench(architecture, rig_of(MicroUnit, architecture))
    rng = np.random.default_rng(SEED + seed)
    bench.prm[:] = singles(rng, len(bench.prm) // 4, 0.15).view(np.uint8)
    bench.vin[:] = halves(rng, len(bench.vin) // 2, 0.02)
    return bench


def check(bench: UnitBench, instructions: list[Vector]) -> None:
    for record in (bench.cycles, bench.faults, bench.found):
        record.clear()
    vout, prm, found = bench.golden(instructions)
    bench.execute(instructions)
    assert bench.faults == [0] * len(instructions)
    for name, held, expected in (("PRM", bench.prm, prm), ("VOUT", bench.vout, vout)):
        different = np.flatnonzero(held.view(np.uint32) != expected.view(np.uint32))
        words = [(hex(held.view(np.uint32)[n]), hex(expected.view(np.uint32)[n])) for n in different[:4]]
        assert not different.size, f"seed {SEED}: {different.size} words of {name} differ, {different[:4]}: {words}"
    assert bench.cycles == [micro_cycles(v) for v in instructions]
    for v, flag, found_flag in zip(instructions, found, bench.found, strict=True):
        assert v.found_mode in (FoundMode.NONE, FoundMode.OBEY) or found_flag == flag, f"seed {SEED}: {v}"


def norm(op: VectorOp, channels: int, **more: Any) -> Vector:
    """Factors for so many channels; operands and results do not overlap."""
    places = {"source0": 8, "source1": 8 + 2 * channels, "parameter": 8 + 6 * channels}
    return Vector(op=op, channels=channels, count=channels, **places | {"scalar0": INVERSE, "scalar1": EPSILON} | more)


@pytest.mark.parametrize("lanes", FEW_LANES)
def test_norm_forward(lanes: int) -> None:
    bench = bench_of(lanes, lanes)
    check(bench, [norm(VectorOp.NORM_FORWARD, 24), norm(VectorOp.NORM_FORWARD, 8, parameter=1024, scalar1=0)])


@pytest.mark.slow
def test_variances_of_all_kinds() -> None:
    """S = 0 and an epsilon of 0: the variance, and the root's operand, is Q as it is."""
    bench = bench_of(8, 1)
    channels = 48
    bench.prm[: 4 * channels] = 0
    rng = np.random.default_rng(SEED)
    patterns = singles(rng, channels, 0.3) & np.uint32(0x7FFFFFFF)
    patterns[: len(SINGLE_SPECIALS)] = SINGLE_SPECIALS
    bench.prm[4 * channels : 8 * channels] = patterns.view(np.uint8)
    places = {"source0": 0, "source1": 2 * channels, "parameter": 4 * channels}
    check(bench, [norm(VectorOp.NORM_FORWARD, channels, scalar0=0x3F800000, scalar1=0, **places)])


@pytest.mark.parametrize("lanes", FEW_LANES)
def test_norm_backward(lanes: int) -> None:
    bench = bench_of(lanes, 2 * lanes)
    mode = {"found_mode": FoundMode.CLEAR_AND_SET, "found": 7}
    check(bench, [norm(VectorOp.NORM_BACKWARD, 24, **mode), norm(VectorOp.NORM_BACKWARD, 8, parameter=1024)])


def test_found() -> None:
    bench = bench_of(8, 0)
    mode = {"found_mode": FoundMode.CLEAR_AND_SET}
    channels = 8
    finite = np.full(len(bench.prm) // 4, 0x3F800000, np.uint32)
    bench.prm[:] = finite.view(np.uint8)
    check(bench, [norm(VectorOp.NORM_BACKWARD, channels, **mode)])
    assert bench.found == [False]
    for part, word in ((0, 0xFF800000), (1, 0x7FC00000)):
        bench = bench_of(8, 0)
        finite[:] = 0x3F800000
        finite[8 + part * channels + 5] = word
        bench.prm[:] = finite.view(np.uint8)
        check(bench, [norm(VectorOp.NORM_BACKWARD, channels, **mode)])
        assert bench.found == [True]


def logits(bench: UnitBench, rng: np.random.Generator, v: Vector, spread: float, special: float) -> None:
    """Fill an instruction's operands: numbers of a certain spread, some special ones, labels real and not."""
    values = rng.normal(scale=spread, size=v.count).astype(np.float16).view(np.uint16)
    chosen = halves(rng, v.count, 1).view(np.uint16)
    values = np.where(rng.random(v.count) < special, chosen, values)
    bench.vin[v.source0 : v.source0 + 2 * v.count] = values.view(np.uint8)
    samples = v.count // v.channels
    labels = rng.integers(0, v.size + 1, samples).astype(np.float32)
    labels[:3] = [0.5, np.nan, -0.0]
    bench.vin[v.source1 : v.source1 + 4 * samples] = labels.view(np.uint8)


def softmax(bench: UnitBench, size: int, blocks: int, place: int, **more: Any) -> Vector:
    """Blocks of eight samples; operands and results from a line on."""
    align = bench.architecture.vector.align
    channels = -(-size // 8) * 8
    behind = place + align(2 * 8 * blocks * channels)
    return Vector(
        op=VectorOp.SOFTMAX_CROSS_ENTROPY, size=size, channels=channels, count=8 * blocks * channels, source0=place,
        target0=place, source1=behind, target1=behind, scalar0=0x43000000, **more,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("size", "blocks", "special"), [(1, 3, 0.2), (3, 2, 0.1), (10, 1, 0.01)])
def test_softmax(size: int, blocks: int, special: float) -> None:
    bench = bench_of(8, size)
    rng = np.random.default_rng(SEED + size)
    instruction = softmax(bench, size, blocks, 32, samples=8 * blocks - 3)
    logits(bench, rng, instruction, float(size), special)
    check(bench, [instruction])


@pytest.mark.slow
@pytest.mark.parametrize("lanes", LANES[1:])
def test_softmax_with_more_lanes(lanes: int) -> None:
    bench = bench_of(lanes, lanes)
    instruction = softmax(bench, 2, 3, 256, samples=20)
    logits(bench, np.random.default_rng(SEED), instruction, 4.0, 0.02)
    check(bench, [instruction])


@pytest.mark.slow
def test_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over more classes than a chunk has, with chunks of 4 instead of 4096."""
    bench = bench_of(8, 5)
    instruction = softmax(bench, 6, 1, 0)
    logits(bench, np.random.default_rng(SEED), instruction, 1.0, 0.0)
    whole, _, _ = bench.golden([instruction])
    bench.rig = Rig(WithLanes(MicroUnit(bench.architecture)))
    monkeypatch.setattr(micro, "_CHUNK_BITS", 2)
    monkeypatch.setattr(vector_micro, "_CHUNK", 4)
    monkeypatch.setattr(vector_softmax, "_CHUNK", 4)
    assert not np.array_equal(whole, bench.golden([instruction])[0]), "chunks must matter"
    check(bench, [instruction])


@pytest.mark.slow
def test_extreme_logits() -> None:
    """Quotients that are subnormal or round to zero, infinities, and a tie of all."""
    bench = bench_of(8, 0)
    instruction = softmax(bench, 4, 1, 0, found=1, found_mode=FoundMode.SET)
    logits(bench, np.random.default_rng(SEED), instruction, 1.0, 0.0)
    rows = [
        [0, -87.5, -88, -103], [0, -104, -103.5, -200], [5, 5, 5, 5], [np.inf, 0, 1, 2], [-np.inf] * 4,
        [-np.inf, 0, 0, -100], [65504, -65504, 65504, 0], [0, np.nan, 1, np.inf],
    ]  # fmt: skip
    block = bench.vin[: 2 * 64].view(np.float16).reshape(8, 8)
    block[:, :4] = np.array(rows)
    check(bench, [instruction])
    assert bench.found == [True]


@pytest.mark.slow
def test_gradients_that_overflow() -> None:
    """Half a scale of 131008 is the largest fp16, of 131072 an infinity; what is not real sets no flag."""
    bench = bench_of(8, 0)
    bench.vin[:] = 0
    bench.vin[256:288] = np.full(8, 9, np.float32).view(np.uint8)
    mode: dict[str, Any] = {"found": 1, "found_mode": FoundMode.SET}
    cases = [(0x47FFE000, 0), (0x48000000, 0), (0x3F800000, 0), (0x3F800000, 7)]
    places: dict[str, Any] = {"source1": 256, "target1": 256}
    found = []
    for number, (scale, samples) in enumerate(cases):
        bench.vin[112:114] = [0, 0x7C if number > 1 else 0]  # first class of the last sample
        loss = Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, size=2, channels=8, count=64, scalar0=scale, samples=samples,
                      **places, **mode)  # fmt: skip
        check(bench, [loss])
        found += bench.found
    assert found == [False, True, True, False]


def scaled(**fields: Any) -> Vector:
    """LOSS_SCALE: growth 4, backoff 1/8, two steps, bound 2^96."""
    scalars = {"scalar0": 0x40800000, "scalar1": 0x3E000000, "scalar2": 0x40000000, "scalar3": 0x6F800000}
    place = {"count": 8, "channels": 8, "parameter": 64, "found_mode": FoundMode.OBEY}
    return Vector(op=VectorOp.LOSS_SCALE, **scalars | place | fields)


@pytest.mark.slow
def test_loss_scale() -> None:
    """Steps that are good, due, spoiled and at a bound; then whatever a state may hold, flag clear and set."""
    bench = bench_of(8, 7)
    bench.flags = {7}
    bench.prm[256:384] = scale_state(2.0**12, 12).view(np.uint8).ravel()
    check(bench, [scaled(found=flag) for flag in (0, 0, 0, 7, 0, 0)])
    assert bench.prm[256:384].view(np.float32)[::8].tolist() == [2.0**13, 2.0**13 / np.float32(12), 2.0**-13, 0.0]
    bench.prm[256:384] = scale_state(2.0**95, 1).view(np.uint8).ravel()
    check(bench, [scaled(), scaled(), scaled(found=7, scalar1=0x00800000)])
    rng = np.random.default_rng(SEED)
    for flag in (0, 7, 0, 7):
        bench.prm[:] = singles(rng, len(bench.prm) // 4, 0.3).view(np.uint8)
        bench.prm[4 * 96 : 4 * 104] = rng.integers(-1, 3, 8).astype(np.float32).view(np.uint8)
        check(bench, [scaled(found=flag, channels=16, count=16), scaled(found=flag, found_mode=FoundMode.NONE)])


FAULTS: list[tuple[VectorOp, dict[str, Any], Fault]] = [
    (VectorOp.NORM_FORWARD, {"count": 16}, Fault.ILLEGAL),
    (VectorOp.NORM_FORWARD, {"channels": 12, "count": 12}, Fault.ALIGNMENT),
    (VectorOp.NORM_FORWARD, {"source0": 2040}, Fault.BUFFER),
    (VectorOp.NORM_FORWARD, {"source1": 2040}, Fault.BUFFER),
    (VectorOp.NORM_BACKWARD, {"source1": 2024}, Fault.BUFFER),
    (VectorOp.NORM_BACKWARD, {"parameter": 2016}, Fault.BUFFER),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"size": 0}, Fault.ILLEGAL),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"size": 9}, Fault.ILLEGAL),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"count": 32}, Fault.ILLEGAL),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"source0": 8192 - 64}, Fault.BUFFER),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"target0": 8192 - 64}, Fault.BUFFER),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"source1": 8192}, Fault.BUFFER),
    (VectorOp.SOFTMAX_CROSS_ENTROPY, {"target1": 8192}, Fault.BUFFER),
    (VectorOp.LOSS_SCALE, {"count": 16}, Fault.ILLEGAL),
    (VectorOp.LOSS_SCALE, {"parameter": 2024}, Fault.BUFFER),
]


@pytest.mark.slow
def test_faults() -> None:
    bench = bench_of(8, 0)
    good = {op: norm(op, 8) for op in (VectorOp.NORM_FORWARD, VectorOp.NORM_BACKWARD)}
    good[VectorOp.SOFTMAX_CROSS_ENTROPY] = softmax(bench, 4, 1, 0)
    good[VectorOp.LOSS_SCALE] = scaled(parameter=2016)
    bad = [dataclasses.replace(good[op], **change) for op, change, _ in FAULTS]
    bench.execute([*bad, *good.values()])
    assert bench.faults == [*(fault for _, _, fault in FAULTS), *[Fault.NONE] * len(good)]
    assert bench.cycles[-len(good) :] == [micro_cycles(v) for v in good.values()]


def test_cycles() -> None:
    # 34 microinstructions of 8 cycles, one cycle per block, 4 in all.
    assert micro_cycles(norm(VectorOp.NORM_FORWARD, 16)) == 4 + 2 * (1 + 8 * 34)
    v = Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, channels=16, size=10, count=16 * 16)
    assert micro_cycles(v) == 4 + 2 * (1 + 8 * (7 + 10 * 54 + 2 + 6))
    assert micro_cycles(scaled()) == 4 + 1 + 8 * 25
