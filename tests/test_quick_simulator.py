"""Quicker processes: what becomes of their text, that the installed Amaranth writes no other, and that they agree."""

import re
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Array, Elaboratable, Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator, _pyrtl

from tests.quick_simulator import quick

SEED = 7

TEXT = """def run():
    next_3 = slots[3].next
    if (255 & slots[12].curr):
        slots[4].write(1, next_3, 255)
    slots[3].update(next_3, 255)
"""
QUICK = """def run(slot_3=slots[3], slot_4=slots[4], slot_12=slots[12], pend=slots[3].pending.add):
    next_3 = slot_3.next
    if (255 & slot_12.curr):
        slot_4.write(1, next_3, 255)
    if slot_3.next != next_3 and (merged := (slot_3.next & ~255) | (next_3 & 255)) != slot_3.next: \
slot_3.next = merged; pend(slot_3)
"""


def test_text() -> None:
    assert quick(TEXT) == QUICK
    for other in ("def run():\n    pass\n", "result = slots[3].curr\n", "slots[3].update(next_3)\n"):
        assert quick(other) == other


class Parts(Elaboratable):
    """Two modules that drive parts of one signed signal, a memory, an array, sums under a switch."""

    def __init__(self) -> None:
        self.given, self.shared, self.sum = Signal(8), Signal(signed(8)), Signal(signed(12))
        self.read, self.row = Signal(8), Array(Signal(5, init=n, name=f"row_{n}") for n in range(4))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.low, m.submodules.high = low, high = Module(), Module()
        low.d.comb += self.shared[:3].eq(self.given)
        with high.If(self.given[7]):
            high.d.comb += self.shared[3:].eq(self.given >> 3)
        m.submodules.memory = memory = Memory(shape=8, depth=4, init=[1, 2])
        write, read = memory.write_port(), memory.read_port(domain="comb")
        m.d.comb += [write.addr.eq(self.given), write.data.eq(self.sum), write.en.eq(self.given[2])]
        m.d.comb += [read.addr.eq(self.given[3:]), self.read.eq(read.data)]
        with m.Switch(self.given[:2]):
            with m.Case(0, 2):
                m.d.sync += self.sum.eq(self.sum + self.shared)
            with m.Default():
                m.d.sync += self.row[self.given[4:6]].eq(self.row[self.given[2:4]] + 1)
        return m


def texts_and_states(monkeypatch: pytest.MonkeyPatch, change: Any) -> tuple[list[str], list[tuple[int, ...]]]:
    """Simulate with processes whose texts are changed; return the texts and what the signals held."""
    texts: list[str] = []

    def flush(self: Any) -> str:
        text = change("".join(self._buffer))
        self._buffer.clear()
        texts.append(text)
        return str(text)

    monkeypatch.setattr(_pyrtl._PythonEmitter, "flush", flush)
    module = Parts()
    states: list[tuple[int, ...]] = []
    watched = (module.shared, module.sum, module.read, *module.row)
    simulator = Simulator(module)
    simulator.add_clock(1e-6)

    async def watch(ctx: Any) -> None:
        for value in np.random.default_rng(SEED).integers(0, 256, 400).tolist():
            ctx.set(module.given, value)
            states.append(tuple(ctx.get(signal) for signal in watched))
            await ctx.tick()

    simulator.add_testbench(watch)
    simulator.run()
    return texts, states


def test_quick_processes_agree_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, expected = texts_and_states(monkeypatch, str)
    changed, found = texts_and_states(monkeypatch, quick)
    assert found == expected, f"seed {SEED}"
    assert all(len(set(values)) > 3 for values in zip(*expected, strict=True))
    processes = [text for text in changed if text.startswith("def run(")]
    assert len(processes) == len([text for text in plain if text.startswith("def run(")]) >= 5
    for text in processes:
        body = text.partition("\n")[2]
        assert "slots[" not in body
        assert ".update(" not in body
    assert sum(len(re.findall(r"\bpend\(", text)) for text in processes) >= 10
