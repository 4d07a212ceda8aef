"""The memory in HDL: bytes, responses and the very cycles of both models, watched by the checker."""

from itertools import repeat
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

from gossamer_hw.axi import INCR, size_code
from gossamer_hw.memory.checker import AxiChecker
from gossamer_hw.memory.memory import AxiMemory
from gossamer_models.architecture import Memory
from gossamer_models.timing.scripted import Direction, latencies, latency_span, ready_gaps, transaction_hash

SEED = 3
DEPTH = 64
MEMORY = Memory(port_bits=128, latency_cycles=9)
WIDTH = MEMORY.port_bits // 8
OKAY, SLAVE_ERROR, DECODE_ERROR = 0, 2, 3

Burst = tuple[int, int]
Handshakes = dict[str, list[int]]


class Watched(wiring.Component):
    """The memory with the checker beside it."""

    def __init__(self) -> None:
        self.memory = AxiMemory(MEMORY, depth=DEPTH)
        self.checker = AxiChecker(width_bytes=WIDTH)
        super().__init__({})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.memory, m.submodules.checker = self.memory, self.checker
        for half in (self.memory.read, self.memory.write):
            for name in half.signature.members:
                m.d.comb += getattr(self.checker, name).eq(getattr(half, name))
        return m


class Master:
    """Writes, then reads, as fast as it can or with pauses; notes the cycle of every handshake."""

    def __init__(self, rng: np.random.Generator, *, eager: bool) -> None:
        self.dut, self.rng, self.eager = Watched(), rng, eager
        self.now = 0
        self.cycles: Handshakes = {name: [] for name in ("ar", "r", "aw", "w", "b")}
        self.offers: Handshakes = {"ar": [], "aw": []}
        self.data: list[bytes] = []
        self.responses: Handshakes = {"r": [], "b": []}

    def run(self, writes: list[Burst], words: list[tuple[int, int]], reads: list[Burst], **settings: Any) -> None:
        """Do it; the words are (data, strobes)."""

        async def drive(ctx: Any) -> None:
            for name, value in settings.items():
                ctx.set(getattr(self.dut.memory, name), value)
            await self._work(ctx, "aw", writes, "b", len(writes), words)
            await self._work(ctx, "ar", reads, "r", sum(beats for _, beats in reads), [])
            await ctx.tick()
            assert ctx.get(self.dut.checker.violation) == 0

        simulator = Simulator(self.dut)
        simulator.add_clock(1e-6)
        simulator.add_testbench(drive)
        simulator.run()

    async def _work(
        self, ctx: Any, address: str, bursts: list[Burst], answer: str, answers: int, words: list[tuple[int, int]]
    ) -> None:
        port = self.dut.memory.write if address == "aw" else self.dut.memory.read
        lasts = [n == length - 1 for _, length in bursts for n in range(length)]
        begun = [number for number, (_, length) in enumerate(bursts) for _ in range(length)]
        offered: Handshakes = {address: [], "w": []}
        while len(self.cycles[answer]) < answers:
            self._offer(ctx, port, address, bursts, offered[address])
            sent = len(self.cycles["w"])
            if words and sent < len(words) and begun[sent] < len(self.cycles["aw"]):
                self._word(ctx, port, words[sent], lasts[sent], offered["w"])
            ready = self.eager or bool(self.rng.integers(2))
            ctx.set(getattr(port, answer + "ready"), ready)
            for channel in (address, answer, *(["w"] if words else [])):
                if ctx.get(getattr(port, channel + "valid")) and ctx.get(getattr(port, channel + "ready")):
                    self._taken(ctx, port, channel)
            await ctx.tick()
            self.now += 1
            for channel in (address, *(["w"] if words else [])):
                if self.cycles[channel] and self.cycles[channel][-1] == self.now - 1:
                    ctx.set(getattr(port, channel + "valid"), 0)

    def _offer(self, ctx: Any, port: Any, channel: str, bursts: list[Burst], offered: list[int]) -> None:
        number = len(self.cycles[channel])
        if number == len(bursts) or len(offered) > number or not (self.eager or self.rng.integers(2)):
            return
        first, beats = bursts[number]
        offered.append(self.now)
        self.offers[channel].append(self.now)
        fields = {"addr": first * WIDTH, "len": beats - 1, "size": size_code(WIDTH), "burst": INCR, "valid": 1}
        for name, value in fields.items():
            ctx.set(getattr(port, channel + name), value)

    def _word(self, ctx: Any, port: Any, word: tuple[int, int], last: bool, offered: list[int]) -> None:
        if len(offered) > len(self.cycles["w"]) or not (self.eager or self.rng.integers(2)):
            return
        offered.append(self.now)
        for name, value in {"wdata": word[0], "wstrb": word[1], "wlast": last, "wvalid": 1}.items():
            ctx.set(getattr(port, name), value)

    def _taken(self, ctx: Any, port: Any, channel: str) -> None:
        self.cycles[channel].append(self.now)
        if channel in self.responses:
            self.responses[channel].append(ctx.get(getattr(port, channel + "resp")))
        if channel == "r":
            self.data.append(ctx.get(port.rdata).to_bytes(WIDTH, "little"))


