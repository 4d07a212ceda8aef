"""Consecutive words from several places into memory banks."""

from typing import Any

from amaranth.hdl import Array, Cat, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["WordWriter", "bank_layout"]


def bank_layout(shape: Any, *, address_bits: int) -> data.StructLayout:
    """Layout of a bank's write port: ``enable``, ``address``, ``word``."""
    return data.StructLayout({"enable": 1, "address": unsigned(address_bits), "word": shape})


class WordWriter(wiring.Component):
    """Write up to `lanes` consecutive words from each of `groups` sources.

    Word w of the memory lies in bank ``w % (groups * lanes)`` at address ``w // (groups * lanes)``. The sources must
    write consecutive runs, so that no bank is written twice in a cycle.

    Fixed latency, no flow control.

    Parameters
    ----------
    shape
        Of a word.
    groups, lanes
        Powers of two.
    word_bits
        Width of a word's number.

    Members
    -------
    words, first, number : per source: its words, the number of the first one, and how many are written.
    banks : :attr:`latency` cycles later: what every bank writes.
    """

    def __init__(self, shape: Any, *, groups: int, lanes: int, word_bits: int) -> None:
        self._shape, self._groups, self._lanes = shape, groups, lanes
        self._lane_bits, self._group_bits = (lanes - 1).bit_length(), (groups - 1).bit_length()
        bank = bank_layout(shape, address_bits=word_bits - self._lane_bits - self._group_bits)
        super().__init__(
            {
                "words": In(data.ArrayLayout(data.ArrayLayout(shape, lanes), groups)),
                "first": In(data.ArrayLayout(word_bits, groups)),
                "number": In(data.ArrayLayout(range(lanes + 1), groups)),
                "banks": Out(data.ArrayLayout(bank, groups * lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from words to banks."""
        return 1 if self._groups == 1 else 2

    def elaborate(self, platform: Any) -> Elaboratable:
        """Rotate each source's words to their lanes; then, if there are several sources, choose one per bank."""
        m = Module()
        turned = [[self._turned(m, g, lane) for lane in range(self._lanes)] for g in range(self._groups)]
        if self._groups == 1:
            m.d.comb += [bank.eq(word) for bank, word in zip(self.banks, turned[0], strict=True)]
            return m

        # Stage 2: at most one source has a word for the bank.
        for number, bank in enumerate(self.banks):
            group, lane = divmod(number, self._lanes)
            candidates = [turned[g][lane] for g in range(self._groups)]
            here = Cat(c.enable & (c.address[: self._group_bits] == group) for c in candidates)
            chosen = Cat(
                Cat(here[g] for g in range(self._groups) if g >> bit & 1).any() for bit in range(self._group_bits)
            )
            m.d.sync += [
                bank.enable.eq(here.any()),
                bank.address.eq(Array(c.address[self._group_bits :] for c in candidates)[chosen]),
                bank.word.eq(Array(c.word for c in candidates)[chosen]),
            ]
        return m

    def _turned(self, m: Module, group: int, lane: int) -> Any:
        """Stage 1: the word that `lane` gets from a source, its address still counting the sources' banks."""
        first, number = self.first[group], self.number[group]
        low, high = first[: self._lane_bits], first[self._lane_bits :]
        turned: Any = Signal(bank_layout(self._shape, address_bits=len(high)), name=f"turned_{group}_{lane}")
        place = Signal(self._lane_bits, name=f"place_{group}_{lane}")
        m.d.comb += place.eq(lane - low)
        m.d.sync += [
            turned.enable.eq(place < number),
            turned.address.eq(high + Mux(lane < low, 1, 0)),
            turned.word.eq(_at(self.words[group], place)),
        ]
        return turned


def _at(words: Any, place: Value) -> Any:
    return Array(word for word in words)[place] if len(words) > 1 else words[0]
