"""A drain lane: accumulator bank and the adder in front of it."""

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.links import DrainLink
from gossamer_hw.numerics.adder import MAX_ADD_LATENCY, SingleAdder
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Single
from gossamer_hw.row_memory import RowMemory

__all__ = ["DrainLane", "drain_target", "lane_latency"]


def drain_target(words: int) -> data.StructLayout:
    """Where the value of a drain chain goes: ``address`` and whether to ``accumulate`` there or store."""
    return data.StructLayout({"address": range(words), "accumulate": 1})


def lane_latency(add_latency: int) -> int:
    """Cycles from a value at the end of the chain until its bank holds the result."""
    return 1 + add_latency


class DrainLane(wiring.Component):
    """``bank[target.address] = link.sum + (bank[target.address] if target.accumulate else +0)``.

    The bank is two memories with one read and one write port each, told apart by the highest address bit, so that one
    can be read from outside while values go to the other; this lane is their only writer. One value per cycle, fixed
    latency, no flow control: the bank holds the result :func:`lane_latency` cycles after ``link`` had the value. Two
    values of the same address must be at least as many cycles apart.

    Parameters
    ----------
    words
        Size of the bank in binary32 numbers, at least 2.
    add_latency
        Cycles from the adder's operands to the bank, from 1 to 7.

    Members
    -------
    link : value from the drain chain.
    target, target_next : its place; the next column's lane takes it over one cycle later.
    address, data
        The bank read from outside: ``data`` is the number at the ``address`` of the cycle before, undefined if
        ``link`` had a value for the same memory then.

    Raises
    ------
    ValueError
        `words` or `add_latency` is out of range.
    """

    def __init__(self, *, words: int, add_latency: int) -> None:
        if words < 2:
            raise ValueError(f"`words` must be at least 2, not {words!r}")
        if not 1 <= add_latency <= MAX_ADD_LATENCY + 1:
            raise ValueError(f"`add_latency` must be from 1 to {MAX_ADD_LATENCY + 1}, not {add_latency!r}")
        self._words = words
        self._add_latency = add_latency
        super().__init__(
            {
                "link": In(DrainLink),
                "target": In(drain_target(words)),
                "target_next": Out(drain_target(words)),
                "address": In(range(words)),
                "data": Out(Single),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the stages."""
        m = Module()
        m.submodules.adder = adder = SingleAdder(latency=self._add_latency - 1, late=True)
        m.d.sync += self.target_next.eq(self.target)

        # Stage 1: what the bank holds.
        chunk, accumulate = Signal(DrainLink), Signal()
        m.d.sync += [chunk.eq(self.link), accumulate.eq(self.target.accumulate)]
        banks = self._halves(m)
        reads = [bank.read_data for bank in banks]

        # Stage 2: the sum. A chunk's sum is never -0, so adding +0 is storing it.
        place, outside = self.target_next.address[-1], Signal()
        m.d.sync += outside.eq(self.address[-1])
        found, held, result = Signal(Single), Signal(Single), Signal(Single)
        m.d.comb += [
            self.data.eq(Mux(outside, reads[1], reads[0])),
            found.eq(Mux(place, reads[1], reads[0])),
            held.eq(Mux(accumulate, found.as_value(), Const(0, 32))),
            adder.a.eq(chunk.sum),
            adder.b.eq(relax(m, held)),
            result.eq(canonical(m, adder.sum)),
        ]
        enable, address = chunk.valid, self.target_next.address
        for n in range(adder.latency):
            enable, address = self._delay(m, enable, f"enable_{n}"), self._delay(m, address, f"address_{n}")
        for half, bank in enumerate(banks):
            m.d.comb += [
                bank.write_mask.eq(enable & (address[-1] == half)),
                bank.write_address.eq(address[:-1]),
                bank.write_data.eq(result),
            ]
        return m

    def _halves(self, m: Module) -> list[RowMemory]:
        """Build both memories, read by the drain or from outside."""
        banks = []
        lower = 1 << len(self.address) - 1
        for half, depth in enumerate((lower, self._words - lower)):
            m.submodules[f"bank_{half}"] = bank = RowMemory(unit_bits=Single.as_shape().size, depth=depth)
            drained = self.link.valid & (self.target.address[-1] == half)
            m.d.comb += [
                bank.read_enable.eq(1),
                bank.read_address.eq(Mux(drained, self.target.address[:-1], self.address[:-1])),
            ]
            banks.append(bank)
        return banks

    def _delay(self, m: Module, value: Any, name: str) -> Any:
        delayed = Signal(value.shape(), name=name)
        m.d.sync += delayed.eq(value)
        return delayed
