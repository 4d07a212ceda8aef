"""Use of parts, on machines of known size."""

import json

import pytest

from gossamer_hw.fpga.parts import GLUE, LFE5U_85F, VU9P, Part, Use, _mapped, machine_use, module_use, placed, shares
from gossamer_hw.row_memory import _VERILOG as MEMORY

MACHINE = """
module counter(clk, q);
  input clk;
  wire clk;
  output [7:0] q;
  reg [7:0] q = 8'h0;
  always @(posedge clk) q <= q + 8'h1;
endmodule

module engine(clk, q);
  input clk;
  wire clk;
  output [15:0] q;
  wire [15:0] q;
  counter low (
    .clk(clk),
    .q(q[7:0])
  );
  counter high (
    .clk(clk),
    .q(q[15:8])
  );
endmodule

module buffer(clk, enable, address, data, mask, q);
  input clk;
  input enable;
  input [9:0] address;
  input [71:0] data;
  input [8:0] mask;
  output [71:0] q;
  gossamer_memory #(
    .ADDRESS_BITS(32'd10),
    .DEPTH(32'd1024),
    .UNIT(32'd8),
    .UNITS(32'd9)
  ) memory (
    .clk(clk),
    .read_enable(enable),
    .read_address(address),
    .read_data(q),
    .write_address(address),
    .write_data(data),
    .write_mask(mask)
  );
endmodule

module machine(clk, enable, address, data, mask, q, count);
  input clk;
  input enable;
  input [9:0] address;
  input [71:0] data;
  input [8:0] mask;
  output [71:0] q;
  reg [71:0] q = 72'h0;
  output [15:0] count;
  wire [71:0] words;
  always @(posedge clk) q <= words;
  engine engine (
    .clk(clk),
    .q(count)
  );
  buffer buffer (
    .clk(clk),
    .enable(enable),
    .address(address),
    .data(data),
    .mask(mask),
    .q(words)
  );
endmodule
"""
TEXT = MACHINE + MEMORY


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSAMER_CACHE", str(tmp_path_factory.getbasetemp() / "synthesis"))


def test_shares_of_what_a_part_has() -> None:
    part = Part("small", "ecp5", Use(1000, 500, 10, 4, 0))
    assert shares(Use(750, 100, 1, 8, 0), part) == {"LUT": 0.75, "FF": 0.2, "DSP": 0.1, "block RAM": 2.0}
    assert Use(1, 2, 3, 0.5, 5) + Use(10, 20, 30, 1, 50) == Use(11, 22, 33, 1.5, 55)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "blocks"), [(VU9P, 2.5), (LFE5U_85F, 5)], ids=lambda value: str(value)[:4])
def test_engines_of_a_machine(part: Part, blocks: float) -> None:
    """A module that occurs twice counts twice, the machine's own registers are its glue."""
    found = machine_use(TEXT, part, top="machine")
    assert set(found) == {"engine", "buffer", GLUE}
    assert found["engine"].flip_flops == 16
    assert found[GLUE].flip_flops == 72
    assert found["buffer"].block_rams == blocks


@pytest.mark.slow
@pytest.mark.parametrize(("part", "flip_flops"), [(VU9P, 16), (LFE5U_85F, 9)], ids=["as modules", "flat"])
def test_what_nobody_reads_of_a_module(part: Part, flip_flops: int) -> None:
    """Only flat synthesis sees that seven bits of a counter lead nowhere."""
    text = TEXT.replace("output [15:0] q;", "output [8:0] q;\n  wire [6:0] rest;").replace(
        "wire [15:0] q;", "wire [8:0] q;"
    )
    text = text.replace(".q(q[15:8])", ".q({rest, q[8]})")
    assert module_use(text, part, top="engine").flip_flops == flip_flops


@pytest.mark.slow
def test_ecp5_has_no_multiplexers_between_tables() -> None:
    """They would bind the tables of a function of six inputs to places beside each other."""
    chooser = "module chooser(a, s, q); input [15:0] a; input [3:0] s; output q; assign q = a[s]; endmodule\n"
    cells = json.loads((_mapped(chooser, "chooser", "ecp5") / "stat.json").read_text())["design"]["num_cells_by_type"]
    assert set(cells) == {"LUT4"}


@pytest.mark.slow
@pytest.mark.parametrize(("bits", "cells"), [(5, {"LUT4"}), (6, {"CCU2C"})])
def test_short_sums_of_ecp5_are_no_carry_chains(bits: int, cells: set[str]) -> None:
    ports = f"input [{bits - 1}:0] a; input [{bits - 1}:0] b; output [{bits - 1}:0] q;"
    adder = f"module adder(a, b, q); {ports} assign q = a + b; endmodule\n"
    found = json.loads((_mapped(adder, "adder", "ecp5") / "stat.json").read_text())["design"]["num_cells_by_type"]
    assert set(found) == cells


@pytest.mark.slow
def test_clock_of_an_engine_and_of_the_machine() -> None:
    engine, machine = (placed(TEXT, top="machine", engine=name) for name in ("engine", None))
    assert 150e6 < engine.clock_hz < 1000e6
    assert 150e6 < machine.clock_hz < 1000e6
    engine_ports, machine_ports = 16, 1 + 10 + 72 + 9 + 72 + 16
    assert (engine.use.flip_flops, machine.use.flip_flops) == (16 + engine_ports, 16 + 72 + machine_ports)
    assert (engine.use.block_rams, machine.use.block_rams) == (0, 5)
