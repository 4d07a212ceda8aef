"""Exact sums of every channel, as many channels to a word of memory as get terms in a cycle."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.row_memory import NEVER_MEET
from gossamer_hw.vector.exact import (
    HALF_SCALE_BITS,
    HALF_SUM_BITS,
    HALF_TERM_BITS,
    LOW_BITS,
    TERM_BITS,
    added,
    open_layout,
    term_layout,
)
from gossamer_models.numerics.exact import ACCUMULATOR_BITS

__all__ = ["SUMS", "SumStore", "sums_layout", "terms_layout"]

SUMS = 2
"""Sums of a channel: of elements, and of products."""


def sums_layout(channels: int) -> data.StructLayout:
    """Layout of the exact sums of a block of channels.

    Members
    -------
    elements : sum of each channel's elements, in units of 2**-24.
    products : of each channel's products, in units of 2**-48; their carries have the same place.
    """
    elements, products = open_layout(HALF_SUM_BITS, LOW_BITS - HALF_SCALE_BITS), open_layout(ACCUMULATOR_BITS, LOW_BITS)
    return data.StructLayout(
        {"elements": data.ArrayLayout(elements, channels), "products": data.ArrayLayout(products, channels)}
    )


def terms_layout(channels: int, levels: int) -> data.StructLayout:
    """Layout of what is added to :func:`sums_layout`: sums of 2**``levels`` terms."""
    widths = {"elements": HALF_TERM_BITS + levels, "products": TERM_BITS + levels}
    return data.StructLayout({name: data.ArrayLayout(term_layout(bits), channels) for name, bits in widths.items()})


class SumStore(wiring.Component):
    """Adds terms to a block's sums, every cycle, any block.

    A block that has not been added to since ``clear`` holds zeros.

    Parameters
    ----------
    channels, blocks
        Channels of a block, and blocks.
    levels
        Logarithm of how many terms of a channel come together, as one number.

    Members
    -------
    clear : forget all sums.
    read, block : one cycle before ``terms`` and ``held``: which block.
    add : together with ``read``: there will be terms.
    terms : a term per sum.
    held : the block's sums before them, all earlier terms included.
    settled : like ``held``, without terms that came one cycle before; sooner in the cycle.
    """

    def __init__(self, *, channels: int, blocks: int, levels: int) -> None:
        self._blocks = blocks
        super().__init__(
            {
                "clear": In(1),
                "read": In(1),
                "add": In(1),
                "block": In(range(blocks)),
                "terms": In(terms_layout(channels, levels)),
                "held": Out(sums_layout(channels)),
                "settled": Out(sums_layout(channels)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Read, add, write back; a block that follows itself takes the sums that are on their way."""
        m = Module()
        layout = self.held.shape()
        # A block that is read while it is written is taken from `total`.
        m.submodules.sums = sums = memory.Memory(shape=layout.as_shape(), depth=self._blocks, init=[], attrs=NEVER_MEET)
        write, read = sums.write_port(), sums.read_port()
        written, known = Signal(self._blocks), Signal()
        adding, address, again = Signal(), Signal.like(self.block), Signal()
        m.d.comb += [read.en.eq(self.read), read.addr.eq(self.block)]
        m.d.sync += [
            adding.eq(self.add),
            known.eq(written.bit_select(self.block, 1)),
            again.eq(adding & (address == self.block)),
        ]
        with m.If(self.read):
            m.d.sync += address.eq(self.block)
        with m.If(self.clear):
            m.d.sync += written.eq(0)
        with m.Elif(self.add):
            # Not an assignment to one bit: Yosys makes a choice among all blocks of that for every bit.
            m.d.sync += written.eq(written | (1 << self.block))
        total, following = Signal(layout, reset_less=True), Signal(layout)
        m.d.comb += [
            self.settled.eq(Mux(known, read.data, 0)),
            self.held.eq(data.View(layout, Mux(again, total.as_value(), self.settled.as_value()))),
        ]
        for name in ("elements", "products"):
            for result, old, term in zip(following[name], self.held[name], self.terms[name], strict=True):
                m.d.comb += result.as_value().eq(added(old, term))
        m.d.sync += total.eq(following)
        m.d.comb += [write.en.eq(adding), write.addr.eq(address), write.data.eq(following.as_value())]
        return m
