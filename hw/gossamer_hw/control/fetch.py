"""Fetch of instructions: AXI4 reads into the instruction memory."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import ADDRESS_BITS, INCR, AxiReadSignature, boundary_bytes, size_code
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, MAX_STAGE_INSTRUCTIONS
from gossamer_models.registers import Fault

__all__ = ["Fetcher", "write_layout"]

_SLAVE_ERROR, _DECODE_ERROR = 2, 3


def write_layout(width_bytes: int) -> data.StructLayout:
    """Layout of a write of one beat into the instruction memory.

    Members
    -------
    enable : write.
    line : instruction, from 0 on.
    piece : one bit per piece of `width_bytes` of an instruction: the one to write.
    data : the piece.
    """
    return data.StructLayout(
        {
            "enable": 1,
            "line": range(MAX_STAGE_INSTRUCTIONS),
            "piece": INSTRUCTION_BYTES // width_bytes,
            "data": 8 * width_bytes,
        }
    )


class Fetcher(wiring.Component):
    """Read instructions back to back from DRAM into the instruction memory, from line 0 on.

    The first address is offered one cycle after ``start``, and then one per cycle if the memory takes it; beats are
    taken at once. Bursts end where aligned blocks of 4 KiB (of 256 beats, where that is less) end, and as many are
    under way as the memory takes. After an error response, or ``stop``, no more are offered, but all that were are
    waited for.

    Parameters
    ----------
    width_bytes
        Bytes of a beat; divides an instruction.

    Members
    -------
    start : begin; only if not ``busy``.
    address : of the first instruction, a multiple of `width_bytes`.
    count : instructions, at least 1.
    stop : end early.
    busy : bursts are under way or to come.
    done : in the last cycle of ``busy``, the one behind the last beat's.
    fault : with ``done``: what the first error response was, or 0.
    axi : reads.
    write : to the instruction memory.
    """

    def __init__(self, *, width_bytes: int) -> None:
        if width_bytes & (width_bytes - 1) or INSTRUCTION_BYTES % width_bytes:
            raise ValueError(
                f"`width_bytes` must be a power of two that divides {INSTRUCTION_BYTES}, not {width_bytes}"
            )
        self._width = width_bytes
        self._pieces = INSTRUCTION_BYTES // width_bytes
        super().__init__(
            {
                "start": In(1),
                "address": In(ADDRESS_BITS),
                "count": In(range(MAX_STAGE_INSTRUCTIONS + 1)),
                "stop": In(1),
                "busy": Out(1),
                "done": Out(1),
                "fault": Out(Fault),
                "axi": Out(AxiReadSignature(width_bytes)),
                "write": Out(write_layout(width_bytes)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Offer addresses; take beats."""
        m = Module()
        beats = range(MAX_STAGE_INSTRUCTIONS * self._pieces + 1)
        outstanding = Signal(beats)
        left, quitting = self._offer(m, Signal(beats))
        arrived, offered = self.axi.rvalid & self.axi.rready, self.axi.arvalid & self.axi.arready
        m.d.comb += self.done.eq(self.busy & (quitting | (left == 0)) & (outstanding == 0))
        m.d.sync += outstanding.eq(outstanding + Mux(offered, self.axi.arlen + 1, 0) - arrived)
        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
        with m.Elif(self.done):
            m.d.sync += self.busy.eq(0)
        self._take(m, arrived)
        return m

    def _offer(self, m: Module, left: Signal) -> tuple[Signal, Signal]:
        """Offer the bursts of what is `left`, until it is time to quit; return both."""
        axi, width, block = self.axi, self._width, boundary_bytes(self._width)
        address, quitting = Signal(ADDRESS_BITS - size_code(width)), Signal()
        room, beats = Signal(range(block // width + 1)), Signal(range(block // width + 1))
        m.d.comb += [
            room.eq(block // width - address[: len(room) - 1]),
            beats.eq(Mux(left < room, left, room)),
            axi.araddr.eq(Cat(Const(0, size_code(width)), address)),
            axi.arlen.eq(beats - 1),
            axi.arsize.eq(size_code(width)),
            axi.arburst.eq(INCR),
            axi.arvalid.eq((left != 0) & ~quitting),
        ]
        with m.If(self.start):
            m.d.sync += [
                address.eq(self.address[size_code(width) :]),
                left.eq(self.count * self._pieces),
                quitting.eq(0),
            ]
        with m.Else():
            with m.If(axi.arvalid & axi.arready):
                m.d.sync += [address.eq(address + beats), left.eq(left - beats)]
            # What has been offered must stay until it is taken.
            with m.If((self.stop | (self.fault != Fault.NONE)) & (~axi.arvalid | axi.arready)):
                m.d.sync += quitting.eq(1)
        return left, quitting

    def _take(self, m: Module, arrived: Any) -> None:
        """Write beats in order; keep the first error."""
        axi, write = self.axi, self.write
        line, piece = Signal.like(write.line), Signal(self._pieces, init=1)
        m.d.comb += [
            axi.rready.eq(1),
            write.enable.eq(arrived),
            write.line.eq(line),
            write.piece.eq(piece),
            write.data.eq(axi.rdata),
        ]
        with m.If(self.start):
            m.d.sync += [line.eq(0), piece.eq(1), self.fault.eq(Fault.NONE)]
        with m.Elif(arrived):
            m.d.sync += [piece.eq(piece.rotate_left(1)), line.eq(line + piece[-1])]
            with m.If(self.fault == Fault.NONE):
                with m.If(axi.rresp == _SLAVE_ERROR):
                    m.d.sync += self.fault.eq(Fault.SLAVE_ERROR)
                with m.Elif(axi.rresp == _DECODE_ERROR):
                    m.d.sync += self.fault.eq(Fault.DECODE_ERROR)
