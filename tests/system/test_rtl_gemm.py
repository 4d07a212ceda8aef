"""The issue's sweep: products of every kind on the Verilated engine, bit for bit and cycle for cycle."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gossamer_hw.cosim.executor import run_gemms
from gossamer_models.architecture import Array, load_architecture
from gossamer_models.numerics.formats import Float16
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.gemm import gemm_cycles
from tests.references.gemm_mapping import Product, cases, expected, result

SEED = 2023
CASES = {8: 210, 16: 80}
SPARSITIES = {8: ("1:1", "1:2", "2:4", "1:4", "2:8", "1:8", "4:8"), 16: ("1:1", "1:4", "2:8", "1:16", "2:16", "8:16")}
CHUNKS = ("whole", "one word", "even", "uneven")
SHAPES = ("aligned", "ragged i", "ragged j", "ragged r", "1-wide")
NUMBERS = ("plain", "special", "subnormal", "cancelling")
INSTRUCTIONS = (1, 2)

Choice = tuple[Any, ...]


def factors(array: Array) -> tuple[Sequence[Any], ...]:
    """Values of every factor of the sweep."""
    return SPARSITIES[array.group], array.interleaves, CHUNKS, SHAPES, NUMBERS, INSTRUCTIONS


def pairs(choice: Choice) -> set[tuple[Any, ...]]:
    """All pairs of (factor, value) in a choice."""
    return set(itertools.combinations(enumerate(choice), 2))


def sweep(array: Array, rng: random.Random) -> list[Choice]:
    """Random choices, those with the most new pairs first, until every pair occurs."""
    space = list(itertools.product(*factors(array)))
    missing = set().union(*map(pairs, space))
    chosen: list[Choice] = []
    while missing:
        best = max(rng.sample(space, 60), key=lambda choice: len(pairs(choice) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen + rng.sample(space, max(0, CASES[array.group] - len(chosen)))


def numbers(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> Float16:
    """Random binary16 of a kind."""
    plain = rng.standard_normal(shape).astype(np.float16)
    if kind == "subnormal":
        return (plain * np.float16(3e-6)).astype(np.float16)
    if kind == "special":
        special = rng.choice(np.array([np.inf, -np.inf, np.nan, 0, -0.0, 65504], np.float16), shape)
        return np.where(rng.random(shape) < 0.04, special, plain).astype(np.float16)
    return plain


def cancel(a: Float16, b: Float16, rng: np.random.Generator) -> tuple[Float16, Float16]:
    """Let every second product be the opposite of the one before, but for an ulp of some."""
    pairs_of_a, pairs_of_b = a[:, : a.shape[1] // 2 * 2], b[: b.shape[0] // 2 * 2]
    off_by_an_ulp = (rng.random(pairs_of_a[:, 1::2].shape) < 0.2).astype(np.uint16)
    pairs_of_a[:, 1::2] = -(pairs_of_a[:, ::2].copy().view(np.uint16) ^ off_by_an_ulp).view(np.float16)
    pairs_of_b[1::2] = pairs_of_b[::2]
    return a, b


def product(array: Array, choice: Choice, rng: np.random.Generator) -> Product:
    """Operands of a choice."""
    sparsity, (li, lj), chunk, shape, kind, instructions = choice
    i_tile, j_tile = array.rows * li, array.columns * lj
    rows = int(rng.integers(1, 3)) * i_tile - (int(rng.integers(1, i_tile)) if shape == "ragged i" else 0)
    columns = int(rng.integers(1, 3)) * j_tile - (int(rng.integers(1, j_tile)) if shape == "ragged j" else 0)
    words = int(rng.integers(instructions, 8))
    length = words * array.group - (int(rng.integers(1, array.group)) if shape == "ragged r" else 0)
    if shape == "1-wide":
        rows, columns = 1, 1
        length = length if instructions == 2 else 1
    chunk_words = {"whole": 512, "one word": 1, "even": max(1, words // 2), "uneven": max(1, words - 1)}[chunk]
    a, b = numbers(kind, (rows, length), rng), numbers(kind, (length, columns), rng)
    if kind == "cancelling":
        a, b = cancel(a, b, rng)
    split = int(rng.integers(1, words)) if instructions == 2 else 0
    return Product(a, b, Pattern.parse(sparsity), li, lj, chunk_words, split)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["wide-4x4", "small-8x8", "wide-4x4-g16"])
def test_products_are_bit_exact_and_cycle_exact(name: str) -> None:
    architecture = load_architecture(name)
    array = architecture.array
    choices = sweep(array, random.Random(SEED))
    assert len(choices) >= CASES[array.group]
    assert set().union(*map(pairs, choices)) == set().union(*map(pairs, itertools.product(*factors(array))))
    rng = np.random.default_rng(SEED)
    products = [product(array, choice, rng) for choice in choices]
    steps = [cases(array, each) for each in products]
    runs = iter(run_gemms(architecture, list(itertools.chain(*steps))))
    for number, (choice, each, instructions) in enumerate(zip(choices, products, steps, strict=True)):
        label = f"case {number} of seed {SEED}: {choice}"
        for case in instructions:
            run = next(runs)
            assert run.cycles == gemm_cycles(array, case.instruction).total, label
        found, wanted = result(array, each, run), expected(array, each)
        different = np.argwhere(found.view(np.uint32) != wanted.view(np.uint32))
        assert not different.size, f"{label}: {len(different)} of {found.size} differ, first at {different[0]}"
