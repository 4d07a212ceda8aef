"""Nested loops that add."""

from collections.abc import Callable, Mapping
from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Shape, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gossamer_models.isa.instructions import MAX_DIMS

__all__ = ["COUNT_BITS", "Odometer", "first_set"]

COUNT_BITS = 16
_INDEX_BITS = 3


class Odometer(wiring.Component):
    """Walks :data:`~gossamer_models.isa.instructions.MAX_DIMS` nested loops, dimension 0 innermost.

    Each value is base + sum(index * increment). Counters run one position ahead of the values, so that which dimension
    counts next comes from a register, and a step costs one choice and one addition.

    Parameters
    ----------
    values
        Name and shape of each value. A signed one that reaches the upper half of its positive range stays there, an
        unsigned one wraps.
    increments
        Name and shape of what a dimension brings along.
    amounts
        What an iteration adds to each value, given that of its dimension; nothing if all of it is zero.

    Members
    -------
    clear : the walk is over; before every ``start`` but the first.
    start : begin at index zero; the first position is there two cycles later.
    base, increment, count, skip
        Values of index zero; per dimension: what it brings along, iterations, and whether the dimension takes no part
        (one of at most one iteration must not). ``base`` counts in the cycle of ``start``, the others after it.
    advance : go on to the next position; not before the first one is there.
    position : values.
    counting : the dimension that the next step counts, one-hot; 0 at the last position.
    watch, index : dimension, and its index at this position, of which the low bits are given.
    """

    def __init__(
        self,
        *,
        values: Mapping[str, Shape],
        increments: Mapping[str, Shape],
        amounts: Callable[[Any], Mapping[str, Value]],
    ) -> None:
        self._values, self._amounts = dict(values), amounts
        layout = data.StructLayout(self._values)
        super().__init__(
            {
                "clear": In(1),
                "start": In(1),
                "base": In(layout),
                "increment": In(data.ArrayLayout(data.StructLayout(dict(increments)), MAX_DIMS)),
                "count": In(data.ArrayLayout(COUNT_BITS, MAX_DIMS)),
                "skip": In(MAX_DIMS),
                "advance": In(1),
                "position": Out(layout),
                "counting": Out(MAX_DIMS),
                "watch": In(range(MAX_DIMS)),
                "index": Out(_INDEX_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count, then add."""
        m = Module()
        self._count(m)
        self._add(m)
        return m

    def _count(self, m: Module) -> None:
        """Count one position ahead."""
        following = [Signal(COUNT_BITS, init=1, name=f"following_{k}") for k in range(MAX_DIMS)]
        priming, step, counting = Signal(), Signal(), Signal(MAX_DIMS)
        m.d.sync += priming.eq(self.start)
        m.d.comb += [
            step.eq(self.advance | priming),
            counting.eq(first_set(Cat(~self._ends(k, value) for k, value in enumerate(following)))),
        ]
        with m.If(self.clear):
            m.d.sync += self.counting.eq(0)
        with m.Elif(self.start):
            m.d.sync += [value.eq(1) for value in following]
        with m.Elif(step):
            m.d.sync += [
                self.counting.eq(counting),
                self.index.eq(Array(value[:_INDEX_BITS] for value in following)[self.watch] - 1),
            ]
            for k, value in enumerate(following):
                with m.If(counting[k]):
                    m.d.sync += value.eq(value + 1)
                with m.Elif(counting[k + 1 :].any()):
                    m.d.sync += value.eq(1)

    def _ends(self, k: int, following: Value) -> Value:
        return self.skip[k] | (following == self.count[k])

    def _add(self, m: Module) -> None:
        """Keep the values of each dimension's last step; those of the last step of all are the position.

        A dimension goes on from where all indices below it are zero: from the last step of that dimension or of one
        above. So a step's values are kept once, in the place of its dimension, and each dimension up to it notes the
        place.
        """
        layout = self.base.shape()
        m.submodules.kept = kept = memory.Memory(shape=layout, depth=MAX_DIMS, init=[])
        read, write = kept.read_port(domain="comb"), kept.write_port()
        places = [Signal(range(MAX_DIMS), name=f"place_{k}") for k in range(MAX_DIMS)]
        following: Any = Signal(layout)
        increment: Any = Signal(self.increment.shape().elem_shape)
        # The start is a step of the outermost dimension.
        stepped = Cat(
            self.start | Cat(self.counting[k] for k in range(MAX_DIMS) if k >> bit & 1).any()
            for bit in range(len(places[0]))
        )
        m.d.comb += [
            increment.eq(_one_of(self.counting, [self.increment[k].as_value() for k in range(MAX_DIMS)])),
            read.addr.eq(_one_of(self.counting, list(places))),
            write.addr.eq(stepped),
            write.en.eq(self.start | (self.advance & self.counting.any())),
            write.data.eq(following),
        ]
        amounts = self._amounts(increment)
        for name, shape in self._values.items():
            chosen, width = read.data[name], Shape.cast(shape).width
            total = chosen + amounts[name]
            if Shape.cast(shape).signed:
                total = Cat(total[: width - 2], Mux(chosen[-2] & ~chosen[-1], 1, total[width - 2 : width]))
            m.d.comb += following[name].eq(Mux(self.start, self.base[name].as_unsigned(), total[:width]))
        with m.If(write.en):
            m.d.sync += self.position.eq(following)
        for k, place in enumerate(places):
            with m.If(self.start | (self.advance & self.counting[k:].any())):
                m.d.sync += place.eq(stepped)


def _one_of(select: Value, values: list[Value]) -> Value:
    """The value whose bit is set, or 0."""
    chosen: Value = Const(0)
    for k, value in enumerate(values):
        chosen = chosen | (value.as_unsigned() & select[k].replicate(len(value)))
    return chosen


def first_set(bits: Value) -> Value:
    """Only the lowest of the bits that are set."""
    return bits & (Const(0, len(bits)) - bits)[: len(bits)]
