"""From runs to bursts."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS, BURST_BEATS, boundary_bytes
from gossamer_hw.dma.decoder import AXES, RUN_BITS, plan_layout
from gossamer_hw.dma.odometer import Odometer
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import MAX_DIMS, Load

__all__ = ["AXIS_INCREMENTS", "AXIS_SHAPES", "RequestWalker", "axis_amounts", "connect_dims", "within"]

MEMORY_SHAPE = signed(ADDRESS_BITS + 2)
AXIS_SHAPES = {f"axis{axis}": signed(26) for axis in range(AXES)}
AXIS_INCREMENTS = {"axis": unsigned(2), "weight": unsigned(16)}
_OUTSTANDING_BITS = 15
_RUN = data.StructLayout({"valid": 1, "address": MEMORY_SHAPE, "end": MEMORY_SHAPE, "beats": RUN_BITS})


class RequestWalker(wiring.Component):
    """Walks a transfer's runs and asks for their bursts.

    A run takes as many cycles as it has pieces; its bursts are asked for one after the other, from its first cycle on.
    The first address is on the bus four cycles behind ``start``. While an address waits for its acceptance, all waits.
    A burst never crosses a boundary of :func:`~gossamer_hw.axi.boundary_bytes`. About 2^14 bursts may be under way,
    more than any memory has cycles of latency.

    Parameters
    ----------
    width_bytes
        Bytes of a data word.

    Members
    -------
    start : begin with a transfer.
    operands, plan : the transfer; constant from ``start`` on, but for what a plan holds two cycles later.
    memory_bytes : size of DRAM.
    halt : ask for no further burst; what is on the bus stays there.
    clear : forget the transfer; only while nothing is on the bus.
    valid, ready, address, beats_last : address channel; the number of a burst's last beat.
    completed : a burst has ended.
    accepted : a burst's address is accepted in this cycle.
    idle : no burst is on the bus, none under way behind this cycle.
    leaves : the next run lies outside DRAM, at least in part; nothing further is asked for.
    """

    def __init__(self, *, width_bytes: int) -> None:
        self._width = width_bytes
        self._odometer = Odometer(
            values={"memory": MEMORY_SHAPE, **AXIS_SHAPES},
            increments={"memory": unsigned(32), **AXIS_INCREMENTS},
            amounts=lambda dim: {"memory": dim.memory, **axis_amounts(dim)},
        )
        super().__init__(
            {
                "start": In(1),
                "operands": In(operand_layout(Load)),
                "plan": In(plan_layout(width_bytes)),
                "memory_bytes": In(ADDRESS_BITS),
                "halt": In(1),
                "clear": In(1),
                "valid": Out(1),
                "ready": In(1),
                "address": Out(ADDRESS_BITS),
                "beats_last": Out(range(BURST_BEATS)),
                "completed": In(1),
                "accepted": Out(1),
                "idle": Out(1),
                "leaves": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk, measure a run, cut it into bursts."""
        m = Module()
        outstanding = Signal(_OUTSTANDING_BITS)
        go = Signal()
        m.d.comb += [
            self.accepted.eq(self.valid & self.ready),
            go.eq((~self.valid | self.ready) & ~outstanding[-1]),
            self.idle.eq(~self.valid & (outstanding == self.completed)),
        ]
        m.d.sync += outstanding.eq(outstanding + self.accepted - self.completed)
        run = self._walk(m, go)
        self._cut(m, go, run)
        return m

    def _walk(self, m: Module, go: Value) -> Any:
        """Go on to the next run when the pieces of one have had their cycles."""
        m.submodules.odometer = odometer = self._odometer
        connect_dims(m, odometer, self.operands)
        m.d.comb += [odometer.clear.eq(self.clear), odometer.start.eq(self.start), odometer.skip.eq(self.plan.in_run)]
        priming, active, take = Signal(), Signal(), Signal()
        left = Signal(RUN_BITS)
        m.d.comb += [take.eq(active & (left == 0) & go), odometer.advance.eq(take)]
        m.d.sync += priming.eq(self.start)
        with m.If(self.clear | self.start):
            m.d.sync += [active.eq(0), left.eq(0)]
        with m.Else():
            with m.If(priming):
                m.d.sync += active.eq(1)
            with m.Elif(take & (odometer.counting == 0)):
                m.d.sync += active.eq(0)
            with m.If(take):
                m.d.sync += left.eq(self.plan.run_last)
            with m.Elif((left != 0) & go):
                m.d.sync += left.eq(left - 1)
        return self._measure(m, go, take & within(m, odometer.position, self.operands))

    def _measure(self, m: Module, go: Value, take: Value) -> Any:
        """Hold a run in bounds for one cycle: its first address, its end, its data words."""
        address = self._odometer.position.memory
        run: Any = Signal(_RUN)
        log2_width = self._width.bit_length() - 1
        offset = address.as_unsigned()[:log2_width]
        with m.If(self.clear | self.start):
            m.d.sync += run.valid.eq(0)
        with m.Elif(go):
            m.d.sync += [
                run.valid.eq(take),
                run.address.eq(address),
                run.end.eq(address + self.plan.run_bytes),
                run.beats.eq((self.plan.run_bytes + offset + self._width - 1) >> log2_width),
            ]
        return run

    def _cut(self, m: Module, go: Value, run: Any) -> None:
        """Put a run's first burst on the bus, then what is left of it."""
        log2_width = self._width.bit_length() - 1
        boundary = boundary_bytes(self._width) // self._width
        place_bits = boundary.bit_length() - 1
        address = Signal(ADDRESS_BITS - log2_width)
        rest = Signal(RUN_BITS)
        m.d.comb += self.address.eq(Cat(Signal(log2_width), address))

        leaves, starts, continues = Signal(), Signal(), Signal()
        m.d.comb += [
            leaves.eq(run.valid & ((run.address < 0) | (run.end > self.memory_bytes))),
            starts.eq(run.valid & ~leaves & ~self.leaves & ~self.halt),
            continues.eq((rest != 0) & ~self.halt),
        ]
        room, wanted = Signal(range(boundary + 1)), Signal(RUN_BITS)
        first = run.address.as_unsigned()[log2_width:ADDRESS_BITS]
        beats = Signal(range(boundary + 1))
        m.d.comb += [
            room.eq(Mux(continues, boundary, boundary - first[:place_bits])),
            wanted.eq(Mux(continues, rest, run.beats)),
            beats.eq(Mux(wanted > room, room, wanted)),
        ]
        with m.If(self.clear | self.start):
            m.d.sync += [self.valid.eq(0), rest.eq(0), self.leaves.eq(0)]
        with m.Elif(go):
            m.d.sync += [
                self.valid.eq(starts | continues),
                rest.eq(wanted - beats),
                self.beats_last.eq(beats - 1),
                address.eq(Mux(continues, Cat(Signal(place_bits), address[place_bits:] + 1), first)),
            ]
            with m.If(~(starts | continues)):
                m.d.sync += rest.eq(0)
            with m.If(leaves):
                m.d.sync += self.leaves.eq(1)
        with m.Elif(self.ready):
            m.d.sync += self.valid.eq(0)


