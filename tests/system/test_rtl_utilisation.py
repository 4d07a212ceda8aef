"""How busy the array is, from cycles measured in RTL."""

import numpy as np
import pytest

from gossamer_hw.cosim.executor import run_gemms
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.sparsity import Pattern
from tests.references.gemm_mapping import Product, cases

SEED = 64
TILES = 64


def utilisation(architecture: Architecture, pattern: Pattern, li: int, lj: int, columns: int, words: int) -> float:
    """Multiply-adds per cycle and element of a product without ragged edges, in 64 tiles."""
    array = architecture.array
    rng = np.random.default_rng(SEED)
    j_tiles = columns // (array.columns * lj)
    rows, length = TILES // j_tiles * array.rows * li, words * array.group
    a = rng.standard_normal((rows, length)).astype(np.float16)
    b = rng.standard_normal((length, columns)).astype(np.float16)
    case = cases(array, Product(a, b, pattern, li, lj, chunk_words=512))
    assert case[0].instruction.tiles == TILES
    (run,) = run_gemms(architecture, case)
    macs = rows * columns * words * pattern.entries_per_word(array.group)
    return macs / (run.cycles * array.macs_per_cycle)


# A reduction's entries in units of R. With 2 R entries the 4x4 array's own start and last drain take 2.4 % of 64 tiles.
MACHINES = {"wide-4x4": 4, "small-8x8": 2}


@pytest.mark.slow
@pytest.mark.parametrize("sparsity", ["1:1", "2:8"])
@pytest.mark.parametrize("columns", [8, 64])
@pytest.mark.parametrize("name", MACHINES)
def test_long_reductions_keep_the_array_busy(name: str, columns: int, sparsity: str) -> None:
    architecture = load_architecture(name)
    array = architecture.array
    pattern = Pattern.parse(sparsity)
    words = MACHINES[name] * array.rows // pattern.entries_per_word(array.group)
    lj = min(2, columns // array.columns)
    assert utilisation(architecture, pattern, 4 // lj, lj, columns, words) >= 0.98