def random_bursts(rng: np.random.Generator, number: int) -> list[Burst]:
    firsts = rng.integers(DEPTH, size=number).tolist()
    return [(first, int(rng.integers(1, min(9, DEPTH - first + 1)))) for first in firsts]


def random_words(rng: np.random.Generator, bursts: list[Burst]) -> list[tuple[int, int]]:
    number = sum(beats for _, beats in bursts)
    return [(int.from_bytes(rng.bytes(WIDTH), "little"), int(rng.integers(1 << WIDTH))) for _ in range(number)]


def expected_bytes(bursts: list[Burst], words: list[tuple[int, int]]) -> bytearray:
    held = bytearray(DEPTH * WIDTH)
    places = [first + beat for first, beats in bursts for beat in range(beats)]
    for place, (word, strobes) in zip(places, words, strict=True):
        for n in range(WIDTH):
            if strobes >> n & 1:
                held[place * WIDTH + n] = word >> 8 * n & 255
    return held


@pytest.mark.parametrize("eager", [True, False])
@pytest.mark.parametrize("scripted", [0, 1])
def test_bytes(eager: bool, scripted: int) -> None:
    rng = np.random.default_rng(SEED)
    writes, reads = random_bursts(rng, 40), random_bursts(rng, 40)
    words = random_words(rng, writes)
    master = Master(rng, eager=eager)
    master.run(writes, words, reads, scripted=scripted, seed=SEED)
    held = expected_bytes(writes, words)
    wanted = [held[(first + n) * WIDTH :][:WIDTH] for first, beats in reads for n in range(beats)]
    assert master.data == wanted
    assert set(master.responses["r"] + master.responses["b"]) == {OKAY}


def test_ideal_cycles() -> None:
    check_cycles(scripted=0, seed=0)


@pytest.mark.parametrize("seed", [0, 1, 0xFFFFFFFF])
def test_scripted_cycles(seed: int) -> None:
    check_cycles(scripted=1, seed=seed)


