"""Top-N networks against numpy, in Amaranth's simulator."""

from typing import Any

import numpy as np
from amaranth.sim import Simulator

from gossamer_hw.prune.topn import TopN
from gossamer_models.numerics.formats import UInt8, UInt16
from gossamer_models.sparsity import entries_in_last_word
from tests.hw.prune.prune_words import PATTERNS, TopNs, expected_entries, packed_words, random_words, unpacked_entries

SEED = 11
COUNT = 300


def simulate(words: UInt16, real: UInt8) -> Any:
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


def test_entries_are_those_of_compress() -> None:
    words, real = random_words(np.random.default_rng(SEED), COUNT)
    found = simulate(words, real)
    for number, pattern in enumerate(PATTERNS):
        expected = expected_entries(words, real, pattern)
        bad = np.flatnonzero((found[:, number] != expected).any(axis=1))
        assert not bad.size, f"seed {SEED}, {pattern}: {bad.size} differ, first {words[bad[0]]}, {real[bad[0]]} real"


def test_equal_magnitudes_keep_the_lower_indices() -> None:
    words = np.array([[0x3C00, 0xBC00] * 4, [0x8000, 0x0000] * 4, [0x7C00, 0xFC00] * 4, [0x7E00] * 8], np.uint16)
    found = simulate(words, np.full(len(words), 8, np.uint8))
    for number, pattern in enumerate(PATTERNS):
        kept = [i for i in range(8) if i % pattern.m < pattern.n]
        valid = (found[:, number] >> 19).astype(bool)
        assert valid.sum(axis=1).tolist() == [len(kept)] * len(words)
        assert ((found[:, number, : len(kept)] >> 16) & 7).tolist() == [kept] * len(words)


def test_nan_beats_infinity_beats_numbers_beat_zero() -> None:
    word = np.array([[0x8000, 0x0001, 0x7BFF, 0xFBFE, 0xFC00, 0x7E00, 0x0000, 0x83FF]], np.uint16)
    found = simulate(word, np.array([8], np.uint8))
    kept = {str(p): [int(e >> 16 & 7) for e in found[0, n] if e >> 19] for n, p in enumerate(PATTERNS)}
    assert kept["1:8"] == [5]
    assert kept["2:8"] == [4, 5]
    assert kept["4:8"] == [2, 3, 4, 5]
    assert kept["7:8"] == [0, 1, 2, 3, 4, 5, 7]
    assert kept["1:2"] == [1, 2, 5, 7]
    assert kept["2:4"] == [2, 3, 4, 5]


def test_a_ragged_word_has_as_many_entries_as_the_model_says() -> None:
    counts = np.arange(9, dtype=np.uint8)
    words, _ = random_words(np.random.default_rng(SEED), len(counts))
    valid = (simulate(words, counts) >> 19).sum(axis=2)
    for number, pattern in enumerate(PATTERNS):
        assert valid[:, number].tolist() == [0] + [entries_in_last_word(n, pattern, 8) for n in range(1, 9)]
