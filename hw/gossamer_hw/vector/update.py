"""Operands of UPDATE: four passes through the lanes for every group, one per cycle."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.formats import Single
from gossamer_hw.vector.ports import read_port
from gossamer_hw.vector.stream_channels import BLOCK
from gossamer_hw.vector.stream_lane import StreamLane
from gossamer_hw.vector.stream_pairs import groups_of
from gossamer_hw.vector.update_mask import SparseMask

__all__ = ["PASSES", "UpdateReader"]

PASSES = 4
"""Passes of a group: lambda w; g inverse + decay w + lambda w; momentum v + that; w - rate times that."""

_FEEDBACK_GROUPS = StreamLane.latency // PASSES


def _lead_groups(lanes: int) -> int:
    """Groups from a weight to the first pass: its whole block must have been ranked."""
    return BLOCK // lanes + 1


class UpdateReader(wiring.Component):
    """Reads weights, velocities and gradients, and tells the passes that work on them.

    Cycle 4 n + r behind the start belongs to pass r, of group n less a delay of its own: a pass takes the result of the
    one before straight from the lanes, :attr:`~gossamer_hw.vector.stream_lane.StreamLane.latency` cycles later.
    The weights are read twice, first ahead of the passes to find the largest ones, then for the last pass.

    Parameters
    ----------
    lanes
        L, a power of two from 1 to 64.
    lines
        Lines of VIN.

    Members
    -------
    start : begin; the inputs below are constant from now on to the end.
    count : elements of each operand.
    weights, velocities, gradients : their first lines.
    keep, of : N and M.
    vin : reads VIN.
    passing : a bit per pass: it gets its operands in this cycle.
    last : in the last two passes: the group is the last one.
    weight : in passes 0 and 1: the group's weights.
    line : the line that the pass asked for: gradients in pass 1, velocities in 2, weights in 3.
    kept : in pass 0: the elements that are among the N largest.
    final : the last group's last line is asked for; 4 (groups + lag) cycles after the start, where the lag is
        :func:`gossamer_models.timing.vector_stream.update_lag_groups`.
    """

    def __init__(self, *, lanes: int, lines: int) -> None:
        if StreamLane.latency % PASSES != 1:
            raise ValueError(f"a lane's latency must be 1 more than a multiple of {PASSES}, not {StreamLane.latency}")
        self._lanes = lanes
        lead = _lead_groups(lanes)
        self._delays = (0, lead, lead + _FEEDBACK_GROUPS, lead + 2 * _FEEDBACK_GROUPS)
        singles = data.ArrayLayout(Single, lanes)
        super().__init__(
            {
                "start": In(1),
                "count": In(32),
                "weights": In(range(lines)),
                "velocities": In(range(lines)),
                "gradients": In(range(lines)),
                "keep": In(5),
                "of": In(5),
                "vin": Out(read_port(lines, 32 * lanes)),
                "passing": Out(PASSES),
                "last": Out(1),
                "weight": Out(singles),
                "line": Out(singles),
                "kept": Out(lanes),
                "final": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk, then keep the weights until their block is ranked."""
        m = Module()
        reading, step, group = self._walk(m)
        arriving = Signal.like(reading)
        m.d.sync += arriving.eq(reading)
        line = Signal.like(self.line.as_value(), reset_less=True)
        with m.If(arriving.any()):
            m.d.sync += line.eq(self.vin.data)
        m.d.comb += self.line.eq(line)
        self._first_pass(m, arriving, step, group)
        return m

    def _walk(self, m: Module) -> tuple[Value, Value, Value]:
        """Ask for lines; return which pass has asked for one, the step, and the number of the group of pass 0."""
        active, step, n = Signal(), Signal(range(PASSES)), Signal(signed(34))
        groups, last_n = Signal(32), Signal(33)
        m.d.sync += [
            groups.eq(groups_of(self.count, self._lanes)),
            last_n.eq(groups_of(self.count, self._lanes) + self._delays[-1] - 1),
        ]
        reading, asked_last = Signal(PASSES), Signal()
        exists, within = self._exists(m, n, groups, step)
        sources = (self.weights, self.gradients, self.velocities, self.weights)
        base = Signal.like(self.vin.address)
        for r, (source, delay) in enumerate(zip(sources, self._delays, strict=True)):
            first, is_last = Signal.like(source, name=f"first_{r}"), Signal(name=f"is_last_{r}")
            # The number of pass 0 is new in its own step, but nobody asks for its last group.
            m.d.sync += [first.eq(source - delay), is_last.eq(n - delay + 1 == groups)]
            with m.If(active & (step == r)):
                m.d.comb += [reading[r].eq(exists[r]), asked_last.eq(is_last & (r > 0)), base.eq(first)]
        m.d.comb += [self.vin.enable.eq(reading.any()), self.vin.address.eq(base + n)]
        m.d.comb += self.final.eq(active & (step == PASSES - 1) & (n == last_n))
        with m.If(self.start):
            m.d.sync += [active.eq(1), step.eq(0), n.eq(0)]
        with m.Elif(active):
            m.d.sync += [step.eq(step + 1), n.eq(n + (step == PASSES - 1)), active.eq(~self.final)]
        passes, late_last = Signal(PASSES), Signal()
        # Pass 0 works on weights that were read long ago: it is there if pass 1 is.
        m.d.sync += [passes.eq(Cat(active & (step == 0) & within, reading[1:])), late_last.eq(asked_last)]
        m.d.sync += [self.passing.eq(passes), self.last.eq(late_last)]
        return reading, step, n

    def _exists(self, m: Module, n: Value, groups: Value, step: Value) -> tuple[Value, Value]:
        """Whether there is a group for each pass, from registers in its step; for pass 1 also at once."""
        exists = Signal(PASSES)
        within = [(n >= delay) & (n - delay < groups) for delay in self._delays[1:]]
        m.d.sync += exists[1:].eq(Cat(within))
        # Pass 0 comes with a new number: what it will be is known in the step before.
        with m.If(self.start):
            m.d.sync += exists[0].eq(self.count != 0)
        with m.Elif(step == PASSES - 1):
            m.d.sync += exists[0].eq(exists[0] & (n + 1 != groups))
        return exists, within[0]

    def _first_pass(self, m: Module, arriving: Value, step: Value, group: Value) -> None:
        """Weights and what is known of them, two cycles behind the walk's step 0."""
        lanes, lead = self._lanes, self._delays[1]
        m.submodules.mask = mask = SparseMask(lanes=lanes)
        arrived = Signal()
        m.d.sync += arrived.eq(arriving[0])
        m.d.comb += [
            mask.start.eq(self.start),
            mask.keep.eq(self.keep),
            mask.of.eq(self.of),
            mask.valid.eq(arrived),
            mask.weights.eq(self.line),
        ]
        depth = 1 << lead.bit_length()
        m.submodules.held = held = memory.Memory(shape=32 * lanes, depth=depth, init=[])
        write, read = held.write_port(), held.read_port(domain="sync")
        # The walk's step is 2 when a line of its step 0 has arrived. What has been kept is read two cycles before: its
        # block RAM is slow, and a register stands behind it.
        place = group[: depth.bit_length() - 1]
        weight = Signal.like(self.weight.as_value(), reset_less=True)
        m.d.sync += weight.eq(read.data)
        m.d.comb += [
            write.en.eq(arrived),
            write.addr.eq(place),
            write.data.eq(self.line.as_value()),
            read.en.eq(step == 0),
            read.addr.eq(place - lead),
            self.weight.eq(weight),
        ]
        row = Signal(range(BLOCK // lanes))
        with m.If(self.start):
            m.d.sync += row.eq(0)
        with m.Elif(self.passing[0]):
            m.d.sync += row.eq(0 if lanes == BLOCK else row + 1)
        m.d.comb += self.kept.eq(Mux(self.passing[0], mask.kept.word_select(row, lanes), 0))
