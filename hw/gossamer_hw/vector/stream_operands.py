"""What each operation gives the lanes to compute from."""

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value

from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Half, Relaxed, Single
from gossamer_hw.numerics.half import widen
from gossamer_hw.vector.stream_lane import MINUS_ZERO, ONE, Terms
from gossamer_models.isa.instructions import FoundMode, VectorFlag, VectorOp

__all__ = ["Controls", "LaneInputs", "has", "lane_terms", "masked_half"]

_HALF_INFINITY = 0x7C00
_HALF_NAN = 0x7E00


def has(command: Any, flag: VectorFlag) -> Value:
    """Whether an option is set."""
    return command.flags[int(flag).bit_length() - 1]


@dataclass(frozen=True, slots=True)
class Controls:
    """What all lanes have in common in a cycle.

    Members
    -------
    drains, applies, derives : whether the operation is DRAIN, APPLY, GRADIENT.
    affine, residual : its options.
    passing : a bit per pass of UPDATE, no other than the operation's.
    changes : UPDATE does not leave weights and velocities as they are.
    factors : what multiplies x0 and x1 where no parameter does.
    """

    drains: Value
    applies: Value
    derives: Value
    affine: Value
    residual: Value
    passing: Value
    changes: Value
    factors: tuple[Any, Any]

    @classmethod
    def of(cls, m: Module, command: Any, passing: Value, obeyed: Value) -> "Controls":
        """Take them from the instruction and the sticky flag that it obeys."""
        changes = ~((command.found_mode == FoundMode.OBEY) & obeyed)
        factors = Signal(Relaxed, name="factor_0"), Signal(Relaxed, name="factor_1")
        rate, momentum, decay, regularisation, inverse = (_scalar(m, command[f"scalar{n}"]) for n in range(5))
        m.d.comb += [factor.eq(ONE) for factor in factors]
        with m.If(passing[0]):
            m.d.comb += factors[0].eq(regularisation)
        with m.If(passing[1]):
            m.d.comb += [factors[0].eq(inverse), factors[1].eq(decay)]
        with m.If(passing[2] & changes):
            m.d.comb += factors[0].eq(momentum)
        with m.If(passing[3] & changes):
            m.d.comb += [factors[0].eq(rate), factors[0].number.sign.eq(~rate.number.sign)]
        operations = (VectorOp.DRAIN, VectorOp.APPLY, VectorOp.GRADIENT)
        drains, applies, derives = (command.op == operation for operation in operations)
        affine, residual = has(command, VectorFlag.AFFINE), has(command, VectorFlag.RESIDUAL)
        return cls(drains, applies, derives, affine, residual, passing, changes, factors)


@dataclass(frozen=True, slots=True)
class LaneInputs:
    """What one lane may compute from in a cycle.

    Members
    -------
    halves : elements of the first two operands of fp16.
    single : the accumulators' sum.
    parameters : of the lane's channel.
    weight, line, kept : what :class:`~gossamer_hw.vector.update.UpdateReader` gives.
    feedback : the lane's result.
    """

    halves: tuple[Any, Any]
    single: Any
    parameters: tuple[Any, ...]
    weight: Any
    line: Any
    kept: Value
    feedback: Any


def masked_half(m: Module, half: Any, by: Any, masked: Value) -> Any:
    """Return fp16 if ``masked`` is clear or ``by`` is above zero, else +0; NaN in its one form."""
    result = Signal(Half, name="gradient")
    pattern = by.as_value()
    above = (pattern != 0) & (pattern <= _HALF_INFINITY)
    nan = half.exponent.all() & half.mantissa.any()
    kept = Mux(nan, Const(_HALF_NAN, 16), half.as_value())
    m.d.comb += result.as_value().eq(Mux(masked & ~above, 0, kept))
    return result


def lane_terms(m: Module, controls: Controls, inputs: LaneInputs) -> Any:
    """Return a lane's :class:`~gossamer_hw.vector.stream_lane.Terms`; where UPDATE changes nothing, exact ones."""
    terms, c, passing = Signal(Terms), controls, controls.passing
    apply_affine, derive_affine = c.applies & c.affine, c.derives & c.affine
    first, second = (widen(m, half) for half in inputs.halves)
    # Every sum of choices has at most one that is not zero, and is -0 without any.
    stays = passing[3] & ~c.changes
    singles = (
        (c.drains, inputs.single),
        (passing[0] & ~inputs.kept, inputs.weight),
        (passing[1] | passing[2], inputs.line),
        (stays, MINUS_ZERO.number),
    )
    x0 = (
        (~(c.drains | passing.any()), first),
        (passing[3] & c.changes, inputs.feedback),
        (Const(1), _relaxed_choice(m, singles)),
    )
    x1 = (
        (c.drains & c.affine, inputs.parameters[0]),
        (apply_affine, inputs.parameters[1]),
        (derive_affine, second),
        (passing[2] & c.changes, inputs.feedback),
        (passing[1] | passing[3], _relaxed_choice(m, ((passing[1], inputs.weight), (passing[3], inputs.line)))),
    )
    u = ((c.applies & c.residual, second), (derive_affine, inputs.parameters[2]))
    by_parameter = Mux(apply_affine | derive_affine, inputs.parameters[0].as_value(), c.factors[0].as_value())
    m.d.comb += [
        terms.x0.as_value().eq(_chosen(x0)),
        # A kept weight's term is +0 even if lambda is infinite; it is kept in pass 0 only.
        terms.y0.as_value().eq(Mux(inputs.kept, 0, by_parameter)),
        terms.x1.as_value().eq(_chosen(x1) | _minus_zero_without(x1)),
        terms.y1.as_value().eq(Mux(derive_affine, inputs.parameters[1].as_value(), c.factors[1].as_value())),
        terms.u.as_value().eq(_chosen(u) | _minus_zero_without(u)),
    ]
    return terms


Choices = tuple[tuple[Value, Any], ...]


def _chosen(choices: Choices) -> Value:
    return reduce(or_, (Mux(select, value.as_value(), 0) for select, value in choices))


def _minus_zero_without(choices: Choices) -> Value:
    return Mux(Cat(select for select, _ in choices).any(), 0, Value.cast(MINUS_ZERO.as_value()))


def _relaxed_choice(m: Module, choices: Choices) -> Any:
    single = Signal(Single)
    m.d.comb += single.as_value().eq(_chosen(choices))
    return relax(m, single)


def _scalar(m: Module, pattern: Value) -> Any:
    single = Signal(Single)
    m.d.comb += single.as_value().eq(Cat(pattern))
    return relax(m, single)
