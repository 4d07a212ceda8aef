"""The course of a transfer: acceptance, decoder, walkers, faults, end."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.dma.decoder import TransferDecoder, plan_layout
from gossamer_hw.layouts import operand_layout
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import MAX_DIMS, Load, Store
from gossamer_models.isa.tokens import BUFFERS_IN_HALVES, Buffer
from gossamer_models.registers import FAULT_BITS, Fault
from gossamer_models.rtl_limits import require_rtl

__all__ = ["TransferControl", "port_width", "transfer_command"]


def transfer_command(transfer: type[Load] | type[Store]) -> data.StructLayout:
    """Layout of what an engine takes of an instruction: ``advance`` and the ``operands``."""
    return data.StructLayout({"advance": unsigned(8), "operands": operand_layout(transfer)})


def port_width(architecture: Architecture) -> int:
    """Bytes of a data word.

    Raises
    ------
    ValueError
        The engines cannot be built for this architecture.
    """
    require_rtl(architecture, "memory.ports", "memory.port_bits", "array.group")
    return architecture.memory.port_bits // 8


class TransferControl(wiring.Component):
    """Takes instructions and leads the walkers through them.

    Parameters
    ----------
    architecture, transfer, allowed
        See :class:`~gossamer_hw.dma.decoder.TransferDecoder`.

    Members
    -------
    instruction, done, fault, failing, rewind, stop : the engine's own.
    operands, plan, half : of the transfer; the buffer's half that it works on.
    start_requests, start_pieces : begin to walk.
    halt : begin nothing further: there was a fault, or a wish to stop.
    failed : there was a fault.
    clear : the transfer ends with this cycle.
    leaves : it would leave DRAM.
    answered, response : a response has come, and what it is.
    idle : no burst is on the bus or under way.
    finished : with ``idle``: all is in place.
    """

    def __init__(
        self, architecture: Architecture, *, transfer: type[Load] | type[Store], allowed: frozenset[Buffer]
    ) -> None:
        width = port_width(architecture)
        self._decoder = TransferDecoder(architecture, transfer=transfer, allowed=allowed)
        self._command = transfer_command(transfer)
        self._buffers = sorted(allowed)
        super().__init__(
            {
                "instruction": In(stream.Signature(self._command)),
                "done": Out(1),
                "fault": Out(FAULT_BITS),
                "failing": Out(FAULT_BITS),
                "rewind": In(1),
                "stop": In(1),
                "operands": Out(operand_layout(transfer)),
                "plan": Out(plan_layout(width)),
                "half": Out(1),
                "start_requests": Out(1),
                "start_pieces": Out(1),
                "halt": Out(1),
                "failed": Out(1),
                "clear": Out(1),
                "leaves": In(1),
                "answered": In(1),
                "response": In(2),
                "idle": In(1),
                "finished": In(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Accept, look at the dimensions, walk, end."""
        m = Module()
        m.submodules.decoder = decoder = self._decoder
        command: Any = Signal(self._command)
        busy, accepted, checked, settled = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.instruction.ready.eq(~busy),
            accepted.eq(self.instruction.valid & ~busy),
            self.operands.eq(command.operands),
            self.plan.eq(decoder.plan),
            decoder.start.eq(accepted),
            decoder.operands.eq(command.operands),
            decoder.dim.eq(command.operands.dims[0]),
            self.start_requests.eq(decoder.ready),
            self.clear.eq(busy & self.idle & (self.finished | (self.halt & settled))),
        ]
        m.d.sync += [self.start_pieces.eq(decoder.ready), checked.eq(self.start_pieces), self.done.eq(self.clear)]
        with m.If(accepted):
            m.d.sync += [command.eq(self.instruction.payload), busy.eq(1), settled.eq(0)]
        with m.Elif(self.clear):
            m.d.sync += busy.eq(0)
        with m.Elif(checked):
            m.d.sync += settled.eq(1)
        # Once round: when the walkers start, all dimensions are in their places again.
        with m.If(decoder.next_dim):
            dims = command.operands.dims
            m.d.sync += [dims[k].eq(dims[(k + 1) % MAX_DIMS]) for k in range(MAX_DIMS)]
        self._judge(m, accepted, checked)
        self._halves(m, command)
        return m

    def _judge(self, m: Module, accepted: Value, checked: Value) -> None:
        """Keep the first fault."""
        stopped = Signal()
        m.d.comb += [
            self.failed.eq(self.fault != 0),
            self.halt.eq(self.failed | stopped),
            self.failing.eq(self.fault),
        ]
        m.d.sync += self.fault.eq(self.failing)
        with m.If(accepted):
            m.d.comb += self.failing.eq(int(Fault.NONE))
            m.d.sync += stopped.eq(self.stop)
        with m.Else():
            with m.If(self.stop):
                m.d.sync += stopped.eq(1)
            with m.If(~self.failed):
                with m.If(checked):
                    m.d.comb += self.failing.eq(self._decoder.fault)
                with m.Elif(self.answered & self.response[1]):
                    m.d.comb += self.failing.eq(Mux(self.response[0], int(Fault.DECODE_ERROR), int(Fault.SLAVE_ERROR)))
                with m.Elif(self.leaves):
                    m.d.comb += self.failing.eq(int(Fault.ADDRESS))

    def _halves(self, m: Module, command: Any) -> None:
        """Current half of each buffer, and of the transfer's own."""
        halves: dict[int, Signal] = {}
        for buffer in self._buffers:
            bit = BUFFERS_IN_HALVES.get(buffer)
            if bit is not None:
                halves.setdefault(int(bit), Signal(name=f"{bit.name}_half"))
        for number, half in halves.items():
            with m.If(self.rewind):
                m.d.sync += half.eq(0)
            with m.Elif(self.clear & ((command.advance & number) != 0)):
                m.d.sync += half.eq(~half)
        with m.Switch(self.operands.buffer):
            for buffer in self._buffers:
                bit = BUFFERS_IN_HALVES.get(buffer)
                if bit is not None:
                    with m.Case(int(buffer)):
                        m.d.comb += self.half.eq(halves[int(bit)])
