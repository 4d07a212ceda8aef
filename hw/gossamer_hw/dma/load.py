"""The load engine: DRAM to scratchpads."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS, INCR, AxiReadSignature, size_code
from gossamer_hw.dma.beats import BeatQueue, BlockTurner
from gossamer_hw.dma.control import TransferControl, port_width, transfer_command
from gossamer_hw.dma.convert import Converter, piece_mask, placed
from gossamer_hw.dma.decoder import conversions
from gossamer_hw.dma.pieces import PieceWalker
from gossamer_hw.dma.requests import RequestWalker
from gossamer_hw.scratchpads.scratchpads import load_write_layout
from gossamer_models.architecture import Architecture
from gossamer_models.golden.transfer import LOADED
from gossamer_models.isa.instructions import Load
from gossamer_models.registers import FAULT_BITS

__all__ = ["LoadEngine"]


class LoadEngine(wiring.Component):
    """Executes :class:`~gossamer_models.isa.instructions.Load` instructions, one after the other.

    An instruction takes as many cycles from the one in which it is accepted to the one in which ``done`` is set as
    :mod:`gossamer_models.timing.dma` says, behind an ideal memory and behind any other. In that cycle the last data may
    still be written, and the next instruction may be accepted.

    A transfer that breaks a rule ends with a fault: at once if that shows without a walk, otherwise when all bursts
    under way are complete. From the fault on no piece is moved; two cycles later none is written.

    Parameters
    ----------
    architecture
        Buffer sizes and the port's width, 16, 32 or 64 bytes, count.

    Members
    -------
    instruction : instructions.
    done : the instruction has ended.
    fault : with ``done``: 0, or a code of :class:`~gossamer_models.registers.Fault`.
    ending, failing : what ``done`` and ``fault`` are in the next cycle.
    rewind : return to half 0 of all buffers; only while idle.
    stop : ask for no further burst, end when those under way are complete; their data may be lost.
    memory_bytes : size of DRAM.
    write : see :func:`~gossamer_hw.scratchpads.scratchpads.load_write_layout`.
    axi : see :class:`~gossamer_hw.axi.AxiReadSignature`.

    Raises
    ------
    ValueError
        There is more than one port, or it has another width, or a word of the array has not eight elements.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._width = width = port_width(architecture)
        self._control = TransferControl(architecture, transfer=Load, allowed=LOADED)
        self._requests = RequestWalker(width_bytes=width)
        self._pieces = PieceWalker(width_bytes=width)
        super().__init__(
            {
                "instruction": In(stream.Signature(transfer_command(Load))),
                "done": Out(1),
                "ending": Out(1),
                "fault": Out(FAULT_BITS),
                "failing": Out(FAULT_BITS),
                "rewind": In(1),
                "stop": In(1),
                "memory_bytes": In(ADDRESS_BITS),
                "write": Out(load_write_layout(width)),
                "axi": Out(AxiReadSignature(width)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire control and walkers; move the pieces."""
        m = Module()
        m.submodules.control = control = self._control
        m.submodules.requests = requests = self._requests
        m.submodules.pieces = pieces = self._pieces
        wiring.connect(m, wiring.flipped(self.instruction), control.instruction)
        axi = self.axi
        m.d.comb += [
            self.done.eq(control.done),
            self.fault.eq(control.fault),
            self.ending.eq(control.clear),
            self.failing.eq(control.failing),
            control.rewind.eq(self.rewind),
            control.stop.eq(self.stop),
            control.idle.eq(requests.idle),
            control.leaves.eq(requests.leaves),
            control.answered.eq(axi.rvalid & axi.rready),
            control.response.eq(axi.rresp),
            requests.start.eq(control.start_requests),
            requests.operands.eq(control.operands),
            requests.plan.eq(control.plan),
            requests.memory_bytes.eq(self.memory_bytes),
            requests.halt.eq(control.halt),
            requests.clear.eq(control.clear),
            requests.completed.eq(axi.rvalid & axi.rready & axi.rlast),
            pieces.start.eq(control.start_pieces),
            pieces.operands.eq(control.operands),
            pieces.plan.eq(control.plan),
            pieces.clear.eq(control.clear),
            axi.arvalid.eq(requests.valid),
            axi.araddr.eq(requests.address),
            axi.arlen.eq(requests.beats_last),
            axi.arsize.eq(size_code(self._width)),
            axi.arburst.eq(INCR),
            requests.ready.eq(axi.arready),
        ]
        self._move(m, *self._words(m))
        return m

    def _words(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """Data words in the order of the walk: whether there is one, the word, a bit that takes it."""
        control, axi = self._control, self.axi
        m.submodules.queue = queue = BeatQueue(width_bytes=self._width)
        m.submodules.turner = turner = BlockTurner(width_bytes=self._width)
        valid, word, take = Signal(), Signal(8 * self._width), Signal()
        turns = control.operands.transpose
        m.d.comb += [
            queue.clear.eq(control.clear),
            turner.clear.eq(control.clear),
            queue.i.valid.eq(axi.rvalid),
            queue.i.payload.eq(axi.rdata),
            axi.rready.eq(queue.i.ready),
            turner.i.valid.eq(queue.o.valid & turns),
            turner.i.payload.eq(queue.o.payload),
            turner.o.ready.eq(take),
            queue.o.ready.eq(control.halt | Mux(turns, turner.i.ready, take)),
            valid.eq(Mux(turns, turner.o.valid, queue.o.valid)),
            word.eq(Mux(turns, turner.o.payload, queue.o.payload)),
        ]
        return valid, word, take

    def _move(self, m: Module, valid: Value, word: Value, take: Signal) -> None:
        """Move a piece per cycle; one in bounds waits for its data word. Registers stand around the conversion."""
        control, piece = self._control, self._pieces.piece
        log2_width = self._width.bit_length() - 1
        moves, finished, early, odd = Signal(), Signal(), Signal.like(self.write), Signal()
        m.d.comb += [
            moves.eq(piece.valid & ~control.halt & (valid | ~piece.inside)),
            take.eq(moves & piece.inside & piece.ends_beat),
            self._pieces.take.eq(moves),
            control.finished.eq(finished),
        ]
        m.d.sync += finished.eq(moves & piece.final)
        widens, narrows = conversions(control.operands, to_buffer=True)
        m.submodules.converter = converter = Converter(width_bytes=self._width)
        in_word = piece.address[:log2_width]
        m.d.comb += [
            converter.widens.eq(widens),
            converter.narrows.eq(narrows),
            converter.odd.eq(odd),
            converter.word.eq(early.data),
        ]
        m.d.sync += [
            early.data.eq(Mux(piece.inside, placed(m, word, piece.turn, widens=widens, upper=piece.upper), 0)),
            odd.eq(piece.turn[0]),
            early.enable.eq(moves),
            early.buffer.eq(control.operands.buffer),
            early.half.eq(control.half),
            early.address.eq(Cat(Const(0, log2_width), piece.address[log2_width:])),
            early.mask.eq(
                piece_mask(
                    (in_word << narrows)[:log2_width],
                    piece.last_byte,
                    self._width,
                    narrows=narrows,
                    upper=in_word[-1],
                )
            ),
            early.indexed.eq(control.plan.indexed),
            early.valid.eq(piece.inside),
            early.index.eq(piece.index),
            self.write.eq(early),
            self.write.data.eq(converter.converted),
        ]
