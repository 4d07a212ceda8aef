"""The store engine: scratchpads to DRAM."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS, INCR, AxiWriteSignature, size_code
from gossamer_hw.dma.control import TransferControl, port_width, transfer_command
from gossamer_hw.dma.convert import Converter, piece_mask, placed
from gossamer_hw.dma.decoder import conversions
from gossamer_hw.dma.pieces import PieceWalker, piece_layout
from gossamer_hw.dma.requests import RequestWalker
from gossamer_hw.scratchpads.scratchpads import store_read_layout
from gossamer_models.architecture import Architecture
from gossamer_models.golden.transfer import STORED
from gossamer_models.isa.instructions import Store
from gossamer_models.registers import FAULT_BITS

__all__ = ["StoreEngine"]

_QUEUE_WORDS = 8
_ROOM_LEVEL = 4
_GRANT_BITS = 16


class StoreEngine(wiring.Component):
    """Executes :class:`~gossamer_models.isa.instructions.Store` instructions, one after the other.

    An instruction takes as many cycles from the one in which it is accepted to the one in which ``done`` is set as
    :mod:`gossamer_models.timing.dma` says. In that cycle the responses to all bursts have come, and the next
    instruction may be accepted.

    A burst's data words follow the acceptance of its address. A transfer that breaks a rule ends with a fault, as in
    :class:`~gossamer_hw.dma.load.LoadEngine`: bursts under way are completed without a byte enabled, except for the few
    data words that are already on their way.

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
    stop : ask for no further burst, end when those under way are complete.
    memory_bytes : size of DRAM.
    read, data : see :func:`~gossamer_hw.scratchpads.scratchpads.store_read_layout`; what is there one cycle later.
    axi : see :class:`~gossamer_hw.axi.AxiWriteSignature`.

    Raises
    ------
    ValueError
        There is more than one port, or it has another width, or a word of the array has not eight elements.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._width = width = port_width(architecture)
        self._control = TransferControl(architecture, transfer=Store, allowed=STORED)
        self._requests = RequestWalker(width_bytes=width)
        self._pieces = PieceWalker(width_bytes=width)
        super().__init__(
            {
                "instruction": In(stream.Signature(transfer_command(Store))),
                "done": Out(1),
                "ending": Out(1),
                "fault": Out(FAULT_BITS),
                "failing": Out(FAULT_BITS),
                "rewind": In(1),
                "stop": In(1),
                "memory_bytes": In(ADDRESS_BITS),
                "read": Out(store_read_layout()),
                "data": In(8 * width),
                "axi": Out(AxiWriteSignature(width)),
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
            control.answered.eq(axi.bvalid),
            control.response.eq(axi.bresp),
            requests.start.eq(control.start_requests),
            requests.operands.eq(control.operands),
            requests.plan.eq(control.plan),
            requests.memory_bytes.eq(self.memory_bytes),
            requests.halt.eq(control.halt),
            requests.clear.eq(control.clear),
            requests.completed.eq(axi.bvalid),
            pieces.start.eq(control.start_pieces),
            pieces.operands.eq(control.operands),
            pieces.plan.eq(control.plan),
            pieces.clear.eq(control.clear),
            axi.awvalid.eq(requests.valid),
            axi.awaddr.eq(requests.address),
            axi.awlen.eq(requests.beats_last),
            axi.awsize.eq(size_code(self._width)),
            axi.awburst.eq(INCR),
            axi.bready.eq(1),
            requests.ready.eq(axi.awready),
        ]
        self._send(m, self._read(m))
        return m

    def _read(self, m: Module) -> Any:
        """Read a piece per cycle; return it as it was when its bytes are at hand, two cycles later.

        The first piece of a burst waits for the acceptance of the burst's address.
        """
        control, piece = self._control, self._pieces.piece
        log2_width = self._width.bit_length() - 1
        granted, moves, opens = Signal(_GRANT_BITS), Signal(), Signal()
        self._room, self._placed, self._odd = Signal(), Signal(8 * self._width), Signal()
        self._widens, self._narrows = conversions(control.operands, to_buffer=False)
        m.d.comb += [
            moves.eq(piece.valid & self._room & (~piece.inside | ~piece.starts_burst | (granted != 0))),
            opens.eq(moves & piece.inside & piece.starts_burst),
            self._pieces.take.eq(moves),
            self.read.enable.eq(moves & piece.inside),
            self.read.buffer.eq(control.operands.buffer),
            self.read.half.eq(control.half),
            self.read.address.eq(Cat(Const(0, log2_width), piece.address[log2_width:])),
        ]
        with m.If(control.clear):
            m.d.sync += granted.eq(0)
        with m.Else():
            m.d.sync += granted.eq(granted + self._requests.accepted - opens)
        # The second cycle brings a piece to its place, for the third one to convert it.
        read: Any = Signal(piece_layout(self._width), name="piece_read")
        late: Any = Signal(piece_layout(self._width), name="piece_placed")
        left = (-read.turn)[:log2_width]
        m.d.sync += [
            read.eq(piece),
            read.valid.eq(moves),
            late.eq(read),
            self._odd.eq(left[0]),
            self._placed.eq(placed(m, self.data, left, widens=self._widens, upper=read.address[log2_width - 1])),
        ]
        return late

    def _send(self, m: Module, piece: Any) -> None:
        """Gather pieces in their data word of DRAM, and queue it when it is complete."""
        control, axi, width = self._control, self.axi, self._width
        log2_width = width.bit_length() - 1
        m.submodules.words = words = SyncFIFO(width=9 * width + 1, depth=_QUEUE_WORDS)
        word = data.StructLayout({"data": 8 * width, "strobe": width, "last": 1})
        finished = Signal()
        held, held_strobe = Signal(8 * width), Signal(width)
        joined: Any = Signal(word)
        sent = data.View(word, words.r_data)

        left = (-piece.turn)[:log2_width]
        first = ((piece.address[:log2_width] << self._widens) + left)[:log2_width]
        m.submodules.converter = converter = Converter(width_bytes=width)
        turned, mask = converter.converted, Signal(width)
        moves = piece.valid & piece.inside
        m.d.comb += [
            converter.word.eq(self._placed),
            converter.odd.eq(self._odd),
            converter.widens.eq(self._widens),
            converter.narrows.eq(self._narrows),
            mask.eq(piece_mask(first, piece.last_byte, width, narrows=self._narrows, upper=piece.upper)),
            *(
                joined.data[8 * n : 8 * n + 8].eq(Mux(mask[n], turned[8 * n : 8 * n + 8], held[8 * n : 8 * n + 8]))
                for n in range(width)
            ),
            joined.strobe.eq(Mux(control.failed, 0, mask | held_strobe)),
            joined.last.eq(piece.ends_burst),
            words.w_data.eq(joined),
            words.w_en.eq(moves & piece.ends_beat),
            self._room.eq(words.level < _ROOM_LEVEL),
            axi.wvalid.eq(words.r_rdy),
            words.r_en.eq(axi.wready),
            axi.wdata.eq(sent.data),
            axi.wstrb.eq(sent.strobe),
            axi.wlast.eq(sent.last),
            control.finished.eq(finished),
        ]
        with m.If(control.clear):
            m.d.sync += [held_strobe.eq(0), finished.eq(0)]
        with m.Else():
            with m.If(moves):
                m.d.sync += [held.eq(joined.data), held_strobe.eq(Mux(piece.ends_beat, 0, joined.strobe))]
            with m.If(piece.valid & piece.final):
                m.d.sync += finished.eq(1)
