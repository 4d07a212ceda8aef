"""The processing element: select, multiply, accumulate, drain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Array, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.links import DrainLink, column_link, row_link
from gossamer_hw.numerics.adder import MAX_ADD_LATENCY, SingleAdder
from gossamer_hw.numerics.bits import register
from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.numerics.multiplier import HalfMultiplier

__all__ = ["ElementParameters", "ProcessingElement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementParameters:
    """What a processing element is built from.

    Members
    -------
    group
        Elements of a word, a power of two of at least 2.
    slots
        S, accumulators; a power of two.
    multiply_latency
        Registers from the input to the product, at least 2; the first stands behind the operand select.
    add_latency
        Length of the accumulate loop in cycles, from 1 to 7 and at most `slots`.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    group: int
    slots: int
    multiply_latency: int
    add_latency: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.group < 2 or self.group & (self.group - 1):
            raise ValueError(f"`group` must be a power of two of at least 2, not {self.group!r}")
        if self.slots < 1 or self.slots & (self.slots - 1):
            raise ValueError(f"`slots` must be a power of two, not {self.slots!r}")
        if self.multiply_latency < 2:
            raise ValueError(f"`multiply_latency` must be at least 2, not {self.multiply_latency!r}")
        longest = min(self.slots, MAX_ADD_LATENCY + 1)
        if not 1 <= self.add_latency <= longest:
            raise ValueError(f"`add_latency` must be from 1 to {longest}, not {self.add_latency!r}")

    @property
    def interleaves(self) -> tuple[int, ...]:
        """Numbers of slots that may take turns: powers of two from the adder's loop to all slots."""
        return tuple(1 << n for n in range(self.slots.bit_length()) if 1 << n >= self.add_latency)

    def sum_latency(self, interleave: int) -> int:
        """Cycles from a step at the input to its sum at ``drain_next`` when `interleave` slots take turns."""
        return self.multiply_latency + self.add_latency + 1 + interleave


class ProcessingElement(wiring.Component):
    """One multiply-add per cycle, ``acc = a.word[b.index] * b.value + (+0 if b.first else acc)``.

    The accumulators of the slots that take turns are the registers of the adder's loop. A product counts if ``a.valid``
    and ``b.valid`` are both set, else it is +0; so a bubble keeps every sum, as long as the turns go on.
    The sum of a step marked ``last`` leaves through the drain chain, whose delay per element is one cycle more than
    slots take turns: an element's own sums have just passed when those of the element above arrive.
    Fixed latency, one step per cycle, no flow control. One cycle of reset keeps all sums in flight from leaving, those
    of steps on their way down included; accumulators keep theirs until a chunk opens.

    Parameters
    ----------
    parameters
        Word, slots and pipeline depths.

    Members
    -------
    a, a_next : word from the left, to the right one cycle later.
    b, b_next : entry step from above, downwards one cycle later.
    drain, drain_next : chain from above, downwards.
    interleave
        Index in ``parameters.interleaves`` of the number of slots that take turns. Only where there is a choice;
        changes only while nothing is in flight.
    """

    def __init__(self, parameters: ElementParameters) -> None:
        self._parameters = parameters
        self._interleaves = parameters.interleaves
        group = parameters.group
        members: dict[str, wiring.Member] = {
            "a": In(row_link(group)),
            "a_next": Out(row_link(group)),
            "b": In(column_link(group)),
            "b_next": Out(column_link(group)),
            "drain": In(DrainLink),
            "drain_next": Out(DrainLink),
        }
        if len(self._interleaves) > 1:
            members["interleave"] = In(range(len(self._interleaves)))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the stages."""
        m = Module()
        m.submodules.multiplier = multiplier = HalfMultiplier(latency=self._parameters.multiply_latency - 1)
        m.submodules.adder = adder = SingleAdder(latency=self._parameters.add_latency - 1, subnormals=False)
        for source, output, name in ((self.a, self.a_next, "a_q"), (self.b, self.b_next, "b_q")):
            m.d.comb += output.eq(register(m, source, when=True, name=name))
        # A mark that outlived a reset would send a sum down a chain that expects none.
        last = Signal()
        m.d.sync += last.eq(self.b.last)
        m.d.comb += self.b_next.last.eq(last)
        self._select(m, multiplier)
        self._accumulate(m, multiplier, adder)
        self._drain(m, adder)
        return m

    def _select(self, m: Module, multiplier: HalfMultiplier) -> None:
        """Stage 1: one operand of the word."""
        word = Array(self.a.word[i].as_value() for i in range(self._parameters.group))
        for operand, value in ((multiplier.a, word[self.b.index]), (multiplier.b, self.b.value)):
            selected = Signal(operand.shape(), reset_less=True)
            m.d.sync += selected.eq(value)
            m.d.comb += operand.eq(selected)
        valid = Signal()
        m.d.sync += valid.eq(self.a.valid & self.b.valid)
        m.d.comb += multiplier.valid.eq(valid)

    def _accumulate(self, m: Module, multiplier: HalfMultiplier, adder: SingleAdder) -> None:
        """Stage 2: the loop. The register that hands a slot its sum back is cleared where its next chunk opens."""
        first = _delay(m, self.b.first, multiplier.latency, "first")[-1]
        history = _delay(m, adder.sum, self._interleaves[-1] - self._parameters.add_latency, "sum")
        accumulator = Signal(Relaxed, reset_less=True)
        m.d.sync += accumulator.eq(self._tap(history, [n - self._parameters.add_latency for n in self._interleaves]))
        with m.If(first):
            m.d.sync += accumulator.eq(Const({}, Relaxed))
        m.d.comb += [adder.a.eq(multiplier.product), adder.b.eq(accumulator)]

    def _drain(self, m: Module, adder: SingleAdder) -> None:
        """Stage 3: own sums into the chain, which is empty where they enter."""
        last = _delay(m, self.b.last, self._parameters.multiply_latency + adder.latency, "last")[-1]
        own = register(m, adder.sum, when=True, name="own")
        captured, occupied = Signal(), Signal()
        entering = Signal(Relaxed)
        m.d.sync += captured.eq(last)
        m.d.comb += [
            occupied.eq(captured | self.drain.valid),
            entering.eq(Mux(captured, own.as_value(), self.drain.sum.as_value())),
        ]
        outputs = ((entering, self.drain_next.sum, "chain_sum"), (occupied, self.drain_next.valid, "chain_valid"))
        for source, output, name in outputs:
            history = _delay(m, source, self._interleaves[-1] + 1, name)
            m.d.comb += output.eq(self._tap(history, [n + 1 for n in self._interleaves]))

    def _tap(self, history: Sequence[Any], delays: Sequence[int]) -> Value:
        if len(delays) == 1:
            return history[delays[0]]
        return Array(Value.cast(history[n]) for n in delays)[self.interleave]


def _delay(m: Module, value: Any, cycles: int, name: str) -> list[Any]:
    """Return `value` delayed by 0, 1, ... `cycles` cycles. Only single bits are reset."""
    history = [value]
    for n in range(cycles):
        delayed = Signal(value.shape(), name=f"{name}_{n}", reset_less=len(Value.cast(value)) > 1)
        m.d.sync += delayed.eq(history[-1])
        history.append(delayed)
    return history
