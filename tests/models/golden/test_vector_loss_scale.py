"""The loss scale step by step against a rule in Python's own numbers, which are exact for powers of two."""

import random
from dataclasses import dataclass

import numpy as np
import pytest

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import FoundMode, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.loss_scale import scale_state
from gossamer_models.numerics.formats import Float32
from tests.references.operands import assert_same_bits

SEED = 20
PLACE, FLAG = 16, 3


@dataclass
class Rule:
    """What PyTorch's ``GradScaler`` does, and a bound."""

    scale: float
    growth: float
    backoff: float
    interval: int
    bound: float
    good: int = 0

    def step(self, *, overflow: bool) -> None:
        self.good = 0 if overflow else self.good + 1
        factor = self.backoff if overflow else self.growth if self.good == self.interval else 1.0
        self.good = 0 if self.good == self.interval else self.good
        if 1 / self.bound <= self.scale * factor <= self.bound:
            self.scale *= factor


def instruction(rule: Rule, **fields: int) -> Vector:
    scalars = (rule.growth, rule.backoff, rule.interval, rule.bound)
    patterns = {f"scalar{n}": int(np.float32(value).view(np.uint32)) for n, value in enumerate(scalars)}
    place = {"count": 8, "channels": 8, "parameter": PLACE, "found": FLAG, "found_mode": int(FoundMode.OBEY)}
    return Vector(op=VectorOp.LOSS_SCALE, **patterns | place | fields, modifiers=())


def put(machine: Machine, state: Float32) -> None:
    machine.write(Engine.LOAD, Buffer.PRM, 4 * PLACE, state)


def held(machine: Machine) -> Float32:
    return machine.read(Engine.STORE, Buffer.PRM, np.float32, 4 * PLACE, 32).reshape(4, 8)


@pytest.mark.parametrize(
    ("growth", "backoff", "interval", "bound"),
    [(2.0, 0.5, 3, 2.0**96), (4.0, 0.125, 2, 2.0**8), (2.0, 0.5, 1, 2.0**5), (2.0**126, 2.0**-126, 2, 2.0**96)],
)
@pytest.mark.parametrize("batch", [16, 12])
def test_many_steps(machine: Machine, growth: float, backoff: float, interval: int, bound: float, batch: int) -> None:
    generator = random.Random(SEED)
    rule = Rule(16.0, growth, backoff, interval, bound)
    put(machine, scale_state(rule.scale, batch))
    scales = set()
    for number in range(60):
        overflow = generator.random() < (0.8 if number // 15 % 2 else 0.1)
        (machine.found.add if overflow else machine.found.discard)(FLAG)
        vector(machine, instruction(rule))
        rule.step(overflow=overflow)
        expected = scale_state(rule.scale, batch)
        expected[3] = rule.good
        assert_same_bits(held(machine), expected)
        assert (FLAG in machine.found) == overflow
        scales.add(rule.scale)
    assert len(scales) > 2 or growth == 2.0**126


def test_a_flag_that_is_not_obeyed_says_nothing(machine: Machine) -> None:
    rule = Rule(16.0, 2.0, 0.5, 5, 2.0**96)
    put(machine, scale_state(16.0, 2))
    machine.found.add(FLAG)
    vector(machine, instruction(rule, found_mode=FoundMode.NONE))
    assert_same_bits(held(machine)[:, 0], np.array([16, 8, 1 / 16, 1], np.float32))


@pytest.mark.parametrize("number", [0, 1, 2])
def test_what_is_not_finite_stays(machine: Machine, number: int) -> None:
    """NaN is at most no bound, and no count that is due."""
    state = scale_state(16.0, 2)
    state[number] = np.nan
    put(machine, state)
    vector(machine, instruction(Rule(16.0, 2.0, 0.5, 1, 2.0**96)))
    kept = state.copy()
    if number == 1:
        kept[[0, 2]] = [[32.0] * 8, [1 / 32] * 8]
    assert_same_bits(held(machine), kept)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"count": 16}, r"`count` must be `channels` \(8\), not 16"),
        ({"scalar0": 0x40400000}, "`scalar0` of LOSS_SCALE must be a power of two, not 0x40400000"),
        ({"scalar1": 0xBF000000}, "`scalar1` of LOSS_SCALE must be a power of two, not 0xbf000000"),
        ({"scalar1": 0}, "`scalar1` of LOSS_SCALE must be a power of two, not 0x0"),
        ({"scalar0": 0x7F000000}, "`scalar0` of LOSS_SCALE must be a power of two, not 0x7f000000"),
        ({"scalar0": 0x7FC00000}, "`scalar0` of LOSS_SCALE must be a power of two, not 0x7fc00000"),
        ({"flags": VectorFlag.SCALED}, "operation LOSS_SCALE does not have the option SCALED"),
        ({"found_mode": FoundMode.SET}, "operation LOSS_SCALE does not have `found_mode` 1"),
        ({"parameter": 1 << 20}, "must lie in PRM"),
    ],
)
def test_bad_instructions(machine: Machine, fields: dict[str, int], message: str) -> None:
    put(machine, scale_state(16.0, 2))
    with pytest.raises(ExecutionError, match=message):
        vector(machine, instruction(Rule(16.0, 2.0, 0.5, 1, 2.0**96), **fields))


