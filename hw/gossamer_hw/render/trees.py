"""Trees: sums of products, searches in lists of coordinates, and one structure for both."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.bits import delayed, register
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.verilog import written_once
from gossamer_models.timing.render_units import ADD_CYCLES, list_search_cycles, tree_cycles

__all__ = ["DualTree", "ListSearch", "SumTree", "add"]


class SumTree(wiring.Component):
    """``sum`` of terms by neighbours, pairs of neighbours and so on, filled up with +0 to a power of two.

    The order of :func:`gossamer_models.render.interpolate.tree_sum`. The terms are products of fp16 numbers, so that
    no sum is subnormal. Fixed latency, one sum per cycle, no flow control, no reset.

    Parameters
    ----------
    terms
        How many, from 2.

    Members
    -------
    terms : fp32.
    sum : :attr:`latency` cycles later.

    Raises
    ------
    ValueError
        `terms` is out of range.
    """

    def __init__(self, *, terms: int) -> None:
        if terms < 2:
            raise ValueError(f"`terms` must be at least 2, not {terms!r}")
        self._count = terms
        super().__init__({"terms": In(data.ArrayLayout(Single, terms)), "sum": Out(Single)})

    @property
    def latency(self) -> int:
        """Cycles from the terms to their sum."""
        return tree_cycles(self._count)

    @written_once("_count")
    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the levels; what has no neighbour is added to +0, which makes it wait as long."""
        m = Module()
        level: list[Any] = [relax(m, term) for term in self.terms]
        number = 0
        while len(level) > 1:
            level += [Const({}, Relaxed)] * (len(level) % 2)
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [add(m, a, b, f"sum_{number}_{n}") for n, (a, b) in enumerate(pairs)]
            number += 1
        m.d.comb += self.sum.eq(canonical(m, level[0]))
        return m


class ListSearch(wiring.Component):
    """Whether an ascending list of coordinates holds the one asked for, and where.

    A binary search, laid out in time: every level compares with the middle of what is left of the list, and drops half
    of it. Fixed latency, one query in one list per cycle, no flow control, no reset.

    Parameters
    ----------
    slots
        Of the longest list, a power of two from 2.
    bits
        Of a coordinate, from 1.

    Members
    -------
    coordinates, count : the list, ascending; those from ``count`` on do not count.
    query : the coordinate asked for.
    present : the list holds it, :attr:`latency` cycles later.
    place : where, meaningless otherwise.

    Raises
    ------
    ValueError
        `slots` or `bits` is out of range.
    """

    def __init__(self, *, slots: int, bits: int) -> None:
        _check(slots, bits)
        self._slots = slots
        super().__init__(_search_members(slots, bits))

    @property
    def latency(self) -> int:
        """Cycles from a query to its answer."""
        return list_search_cycles(self._slots)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Compare, halve, register; the last comparison is for equality."""
        m = Module()
        keys, query = _keys(self.coordinates, self.count), self.query
        turns: list[Value] = []
        while len(keys) > 1:
            upper = _reached(query, keys[1])
            chosen = [Mux(upper, b, a) for a, b in zip(keys[::2], keys[1::2], strict=True)]
            level = len(turns)
            turns = [register(m, turn, when=True, name=f"turn_{level}_{n}") for n, turn in enumerate([*turns, upper])]
            keys = [register(m, key, when=True, name=f"key_{level}_{n}") for n, key in enumerate(chosen)]
            query = register(m, query, when=True, name=f"query_{level}")
        m.d.sync += [self.present.eq(_equal(query, keys[0])), self.place.eq(Cat(reversed(turns)))]
        return m


class DualTree(wiring.Component):
    """A tree of adders in which every node can pass one of its operands on: sums and searches in one structure.

    Summing, it is a :class:`SumTree`. Searching, it is a :class:`ListSearch`: leaves are the coordinates instead of the
    terms, each level compares the query with the middle of what is left and lets half of it through. The comparisons
    are those of a search from the root down; laid along the levels of adders they flow the same way as sums, take the
    same time, and the use may change from cycle to cycle.

    Fixed latency, one sum or query per cycle, no flow control, no reset.

    Parameters
    ----------
    terms
        Of a sum, and slots of the longest list, a power of two from 2.
    bits
        Of a coordinate, 1 to 22.

    Members
    -------
    search : this cycle's use: search instead of sum.
    terms, sum : as :class:`SumTree` has them.
    coordinates, count, query, present, place : as :class:`ListSearch` has them, but :attr:`latency` cycles apart.

    Raises
    ------
    ValueError
        `terms` or `bits` is out of range.
    """

    def __init__(self, *, terms: int, bits: int) -> None:
        _check(terms, bits, most=_MANTISSA - 1)
        self._count = terms
        self._bits = bits
        sums = {"search": In(1), "terms": In(data.ArrayLayout(Single, terms)), "sum": Out(Single)}
        super().__init__(sums | _search_members(terms, bits))

    @property
    def latency(self) -> int:
        """Cycles from the terms to their sum, from a query to its answer."""
        return tree_cycles(self._count)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the levels of nodes; the query, the use and the turns taken go along."""
        m = Module()
        keys = _keys(self.coordinates, self.count)
        level: list[Any] = [
            self._leaf(m, term, key, n) for n, (term, key) in enumerate(zip(self.terms, keys, strict=True))
        ]
        along: Value = Cat(self.query, self.search)
        turns: list[Value] = []
        while len(level) > 1:
            query, search, number = along[: self._bits], along[self._bits], len(turns)
            upper = Signal(name=f"upper_{number}")
            m.d.comb += upper.eq(_reached(query, self._key(level[1])))
            pairs = zip(level[::2], level[1::2], strict=True)
            level = [add(m, a, b, f"node_{number}_{n}", choice=(search, upper)) for n, (a, b) in enumerate(pairs)]
            turns = [delayed(m, turn, ADD_CYCLES, name=f"turn_{number}_{n}") for n, turn in enumerate([*turns, upper])]
            along = delayed(m, along, ADD_CYCLES, name=f"along_{number}")
        m.d.comb += [
            self.sum.eq(canonical(m, level[0])),
            self.present.eq(_equal(along[: self._bits], self._key(level[0]))),
            self.place.eq(Cat(reversed(turns))),
        ]
        return m

    def _leaf(self, m: Module, term: Any, key: Value, n: int) -> Any:
        """Return a term, or a normal number whose mantissa begins with the key."""
        leaf = Signal(Relaxed, name=f"leaf_{n}")
        low = _MANTISSA - len(key)
        m.d.comb += leaf.eq(relax(m, term))
        with m.If(self.search):
            m.d.comb += [
                leaf.number.mantissa[low:].eq(key),
                leaf.number.exponent[0].eq(1),
                leaf.number.exponent[-1].eq(0),
            ]
        return leaf

    def _key(self, node: Any) -> Value:
        key: Value = node.number.mantissa[_MANTISSA - self._bits - 1 :]
        return key


