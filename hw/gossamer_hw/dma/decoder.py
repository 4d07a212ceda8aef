"""What a transfer's dimensions make: atom, run, bounds, faults."""

from typing import Any

from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.instructions import MAX_DIMS, NO_INDEX, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.registers import FAULT_BITS, Fault
from gossamer_models.timing.dma import BLOCK_BYTES

__all__ = ["AXES", "RUN_BITS", "TransferDecoder", "conversions", "plan_layout"]

AXES = 3
RUN_BITS = 24

_SPAN_BITS = 36
_REACH_BITS = 44
_BLOCK_BITS = BLOCK_BYTES.bit_length() - 1


def plan_layout(width_bytes: int) -> data.StructLayout:
    """Layout of what the walkers take of a decoded transfer.

    Members
    -------
    in_atom, in_run : dimensions that take no part in the walk from atom to atom, from run to run.
    run_bytes : bytes of a run in DRAM.
    atom_last, run_last : number of an atom's, a run's, last piece.
    tail_last : number of the last byte in an atom's last piece, on its wider side.
    log2_piece : log2 of a piece's bytes in DRAM.
    indexed : the atoms are entries whose index is written too.
    """
    return data.StructLayout(
        {
            "in_atom": MAX_DIMS,
            "in_run": MAX_DIMS,
            "run_bytes": RUN_BITS,
            "atom_last": RUN_BITS,
            "run_last": RUN_BITS,
            "tail_last": range(width_bytes),
            "log2_piece": range(width_bytes.bit_length()),
            "indexed": 1,
        }
    )


