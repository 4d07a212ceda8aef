"""From atoms to the pieces that move in one cycle."""

from typing import Any

from amaranth.hdl import Const, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import boundary_bytes
from gossamer_hw.dma.decoder import RUN_BITS, conversions, plan_layout
from gossamer_hw.dma.odometer import Odometer
from gossamer_hw.dma.requests import AXIS_INCREMENTS, AXIS_SHAPES, axis_amounts, connect_dims, within
from gossamer_hw.layouts import operand_layout
from gossamer_models.isa.instructions import MAX_DIMS, Load

__all__ = ["BUFFER_BITS", "PieceWalker", "piece_layout"]

BUFFER_BITS = 24


def piece_layout(width_bytes: int) -> data.StructLayout:
    """Layout of a piece.

    Members
    -------
    valid : there is one.
    address : its first byte in the buffer.
    upper : it lies in the upper half of DRAM's data word.
    turn
        Bytes by which a data word of DRAM must be rotated to the left to bring the piece to its place there. Where
        elements are converted both places are counted in elements of four bytes.
    last_byte : number of its last byte, so counted.
    inside : it is in bounds.
    index : of its entries.
    ends_beat, starts_burst, ends_burst : its place in DRAM's data words and bursts, if it is in bounds.
    final : nothing follows.
    """
    return data.StructLayout(
        {
            "valid": 1,
            "address": BUFFER_BITS,
            "upper": 1,
            "turn": range(width_bytes),
            "last_byte": range(width_bytes),
            "inside": 1,
            "index": 3,
            "ends_beat": 1,
            "starts_burst": 1,
            "ends_burst": 1,
            "final": 1,
        }
    )


class PieceWalker(wiring.Component):
    """Walks a transfer's pieces, one per cycle.

    Parameters
    ----------
    width_bytes
        Bytes of a data word.

    Members
    -------
    start : begin with a transfer; its first piece is there four cycles later.
    operands, plan : the transfer; constant from ``start`` on, but for what a plan holds one cycle later.
    clear : forget the transfer.
    take : go on to the next piece; those to come move up when there is none, too.
    piece : what to move.
    """

    def __init__(self, *, width_bytes: int) -> None:
        self._width = width_bytes
        self._place_bits = boundary_bytes(width_bytes).bit_length() - 1
        sides = {"buffer": unsigned(BUFFER_BITS), "memory": unsigned(self._place_bits)}
        self._odometer = Odometer(
            values={**sides, **AXIS_SHAPES},
            increments={**sides, **AXIS_INCREMENTS},
            amounts=lambda dim: {"buffer": dim.buffer, "memory": dim.memory, **axis_amounts(dim)},
        )
        super().__init__(
            {
                "start": In(1),
                "operands": In(operand_layout(Load)),
                "plan": In(plan_layout(width_bytes)),
                "clear": In(1),
                "take": In(1),
                "piece": Out(piece_layout(width_bytes)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Walk the atoms, then cut each one."""
        m = Module()
        go = Signal()
        m.d.comb += go.eq(self.take | ~self.piece.valid)
        atom, next_atom = self._walk(m)
        self._cut(m, go, atom, next_atom)
        return m

    def _walk(self, m: Module) -> tuple[Any, Signal]:
        """Hold an atom; the second result asks for the next one."""
        p, plan = self.operands, self.plan
        m.submodules.odometer = odometer = self._odometer
        connect_dims(m, odometer, p)
        m.d.comb += [
            odometer.base.buffer.eq(p.buf_base),
            *(odometer.increment[k].buffer.eq(p.dims[k].buf_stride) for k in range(MAX_DIMS)),
            odometer.clear.eq(self.clear),
            odometer.start.eq(self.start),
            odometer.skip.eq(plan.in_atom),
            odometer.watch.eq(p.index_dim),
        ]
        atom: Any = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "buffer": BUFFER_BITS,
                    "memory": self._place_bits,
                    "inside": 1,
                    "index": 3,
                    "ends_run": 1,
                    "final": 1,
                    "left": RUN_BITS,
                }
            )
        )
        priming, active, next_atom = Signal(), Signal(), Signal()
        m.d.comb += odometer.advance.eq(next_atom & active)
        m.d.sync += priming.eq(self.start)
        with m.If(self.clear | self.start):
            m.d.sync += [active.eq(0), atom.valid.eq(0)]
        with m.Else():
            with m.If(priming):
                m.d.sync += active.eq(1)
            with m.Elif(odometer.advance & (odometer.counting == 0)):
                m.d.sync += active.eq(0)
            with m.If(next_atom):
                position = odometer.position
                m.d.sync += [
                    atom.valid.eq(active),
                    atom.buffer.eq(position.buffer),
                    atom.memory.eq(position.memory),
                    atom.inside.eq(within(m, position, p)),
                    atom.index.eq(odometer.index),
                    atom.ends_run.eq((odometer.counting & plan.in_run) == 0),
                    atom.final.eq(odometer.counting == 0),
                    atom.left.eq(plan.atom_last),
                ]
        return atom, next_atom

    def _cut(self, m: Module, go: Value, atom: Any, next_atom: Signal) -> None:
        """An atom's pieces, data word by data word; next_atom may already come with the last one."""
        plan, piece, width = self.plan, self.piece, self._width
        last, starts_run = Signal(), Signal()
        widens, narrows = conversions(self.operands, to_buffer=True)
        behind = Signal(self._place_bits)
        m.d.comb += [
            last.eq(atom.left == 0),
            next_atom.eq(~atom.valid | (go & last)),
            behind.eq(atom.memory + (Const(1, width.bit_length()) << plan.log2_piece)),
        ]
        with m.If(self.clear | self.start):
            m.d.sync += [piece.valid.eq(0), starts_run.eq(1)]
        with m.Elif(go):
            ends_run = atom.ends_run & last
            with m.If(atom.valid):
                m.d.sync += starts_run.eq(ends_run)
            with m.If(atom.valid & ~last):
                m.d.sync += [
                    atom.buffer.eq(atom.buffer + Mux(narrows, width // 2, width)),
                    atom.memory.eq(behind),
                    atom.left.eq(atom.left - 1),
                ]
            log2_width = width.bit_length() - 1
            m.d.sync += [
                piece.valid.eq(atom.valid),
                piece.address.eq(atom.buffer),
                piece.upper.eq(atom.memory[log2_width - 1]),
                piece.turn.eq((atom.buffer << narrows)[:log2_width] - (atom.memory << widens)[:log2_width]),
                piece.last_byte.eq(Mux(last, plan.tail_last, width - 1)),
                piece.inside.eq(atom.inside),
                piece.index.eq(atom.index),
                piece.ends_beat.eq(ends_run | (behind[:log2_width] == 0)),
                piece.starts_burst.eq(starts_run | (atom.memory == 0)),
                piece.ends_burst.eq(ends_run | (behind == 0)),
                piece.final.eq(atom.final & last),
            ]
