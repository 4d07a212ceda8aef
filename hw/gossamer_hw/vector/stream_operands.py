"""What each operation gives the lanes to compute from."""

from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Half, Relaxed, Single
from gossamer_hw.numerics.half import widen
from gossamer_hw.vector.ports import PRM_READS
from gossamer_hw.vector.stream_lane import MINUS_ZERO, ONE, Operands, StreamLane, Terms, lane_members
from gossamer_hw.vector.update import PASSES
from gossamer_hw.verilog import add_shared
from gossamer_models.isa.instructions import FoundMode, VectorFlag, VectorOp

__all__ = ["PATH_MODULE", "Controls", "Inputs", "StreamPath", "controls_of", "has", "masked_half"]

PATH_MODULE = "gossamer_vector_path"

_LANE_MODULE = "gossamer_vector_lane"
_HALF_NAN = 0x7E00


def has(command: Any, flag: VectorFlag) -> Value:
    """Whether an option is set."""
    return command.flags[int(flag).bit_length() - 1]


class Controls(data.Struct):
    """What all lanes have in common in a cycle.

    Members
    -------
    drains, applies, derives : whether the operation is DRAIN, APPLY, GRADIENT.
    affine, residual, masks, six : its options.
    passing : a bit per pass of UPDATE, no other than the operation's.
    changes : UPDATE does not leave weights and velocities as they are.
    factors : what multiplies x0 and x1 where no parameter does.
    """

    drains: 1
    applies: 1
    derives: 1
    affine: 1
    residual: 1
    masks: 1
    six: 1
    passing: PASSES
    changes: 1
    factors: data.ArrayLayout(Relaxed, 2)


class Inputs(data.Struct):
    """What one lane may compute from in a cycle.

    Members
    -------
    halves : elements of the operands of fp16; the first is masked by the third.
    single : the accumulators' sum.
    parameters : of the lane's channel.
    weight, line, kept : what :class:`~gossamer_hw.vector.update.UpdateReader` gives.
    """

    halves: data.ArrayLayout(Half, 3)
    single: Single
    parameters: data.ArrayLayout(Single, PRM_READS)
    weight: Single
    line: Single
    kept: 1


