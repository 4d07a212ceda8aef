"""Sums of index x stride over nested loops, kept by one addition per iteration."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal, Value

__all__ = ["LoopCounter", "StridedSum"]


class LoopCounter:
    """Iterations left in nested loops, level 0 innermost.

    Parameters
    ----------
    counts : iterations of each level, at least 1.

    Members
    -------
    at_last : per level, 1 bit: the level is in its last iteration.
    finished : all levels are.
    """

    def __init__(self, m: Module, counts: Sequence[Value], *, name: str) -> None:
        self._counts = counts
        self._left = [Signal(len(count), name=f"{name}_left_{level}") for level, count in enumerate(counts)]
        self.at_last: list[Value] = [Signal(name=f"{name}_at_last_{level}") for level in range(len(counts))]
        self.finished = Signal(name=f"{name}_finished")
        m.d.comb += self.finished.eq(_all(self.at_last))

    def start(self, m: Module, counts: Sequence[Value] | None = None) -> None:
        """Begin a new run. `counts` are those of the run where they are not yet at their place."""
        for level, count in enumerate(counts or self._counts):
            m.d.sync += [self._left[level].eq(count), self.at_last[level].eq(count == 1)]

    def step(self, m: Module) -> None:
        """Go on to the next iteration."""
        for level, (left, count, at_last) in enumerate(zip(self._left, self._counts, self.at_last, strict=True)):
            with m.If(_all(self.at_last[:level])):
                m.d.sync += [left.eq(Mux(at_last, count, left - 1)), at_last.eq(Mux(at_last, count == 1, left == 2))]


class StridedSum:
    """``base + sum(index[level] * stride[level])`` that follows a :class:`LoopCounter`.

    Every level remembers the sum at its iteration's start, so that a step adds one stride to one of them,
    however deep the loops that wrap.

    Members
    -------
    value : the sum at the current iteration.
    following : the sum at the next one.
    """

    def __init__(self, m: Module, loops: LoopCounter, strides: Sequence[Any], shape: Any, *, name: str) -> None:
        width = Shape.cast(shape)
        self._loops = loops
        self._levels = [Signal(width, name=f"{name}_{level}") for level in range(len(strides))]
        self.value = self._levels[0]
        self.following = Signal(width, name=f"{name}_following")
        start: Value = self._levels[-1]
        stride = Value.cast(strides[-1])
        for level in reversed(range(len(strides) - 1)):
            start = Mux(loops.at_last[level], start, self._levels[level])
            stride = Mux(loops.at_last[level], stride, strides[level])
        m.d.comb += self.following.eq(start + stride)

    def start(self, m: Module, base: Any) -> None:
        """Begin at `base`."""
        m.d.sync += [level.eq(base) for level in self._levels]

    def step(self, m: Module) -> None:
        """Follow the loops to the next iteration."""
        for index, level in enumerate(self._levels):
            with m.If(_all(self._loops.at_last[:index])):
                m.d.sync += level.eq(self.following)


def _all(bits: Sequence[Value]) -> Value:
    result = Value.cast(1)
    for bit in bits:
        result = result & bit
    return result
