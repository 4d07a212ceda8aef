"""Top-N networks against numpy, in Amaranth's simulator."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator
from numpy.typing import NDArray

from gossamer_hw.prune.topn import TopN
from gossamer_models.numerics.formats import UInt8, UInt16
from gossamer_models.sparsity import Pattern, compress, entries_in_last_word
from tests.hw.prune.prune_words import PATTERNS, TopNs, expected_entries, packed_words, random_words, unpacked_entries
from tests.hw.rig import Rig

# One worker, which simulates the words once for all.
pytestmark = pytest.mark.xdist_group("topn")
SEED = 11
COUNT = 80
TIES = np.array([[0x3C00, 0xBC00] * 4, [0x8000, 0x0000] * 4, [0x7C00, 0xFC00] * 4, [0x7E00] * 8], np.uint16)
ORDER = np.array([[0x8000, 0x0001, 0x7BFF, 0xFBFE, 0xFC00, 0x7E00, 0x0000, 0x83FF]], np.uint16)


def simulate(words: UInt16, real: UInt8) -> NDArray[np.uint32]:
    """Return the entries of all patterns, shape (words, patterns, 8)."""
    dut = TopNs()
    results = bytearray()
    size = len(dut.entries.as_value()) // 8

    async def drive(ctx: Any) -> None:
        for word, count in zip(packed_words(words), real.tolist(), strict=True):
            ctx.set(dut.word.as_value(), word)
            ctx.set(dut.count, count)
            await ctx.tick()

    async def check(ctx: Any) -> None:
        await ctx.tick().repeat(TopN.latency)
        async for _, _, entries in ctx.tick().sample(dut.entries.as_value()):
            results.extend(entries.to_bytes(size, "little"))
            if len(results) == size * len(words):
                return

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(check)
    simulator.run()
    return unpacked_entries(bytes(results), len(words))


@dataclass(frozen=True, slots=True)
class Simulated:
    """Words, their real elements and their entries; the first ones are :data:`TIES`, then :data:`ORDER`."""

    words: UInt16
    real: UInt8
    entries: NDArray[np.uint32]


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    words, real = random_words(np.random.default_rng(SEED), COUNT)
    whole = len(TIES) + len(ORDER)
    words = np.concatenate([TIES, ORDER, words])
    real = np.concatenate([np.full(whole, 8, np.uint8), real])
    return Simulated(words, real, simulate(words, real))


def test_entries_are_those_of_compress(simulated: Simulated) -> None:
    for number, pattern in enumerate(PATTERNS):
        expected = expected_entries(simulated.words, simulated.real, pattern)
        bad = np.flatnonzero((simulated.entries[:, number] != expected).any(axis=1))
        assert not bad.size, f"seed {SEED}, {pattern}: words {bad} differ, first {simulated.words[bad[0]]}"


def test_equal_magnitudes_keep_the_lower_indices(simulated: Simulated) -> None:
    found = simulated.entries[: len(TIES)]
    for number, pattern in enumerate(PATTERNS):
        kept = [i for i in range(8) if i % pattern.m < pattern.n]
        assert (found[:, number] >> 19).sum(axis=1).tolist() == [len(kept)] * len(TIES)
        assert ((found[:, number, : len(kept)] >> 16) & 7).tolist() == [kept] * len(TIES)


def test_nan_beats_infinity_beats_numbers_beat_zero(simulated: Simulated) -> None:
    found = simulated.entries[len(TIES)]
    kept = {str(p): [int(e >> 16 & 7) for e in found[n] if e >> 19] for n, p in enumerate(PATTERNS)}
    assert kept["1:8"] == [5]
    assert kept["2:8"] == [4, 5]
    assert kept["4:8"] == [2, 3, 4, 5]
    assert kept["7:8"] == [0, 1, 2, 3, 4, 5, 7]
    assert kept["1:2"] == [1, 2, 5, 7]
    assert kept["2:4"] == [2, 3, 4, 5]


def test_a_ragged_word_has_as_many_entries_as_the_model_says(simulated: Simulated) -> None:
    assert set(simulated.real.tolist()) == set(range(9))
    valid = (simulated.entries >> 19).sum(axis=2)
    for number, pattern in enumerate(PATTERNS):
        by_count = [0] + [entries_in_last_word(n, pattern, 8) for n in range(1, 9)]
        assert valid[:, number].tolist() == [by_count[n] for n in simulated.real]


@cache
def rig_of_sixteen() -> Rig:
    return Rig(TopN(16))


@pytest.mark.parametrize(
    "pattern", [Pattern(n, m) for n, m in ((1, 16), (2, 16), (7, 16), (16, 16), (2, 8), (1, 2))], ids=str
)
def test_words_of_sixteen(pattern: Pattern) -> None:
    words, real = random_words(np.random.default_rng(SEED), 24, 16)
    words[:2] = [[0x3C00, 0xBC00] * 8, [0x7E00] * 16]
    real[0] = 16
    rig = rig_of_sixteen()
    dut = rig.dut
    found: list[list[tuple[int, int, int]]] = []

    async def drive(ctx: Any) -> None:
        ctx.set(dut.keep, pattern.n)
        ctx.set(dut.of, pattern.m)
        for word, count in zip(packed_words(words), real.tolist(), strict=True):
            ctx.set(dut.word.as_value(), word)
            ctx.set(dut.count, count)
            await ctx.tick()

    async def check(ctx: Any) -> None:
        await ctx.tick().repeat(TopN.latency - 1)
        for _ in words:
            await ctx.tick()
            entries = [dut.entries[place] for place in range(16)]
            found.append([(ctx.get(e.value.as_value()), ctx.get(e.index), ctx.get(e.valid)) for e in entries])

    rig.run(check, background=[drive])
    for word, count, entries in zip(words, real.tolist(), found, strict=True):
        kept = compress(word[None, :count].view(np.float16), pattern, 16, axis=1) if count else None
        expected = (
            []
            if kept is None
            else list(
                zip(
                    kept.values[0, 0].view(np.uint16).tolist(),
                    kept.index[0, 0].tolist(),
                    kept.valid[0, 0].tolist(),
                    strict=True,
                )
            )
        )
        assert entries == expected + [(0, 0, 0)] * (16 - len(expected)), f"seed {SEED}, {pattern}: {word}, {count} real"
