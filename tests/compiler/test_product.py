"""One matrix product: masked dense weights and N:M entries give the same bits, on every machine, and numpy's sum."""

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_compiler.product import compile_product
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.sparsity import Pattern, top_n_mask

DENSE = Pattern(8, 8)
SHAPES = [(5, 20, 3), (17, 64, 40), (3, 9, 130)]


def product(a: NDArray[np.float16], b: NDArray[np.float16], pattern: Pattern, machine: str) -> NDArray[np.float16]:
    architecture = load_architecture(machine)
    program = compile_product(a.shape[0], a.shape[1], b.shape[1], pattern, architecture)
    program.memory.fill()
    host.write(program, "a", a[:, :, None, None])
    host.write_entries(program, "b", b, pattern)
    run(program, architecture)
    found: NDArray[np.float16] = host.read(program, "out")[:, :, 0, 0]
    return found


@pytest.mark.parametrize("sparsity", ["1:2", "2:4", "1:4", "2:8", "1:8", "4:8"])
@pytest.mark.parametrize("shape", SHAPES)
def test_masked_dense_operand_equals_sparse_one(shape: tuple[int, int, int], sparsity: str) -> None:
    i, r, j = shape
    rng = np.random.default_rng(i * r * j)
    a, b = rng.standard_normal((i, r)).astype(np.float16), rng.standard_normal((r, j)).astype(np.float16)
    pattern = Pattern.parse(sparsity)
    masked = np.where(top_n_mask(b, pattern.n, pattern.m, 0), b, np.float16(0))
    results = [
        product(a, operand, kept, machine)
        for machine in ("wide-4x4", "small-8x8")
        for operand, kept in ((b, pattern), (masked, DENSE))
    ]
    expected = results[0].view(np.uint16)
    assert all(np.array_equal(result.view(np.uint16), expected) for result in results)
    exact = a.astype(np.float64) @ masked.astype(np.float64)
    np.testing.assert_allclose(results[0].astype(np.float64), exact, atol=0.02)
