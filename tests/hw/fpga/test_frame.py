"""A module between registers, bit by bit."""

import re

from gossamer_hw.fpga.frame import framed
from gossamer_hw.fpga.hierarchy import Hierarchy

TEXT = """
module \\top.a (clk, enable, \\x$1 , y, z);
  input clk;
  wire clk;
  input enable;
  input [6:0] \\x$1 ;
  output [2:0] y;
  reg [2:0] y;
  output z;
endmodule
"""


def test_every_port_but_the_clock_has_a_register_of_its_own() -> None:
    text = framed(Hierarchy(TEXT).modules["top.a"])
    connections = dict(re.findall(r"\.(\S+) ?\((.*?)\)", text))
    assert connections == {
        "clk": "clk",
        "enable": "inputs[0+:1]",
        "\\x$1": "inputs[1+:7]",
        "y": "outputs[0+:3]",
        "z": "outputs[3+:1]",
    }
    assert "reg [7:0] inputs;" in text
    assert "reg [3:0] chain;" in text
    assert "  \\top.a framed (" in text


def test_a_module_without_inputs_has_a_register_that_feeds_nothing() -> None:
    assert "reg [0:0] inputs;" in framed(Hierarchy("module m(clk, q);\n  output [1:0] q;\nendmodule\n").modules["m"])
