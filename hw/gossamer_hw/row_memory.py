"""Memory with one read and one write port, as block RAM wants it.

Amaranth writes every bit of a memory's initial contents, which for scratchpads is most of a machine's text and of the
time to emit it; in Verilog these memories are instances of a module without any.
"""

from typing import Any, Final

from amaranth.hdl import Cat, ClockSignal, Const, Elaboratable, Instance, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.verilog import VerilogTarget

__all__ = ["NEVER_MEET", "RowMemory"]

NEVER_MEET: Final = {"no_rw_check": 1}
"""Attribute of a memory whose read port never reads what is written in the same cycle.

Block RAM of ECP5 promises nothing then; without the attribute synthesis builds registers and a choice around it, more
than a lookup table per bit of a row.
"""

_MODULE = "gossamer_memory"
_VERILOG = f"""
module {_MODULE} #(
  parameter UNIT = 8, parameter UNITS = 1, parameter DEPTH = 2, parameter ADDRESS_BITS = 1
) (
  input clk,
  input read_enable, input [ADDRESS_BITS-1:0] read_address, output reg [UNIT*UNITS-1:0] read_data,
  input [ADDRESS_BITS-1:0] write_address, input [UNIT*UNITS-1:0] write_data, input [UNITS-1:0] write_mask
);
  (* no_rw_check *) reg [UNIT*UNITS-1:0] words [0:DEPTH-1];
  integer n;
`ifdef VERILATOR
  wire meets = write_mask != 0 && write_address == read_address;
  always @(posedge clk) if (read_enable) read_data <= words[read_address] ^ {{UNIT*UNITS{{meets}}}};
`else
  always @(posedge clk) if (read_enable) read_data <= words[read_address];
`endif
  always @(posedge clk)
    if (write_mask != 0)
      for (n = 0; n < UNITS; n = n + 1)
        if (write_mask[n]) words[write_address][UNIT*n +: UNIT] <= write_data[UNIT*n +: UNIT];
endmodule
"""


class RowMemory(wiring.Component):
    """Rows of `units` parts that are written one by one; undefined until written.

    A row written can be read from the next cycle on. A read of a row in the very cycle of its write gives anything, as
    block RAM does that has no logic around it: in Verilator the old row's complement, so that whoever relies on it
    fails. Fixed latency, no flow control, no reset.

    Parameters
    ----------
    unit_bits, units
        Width of a part, and parts of a row.
    depth
        Rows.

    Members
    -------
    read_enable, read_address, read_data : the row, one cycle later and until the next read.
    write_address, write_data, write_mask : a row, and the parts of it that are written.
    """

    def __init__(self, *, unit_bits: int, units: int = 1, depth: int) -> None:
        self._unit_bits, self._units, self._depth = unit_bits, units, depth
        row = unsigned(unit_bits * units)
        super().__init__(
            {
                "read_enable": In(1),
                "read_address": In(range(depth)),
                "read_data": Out(row),
                "write_address": In(range(depth)),
                "write_data": In(row),
                "write_mask": In(units),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Make an instance of the module, or the memory."""
        m = Module()
        if isinstance(platform, VerilogTarget):
            platform.texts[_MODULE] = _VERILOG
            m.submodules.memory = self._instance()
            return m
        m.submodules.memory = memory = Memory(shape=self.read_data.shape(), depth=self._depth, init=[])
        read, write = memory.read_port(), memory.write_port(granularity=self._unit_bits)
        m.d.comb += [
            read.en.eq(self.read_enable),
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_mask),
        ]
        return m

    def _instance(self) -> Instance:
        # Verilog has no port of no width.
        address_bits = max(1, len(self.read_address))
        read, write = (Cat(address, Const(0, 1))[:address_bits] for address in (self.read_address, self.write_address))
        return Instance(
            _MODULE,
            p_UNIT=self._unit_bits,
            p_UNITS=self._units,
            p_DEPTH=self._depth,
            p_ADDRESS_BITS=address_bits,
            i_clk=ClockSignal(),
            i_read_enable=self.read_enable,
            i_read_address=read,
            o_read_data=self.read_data,
            i_write_address=write,
            i_write_data=self.write_data,
            i_write_mask=self.write_mask,
        )