_MANTISSA = 23


def add(m: Module, a: Any, b: Any, name: str, *, choice: tuple[Value, Value] | None = None) -> Any:
    """Return a + b, which are no subnormal numbers, `ADD_CYCLES` later.

    With a ``choice`` of (select, second), one of them instead where ``select`` is set.
    """
    m.submodules[name] = adder = SingleAdder(latency=ADD_CYCLES - 1, subnormals=False, selects=choice is not None)
    m.d.comb += [adder.a.eq(a), adder.b.eq(b)]
    if choice is not None:
        m.d.comb += Cat(adder.select, adder.second).eq(Cat(choice))
    return register(m, adder.sum, when=True, name=f"{name}_q")


def _search_members(slots: int, bits: int) -> dict[str, Any]:
    return {
        "coordinates": In(data.ArrayLayout(bits, slots)),
        "count": In(range(slots + 1)),
        "query": In(bits),
        "present": Out(1),
        "place": Out(range(slots)),
    }


def _check(slots: int, bits: int, most: int | None = None) -> None:
    if slots < 2 or slots & (slots - 1):
        raise ValueError(f"a tree of coordinates must have a power of two of slots, not {slots!r}")
    if bits < 1 or (most is not None and bits > most):
        raise ValueError(f"`bits` must be at least 1{f' and at most {most}' if most else ''}, not {bits!r}")


def _keys(coordinates: Any, count: Value) -> Sequence[Value]:
    """Return the coordinates, each below a bit that says that it does not count, in the order of the leaves.

    Leaves that meet first hold coordinates half a list apart: a leaf's number is that of its coordinate with the bits
    reversed. So a level's second node always holds the middle of what is left.
    """
    slots = len(coordinates)
    bits = (slots - 1).bit_length()
    order = [int(f"{leaf:0{bits}b}"[::-1], 2) for leaf in range(slots)]
    return [Cat(coordinates[n], count <= n) for n in order]


def _reached(query: Value, key: Value) -> Value:
    return ~key[-1] & (query >= key[:-1])


def _equal(query: Value, key: Value) -> Value:
    return ~key[-1] & (query == key[:-1])
