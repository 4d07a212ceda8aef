"""Random GEMM instructions, small and full of corner cases."""

import dataclasses
import random
from math import prod
from typing import Any

import numpy as np

from gossamer_hw.cosim.executor import GemmCase
from gossamer_models.architecture import Architecture, Array
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.isa.tokens import Advance
from gossamer_models.registers import Fault
from gossamer_models.sparsity import META_VALID
from tests.references.gemm_steps import walk_steps

LEGAL = Gemm(log2_li=1, log2_lj=1, entries=8, chunk_words=1, li_last=2)
"""On an array of 4 rows, 4 slots, an adder of 4 cycles and at most 2 chunks side by side."""

REFUSED: tuple[tuple[dict[str, Any], Fault], ...] = (
    ({"dataflow": 1}, Fault.ILLEGAL),
    ({"log2_li": 0}, Fault.ILLEGAL),
    ({"log2_lj": 2}, Fault.ILLEGAL),
    ({"log2_lr": 1}, Fault.ILLEGAL),
    ({"log2_li": 0, "log2_lj": 0, "log2_lr": 2}, Fault.ILLEGAL),
    ({"log2_li": 7, "log2_lj": 7, "log2_lr": 3}, Fault.ILLEGAL),
    *(({name: 0}, Fault.ILLEGAL) for name in ("i2", "i1", "i0", "j", "r2", "r1", "r0", "entries", "chunk_words")),
    ({"last_level": 0, "entries_last": 0}, Fault.ILLEGAL),
    ({"rows_last": 5}, Fault.ILLEGAL),
    ({"acc_base": 1}, Fault.ALIGNMENT),
    ({"acc_base": 10}, Fault.ALIGNMENT),
)
"""Fields of which each makes it one that golden and the gemm engine refuse."""


def random_instruction(rng: random.Random, array: Array, *, max_tiles: int = 6, max_words: int = 12) -> Gemm:
    """Return a legal instruction: any loops, strides of any sign, boxes that may be empty, chunks of any length."""
    li, lj, lr = rng.choice([(li, lj, 1) for li, lj in array.interleaves] + 2 * list(array.chunk_interleaves))
    tiles = _split(rng, max_tiles, 4)
    words = _split(rng, max_words, 3)
    entries = rng.choice((1, 1, 2, 2, 4, 8))
    y_level = rng.choice((0, 1, 2, NO_LEVEL))
    x_level = rng.choice([level for level in (0, 1, 2, NO_LEVEL) if level == NO_LEVEL or level != y_level])
    fields: dict[str, Any] = dict(
        log2_li=li.bit_length() - 1,
        log2_lj=lj.bit_length() - 1,
        log2_lr=lr.bit_length() - 1,
        entries=entries,
        entries_last=rng.randint(1, entries),
        last_level=rng.choice((0, 1, 2, NO_LEVEL)),
        chunk_words=rng.choice([n for n in (1, 2, 3, 5, 9, 512) if lr == 1 or not prod(words) % n or n > prod(words)]),
        accumulate=rng.getrandbits(1),
        **dict(zip(("i2", "i1", "i0", "j"), tiles, strict=True)),
        **dict(zip(("r2", "r1", "r0"), words, strict=True)),
        li_last=rng.randint(1, li),
        rows_level=rng.choice((0, 1, 2, NO_LEVEL)),
        rows_last=rng.randint(1, array.rows),
        **{f"a_{name}": rng.randint(-40, 40) for name in ("i2", "i1", "i0", "li", "j", "r2", "r1", "r0")},
        a_base=rng.randint(-50, 50),
        **_entry_places(rng, words),
        acc_base=rng.randint(0, 7) * array.rows,
        **_coordinate(rng, "y", y_level),
        **_coordinate(rng, "x", x_level),
    )
    if lr > 1:
        fields |= {
            "a_lr": rng.randint(-40, 40),
            "b_lr": rng.randint(0, 40),
            "y_lr": rng.choice((0, rng.randint(-3, 3))),
        }
    return Gemm(**fields)


def _entry_places(rng: random.Random, words: list[int]) -> dict[str, int]:
    """Strides of B, along taps also backwards, and a base that keeps all words in the buffer."""
    strides = {"r2": rng.randint(-40, 40), "r1": rng.randint(-40, 40), "r0": rng.randint(0, 40)}
    back = sum(min(0, stride) * (count - 1) for stride, count in zip(strides.values(), words, strict=True))
    places = strides | {"base": rng.randint(0, 40) - back, "j": rng.randint(0, 40)}
    return {f"b_{name}": value for name, value in places.items()}


def _split(rng: random.Random, limit: int, parts: int) -> list[int]:
    """Random factors whose product is at most `limit`, in random order."""
    factors = []
    for _ in range(parts):
        factor = rng.randint(1, max(1, limit))
        factors.append(factor)
        limit //= factor
    rng.shuffle(factors)
    return factors


def _coordinate(rng: random.Random, axis: str, level: int) -> dict[str, int]:
    """Fields of one coordinate: always inside, or somewhere around a small image."""
    if rng.random() < 0.25:
        return {f"{axis}_level": NO_LEVEL, f"{axis}_size": 1}
    fields = {f"{axis}_{name}": rng.randint(-3, 3) for name in ("i2", "i1", "i0", "li")}
    negative = rng.getrandbits(1)
    base = rng.randint(-3, 3) + (rng.randint(0, 6) if negative else 0)
    shift = rng.choice((0, 0, 1, 2))
    named = {"base": base, "level": level, "shift": shift, "negative": negative, "size": rng.randint(1, 9)}
    return fields | {f"{axis}_{name}": value for name, value in named.items()}


def random_case(seed: int, architecture: Architecture) -> GemmCase:
    """Return a random instruction, moved so that what it reaches lies in the buffers, and random operands.

    Words that no valid slot reaches may lie anywhere, as on the machine.
    """
    array, buffers = architecture.array, architecture.buffers
    rng = random.Random(seed)
    instruction = random_instruction(rng, array)
    steps = walk_steps(instruction, rows=array.rows, drain_steps=array.rows // array.drain_ports)
    words = [step.a for step in steps if step and step.a is not None and step.valid_rows]
    entries = [step.b for step in steps if step and step.b is not None]
    results = instruction.tiles * instruction.li * instruction.lj * array.rows
    free = (buffers.accumulator_words - results) // array.rows
    instruction = dataclasses.replace(
        instruction,
        advance=rng.choice((0, 0, Advance.A, Advance.B, Advance.ACC, Advance.A | Advance.B | Advance.ACC)),
        a_base=instruction.a_base - min(words, default=0),
        acc_base=rng.randint(0, free) * array.rows,
        accumulate=0,
    )
    numbers = np.random.default_rng(seed)
    a_words = max(words, default=0) - min(words, default=0) + 1
    b_entries = max(entries, default=0) + 1
    b_shape = (b_entries, array.columns)
    metadata = numbers.integers(0, array.group, b_shape) | (numbers.random(b_shape) < 0.9) * META_VALID
    return GemmCase(
        instruction,
        numbers.standard_normal((a_words, array.rows, array.group)).astype(np.float16),
        numbers.standard_normal(b_shape).astype(np.float16),
        metadata.astype(np.uint8),
        rewind=rng.random() < 0.1,
    )
