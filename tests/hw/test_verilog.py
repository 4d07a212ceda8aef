"""Modules written once, and pragmas in them."""

from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.array import ELEMENT_MODULE, LANE_MODULE, SystolicArray
from gossamer_hw.array.element import ElementParameters, ProcessingElement
from gossamer_hw.numerics.adder import SingleAdder
from gossamer_hw.numerics.formats import Relaxed
from gossamer_hw.verilog import Held, emit_verilog, tidied


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


@pytest.mark.slow
def test_element_and_lane_are_written_once() -> None:
    verilog = emit_verilog(make(), name="top")
    for module, count in ((ELEMENT_MODULE, 4), (LANE_MODULE, 2)):
        assert verilog.count(f"module {module}(") == 1
        assert verilog.count(f"  {module} ") == count


@pytest.mark.parametrize("held", [False, True])
def test_numerics_are_written_once_and_held_where_their_parent_is(held: bool) -> None:
    """An instance is out of an enable's reach: a module of its own takes the enable as a port, other ones have none."""
    name = "gossamer_single_adder_2_1_0_0" + "_held" * held
    text = emit_verilog(_Top(held=held), name="top")
    _, _, module = text.partition(f"module {name}(")
    assert text.count(f"  {name} ") == 2
    assert ("if (enable)" in module) == held


def test_units_without_registers_have_no_clock_to_wire() -> None:
    text = emit_verilog(_Top(held=False, latency=0), name="top")
    assert "gossamer_single_adder" not in text


class _Top(wiring.Component):
    """Two adders, held or not."""

    def __init__(self, *, held: bool, latency: int = 2) -> None:
        self._held, self._latency = held, latency
        super().__init__({"a": In(Relaxed), "b": In(Relaxed), "enable": In(1), "sum": Out(Relaxed)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m, parts = Module(), Module()
        first, second = (SingleAdder(latency=self._latency) for _ in range(2))
        parts.submodules.first, parts.submodules.second = first, second
        m.submodules.parts = Held(self.enable, parts) if self._held else parts
        operands = (first.a, self.a), (first.b, self.b), (second.a, first.sum), (second.b, self.b)
        m.d.comb += [self.sum.eq(second.sum), *(ours.eq(theirs) for ours, theirs in operands)]
        return m


@pytest.mark.slow
def test_pragma_stands_in_the_body() -> None:
    verilog = emit_verilog(make(), name="top", pragmas={ELEMENT_MODULE: "verilator no_inline_module"})
    _, _, element = verilog.partition(f"module {ELEMENT_MODULE}(")
    assert element.index(");") < element.index("/*verilator no_inline_module*/") < element.index("endmodule")


def test_pragma_for_unknown_module() -> None:
    with pytest.raises(ValueError, match="must name modules of the design, not 'elephant'"):
        emit_verilog(small(), name="top", pragmas={"elephant": "x"})


@pytest.mark.slow
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
