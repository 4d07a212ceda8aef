"""Modules written once, and pragmas in them."""

from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.array import ELEMENT_MODULE, LANE_MODULE, SystolicArray
from gossamer_hw.array.element import ElementParameters, ProcessingElement
from gossamer_hw.verilog import emit_verilog, tidied


def make() -> SystolicArray:
    return SystolicArray(
        rows=2,
        columns=2,
        group=8,
        slots=4,
        drain_ports=1,
        multiply_latency=3,
        add_latency=4,
        accumulator_words=32,
    )


def small() -> ProcessingElement:
    return ProcessingElement(ElementParameters(group=2, slots=2, multiply_latency=2, add_latency=2))


def test_element_and_lane_are_written_once() -> None:
    verilog = emit_verilog(make(), name="top")
    for module, count in ((ELEMENT_MODULE, 4), (LANE_MODULE, 2)):
        assert verilog.count(f"module {module}(") == 1
        assert verilog.count(f"  {module} ") == count


def test_pragma_stands_in_the_body() -> None:
    verilog = emit_verilog(make(), name="top", pragmas={ELEMENT_MODULE: "verilator no_inline_module"})
    _, _, element = verilog.partition(f"module {ELEMENT_MODULE}(")
    assert element.index(");") < element.index("/*verilator no_inline_module*/") < element.index("endmodule")


def test_pragma_for_unknown_module() -> None:
    with pytest.raises(ValueError, match="must name modules of the design, not 'elephant'"):
        emit_verilog(small(), name="top", pragmas={"elephant": "x"})


def test_emission_is_repeatable() -> None:
    first, second = (emit_verilog(small(), name="top") for _ in range(2))
    assert first == second


def test_no_memory_is_cleared() -> None:
    """Not even one whose name needs an escape, as the second of two has."""

    class Two(wiring.Component):
        def __init__(self) -> None:
            super().__init__({"address": In(2), "read": Out(8).array(2)})

        def elaborate(self, platform: Any) -> Elaboratable:
            m = Module()
            for n in range(2):
                memory = Memory(shape=8, depth=4, init=[])
                m.submodules += memory
                read, write = memory.read_port(), memory.write_port()
                m.d.comb += [read.addr.eq(self.address), self.read[n].eq(read.data), write.en.eq(1)]
            return m

    text = emit_verilog(Two(), name="top")
    assert text.count("initial begin") == 2
    assert "initial begin" not in tidied(text)
