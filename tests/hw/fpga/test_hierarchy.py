"""Modules of a Verilog text, by hand and of emitted hardware."""

from collections import Counter

import pytest

from gossamer_hw.fpga.hierarchy import Hierarchy

TEXT = """
module leaf(
  input clk
);
endmodule

module \\top.a (clk, \\x$1 , y);
  input clk;
  wire \\$7 ;
  assign y = \\x$1  & \\$7 ;
  leaf #(
    .WIDTH(32'd8),
    .SIGNED(1'd1)
  ) \\memory$3  (
    .clk(clk)
  );
endmodule

module \\top.b (clk, \\x$1 , y);
  input clk;
  wire \\$9 ;
  assign y = \\x$1  & \\$9 ;
  leaf #(
    .WIDTH(32'd8),
    .SIGNED(1'd1)
  ) \\memory$4  (
    .clk(clk)
  );
endmodule

module \\top.c (clk, \\x$1 , y);
  input clk;
  wire \\$9 ;
  assign y = \\$9  & \\x$1 ;
  leaf plain (
    .clk(clk)
  );
endmodule

module top(clk);
  \\top.a  a (
    .clk(clk)
  );
  \\top.b  \\b$1  (
    .clk(clk)
  );
  \\top.c  c (
    .clk(clk)
  );
endmodule
"""
WIDE = (("SIGNED", 1), ("WIDTH", 8))


@pytest.fixture
def hierarchy() -> Hierarchy:
    return Hierarchy(TEXT)


def test_modules_that_are_the_same_remain_once(hierarchy: Hierarchy) -> None:
    assert list(hierarchy.modules) == ["leaf", "top.a", "top.c", "top"]
    assert dict(hierarchy.modules["top"].children) == {"a": "top.a", "b$1": "top.a", "c": "top.c"}
    assert hierarchy.modules["top"].text.count("  \\top.a  ") == 2
    assert "\\top.b " not in hierarchy.modules["top"].text


def test_order_of_ports_in_a_body_matters() -> None:
    """The same body with two ports' roles changed is another module, though only numbers differ."""
    body = "  assign {} = \\$7 ;\n  leaf l (\n    .clk({})\n  );\n"
    texts = [
        f"module \\{name} (\\p$1 , \\p$2 );\n{body.format(*ports)}endmodule\n"
        for name, ports in {"a": ("\\p$1 ", "\\p$2 "), "b": ("\\p$2 ", "\\p$1 ")}.items()
    ]
    assert list(Hierarchy("".join(texts)).modules) == ["a", "b"]


def test_instances_are_counted_with_their_parameters(hierarchy: Hierarchy) -> None:
    expected = Counter({("top", ()): 1, ("top.a", ()): 2, ("top.c", ()): 1, ("leaf", ()): 1, ("leaf", WIDE): 2})
    assert hierarchy.instances("top") == expected


def test_what_is_below(hierarchy: Hierarchy) -> None:
    assert {module.name for module in hierarchy.below("top.b")} == {"top.a", "leaf"}
    assert hierarchy.below("top")[0].name == "top"
    with pytest.raises(KeyError):
        hierarchy.below("nothing")


def numbered(first: int) -> str:
    """A module whose ports have no names and one that has it, as a writer that has counted up to `first` puts it."""
    low, high = (f"\\port${first}${n} " for n in (3, 17))
    return (
        f"module \\a.b (clk, {low}, {high});\n  input clk;\n  input {low};\n  output {high};\n"
        f"  assign {high} = {low};\nendmodule\n"
        f"module a(clk, \\port$1$1 );\n  input clk;\n  input \\port$1$1 ;\n  wire \\x$1 ;\n"
        "  \\a.b  b (\n    .clk(clk),\n"
        f"    .{low}(\\port$1$1 ),\n    .{high}(\\x$1 )\n  );\nendmodule\n"
    )


def test_ports_without_names_are_called_by_their_order() -> None:
    found, other = (Hierarchy(numbered(first)).modules for first in (7, 70))
    assert {name: module.text for name, module in found.items()} == {name: m.text for name, m in other.items()}
    assert "assign \\port$1  = \\port$0 ;" in found["a.b"].text
    assert "    .\\port$0 (\\port$0 ),\n    .\\port$1 (\\x$1 )\n" in found["a"].text


def test_names_must_differ() -> None:
    with pytest.raises(ValueError, match="different names"):
        Hierarchy(TEXT + TEXT)