def within(m: Module, position: Any, operands: Any) -> Signal:
    """Whether all axes of a position lie within their bounds."""
    inside = Signal(name="inside")
    values = [(position[name], operands[f"{name}_bound"]) for name in AXIS_SHAPES]
    m.d.comb += inside.eq(Cat((value >= 0) & (value < bound) for value, bound in values).all())
    return inside


def axis_amounts(dim: Any) -> dict[str, Value]:
    """What an iteration of a dimension adds to each axis."""
    return {name: Mux(dim.axis == axis, dim.weight, 0) for axis, name in enumerate(AXIS_SHAPES)}


def connect_dims(m: Module, odometer: Odometer, operands: Any) -> None:
    """Give an odometer a transfer's counts, axes and places in DRAM."""
    m.d.comb += [
        odometer.base["memory"].eq(operands.mem_base),
        *(odometer.base[name].eq(operands[f"{name}_base"]) for name in AXIS_SHAPES),
    ]
    for k in range(MAX_DIMS):
        dim, increment = operands.dims[k], odometer.increment[k]
        m.d.comb += [
            odometer.count[k].eq(dim.count),
            increment["memory"].eq(dim.mem_stride),
            increment["axis"].eq(dim.axis),
            increment["weight"].eq(dim.weight),
        ]
