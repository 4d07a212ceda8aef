"""Updates that ask first: which lines they are, and that the installed Amaranth writes no others."""

import re
from typing import Any

import pytest
from amaranth.hdl import ClockDomain, Module, Signal
from amaranth.sim import Simulator, _pyrtl

from tests.quick_updates import asking


def test_lines() -> None:
    assert asking("slots[3].update(next_3)") == "if slots[3].next != next_3: slots[3].update(next_3)"
    assert asking("slots[12].update(next_12, 255)") == "if slots[12].next != next_12: slots[12].update(next_12, 255)"
    for other in ("next_3 = slots[3].next", "slots[3].write(4, next_3)", "slots[3].update(5)"):
        assert asking(other) == other


def test_every_process_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    emitter: Any = _pyrtl._PythonEmitter
    flush = emitter.flush

    def keep(self: Any) -> str:
        texts.append(flush(self))
        return texts[-1]

    monkeypatch.setattr(emitter, "flush", keep)
    module = Module()
    module.domains.sync = ClockDomain()
    count, twice = Signal(4), Signal(5)
    module.d.sync += count.eq(count + 1)
    module.d.comb += twice.eq(count << 1)
    simulator = Simulator(module)
    simulator.add_clock(1e-6)
    seen: list[int] = []

    async def watch(ctx: Any) -> None:
        for _ in range(20):
            seen.append(ctx.get(twice))
            await ctx.tick()

    simulator.add_testbench(watch)
    simulator.run()
    assert seen == [2 * (number % 16) for number in range(20)]
    updates = [line.strip() for text in texts for line in text.splitlines() if ".update(" in line]
    assert len(updates) >= 2
    assert all(re.match(r"if slots\[\d+\]\.next != next_\d+: ", line) for line in updates)
