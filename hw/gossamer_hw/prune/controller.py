"""Which blocks are read when, and how many elements along the pruned axis are real in each."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_hw.prune.topn import GROUP
from gossamer_models.isa.instructions import Prune

__all__ = ["PruneController", "step_layout"]


def step_layout(groups: int, lanes: int) -> data.StructLayout:
    """Layout of one cycle's work on `groups` blocks side by side.

    Members
    -------
    active : rows are read.
    phase : which `lanes` rows of the blocks.
    last : they are the blocks' last ones.
    enable : per block: it exists; an instruction may end before the last one of a step.
    count : per block: real elements of its lines.
    final : last step of the instruction.
    """
    return data.StructLayout(
        {
            "active": 1,
            "phase": range(GROUP // lanes),
            "last": 1,
            "enable": data.ArrayLayout(1, groups),
            "count": data.ArrayLayout(range(GROUP + 1), groups),
            "final": 1,
        }
    )


class PruneController(wiring.Component):
    """Steps of a :class:`~gossamer_models.isa.instructions.Prune` without a gap, blocks in memory order.

    Parameters
    ----------
    groups
        Blocks side by side.
    lanes
        Rows of each block per cycle.
    block_bits
        Width of a number of blocks.

    Members
    -------
    start : begin; only while idle.
    refused : together with ``start``: there will be no step.
    instruction : constant from ``start`` until the ``final`` step.
    step : the first one comes :attr:`latency` cycles after ``start``.
    """

    def __init__(self, *, groups: int, lanes: int, block_bits: int) -> None:
        self._groups, self._lanes, self._block_bits = groups, lanes, block_bits
        super().__init__(
            {
                "start": In(1),
                "refused": In(1),
                "instruction": In(operand_layout(Prune)),
                "step": Out(step_layout(groups, lanes)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from the start to the first step: one for every block side by side."""
        return self._groups + 1

    def elaborate(self, platform: Any) -> Elaboratable:
        """Find the first blocks' places and the stride, then count."""
        m = Module()
        p, step, groups = self.instruction, self.step, self._groups
        plane, left = Signal(self._block_bits), Signal(self._block_bits)
        finding = Signal(range(groups + 1))
        phase = Signal.like(step.phase)
        advance = Signal()
        m.d.comb += [
            step.phase.eq(phase),
            step.last.eq(phase == GROUP // self._lanes - 1),
            advance.eq(step.active & step.last),
            step.final.eq(advance & (left <= groups)),
        ]
        m.d.sync += plane.eq(p.n1 * p.n0)
        with m.If(self.start):
            m.d.sync += finding.eq(Mux(self.refused, 0, groups))
        with m.Elif(finding != 0):
            m.d.sync += [finding.eq(finding - 1), left.eq(plane * p.n2)]
        with m.If(finding == 1):
            m.d.sync += step.active.eq(1)
        with m.Elif(step.final):
            m.d.sync += step.active.eq(0)
        with m.If(step.active):
            m.d.sync += phase.eq(Mux(step.last, 0, phase + 1))
        with m.If(advance):
            m.d.sync += left.eq(left - groups)
        for g, count in enumerate(self._counts(m, finding, advance)):
            m.d.comb += [step.enable[g].eq(step.active & (left > g)), step.count[g].eq(count)]
        return m

    def _counts(self, m: Module, finding: Value, advance: Value) -> list[Value]:
        """Real elements per block side by side.

        The stride first counts blocks one by one up to their number, and gives every block its first place on the way.
        """
        p = self.instruction
        one_block = (p.n0 != 1, (p.n0 == 1) & (p.n1 != 1))
        stride = _Place(p, name="stride")
        following = stride.behind(m, *one_block)
        with m.If(self.start):
            m.d.sync += stride.at(0, 0)
        with m.Elif(finding != 0):
            m.d.sync += stride.at(*following)
        counts = []
        for g in range(self._groups):
            place = _Place(p, name=f"block_{g}")
            following = place.behind(m, stride.i0, stride.i1)
            with m.If(finding == self._groups - g):
                m.d.sync += place.at(stride.i0, stride.i1)
            with m.Elif(advance):
                m.d.sync += place.at(*following)
            counts.append(place.count())
        return counts


class _Place:
    """Indices of a block in n0 and n1, or a distance in them."""

    def __init__(self, instruction: Any, *, name: str) -> None:
        self._p = instruction
        self._name = name
        self.i0, self.i1 = Signal(16, name=f"{name}_i0"), Signal(16, name=f"{name}_i1")

    def at(self, i0: Any, i1: Any) -> list[Any]:
        """Assign indices."""
        return [self.i0.eq(i0), self.i1.eq(i1)]

    def behind(self, m: Module, d0: Value, d1: Value) -> tuple[Value, Value]:
        """Return the indices at a distance; those of n0 carry, those of n1 wrap."""
        carry, i0 = _wrapped(m, self.i0 + d0, self._p.n0, name=f"{self._name}_next_i0")
        # Both sums of n1, so that neither waits for the carry.
        _, still = _wrapped(m, self.i1 + d1, self._p.n1, name=f"{self._name}_still_i1")
        _, counted = _wrapped(m, self.i1 + d1 + 1, self._p.n1, name=f"{self._name}_counted_i1")
        return i0, Mux(carry, counted, still)

    def count(self) -> Value:
        """Real elements along the axis in the block's lines."""
        p = self._p
        index = Mux(p.axis, self.i0, self.i1)
        full, rest = p.valid[3:], p.valid[:3]
        return Mux(index < full, GROUP, Mux(index == full, rest, 0))


def _wrapped(m: Module, total: Value, size: Value, *, name: str) -> tuple[Value, Value]:
    """Whether a sum below twice `size` reaches it, and what it is modulo `size`."""
    reached, rest = Signal(name=f"{name}_reached"), Signal(16, name=name)
    m.d.comb += [reached.eq(total >= size), rest.eq(Mux(reached, total - size, total))]
    return reached, rest