def test_update_and_loss_take_their_factor_from_parameters(machine: Machine) -> None:
    """Bit for bit what the same factor gives as a scalar, which is not looked at then."""
    rng = np.random.default_rng(SEED)
    machine.write(Engine.LOAD, Buffer.VIN, 0, rng.standard_normal(1024).astype(np.float32))
    put(machine, np.full(8, 1 / 1024, np.float32))
    machine.writable(Engine.VECTOR, Buffer.VOUT)
    results = []
    for fields in ({"flags": VectorFlag.SCALED, "parameter": PLACE}, {}):
        factor = 0x7FC00000 if fields else 0x3A800000
        vector(machine, Vector(op=VectorOp.UPDATE, count=64, source1=256, source2=512, target1=256, target2=512,
                               scalar0=0x3F800000, scalar4=factor, modifiers=(), **fields))  # fmt: skip
        vector(machine, Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, count=64, size=5, source1=1024, target0=1024,
                               target1=2048, scalar0=factor, modifiers=(), **fields))  # fmt: skip
        results.append(machine.read(Engine.STORE, Buffer.VOUT, np.uint8, 0, 2048 + 32))
    assert np.array_equal(results[0], results[1])
    assert results[0].any()


def test_a_loss_whose_gradient_overflows_sets_the_flag(machine: Machine) -> None:
    """fp16 ends at 65504, although fp32 holds the product; samples that are not real do not count."""
    machine.write(Engine.LOAD, Buffer.VIN, 0, np.zeros(64, np.float16))
    machine.write(Engine.LOAD, Buffer.VIN, 1024, np.full(8, 9, np.float32))  # no class: gradients are q = 1/2

    def found(scale: float, samples: int = 0, labels: float = 9.0) -> bool:
        machine.write(Engine.LOAD, Buffer.VIN, 1024, np.array([9.0] * 7 + [labels], np.float32))
        clears = Vector(op=VectorOp.FILL, found=FLAG, found_mode=FoundMode.CLEAR_AND_SET)
        loss = Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, count=64, size=2, source1=1024, target1=1024, samples=samples,
                      scalar0=int(np.float32(scale).view(np.uint32)), found=FLAG, found_mode=FoundMode.SET)  # fmt: skip
        vector(machine, clears)
        vector(machine, loss)
        return FLAG in machine.found

    assert [found(scale) for scale in (131008.0, 131072.0)] == [False, True]
    logits = np.zeros((8, 8), np.float16)
    logits[7, :2] = np.inf
    machine.write(Engine.LOAD, Buffer.VIN, 0, logits)
    assert [found(1.0), found(1.0, samples=7)] == [True, False]
