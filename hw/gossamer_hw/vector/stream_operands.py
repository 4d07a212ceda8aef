"""What each operation gives the lanes to compute from."""

from dataclasses import dataclass
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
    command : operands of the instruction.
    passing : a bit per pass of UPDATE.
    skip : UPDATE leaves weights and velocities as they are.
    """

    command: Any
    passing: Value
    skip: Value

    @classmethod
    def of(cls, command: Any, passing: Value, obeyed: Value) -> "Controls":
        """Take them from the instruction and the sticky flag that it obeys."""
        return cls(command, passing, (command.found_mode == FoundMode.OBEY) & obeyed)


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
    """Return a lane's :class:`~gossamer_hw.vector.stream_lane.Terms`."""
    terms = Signal(Terms)
    command = controls.command
    m.d.comb += [
        terms.x0.eq(widen(m, inputs.halves[0])),
        terms.y0.eq(ONE),
        terms.x1.eq(MINUS_ZERO),
        terms.y1.eq(ONE),
        terms.u.eq(MINUS_ZERO),
    ]
    other, affine = widen(m, inputs.halves[1]), has(command, VectorFlag.AFFINE)
    with m.Switch(command.op):
        with m.Case(VectorOp.DRAIN):
            m.d.comb += terms.x0.eq(relax(m, inputs.single))
            with m.If(affine):
                m.d.comb += terms.x1.eq(inputs.parameters[0])
        with m.Case(VectorOp.APPLY):
            with m.If(affine):
                m.d.comb += [terms.y0.eq(inputs.parameters[0]), terms.x1.eq(inputs.parameters[1])]
            with m.If(has(command, VectorFlag.RESIDUAL)):
                m.d.comb += terms.u.eq(other)
        with m.Case(VectorOp.GRADIENT):
            with m.If(affine):
                m.d.comb += [
                    terms.y0.eq(inputs.parameters[0]),
                    terms.x1.eq(other),
                    terms.y1.eq(inputs.parameters[1]),
                    terms.u.eq(inputs.parameters[2]),
                ]
        with m.Case(VectorOp.UPDATE):
            _pass_terms(m, controls, inputs, terms)
    return terms


def _pass_terms(m: Module, controls: Controls, inputs: LaneInputs, terms: Any) -> None:
    """UPDATE, pass by pass; with ``skip`` the last two change nothing."""
    command = controls.command
    rate, momentum, decay, regularisation, inverse = (_scalar(m, command[f"scalar{n}"]) for n in range(5))
    line, weight = relax(m, inputs.line), relax(m, inputs.weight)
    minus_rate = Signal(Relaxed)
    m.d.comb += [minus_rate.eq(rate), minus_rate.number.sign.eq(~rate.number.sign)]
    with m.If(controls.passing[0]):
        # A kept weight's term is +0 even if lambda is infinite.
        with m.If(inputs.kept):
            m.d.comb += [terms.x0.eq(Const({}, Relaxed)), terms.y0.eq(Const({}, Relaxed))]
        with m.Else():
            m.d.comb += [terms.x0.eq(weight), terms.y0.eq(regularisation)]
    with m.If(controls.passing[1]):
        m.d.comb += [terms.x0.eq(line), terms.y0.eq(inverse), terms.x1.eq(weight), terms.y1.eq(decay)]
    with m.If(controls.passing[2]):
        m.d.comb += terms.x0.eq(line)
        with m.If(~controls.skip):
            m.d.comb += [terms.y0.eq(momentum), terms.x1.eq(inputs.feedback)]
    with m.If(controls.passing[3]):
        m.d.comb += [terms.x0.eq(MINUS_ZERO), terms.x1.eq(line)]
        with m.If(~controls.skip):
            m.d.comb += [terms.x0.eq(inputs.feedback), terms.y0.eq(minus_rate)]


def _scalar(m: Module, pattern: Value) -> Any:
    single = Signal(Single)
    m.d.comb += single.as_value().eq(Cat(pattern))
    return relax(m, single)