def check_cycles(*, scripted: int, seed: int) -> None:
    """An eager master's handshakes are where gaps and latencies put them."""
    rng = np.random.default_rng(SEED)
    writes, reads = random_bursts(rng, 30), random_bursts(rng, 30)
    words = random_words(rng, writes)
    master = Master(rng, eager=True)
    master.run(writes, words, reads, scripted=scripted, seed=seed)
    for direction, channel in ((Direction.READ, "ar"), (Direction.WRITE, "aw")):
        gaps = ready_gaps(0, direction, seed) if scripted else repeat(0)
        for offered, taken, gap in zip(master.offers[channel], master.cycles[channel], gaps, strict=False):
            assert taken == offered + gap, (channel, seed)
    waits = latencies(MEMORY, 0, Direction.READ, seed) if scripted else repeat(MEMORY.latency_cycles)
    last, place = -1, 0
    for taken, (_, beats), wait in zip(master.cycles["ar"], reads, waits, strict=False):
        first = max(taken + wait, last + 1)
        assert master.cycles["r"][place : place + beats] == list(range(first, first + beats)), (place, seed)
        last, place = first + beats - 1, place + beats
    waits = latencies(MEMORY, 0, Direction.WRITE, seed) if scripted else repeat(MEMORY.latency_cycles)
    last, place = -1, 0
    for answered, (_, beats), wait in zip(master.cycles["b"], writes, waits, strict=False):
        place += beats
        last = max(master.cycles["w"][place - 1] + wait, last + 1)
        assert answered == last, (place, seed)


def test_words_follow_their_address_at_once() -> None:
    rng = np.random.default_rng(SEED)
    writes = [(0, 8), (8, 1), (9, 1), (16, 4)]
    master = Master(rng, eager=True)
    master.run(writes, random_words(rng, writes), [])
    assert master.cycles["w"] == list(range(master.cycles["w"][0], master.cycles["w"][0] + 14))


def test_many_bursts_are_under_way() -> None:
    rng = np.random.default_rng(SEED)
    master = Master(rng, eager=True)
    reads = [(n % DEPTH, 1) for n in range(200)]
    slow = MEMORY.model_copy(update={"latency_cycles": 300})
    master.dut.memory = AxiMemory(slow, depth=DEPTH)
    master.run([], [], reads)
    assert master.cycles["ar"] == list(range(200))
    assert master.cycles["r"] == list(range(300, 500))


def test_failures() -> None:
    """Neither a burst told to fail nor one outside writes anything."""
    rng = np.random.default_rng(SEED)
    writes, reads = [(0, 2), (2, 2), (DEPTH, 1), (0, 1)], [(0, 4), (2, 1), (DEPTH + 5, 2)]
    words = random_words(rng, writes)
    master = Master(rng, eager=True)
    failure = {"enable": 1, "direction": Direction.WRITE, "transaction": 1}
    master.run(writes, words, reads, failure=failure)
    assert master.responses["b"] == [OKAY, SLAVE_ERROR, DECODE_ERROR, OKAY]
    assert master.responses["r"] == [OKAY] * 5 + [DECODE_ERROR] * 2
    held = expected_bytes([writes[0], writes[3]], [*words[:2], words[5]])
    assert b"".join(master.data[:4]) == held[: 4 * WIDTH]


def test_failing_read() -> None:
    master = Master(np.random.default_rng(SEED), eager=True)
    master.run([], [], [(0, 2), (2, 3), (0, 1)], failure={"enable": 1, "direction": 0, "transaction": 1})
    assert master.responses["r"] == [OKAY] * 2 + [SLAVE_ERROR] * 3 + [OKAY]


def test_script_is_spread() -> None:
    """Both directions, and seeds, differ; all gaps and all latencies occur."""
    number = 4000
    seen = {
        (direction, seed): [transaction_hash(0, direction, n, seed) for n in range(number)]
        for direction in Direction
        for seed in (0, 1)
    }
    assert len({tuple(values) for values in seen.values()}) == len(seen)
    gaps = [gap for gap, _ in zip(ready_gaps(0, Direction.READ, SEED), range(number), strict=False)]
    assert set(gaps) == {0, 1, 2, 3}
    waits = [wait for wait, _ in zip(latencies(MEMORY, 0, Direction.READ, SEED), range(number), strict=False)]
    assert set(waits) == set(range(1, latency_span(MEMORY) + 1))
    assert MEMORY.latency_cycles < latency_span(MEMORY) <= 2 * MEMORY.latency_cycles
