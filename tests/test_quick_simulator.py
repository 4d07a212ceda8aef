"""Quicker processes: what becomes of their text, that the installed Amaranth writes no other, and that they agree."""

import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Array, Elaboratable, Module, Signal, signed
from amaranth.lib.memory import Memory
from amaranth.sim import Simulator, _pyrtl

from tests import quick_simulator
from tests.quick_simulator import in_order, quick

SEED = 7

TEXT = """def run():
    next_3 = slots[3].next
    if (255 & slots[12].curr):
        slots[4].write(1, next_3, 255)
    slots[3].update(next_3, 255)
"""
QUICK = """def run(slot_0, slot_1, slot_2, pend):
    next_0 = slot_0.next
    if (255 & slot_1.curr):
        slot_2.write(1, next_0, 255)
    if slot_0.next != next_0 and (merged := (slot_0.next & ~255) | (next_0 & 255)) != slot_0.next: \
slot_0.next = merged; pend(slot_0)
"""


def test_text() -> None:
    assert quick(TEXT) == (QUICK, (3, 12, 4))
    assert quick(TEXT.replace("12", "7").replace("4", "40")) == (QUICK, (3, 7, 40))
    for other in ("def run():\n    pass\n", "result = slots[3].curr\n", "slots[3].update(next_3)\n"):
        assert quick(other) == (other, ())


class Parts(Elaboratable):
    """Parts of one signed signal in two modules, a memory, an array, sums under a switch, chains, bits of others."""

    def __init__(self) -> None:
        self.given, self.shared, self.sum = Signal(8), Signal(signed(8)), Signal(signed(12))
        self.seen, self.read, self.row = (
            Signal(signed(8)),
            Signal(8),
            Array(Signal(5, init=n, name=f"row_{n}") for n in range(4)),
        )
        self.chain, self.bits, self.other = [Signal(signed(10)) for _ in range(6)], Signal(4), Signal(4)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        # Written from the end to the beginning, through a switch.
        for before, after in reversed(list(pairwise(self.chain))):
            with m.If(before < 100):
                m.d.comb += after.eq(3 - before)
            with m.Else():
                m.d.comb += after[1:].eq(before)
        m.d.comb += self.chain[0].eq(self.given)
        m.d.comb += [self.bits[1].eq(self.other[0]), self.other[1].eq(~self.bits[1]), self.bits[2].eq(self.other[1])]
        m.d.comb += [self.bits[0].eq(self.given[3]), self.other[0].eq(self.bits[0]), self.other[2].eq(self.bits[2])]
        m.submodules.low, m.submodules.high = low, high = Module(), Module()
        low.d.comb += [self.shared[:3].eq(self.given), self.seen.eq(self.shared)]
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
    """Simulate with processes whose texts are changed; return the texts before that and what the signals held."""
    texts: list[str] = []

    def flush(self: Any) -> str:
        texts.append("".join(self._buffer))
        self._buffer.clear()
        return str(change(texts[-1]))

    monkeypatch.setattr(_pyrtl._PythonEmitter, "flush", flush)
    module = Parts()
    states: list[tuple[int, ...]] = []
    watched = (
        module.shared,
        module.seen,
        module.sum,
        module.read,
        module.bits,
        module.other,
        *module.row,
        *module.chain,
    )
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
    with monkeypatch.context() as plainly:
        plainly.setattr(quick_simulator, "_whole", lambda _: [])
        _, expected = texts_and_states(monkeypatch, str)
    texts, found = texts_and_states(monkeypatch, quick_simulator._process)
    assert found == expected, f"seed {SEED}"
    assert all(len(set(values)) > 1 for values in zip(*expected, strict=True))
    bodies = [quick(text)[0].partition("\n")[2] for text in texts if text.startswith("def run():")]
    assert len(bodies) >= 5
    for body in bodies:
        assert "slots[" not in body
        assert ".update(" not in body
    assert sum(len(re.findall(r"\bpend\(", body)) for body in bodies) >= 10


def test_what_is_alike_is_compiled_once() -> None:
    module = Module()
    counters = [Signal(8, name=f"counter_{number}") for number in range(8)]
    for number, counter in enumerate(counters):
        part = Module()
        part.d.sync += counter.eq(counter + 5)
        module.submodules[f"part_{number}"] = part
    engine: Any = Simulator(module)._engine
    codes = [process.run.__code__ for process in engine._processes]
    assert len(codes) == 8
    assert len({id(code) for code in codes}) == 1


def test_groups_are_in_order() -> None:
    a, b, c, d = (Signal(4, name=name) for name in "abcd")
    last, first, second, third = c.eq(b), a[:2].eq(d), b.eq(a), a[2:].eq(d + 1)
    assert in_order([last, first, second, third]) == [[first, third], [second], [last]]
    loop = [a[0].eq(b[0]), b[1].eq(a[0]), c.eq(a)]
    found = in_order(loop)
    assert sorted(map(len, found)) == [1, 1, 1]
    assert [group for group in found if group in ([loop[0]], [loop[2]])] == [[loop[0]], [loop[2]]]


def test_a_chain_is_one_run() -> None:
    """However it is written: a run of its process per change of what it begins with."""
    module, given = Module(), Signal(8)
    chain = [given, *(Signal(9, name=f"link_{number}") for number in range(40))]
    for before, after in reversed(list(pairwise(chain))):
        module.d.comb += after.eq(before + 1)
    simulator = Simulator(module)
    engine: Any = simulator._engine
    (process,) = (process for process in engine._processes if process.is_comb)
    run = process.run
    runs: list[None] = []

    def counted() -> None:
        runs.append(None)
        run()

    process.run = counted

    async def change(ctx: Any) -> None:
        for value in (3, 200, 7):
            runs.clear()
            ctx.set(given, value)
            assert ctx.get(chain[-1]) == value + 40
            assert len(runs) == 1

    simulator.add_testbench(change)
    simulator.run()