class StreamPath(wiring.Component):
    """What an operation computes from one lane's elements, and the lane.

    Members
    -------
    controls, inputs : of the cycle.
    operands : another unit's, while the lane is borrowed.
    gradient : the first operand behind its mask, combinational.
    Others as :class:`~gossamer_hw.vector.stream_lane.StreamLane` says.
    """

    def __init__(self) -> None:
        given = {"controls": In(Controls), "inputs": In(Inputs), "operands": In(Operands)}
        super().__init__({**given, "gradient": Out(Half), **lane_members()})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Choose the terms."""
        m = Module()
        lane = StreamLane()
        add_shared(m, platform, lane, name="lane", module=_LANE_MODULE)
        first, _, mask = self.inputs.halves
        m.d.comb += [
            self.gradient.eq(masked_half(m, first, mask, self.controls.masks, self.controls.six)),
            lane.terms.eq(self._terms(m)),
            lane.take.eq(self.take),
            lane.borrowed.eq(self.borrowed),
            self.lent.eq(lane.lent),
            self.result.eq(lane.result),
        ]
        return m

    def _terms(self, m: Module) -> Any:
        """Return :class:`~gossamer_hw.vector.stream_lane.Terms`; where UPDATE changes nothing, exact ones."""
        terms, c, inputs, passing = Signal(Terms), self.controls, self.inputs, self.controls.passing
        parameters = [relax(m, parameter) for parameter in inputs.parameters]
        apply_affine, derive_affine = c.applies & c.affine, c.derives & c.affine
        first, second = widen(m, inputs.halves[0]), widen(m, inputs.halves[1])
        # Not widened behind its mask, but beside it.
        hidden = c.masks & ~_passes(inputs.halves[2], c.six)
        # Every sum of choices has at most one that is not zero, and is -0 without any.
        stays = passing[3] & ~c.changes
        singles = (
            (c.drains, inputs.single),
            (passing[0] & ~inputs.kept, inputs.weight),
            (passing[1] | passing[2], inputs.line),
            (stays, MINUS_ZERO.number),
        )
        x0 = (
            (self.borrowed, self.operands.a),
            (~(self.borrowed | c.drains | passing.any() | hidden), first),
            (passing[3] & c.changes, self.result),
            (Const(1), _relaxed_choice(m, singles)),
        )
        x1 = (
            (c.drains & c.affine, parameters[0]),
            (apply_affine, parameters[1]),
            (derive_affine, second),
            (passing[2] & c.changes, self.result),
            (passing[1] | passing[3], _relaxed_choice(m, ((passing[1], inputs.weight), (passing[3], inputs.line)))),
        )
        u = ((c.applies & c.residual, second), (derive_affine, parameters[2]))
        by_parameter = Mux(apply_affine | derive_affine, parameters[0].as_value(), c.factors[0].as_value())
        m.d.comb += [
            terms.x0.as_value().eq(_chosen(x0)),
            # A kept weight's term is +0 even if lambda is infinite; it is kept in pass 0 only.
            terms.y0.as_value().eq(Mux(self.borrowed, self.operands.b.as_value(), Mux(inputs.kept, 0, by_parameter))),
            terms.x1.as_value().eq(_chosen(x1) | _minus_zero_without(x1)),
            terms.y1.as_value().eq(Mux(derive_affine, parameters[1].as_value(), c.factors[1].as_value())),
            terms.u.as_value().eq(_chosen(u) | _minus_zero_without(u)),
        ]
        return terms


def controls_of(m: Module, command: Any, passing: Value, obeyed: Value) -> Any:
    """Return :class:`Controls` from the instruction and the sticky flag that it obeys."""
    controls = Signal(Controls)
    changes = ~((command.found_mode == FoundMode.OBEY) & obeyed)
    factors = controls.factors
    rate, momentum, decay, regularisation, inverse = (_scalar(m, command[f"scalar{n}"]) for n in range(5))
    m.d.comb += [
        controls.drains.eq(command.op == VectorOp.DRAIN),
        controls.applies.eq(command.op == VectorOp.APPLY),
        controls.derives.eq(command.op == VectorOp.GRADIENT),
        controls.affine.eq(has(command, VectorFlag.AFFINE)),
        controls.residual.eq(has(command, VectorFlag.RESIDUAL)),
        controls.masks.eq(has(command, VectorFlag.MASK)),
        controls.six.eq(has(command, VectorFlag.SIX)),
        controls.passing.eq(passing),
        controls.changes.eq(changes),
        *(factor.eq(ONE) for factor in factors),
    ]
    with m.If(passing[0]):
        m.d.comb += factors[0].eq(regularisation)
    with m.If(passing[1]):
        m.d.comb += [factors[0].eq(inverse), factors[1].eq(decay)]
    with m.If(passing[2] & changes):
        m.d.comb += factors[0].eq(momentum)
    with m.If(passing[3] & changes):
        m.d.comb += [factors[0].eq(rate), factors[0].number.sign.eq(~rate.number.sign)]
    return controls


def masked_half(m: Module, half: Any, by: Any, masked: Value, six: Value) -> Any:
    """Return fp16 if ``masked`` is clear or ``by`` above zero, with ``six`` below 6, else +0; NaN in its one form."""
    result = Signal(Half, name="gradient")
    kept = Mux(_is_nan(half), Const(_HALF_NAN, 16), half.as_value())
    m.d.comb += result.as_value().eq(Mux(masked & ~_passes(by, six), 0, kept))
    return result


def _passes(by: Any, six: Value) -> Value:
    """Whether fp16 is above zero, with ``six`` below 6; without the carry chains of comparisons."""
    # A magnitude of 6 has exponent 17 and the mantissa's top bit.
    reaches_six = by.exponent[4] & (by.exponent[1:4].any() | (by.exponent[0] & by.mantissa[-1]))
    return Cat(by.mantissa, by.exponent).any() & ~by.sign & ~_is_nan(by) & ~(six & reaches_six)


def _is_nan(half: Any) -> Value:
    return half.exponent.all() & half.mantissa.any()


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
