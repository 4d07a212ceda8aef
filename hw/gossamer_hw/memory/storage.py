"""Bytes of a memory model, reachable for the bench through files."""

from typing import Any

from amaranth.hdl import ClockSignal, Elaboratable, Instance, Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.verilog import VerilogTarget

__all__ = ["Storage", "dump_file", "load_file"]

_MODULE = "gossamer_storage"

# Amaranth cannot say $readmemh at run time, and a bench that moved every word by itself would take most of a run.
_VERILOG = f"""
module {_MODULE} #(
  parameter WIDTH = 128, parameter DEPTH = 1024, parameter ADDRESS_BITS = 10, parameter FILE = "memory"
) (
  input clk,
  input [ADDRESS_BITS-1:0] read_address, output [WIDTH-1:0] read_data,
  input [ADDRESS_BITS-1:0] write_address, input [WIDTH-1:0] write_data, input [WIDTH/8-1:0] write_mask,
  input load, input dump, input [ADDRESS_BITS-1:0] first, input [ADDRESS_BITS-1:0] last
);
  reg [WIDTH-1:0] words [0:DEPTH-1];
  integer n;
  assign read_data = words[read_address];
  always @(posedge clk)
    for (n = 0; n < WIDTH / 8; n = n + 1)
      if (write_mask[n]) words[write_address][8*n +: 8] <= write_data[8*n +: 8];
  always @(posedge load) $readmemh({{FILE, ".load"}}, words);
  always @(posedge dump) $writememh({{FILE, ".dump"}}, words, first, last);
endmodule
"""


def load_file(name: str) -> str:
    """Name of the file, in the simulation's directory, that a storage is loaded from."""
    return f"{name}.load"


def dump_file(name: str) -> str:
    """Name of the file that a storage is dumped to."""
    return f"{name}.dump"


class Storage(wiring.Component):
    """Words with one read port without latency and one write port.

    Parameters
    ----------
    width_bytes, depth
        Bytes of a word, and number of words.
    name
        Of its files.

    Members
    -------
    read_address, read_data : the word, in the same cycle.
    write_address, write_data, write_mask : bytes to write; to be read from the next cycle on.
    load, dump, first, last
        Verilog only: a rising edge reads all that :func:`load_file` holds, or writes the words ``first`` to ``last`` to
        :func:`dump_file`.
    """

    def __init__(self, *, width_bytes: int, depth: int, name: str = "memory") -> None:
        self._width_bytes, self._depth, self._name = width_bytes, depth, name
        super().__init__(
            {
                "read_address": In(range(depth)),
                "read_data": Out(unsigned(8 * width_bytes)),
                "write_address": In(range(depth)),
                "write_data": In(unsigned(8 * width_bytes)),
                "write_mask": In(unsigned(width_bytes)),
                "load": In(1),
                "dump": In(1),
                "first": In(range(depth)),
                "last": In(range(depth)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Make the memory, or an instance of the module."""
        m = Module()
        if isinstance(platform, VerilogTarget):
            platform.texts[_MODULE] = _VERILOG
            ports = {
                f"{'i' if member.flow is In else 'o'}_{name}": getattr(self, name)
                for name, member in self.signature.members.items()
            }
            m.submodules.storage = Instance(
                _MODULE,
                p_WIDTH=8 * self._width_bytes,
                p_DEPTH=self._depth,
                p_ADDRESS_BITS=len(self.read_address),
                p_FILE=self._name,
                i_clk=ClockSignal(),
                **ports,
            )
            return m
        m.submodules.words = words = Memory(shape=unsigned(8 * self._width_bytes), depth=self._depth, init=[])
        read, write = words.read_port(domain="comb"), words.write_port(granularity=8)
        m.d.comb += [
            read.addr.eq(self.read_address),
            self.read_data.eq(read.data),
            write.addr.eq(self.write_address),
            write.data.eq(self.write_data),
            write.en.eq(self.write_mask),
        ]
        return m
