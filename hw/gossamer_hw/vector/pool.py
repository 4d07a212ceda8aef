"""Pooling: the unit of the vector engine for windows."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring

from gossamer_hw.numerics.convert import relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.vector.pool_lanes import PoolLanes
from gossamer_hw.vector.pool_plan import PoolPlan, PoolShape
from gossamer_hw.vector.pool_walk import PoolWalker, place_layout
from gossamer_hw.vector.ports import borrower_members, unit_members
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import VectorOp
from gossamer_models.registers import Fault

__all__ = ["PoolUnit"]

_ROWS = 8
_ELEMENTS_OF_SAMPLE = 8
_ADDRESS_LATENCY = 3
_READ_LATENCY = 1
_ONE = {"number": {"exponent": 127}}


class PoolUnit(wiring.Component):
    """Executes MAX_POOL, MAX_POOL_GRADIENT, AVG_POOL and AVG_POOL_GRADIENT.

    Takes :func:`~gossamer_models.timing.vector_pool.pool_cycles` from ``start`` to ``done``. A part, P elements of one
    pixel, is read per cycle; the places of a window follow each other in order and four results take turns.
    MAX_POOL_GRADIENT walks part by part: first through the windows, whose winners (numbers of pixels) it keeps, then
    through the pixels.

    Beside what golden asks, `sample_period` must be a multiple of a slab of the result if `samples` is not 0 and
    there is more than one.

    Parameters
    ----------
    architecture
        Lanes and sizes of the vector buffers count.

    Members
    -------
    See :func:`~gossamer_hw.vector.ports.unit_members` and :func:`~gossamer_hw.vector.ports.borrower_members`.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._shape = PoolShape.of(architecture)
        self._plan = PoolPlan(self._shape)
        self._walker = PoolWalker(self._shape)
        self._lanes = PoolLanes(self._shape)
        super().__init__(unit_members(architecture) | borrower_members(self._shape.elements))

    @property
    def _tail(self) -> int:
        """Cycles from a place to the one in which its result is written."""
        return _ADDRESS_LATENCY + _READ_LATENCY + PoolLanes.sum_latency + 1

    @property
    def overhead(self) -> int:
        """Cycles of an instruction beyond those of its slabs."""
        return self._plan.latency + self._tail - 1

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the parts."""
        m = Module()
        m.submodules.plan, m.submodules.walker, m.submodules.lanes = self._plan, self._walker, self._lanes
        op = self.command.op
        self._backward, self._largest, self._twice = Signal(), Signal(), Signal()
        # Planning takes longer than a register.
        m.d.sync += [
            self._backward.eq((op == VectorOp.MAX_POOL_GRADIENT) | (op == VectorOp.AVG_POOL_GRADIENT)),
            self._largest.eq(op == VectorOp.MAX_POOL),
            self._twice.eq(op == VectorOp.MAX_POOL_GRADIENT),
        ]
        m.d.comb += [self._plan.start.eq(self.start), self._plan.command.eq(self.command)]
        self._finding = Signal()
        self._control(m)
        steps = self._read(m)
        self._compute(m, steps)
        self._write(m, steps)
        return m

    def _control(self, m: Module) -> None:
        """Slab after slab, in MAX_POOL_GRADIENT part after part."""
        walker, plan = self._walker, self._plan.plan
        waited = Signal(range(max(self._plan.latency, self._tail) + 1))
        failed = Signal(4)
        # A walk is chosen two cycles before it begins, and what it is made of is known a cycle before.
        m.d.sync += [
            walker.walk.eq(Mux(self._backward & ~self._finding, plan.backward.as_value(), plan.forward.as_value())),
        ]
        m.d.sync += walker.last_part.eq(Mux(self._twice, 0, plan.parts - 1))
        m.d.comb += walker.result_step.eq(Mux(self._twice, plan.parts, 1))
        more, fault = self._slabs(m)
        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.sync += [waited.eq(1), failed.eq(0)]
                with m.If(self.start):
                    m.next = "PLAN"
            with m.State("PLAN"):
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == self._plan.latency - 1):
                    m.d.sync += self._finding.eq(self._twice)
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "SLAB"
            with m.State("SLAB"):
                m.d.sync += [waited.eq(3), failed.eq(fault)]
                m.d.comb += walker.start.eq(more & (fault == 0))
                with m.If(walker.start):
                    m.next = "WALK"
                with m.Else():
                    m.next = "FINISH"
            with m.State("WALK"):
                with m.If(walker.final):
                    m.d.sync += [self._finding.eq(self._twice & ~self._finding), waited.eq(1)]
                    with m.If(self._finding):
                        m.next = "KEEP"
                    with m.Else():
                        m.next = "CHECK"
            with m.State("KEEP"):
                # The last winner is on its way.
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == PoolLanes.best_latency + 1):
                    m.d.comb += walker.start.eq(1)
                    m.next = "WALK"
            with m.State("FINISH"):
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == self._tail):
                    m.d.comb += [self.done.eq(1), self.fault.eq(failed)]
                    m.next = "IDLE"
        m.d.comb += self._plan_ready.eq(fsm.ongoing("PLAN"))

    def _slabs(self, m: Module) -> tuple[Value, Value]:
        """Addresses of the current slab, in parts; whether there is one, and what is wrong with it, a cycle later."""
        shape, plan, v, walker = self._shape, self._plan.plan, self.command, self._walker
        bits = _log2(2 * shape.elements)
        self._plan_ready = Signal(name="planning")
        self._map, self._windows = Signal(shape.part_bits + 1), Signal(shape.part_bits + 1)
        target, part = Signal(shape.part_bits + 1), Signal(shape.part_bits)
        left, position = Signal(32), Signal(32)
        self._rows = Signal(24)
        map_parts, window_parts = plan.map_parts, plan.window_parts
        result_parts = Mux(self._backward, map_parts, window_parts)
        slab_elements = result_parts << bits - 1
        ended, more_parts, new_rows = Signal(), Signal(), Signal()
        m.d.comb += ended.eq(walker.final & ~self._finding)
        # Constant while a slab or part is walked through.
        m.d.sync += [
            more_parts.eq(self._twice & (part + 1 != plan.parts)),
            new_rows.eq(position + slab_elements == v.sample_period),
        ]
        with m.If(self._plan_ready):
            m.d.sync += [
                self._map.eq(v.source0 >> bits), target.eq(0), part.eq(0), position.eq(0), self._rows.eq(v.samples),
                self._windows.eq(Mux(self._twice, v.source1, v.source0) >> bits), left.eq(v.count),
            ]  # fmt: skip
        with m.Elif(ended & more_parts):
            m.d.sync += part.eq(part + 1)
        with m.Elif(ended):
            m.d.sync += [
                part.eq(0), self._map.eq(self._map + map_parts), self._windows.eq(self._windows + window_parts),
                target.eq(target + result_parts), left.eq(left - slab_elements), position.eq(position + slab_elements),
            ]  # fmt: skip
            with m.If(new_rows):
                m.d.sync += [position.eq(0), self._rows.eq(Mux(self._rows > _ROWS, self._rows - _ROWS, 0))]
        m.d.comb += walker.result.eq(target + part)
        self._part = part
        reads_map, reads_windows = ~self._backward | self._twice, self._backward
        outside = Cat(
            reads_map & (self._map + map_parts > shape.vin_parts),
            reads_windows & (self._windows + window_parts > shape.vin_parts),
            (v.target0 >> bits) + target + result_parts > shape.vout_parts,
        ).any()
        more, fault = Signal(), Signal(4)
        m.d.sync += [more.eq(left != 0), fault.eq(Fault.NONE)]
        with m.If(plan.fault != 0):
            m.d.sync += fault.eq(plan.fault)
        with m.Elif((left != 0) & (left < slab_elements) | (v.samples != 0) & (position > v.sample_period)):
            m.d.sync += fault.eq(Fault.ILLEGAL)
        with m.Elif((left != 0) & outside):
            m.d.sync += fault.eq(Fault.BUFFER)
        return more, fault

    def _read(self, m: Module) -> list[Any]:
        """Read VIN; return each place as it was 0, 1, ... cycles ago, up to the one in which its result is written."""
        shape, walker, plan = self._shape, self._walker, self._plan.plan
        layout = data.StructLayout({"finding": 1, "rows": range(_ROWS + 1), "place": place_layout(shape)})
        steps: list[Any] = [Signal(layout, name="step")]
        m.d.comb += [
            steps[0].finding.eq(self._finding),
            steps[0].rows.eq(Mux((self.command.samples == 0) | (self._rows > _ROWS), _ROWS, self._rows)),
            steps[0].place.eq(walker.place),
        ]
        for n in range(1, self._tail):
            steps.append(Signal(layout, name=f"step_{n}"))
            m.d.sync += steps[n].eq(steps[n - 1])
        base = Mux(self._backward & ~self._finding, self._windows, self._map)
        offsets = [Signal(shape.part_bits, name=f"offset_{n}") for n in (1, 2)]
        product, address = Signal(shape.part_bits), Signal(shape.part_bits)
        m.d.sync += [
            offsets[0].eq(base + self._part + walker.place.part),
            offsets[1].eq(offsets[0]),
            product.eq(steps[1].place.pixel * plan.parts),
            address.eq(product + offsets[1]),
        ]
        within = _log2(shape.parts_per_line)
        m.d.comb += [
            self.vin.enable.eq(steps[_ADDRESS_LATENCY].place.counts),
            self.vin.address.eq(address >> within),
        ]
        self._within = Signal(max(within, 1))
        m.d.sync += self._within.eq(address[:within])
        return steps

    def _compute(self, m: Module, steps: list[Any]) -> None:
        """Give the lanes what was read, and keep the winners."""
        shape, lanes = self._shape, self._lanes
        winner = data.ArrayLayout(shape.pixel_bits, shape.elements)
        m.submodules.winners = winners = memory.Memory(shape=winner, depth=shape.pixels, init=[])
        reads, writes = winners.read_port(), winners.write_port()
        step = steps[_ADDRESS_LATENCY + _READ_LATENCY]
        found = steps[_ADDRESS_LATENCY + _READ_LATENCY + PoolLanes.best_latency]
        average = Signal(Relaxed)
        single = data.View(Single, self.command.scalar0)
        m.d.comb += [
            reads.en.eq(1),
            reads.addr.eq(steps[_ADDRESS_LATENCY].place.pixel),
            writes.en.eq(found.finding & found.place.exists & found.place.last),
            writes.addr.eq(found.place.own),
            writes.data.eq(lanes.best_place),
            average.eq(relax(m, single)),
            lanes.counts.eq(step.place.counts),
            lanes.first.eq(step.place.first),
            lanes.place.eq(step.place.pixel),
            lanes.own.eq(step.place.own),
            lanes.match.eq(self._twice & ~step.finding),
            lanes.halves.eq(self.vin.data.word_select(self._within, 16 * shape.elements)),
            lanes.winners.eq(reads.data),
            self.operands.eq(lanes.operands),
            lanes.lent.eq(self.lent),
        ]
        # Constant, but a multiplier takes it in the cycle in which it is looked at.
        m.d.sync += lanes.factor.eq(Mux(self._twice, Const(_ONE, Relaxed).as_value(), average.as_value()))

    def _write(self, m: Module, steps: list[Any]) -> None:
        """Mask results that are not real and write them."""
        shape, lanes = self._shape, self._lanes
        arrival = _ADDRESS_LATENCY + _READ_LATENCY
        best, summed = steps[arrival + PoolLanes.best_latency], steps[arrival + PoolLanes.sum_latency]
        step = Signal.like(best)
        halves = Signal(data.ArrayLayout(16, shape.elements))
        m.d.comb += [
            step.eq(Mux(self._largest, best.as_value(), summed.as_value())),
            halves.eq(Mux(self._largest, lanes.best.as_value(), lanes.sums.as_value())),
        ]
        within, masked = _log2(shape.parts_per_line), Signal.like(halves)
        # Numbers of elements within their pixel: eight of a sample follow each other, then the next sample's.
        for n in range(shape.elements):
            element = Cat(Const(n, _log2(shape.elements)), step.place.result)
            row = element[_log2(_ELEMENTS_OF_SAMPLE) :][:3]
            m.d.comb += masked[n].eq(Mux(row < step.rows, halves[n], 0))
        part_bytes = 2 * shape.elements
        lines = (self.command.target0 >> _log2(2 * shape.elements) + within) + (step.place.result >> within)
        m.d.sync += [
            self.vout.enable.eq(step.place.exists & step.place.last & ~step.finding),
            self.vout.address.eq(lines),
            self.vout.data.eq(masked.as_value().replicate(shape.parts_per_line)),
            self.vout.mask.eq(
                Cat(
                    (step.place.result[:within] == n).replicate(part_bytes) if within else Const(-1, part_bytes)
                    for n in range(shape.parts_per_line)
                )
            ),
        ]


def _log2(value: int) -> int:
    return value.bit_length() - 1
