"""Products against SCALE-Sim's published cycles of an output-stationary array, with the difference accounted for.

Per fold of R x C results SCALE-Sim counts K + R + C - 2 cycles, of which R + C - 2 skew the operands into the array and
the results out of it; folds follow each other without overlap, and the last cycle is not counted:
``ceil(M / R) ceil(N / C) (K + R + C - 2) - 1``. Here operands are broadcast, and results drain behind the next
reduction.
"""

import pytest

from gossamer_compiler.product import compile_product
from gossamer_models.architecture import load_architecture
from gossamer_models.grouping import DENSE
from gossamer_models.sparsity import Pattern
from gossamer_models.timeline import Ledger
from gossamer_sim import simulate


def scale_sim_cycles(m: int, n: int, k: int, rows: int, columns: int) -> int:
    return -(-m // rows) * -(-n // columns) * (k + rows + columns - 2) - 1


def ledger(m: int, n: int, k: int, architecture: str, pattern: Pattern = DENSE) -> Ledger:
    machine = load_architecture(architecture)
    return simulate(compile_product(m, k, n, pattern, machine), machine, memory="ideal").stages[0].ledger


@pytest.mark.parametrize(
    ("m", "n", "k", "architecture", "size"),
    [
        (128, 64, 64, "small-8x8", 8),
        (256, 8, 128, "small-8x8", 8),
        (1024, 256, 512, "vcu1525-32x32", 32),
        (512, 1024, 2048, "vcu1525-32x32", 32),
    ],
)
def test_whole_tiles(m: int, n: int, k: int, architecture: str, size: int) -> None:
    """The array works for exactly the K cycles of each fold; what differs is the skew, which is not paid for here."""
    found = ledger(m, n, k, architecture)
    folds = (m // size) * (n // size)
    issue = found.ideal + found.padding
    assert issue == folds * k
    assert scale_sim_cycles(m, n, k, size, size) == issue + folds * (2 * size - 2) - 1
    assert found.drain == 0


@pytest.mark.parametrize(("m", "n", "k"), [(100, 20, 72), (1, 1, 8), (9, 65, 40), (33, 8, 800)])
def test_ragged_tiles(m: int, n: int, k: int) -> None:
    """A fold is never split, but folds come in sets of Li x Lj = 4: ours are more by less than one set per edge."""
    size = 8
    found = ledger(m, n, k, "small-8x8")
    issue = found.ideal + found.padding + found.drain
    rows, columns = -(-m // size), -(-n // size)
    assert rows * columns * k <= issue <= (rows + 3) * (columns + 3) * max(k, size)


def test_sparse_entries_take_their_part() -> None:
    """SCALE-Sim's formula with K entries in place of K positions: 2:8 leaves a quarter of them."""
    dense, sparse = (ledger(128, 64, 256, "small-8x8", pattern) for pattern in (DENSE, Pattern.parse("2:8")))
    assert (dense.ideal + dense.padding) == 4 * (sparse.ideal + sparse.padding)


@pytest.mark.parametrize("k", [64, 512, 4096])
def test_the_skew_fades_with_the_reduction(k: int) -> None:
    found = ledger(512, 256, k, "vcu1525-32x32")
    ratio = scale_sim_cycles(512, 256, k, 32, 32) / (found.ideal + found.padding)
    assert ratio == pytest.approx(1 + 62 / k, rel=1e-4)
