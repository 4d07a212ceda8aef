"""AXI4-Lite slave in front of registers."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxiLiteBridge", "AxiLiteSignature"]

_DATA_BITS = 32
_BYTES = _DATA_BITS // 8


class AxiLiteSignature(wiring.Signature):
    """AXI4-Lite with 32-bit data, seen from the master; names as in the standard, so that a top only adds a prefix.

    Parameters
    ----------
    address_bits
        Width of byte addresses.
    """

    def __init__(self, address_bits: int) -> None:
        super().__init__(
            {
                "awaddr": Out(address_bits),
                "awprot": Out(3),
                "awvalid": Out(1),
                "awready": In(1),
                "wdata": Out(_DATA_BITS),
                "wstrb": Out(_BYTES),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
                "araddr": Out(address_bits),
                "arprot": Out(3),
                "arvalid": Out(1),
                "arready": In(1),
                "rdata": In(_DATA_BITS),
                "rresp": In(2),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class AxiLiteBridge(wiring.Component):
    """Turns AXI4-Lite into single-cycle accesses; every one is answered OKAY.

    One write and one read per two cycles. No output depends on an input in the same cycle.

    Parameters
    ----------
    address_bits
        Width of byte addresses; their lowest two bits are ignored.

    Members
    -------
    axi : the bus.
    write, write_address, write_data, write_mask : a write is taken; word address, and bits to write.
    read_address, read_data : word address, and what lies there in the same cycle.
    """

    def __init__(self, *, address_bits: int) -> None:
        super().__init__(
            {
                "axi": In(AxiLiteSignature(address_bits)),
                "write": Out(1),
                "write_address": Out(address_bits - 2),
                "write_data": Out(_DATA_BITS),
                "write_mask": Out(_DATA_BITS),
                "read_address": Out(address_bits - 2),
                "read_data": In(_DATA_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Hold what each channel brings until the access can be made."""
        m = Module()
        axi = self.axi
        has_address, has_data, strobes = Signal(), Signal(), Signal(_BYTES)
        m.d.comb += [
            axi.awready.eq(~has_address),
            axi.wready.eq(~has_data),
            self.write.eq(has_address & has_data & (~axi.bvalid | axi.bready)),
            *(self.write_mask.word_select(n, 8).eq(strobes[n].replicate(8)) for n in range(_BYTES)),
        ]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [has_address.eq(1), self.write_address.eq(axi.awaddr[2:])]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += [has_data.eq(1), self.write_data.eq(axi.wdata), strobes.eq(axi.wstrb)]
        with m.If(self.write):
            m.d.sync += [has_address.eq(0), has_data.eq(0), axi.bvalid.eq(1)]
        with m.Elif(axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        self._read(m)
        return m

    def _read(self, m: Module) -> None:
        axi, asked, read = self.axi, Signal(), Signal()
        m.d.comb += [axi.arready.eq(~asked), read.eq(asked & (~axi.rvalid | axi.rready))]
        with m.If(axi.arvalid & axi.arready):
            m.d.sync += [asked.eq(1), self.read_address.eq(axi.araddr[2:])]
        with m.If(read):
            m.d.sync += [asked.eq(0), axi.rvalid.eq(1), axi.rdata.eq(self.read_data)]
        with m.Elif(axi.rready):
            m.d.sync += axi.rvalid.eq(0)
