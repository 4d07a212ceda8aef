"""Transposable masks against trying all patterns, for every kind of bits."""

import itertools

import numpy as np
import pytest

from gossamer_models.transposable import transposable_mask, transposable_patterns
from tests.references.operands import any_fp16


def key(bits: int) -> int:
    """Magnitude in units of 2^-24; infinity and NaN as if their exponent were one more."""
    exponent, fraction = bits >> 10 & 31, bits & 1023
    return fraction if exponent == 0 else (1024 + fraction) << exponent - 1


def test_there_are_ninety_patterns() -> None:
    patterns = transposable_patterns()
    assert len({pattern.tobytes() for pattern in patterns}) == len(patterns) == 90
    assert (patterns.sum(1) == 2).all()
    assert (patterns.sum(2) == 2).all()


@pytest.mark.parametrize("special", [0.0, 0.3])
def test_best_of_all_masks(special: float) -> None:
    rng = np.random.default_rng(3)
    blocks = any_fp16(rng, 3 * 8 * 12, special).reshape(3, 8, 12)
    blocks[0, :4, :4] = 1  # all patterns are equal: the first one
    mask = transposable_mask(blocks)
    for n, y, x in itertools.product(range(3), range(0, 8, 4), range(0, 12, 4)):
        size = [[key(int(v)) for v in row] for row in blocks[n, y : y + 4, x : x + 4].view(np.uint16)]
        best, chosen = -1, None
        for rows in itertools.product(itertools.combinations(range(4), 2), repeat=4):
            if all(sum(column in row for row in rows) == 2 for column in range(4)):
                total = sum(size[r][c] for r, row in enumerate(rows) for c in row)
                if total > best:
                    best, chosen = total, rows
        assert chosen is not None
        found = [tuple(np.nonzero(row)[0].tolist()) for row in mask[n, y : y + 4, x : x + 4]]
        assert found == list(chosen)


def test_transposed_blocks_have_transposed_masks() -> None:
    block = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float16)
    assert (transposable_mask(np.ascontiguousarray(block.T)) == transposable_mask(block).T).all()