class TransferDecoder(wiring.Component):
    """Looks at one dimension per cycle: two products make its extents, one what it spans on its axis.

    Parameters
    ----------
    architecture
        Buffer sizes and the port's width count.
    transfer
        :class:`~gossamer_models.isa.instructions.Load` or :class:`~gossamer_models.isa.instructions.Store`.
    allowed
        Buffers of the engine.

    Members
    -------
    start : look at a transfer, which is at the inputs from one cycle later on, for good.
    operands : the transfer; its dimensions are looked at when ``next_dim`` is over.
    dim, next_dim : dimension 0 behind the cycle of ``start``; each time ``next_dim`` is set, the following one.
    ready : set for one cycle, :attr:`latency` cycles behind ``start``.
    plan
        ``in_atom`` and ``in_run`` hold from ``ready`` on, the rest from two cycles later.
    fault : 0, or a code of :class:`~gossamer_models.registers.Fault`, from two cycles behind ``ready`` on.
    """

    latency = MAX_DIMS + 4

    def __init__(
        self, architecture: Architecture, *, transfer: type[Load] | type[Store], allowed: frozenset[Buffer]
    ) -> None:
        self._width = architecture.memory.port_bits // 8
        self._group = architecture.array.group
        self._loads = transfer is Load
        self._sizes = {buffer: buffer_bytes(architecture)[buffer] for buffer in sorted(allowed)}
        operands = operand_layout(transfer)
        super().__init__(
            {
                "start": In(1),
                "operands": In(operands),
                "dim": In(operands["dims"].shape.elem_shape),
                "next_dim": Out(1),
                "ready": Out(1),
                "plan": Out(plan_layout(self._width)),
                "fault": Out(FAULT_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Multiply, gather, choose; the stages are numbered from the cycle behind ``start``."""
        m = Module()
        phase = Signal(self.latency)
        m.d.sync += phase.eq(Cat(self.start, phase))
        gathering = Signal()
        m.d.comb += [
            self.next_dim.eq(phase[:MAX_DIMS].any()),
            gathering.eq(phase[1 : MAX_DIMS + 1].any()),
            self.ready.eq(phase[self.latency - 1]),
        ]
        gathered = self._gather(m, gathering)
        clipped = self._clipped(m, gathered.spans)
        self._check(m, gathered, self._choose(m, gathered, clipped))
        return m

    def _gather(self, m: Module, gathering: Value) -> "_Gathered":
        """Stages 1 to 8: products of a dimension; stages 2 to 9: sums over dimensions, and a record of each."""
        dim, p = self.dim, self.operands
        extent, reach, span = Signal(16 + RUN_BITS), Signal(16 + RUN_BITS), Signal(32)
        held: Any = Signal(dim.shape(), name="held")
        held_used = Signal()
        # One stride too many, taken off behind the register: multipliers are slow, and far from what feeds them.
        m.d.sync += [
            held.eq(dim),
            held_used.eq(_used(dim)),
            extent.eq(dim.count * dim.mem_stride[:RUN_BITS]),
            reach.eq(dim.count * dim.buf_stride),
            span.eq(dim.count * dim.weight),
        ]
        g = _Gathered()
        element_bytes = Array(Format(n).bytes if n in set(Format) else 0 for n in range(4))[p.format]
        widens, narrows = conversions(p, to_buffer=True)
        so_far = Signal(RUN_BITS)
        joins, follows = Signal(), Signal()
        m.d.comb += [
            joins.eq((held.mem_stride == so_far) & ~extent[RUN_BITS:].any()),
            follows.eq(held.buf_stride == Mux(widens, so_far << 1, Mux(narrows, so_far >> 1, so_far))),
        ]
        with m.If(self.start):
            m.d.sync += [g.reach.eq(0), *(total.eq(0) for total in g.spans)]
        with m.Elif(gathering):
            with m.If(held_used):
                m.d.sync += g.reach.eq(g.reach + (reach - held.buf_stride)[: len(reach)])
                with m.Switch(held.axis):
                    for axis, total in enumerate(g.spans):
                        with m.Case(axis):
                            m.d.sync += total.eq(total + (span - held.weight)[: len(span)])
            behind = Mux(held_used, extent[:RUN_BITS], so_far)
            record = {
                "joins": joins | ~held_used,
                "follows": follows | ~held_used,
                "top": (behind - 1)[:RUN_BITS],
            }
            m.d.sync += [so_far.eq(behind), *(g.records[-1][name].eq(value) for name, value in record.items())]
            m.d.sync += [g.records[k].eq(g.records[k + 1]) for k in range(MAX_DIMS - 1)]
        with m.Else():
            # The element's size is there one cycle behind `start`, its first use one later.
            m.d.sync += so_far.eq(g.memory_bytes)
        m.d.comb += [
            g.element_bytes.eq(element_bytes),
            g.memory_bytes.eq(Mux(widens, 2, Mux(narrows, 4, element_bytes))),
        ]
        return g

    def _clipped(self, m: Module, spans: list[Signal]) -> Signal:
        """Stage 10: axes on which some index is out of bounds; bit 3 stands for no axis."""
        p = self.operands
        clipped = Signal(AXES + 1)
        for axis, span in enumerate(spans):
            base, bound = p[f"axis{axis}_base"], p[f"axis{axis}_bound"]
            m.d.sync += clipped[axis].eq((base < 0) | (base + span >= bound))
        return clipped

    def _choose(self, m: Module, g: "_Gathered", clipped: Value) -> Signal:
        """Stage 11: which dimensions make an atom and a run; stages 12 and 13: into how many pieces they fall.

        Return the bytes of a run less one, from stage 12 on.
        """
        p, plan, width = self.operands, self.plan, self._width
        indexed = Signal()
        if self._loads:
            m.d.comb += indexed.eq((p.buffer == int(Buffer.B)) & (p.index_dim != NO_INDEX))
        run, atom = Signal(MAX_DIMS), Signal(MAX_DIMS)
        run_ends, atom_ends = Const(0, 1), Const(0, 1)
        # Of numbers less one, so that nothing is subtracted behind the choice.
        last_of_run, last_of_atom = Signal(RUN_BITS), Signal(RUN_BITS)
        m.d.comb += [last_of_run.eq(g.memory_bytes - 1), last_of_atom.eq(g.memory_bytes - 1)]
        for k, record in enumerate(g.records):
            used = _used(p.dims[k])
            clips = used & clipped.bit_select(p.dims[k].axis, 1)
            run_ends = run_ends | ~record.joins | clips
            atom_ends = atom_ends | run_ends | ~record.follows | (indexed & used & (p.index_dim == k))
            m.d.comb += [run[k].eq(~run_ends), atom[k].eq(~atom_ends)]
            with m.If(run[k]):
                m.d.comb += last_of_run.eq(record.top)
            with m.If(atom[k]):
                m.d.comb += last_of_atom.eq(record.top)
        atom_top, run_top = Signal(RUN_BITS), Signal(RUN_BITS)
        unused = Cat(~_used(p.dims[k]) for k in range(MAX_DIMS))
        m.d.sync += [
            plan.in_run.eq(run | unused),
            plan.in_atom.eq(atom | unused),
            plan.run_bytes.eq(run_top + 1),
            plan.indexed.eq(indexed),
            run_top.eq(last_of_run),
            atom_top.eq(last_of_atom),
        ]
        log2_width = width.bit_length() - 1
        log2_piece = Signal.like(plan.log2_piece)
        widens, _ = conversions(p, to_buffer=True)
        for bits in range(1, log2_width + 1):
            with m.If(atom_top[bits - 1 :].any() & ~(widens if bits == log2_width else Const(0))):
                m.d.comb += log2_piece.eq(bits)
        m.d.sync += [
            plan.log2_piece.eq(log2_piece),
            plan.tail_last.eq(Mux(widens, Cat(Const(1, 1), atom_top), atom_top)),
            plan.atom_last.eq(atom_top >> plan.log2_piece),
            plan.run_last.eq(run_top >> plan.log2_piece),
        ]
        return run_top

    def _check(self, m: Module, g: "_Gathered", run_top: Value) -> None:
        """Stages 10 to 13: faults that need no walk."""
        p, plan = self.operands, self.plan
        end = Signal(_REACH_BITS)
        m.d.sync += end.eq(p.buf_base + g.reach + g.element_bytes)
        outside = Signal()
        with m.Switch(p.buffer):
            for buffer, size in self._sizes.items():
                with m.Case(int(buffer)):
                    m.d.sync += outside.eq(end > size)
            with m.Default():
                m.d.sync += outside.eq(1)

        illegal = Signal()
        unconverted = p.transpose | p.format[1]
        m.d.sync += illegal.eq((p.format == 3) | (p.convert & unconverted) | self._illegal_options())

        # Both sides' low bits of all that counts beyond an atom; those beyond a run for whole blocks.
        low: Value = p.mem_base[:_BLOCK_BITS]
        low_buffer: Value = p.buf_base[:_BLOCK_BITS]
        blocks = p.mem_base[:_BLOCK_BITS] | ~run_top[:_BLOCK_BITS]
        for k in range(MAX_DIMS):
            memory, buffer = (p.dims[k][name][:_BLOCK_BITS] for name in ("mem_stride", "buf_stride"))
            beyond = (~plan.in_atom[k]).replicate(_BLOCK_BITS)
            low, low_buffer = low | (memory & beyond), low_buffer | (buffer & beyond)
            blocks = blocks | (memory & (~plan.in_run[k]).replicate(_BLOCK_BITS))
        low_bits, split = Signal(_BLOCK_BITS), Signal()
        widens, narrows = conversions(p, to_buffer=True)
        # In DRAM's bytes, which leave out the lowest bit where they are half as many.
        scaled = Mux(widens, Cat(low_buffer[1:], Const(0, 1)), Mux(narrows, Cat(Const(0, 1), low_buffer), low_buffer))
        odd = widens & low_buffer[0]
        m.d.sync += [low_bits.eq(low | scaled[:_BLOCK_BITS] | odd), split.eq(p.transpose & (blocks != 0))]
        misplaced = low_bits & ((Const(1, 8) << plan.log2_piece) - 1)[:_BLOCK_BITS]
        with m.If(illegal):
            m.d.sync += self.fault.eq(int(Fault.ILLEGAL))
        with m.Elif(outside):
            m.d.sync += self.fault.eq(int(Fault.BUFFER))
        with m.Elif(split | misplaced.any()):
            m.d.sync += self.fault.eq(int(Fault.ALIGNMENT))
        with m.Else():
            m.d.sync += self.fault.eq(int(Fault.NONE))

    def _illegal_options(self) -> Value:
        p = self.operands
        if not self._loads:
            return p.transpose
        count = Array(p.dims[k]["count"] for k in range(MAX_DIMS))[p.index_dim[:3]]
        no_index = p.index_dim[3] | (count == 0) | (count > self._group) | (p.index_high != NO_INDEX)
        return (p.transpose & (p.format != int(Format.FP16))) | (self.plan.indexed & no_index)


def conversions(operands: Any, *, to_buffer: bool) -> tuple[Value, Value]:
    """Whether elements are widened, and whether they are narrowed, on their way to the buffer or to DRAM."""
    single = operands.format[0]
    to_single = single if to_buffer else ~single
    return operands.convert & to_single, operands.convert & ~to_single


def _used(dim: Any) -> Value:
    """Whether a dimension has more than one iteration."""
    return dim.count[1:].any()


class _Gathered:
    """Sums over dimensions, and what is kept of each."""

    def __init__(self) -> None:
        record = data.StructLayout(
            {
                "joins": 1,
                "follows": 1,
                "top": RUN_BITS,
            }
        )
        self.records: list[Any] = [Signal(record, name=f"record_{k}") for k in range(MAX_DIMS)]
        self.spans = [Signal(_SPAN_BITS, name=f"span_{axis}") for axis in range(AXES)]
        self.reach = Signal(_REACH_BITS)
        self.element_bytes = Signal(3)
        self.memory_bytes = Signal(3)
