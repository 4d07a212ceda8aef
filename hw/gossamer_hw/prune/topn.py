"""The N largest of every M elements of a word, as entries."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.gemm.operands import entry_layout
from gossamer_hw.numerics.bits import register
from gossamer_hw.numerics.formats import Half
from gossamer_models.timing.prune import TOP_N_CYCLES

__all__ = ["GROUP", "TOP_MASK_MODULE", "TOP_N_MODULE", "TopMask", "TopN", "entries_layout", "word_layout"]

GROUP = 8
"""Elements of a word of the prune and vector engines; the networks alone take words of 16, too."""

TOP_N_MODULE = "gossamer_top_n"
TOP_MASK_MODULE = "gossamer_top_mask"


def word_layout(group: int = GROUP) -> data.ArrayLayout:
    """Layout of a word: ``group`` binary16 numbers."""
    return data.ArrayLayout(Half, group)


def entries_layout(group: int = GROUP) -> data.ArrayLayout:
    """Layout of what is left of a word: as many entries, valid ones first, in ascending order of their index."""
    return data.ArrayLayout(entry_layout(group), group)


class TopN(wiring.Component):
    """Keep the N largest magnitudes of every M consecutive elements, one word per cycle.

    Every pair of elements is compared once. An element's rank is the number of elements of its group that beat it:
    those that are larger, and equal ones of lower index; it is kept if its rank is below N. The order is that of the
    bits without the sign, so NaN > infinity > finite. Exactly :func:`gossamer_models.sparsity.compress`.

    Fixed latency, one word per cycle, no flow control. For words of eight 711 lookup tables and 474 flip-flops on
    UltraScale+, 150 MHz on ECP5 (Yosys, nextpnr). The mask alone (:class:`TopMask`) takes 403 and 300; by Batcher's
    sorting network it takes 917 and 1611.

    Parameters
    ----------
    group
        Elements of a word, 8 or 16.

    Members
    -------
    keep, of : N and M, 1 <= N <= M, M a power of two up to ``group``; constant while a word is inside.
    word : the elements.
    count : how many of them are real, the first ones; 0 to ``group``.
    entries : :attr:`latency` cycles after ``word``; an invalid entry is all zeros.
    """

    latency = TOP_N_CYCLES

    def __init__(self, group: int = GROUP) -> None:
        self._group = group
        super().__init__({**_inputs(group), "entries": Out(entries_layout(group))})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Compare, rank and place, gather."""
        m = Module()
        kept = _kept(m, self)
        before = [_population(m, list(kept[:i])) for i in range(self._group)]
        places = [_place(m, kept, before, k) for k in range(self._group)]
        word: Value = self.word.as_value()
        for n in (1, 2):
            word = register(m, word, when=True, name=f"word_{n}")
        word = data.View(word_layout(self._group), word)

        # Stage 3: entry k is none of the first k elements.
        for k, (entry, (valid, index)) in enumerate(zip(self.entries, places, strict=True)):
            m.d.sync += entry.eq(0)
            with m.If(valid):
                m.d.sync += [entry.value.eq(_choose(word, index, k)), entry.index.eq(index), entry.valid.eq(1)]
        return m


class TopMask(wiring.Component):
    """Which elements :class:`TopN` keeps, in its time.

    Members
    -------
    keep, of, word, count : as :class:`TopN` has them.
    kept : bit per element, :attr:`latency` cycles after ``word``.
    """

    latency = TopN.latency

    def __init__(self) -> None:
        super().__init__({**_inputs(GROUP), "kept": Out(GROUP)})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Compare, rank, wait."""
        m = Module()
        kept: Value = _kept(m, self)
        for n in range(self.latency - 1):
            kept = register(m, kept, when=True, name=f"kept_{n}")
        m.d.comb += self.kept.eq(kept)
        return m


def _inputs(group: int) -> dict[str, wiring.Member]:
    return {"keep": In(5), "of": In(5), "word": In(word_layout(group)), "count": In(range(group + 1))}


def _kept(m: Module, ports: Any) -> Signal:
    """Compare, a register, rank: which elements of the word one cycle ago are kept."""
    group = len(ports.word)
    levels = group.bit_length() - 1
    # Bit d: elements whose indices differ in bit d at most are of one group.
    same = Cat(ports.of[bit + 1 : levels + 1].any() for bit in range(levels))

    # Stage 1: every pair once; `higher` where the element of higher index beats the other.
    real = Cat(i < ports.count for i in range(group))
    higher: dict[tuple[int, int], Value] = {}
    for i, j in combinations(range(group), 2):
        larger = _magnitude(ports.word[j]) > _magnitude(ports.word[i])
        higher[i, j] = register(m, larger & real[j], when=True, name=f"higher_{i}_{j}")
    real = register(m, real, when=True, name="real")

    # Stage 2: ranks.
    kept = Signal(group)
    for i in range(group):
        beaten = [same[_level(i, j)] & higher[i, j] for j in range(i + 1, group)]
        beaten += [same[_level(i, j)] & ~higher[j, i] for j in range(i)]
        m.d.comb += kept[i].eq(real[i] & _below(_population(m, beaten), ports.keep))
    return kept


def _magnitude(element: Any) -> Value:
    return element.as_value()[:15]


def _level(i: int, j: int) -> int:
    """Highest bit in which two indices differ."""
    return (i ^ j).bit_length() - 1


def _choose(word: Any, index: Value, first: int) -> Value:
    """Return element `index` of a word, which lies at `first` or beyond."""
    group = len(word)
    bits = (group - 1 - first).bit_length()
    candidates = {i % (1 << bits): word[i].as_value() for i in range(first, group)}
    return Array(candidates.get(low, candidates[max(candidates)]) for low in range(1 << bits))[index[:bits]]


def _population(m: Module, bits: Sequence[Value]) -> Value:
    """Number of ones among up to 15 bits, by full adders of plain gates: carry chains are for longer numbers."""
    places = 3 if len(bits) < GROUP else 4
    columns: list[list[Value]] = [list(bits), *([] for _ in range(places - 1))]
    total = []
    for place, column in enumerate(columns):
        while len(column) > 1:
            x, y, z = (*column[:3], Const(0, 1))[:3]
            del column[:3]
            ones, twos = Signal(name="ones"), Signal(name="twos")
            m.d.comb += [ones.eq(x ^ y ^ z), twos.eq((x & y) | (z & (x | y)))]
            column.append(ones)
            columns[place + 1].append(twos)
        total += column or [Const(0, 1)]
    return Cat(total)


def _below(a: Value, b: Value) -> Value:
    """Whether `a` is a smaller number than `b`, of as many bits or more, in plain gates."""
    below: Value = Const(0, 1)
    for x, y in zip(a, b, strict=False):
        below = (~x & y) | (~(x ^ y) & below)
    return below | b[len(a) :].any()


def _place(m: Module, kept: Value, before: Sequence[Value], k: int) -> tuple[Signal, Signal]:
    """Whether more than `k` elements are kept, and the index of the one that `k` others precede; registered."""
    group = len(kept)
    valid, index = Signal(name=f"valid_{k}"), Signal(range(group), name=f"index_{k}")
    here = Signal(group, name=f"is_{k}")
    m.d.comb += [here[i].eq(kept[i] & (before[i] == k)) for i in range(k, group)]
    m.d.sync += valid.eq(here.any())
    bits = [Cat(here[i] for i in range(k, group) if i >> bit & 1).any() for bit in range(len(index))]
    m.d.sync += index.eq(Cat(bits))
    return valid, index
