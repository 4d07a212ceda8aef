"""A module between registers: it has more ports than a part has pins, and paths from and to all of them count."""

import re

from gossamer_hw.fpga.hierarchy import VerilogModule, escaped

__all__ = ["FRAME", "framed"]

FRAME = "frame"
"""Name of the module that holds another; its ports are ``clk``, ``given`` and ``taken``."""

_PORT = re.compile(r"^  (input|output) (?:\[(\d+):0\] )?(\\\S+ |\w+) ?;", re.MULTILINE)


def framed(module: VerilogModule) -> str:
    """Return a module around `module`: a chain of registers feeds its inputs, another takes in its outputs.

    One begins and one ends at a pin, so nothing is without a use. The clock is a pin of its own, which place and route
    puts on the part's clock network.

    Parameters
    ----------
    module
        Its clock is ``clk``.
    """
    ports = [(kind, int(high or 0) + 1, name) for kind, high, name in _PORT.findall(module.text) if name != "clk"]
    connections, counts = [".clk(clk)"], {"input": 0, "output": 0}
    for kind, bits, name in ports:
        start = counts[kind]
        counts[kind] += bits
        connections.append(f".{name}({'inputs' if kind == 'input' else 'outputs'}[{start}+:{bits}])")
    last = {kind: max(count, 1) - 1 for kind, count in counts.items()}
    return f"""module {FRAME}(clk, given, taken);
  input clk;
  input given;
  output taken;
  reg [{last["input"]}:0] inputs;
  reg [{last["output"]}:0] chain;
  wire [{last["output"]}:0] outputs;
  assign taken = chain[{last["output"]}];
  always @(posedge clk) begin
    inputs <= {{inputs, given}};
    chain <= outputs ^ {{chain, 1'b0}};
  end
  {escaped(module.name)} framed ({", ".join(connections)});
endmodule
"""
