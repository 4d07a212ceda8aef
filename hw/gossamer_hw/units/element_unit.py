"""A processing element with IEEE numbers at its ports."""

from typing import Any

from amaranth.hdl import Elaboratable, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.element import ElementParameters, ProcessingElement
from gossamer_hw.numerics.convert import canonical, normalise_half
from gossamer_hw.numerics.formats import Half, Single

__all__ = ["ElementUnit"]


class ElementUnit(wiring.Component):
    """``sum = word[index] * value + ...`` over the steps of a chunk, for as many chunks at a time as slots take turns.

    A chunk's steps are as many cycles apart as slots take turns; every cycle is one slot's turn. A step whose
    ``word_valid`` or ``entry_valid`` is clear adds +0. The fp16 products are exact, sums are fp32, in order.

    Parameters
    ----------
    parameters
        Of the element; one choice of interleave only.

    Members
    -------
    word, word_valid : the A word.
    value, index, entry_valid : the entry.
    first, last : the step opens or closes its slot's chunk.
    sum, valid : a chunk has closed; ``parameters.sum_latency`` cycles after its last step.

    Raises
    ------
    ValueError
        The element has several interleaves.
    """

    def __init__(self, parameters: ElementParameters) -> None:
        if len(parameters.interleaves) > 1:
            raise ValueError(f"`parameters` must leave one interleave, not {parameters.interleaves}")
        self._parameters = parameters
        super().__init__(
            {
                "word": In(data.ArrayLayout(Half, parameters.group)),
                "value": In(Half),
                "index": In(range(parameters.group)),
                "word_valid": In(1),
                "entry_valid": In(1),
                "first": In(1),
                "last": In(1),
                "sum": Out(Single),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Convert what goes in and what comes out."""
        m = Module()
        m.submodules.element = element = ProcessingElement(self._parameters)
        m.d.comb += [
            *(element.a.word[i].eq(normalise_half(m, self.word[i])) for i in range(self._parameters.group)),
            element.a.valid.eq(self.word_valid),
            element.b.value.eq(normalise_half(m, self.value)),
            element.b.index.eq(self.index),
            element.b.valid.eq(self.entry_valid),
            element.b.first.eq(self.first),
            element.b.last.eq(self.last),
            self.sum.eq(canonical(m, element.drain_next.sum)),
            self.valid.eq(element.drain_next.valid),
        ]
        return m
