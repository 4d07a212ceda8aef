"""The golden matrix product against loops over scalars, float64 and its own invariances."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.errors import InputError
from gossamer_models.golden import gemm
from gossamer_models.golden.gemm import gemm_entries
from gossamer_models.numerics.accumulate import add
from gossamer_models.numerics.formats import Bool, Float16, Float32, UInt8, bits32, from_bits16
from gossamer_models.sparsity import Entries, Pattern, compress
from tests.references import naive

GROUP = 8
PATTERNS = [Pattern(8, 8), Pattern(1, 2), Pattern(2, 4), Pattern(1, 4), Pattern(2, 8), Pattern(1, 8), Pattern(4, 8)]


@dataclass(frozen=True, slots=True)
class Case:
    """One product: dense A (i, r), B (r, j) with the mask of what is kept, and both as words and entries."""

    a: Float16
    b: Float16
    kept: Bool
    a_words: Float16
    a_valid: Bool
    values: Float16
    index: UInt8
    valid: Bool
    seed: int

    def run(self, chunk_words: int, partial: Float32 | None = None) -> Float32:
        return gemm_entries(self.a_words, self.a_valid, self.values, self.index, self.valid, chunk_words, partial)

    def words(self, chosen: slice) -> "Case":
        """Return the product over some of the words; the dense operands stay."""
        return replace(
            self,
            a_words=self.a_words[:, chosen],
            a_valid=self.a_valid[:, chosen],
            values=self.values[chosen],
            index=self.index[chosen],
            valid=self.valid[chosen],
        )

    def expected(self, chunk_words: int) -> Float32:
        a_keep = np.repeat(self.a_valid, GROUP, axis=1)[:, : self.a.shape[1]]
        return naive.gemm_fp32(self.a, self.b, chunk_words * GROUP, a_keep, self.kept)

    def check(self, chunk_words: int) -> None:
        got, want = bits32(self.run(chunk_words)), bits32(self.expected(chunk_words))
        np.testing.assert_array_equal(got, want, err_msg=f"seed {self.seed}")


def operand(rng: np.random.Generator, shape: tuple[int, ...], kind: str) -> Float16:
    """Draw an operand of the named kind."""
    if kind == "normal":
        return rng.standard_normal(shape).astype(np.float16)
    if kind == "ties":
        return rng.integers(-2, 3, shape).astype(np.float16)
    pattern = rng.integers(0, 1 << 16, shape, dtype=np.uint16)
    if kind == "subnormal":
        return from_bits16(pattern & np.uint16(0x83FF))
    # Infinities and NaN lose an exponent bit.
    finite = np.where(pattern & 0x7C00 == 0x7C00, pattern & np.uint16(0xBFFF), pattern)
    if kind == "finite":
        return from_bits16(finite)
    chosen = rng.choice(np.array([0x7C00, 0xFC00, 0x7E00, 0xFE01, 0x7D55], dtype=np.uint16), shape)
    return from_bits16(np.where(rng.random(shape) < 0.02, chosen, finite))


def to_words(a: Float16) -> Float16:
    return np.pad(a, ((0, 0), (0, -a.shape[1] % GROUP))).reshape(a.shape[0], -1, GROUP)


def along_words(entries: Entries) -> tuple[Float16, UInt8, Bool]:
    """Bring entries (j, words, e) into the order (words, e, j)."""
    axes = (1, 2, 0)
    return entries.values.transpose(axes), entries.index.transpose(axes), entries.valid.transpose(axes)


def make(seed: int, rows: int, depth: int, columns: int, pattern: Pattern, kind: str, holes: float = 0) -> Case:
    """Draw a product; `holes` is the fraction of A words that are invalid and then hold NaN."""
    rng = np.random.default_rng(seed)
    a, b = operand(rng, (rows, depth), kind), operand(rng, (depth, columns), kind)
    a_words = to_words(a)
    a_valid = rng.random(a_words.shape[:2]) >= holes
    a_words[~a_valid] = np.nan
    values, index, valid = along_words(compress(b, pattern, GROUP, 0))
    kept = naive.n_of_m_mask(b, pattern.n, pattern.m, 0)
    return Case(a, b, kept, a_words, a_valid, values, index, valid, seed)


@pytest.mark.parametrize("kind", ["normal", "ties", "subnormal", "finite", "special"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_every_bit_against_loops(pattern: Pattern, kind: str) -> None:
    seed = 100 + PATTERNS.index(pattern)
    make(seed, 3, 45, 4, pattern, kind, holes=0.2).check(chunk_words=2)


@given(
    st.integers(0, 1 << 32),
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(1, 4),
    st.sampled_from(PATTERNS),
    st.sampled_from(["normal", "ties", "finite", "special"]),
    st.sampled_from([0, 0.3, 1]),
    st.integers(1, 6),
)
def test_every_bit_of_any_shape(
    seed: int, rows: int, depth: int, columns: int, pattern: Pattern, kind: str, holes: float, chunk: int
) -> None:
    make(seed, rows, depth, columns, pattern, kind, holes).check(chunk)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("chunk_words", [1, 3, 64])
def test_error_is_within_the_bound_of_float64(seed: int, chunk_words: int) -> None:
    case = make(seed, 5, 500, 6, Pattern(8, 8), "normal")
    error = np.abs(case.run(chunk_words).astype(np.float64) - naive.gemm_float64(case.a, case.b))
    assert (error > 0).any()
    assert (error <= naive.gemm_bound(case.a, case.b, chunk_words * GROUP)).all(), f"seed {seed}"


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_dense_with_masked_weights_equals_sparse(pattern: Pattern, seed: int) -> None:
    case = make(seed, 7, 61, 5, pattern, "finite")
    masked = np.where(case.kept, case.b, np.float16(0))
    dense = gemm_entries(case.a_words, case.a_valid, *along_words(compress(masked, Pattern(8, 8), GROUP, 0)), 3)
    np.testing.assert_array_equal(bits32(dense), bits32(case.run(3)), err_msg=f"seed {seed}")


def test_words_invalid_for_all_rows_can_be_left_out() -> None:
    case = make(5, 4, 96, 3, Pattern(2, 8), "finite")
    a_valid = case.a_valid.copy()
    a_valid[:, [1, 2, 5, 6, 7, 8]] = False  # all of the third chunk of three
    holes = gemm_entries(case.a_words, a_valid, case.values, case.index, case.valid, 3)
    silent_a, silent_valid = case.a_words.copy(), np.ones_like(a_valid)
    silent_a[~a_valid] = 0
    zeros = gemm_entries(silent_a, silent_valid, case.values, case.index, case.valid, 3)
    np.testing.assert_array_equal(bits32(holes), bits32(zeros))
    total = None
    for chunk in np.split(np.arange(12), 4):
        left = chunk[a_valid[0, chunk]]
        operands = (case.values[left], case.index[left], case.valid[left])
        total = gemm_entries(case.a_words[:, left], a_valid[:, left], *operands, 3, total)
    assert total is not None
    np.testing.assert_array_equal(bits32(total), bits32(holes))


def test_invalid_words_and_entries_never_multiply() -> None:
    a_words = np.full((2, 1, GROUP), np.inf, dtype=np.float16)
    a_words[1] = 1
    zeros = np.zeros((1, 2, 2), dtype=np.float16)
    index = np.zeros((1, 2, 2), dtype=np.uint8)
    valid = np.array([[[True, False], [False, False]]])
    got = gemm_entries(a_words, np.array([[False], [True]]), zeros, index, valid, 1)
    assert bits32(got).tolist() == [[0, 0], [0, 0]]
    got = gemm_entries(a_words, np.ones((2, 1), dtype=np.bool_), zeros, index, valid, 1)
    assert bits32(got).tolist() == [[0x7FC00000, 0], [0, 0]]


def test_chunks_are_counted_in_positions_and_change_the_sum() -> None:
    """1 + 2**-24 is lost within a chunk; a chunk of its own saves two of them."""
    a = np.zeros((1, 16), dtype=np.float16)
    a[0, [0, 8, 9]] = 1, 2.0**-24, 2.0**-24
    b = np.ones((16, 1), dtype=np.float16)
    entries = along_words(compress(b, Pattern(8, 8), GROUP, 0))
    both = np.ones((1, 2), dtype=np.bool_)
    assert float(gemm_entries(to_words(a), both, *entries, 2)[0, 0]) == 1
    assert float(gemm_entries(to_words(a), both, *entries, 1)[0, 0]) == 1 + 2.0**-23


@pytest.mark.parametrize("chunk_words", [1, 2, 4])
@pytest.mark.parametrize("split", [4, 8])
def test_partial_sums_continue_at_a_chunk_boundary(chunk_words: int, split: int) -> None:
    case = make(11, 6, 100, 5, Pattern(4, 8), "finite", holes=0.1)
    first, rest = case.words(slice(0, split)), case.words(slice(split, None))
    total = rest.run(chunk_words, first.run(chunk_words))
    np.testing.assert_array_equal(bits32(total), bits32(case.run(chunk_words)))


def test_partial_is_added_once_and_not_changed() -> None:
    case = make(12, 3, 8, 2, Pattern(8, 8), "normal")
    partial = np.full((3, 2), 0.1, dtype=np.float32)
    np.testing.assert_array_equal(case.run(4, partial), add(case.run(4), partial))
    assert (partial == np.float32(0.1)).all()


def test_without_words_the_partial_stays() -> None:
    a_words, values = np.ones((2, 0, 8), dtype=np.float16), np.ones((0, 8, 3), dtype=np.float16)
    nothing = (a_words, np.ones((2, 0), dtype=np.bool_), values, values.astype(np.uint8), values.astype(np.bool_), 4)
    assert bits32(gemm_entries(*nothing)).tolist() == [[0] * 3] * 2
    partial = np.full((2, 3), 7, dtype=np.float32)
    np.testing.assert_array_equal(gemm_entries(*nothing, partial), partial)


def test_blocking_over_rows_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = make(13, 33, 40, 5, Pattern(2, 4), "special", holes=0.2)
    whole = case.run(2, np.ones((33, 5), dtype=np.float32))
    monkeypatch.setattr(gemm, "_BLOCK_ELEMENTS", 20)
    np.testing.assert_array_equal(bits32(case.run(2, np.ones((33, 5), dtype=np.float32))), bits32(whole))


def good() -> dict[str, object]:
    case = make(1, 2, 16, 3, Pattern(2, 8), "normal")
    names = ("a_words", "a_valid", "values", "index", "valid")
    return {name: getattr(case, name) for name in names} | {"chunk_words": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chunk_words": 0}, "chunk_words must be a positive integer, not 0"),
        ({"a_valid": np.ones((2, 3), dtype=np.bool_)}, "A must have shapes"),
        ({"index": np.zeros((2, 2, 4), dtype=np.uint8)}, "B must have three arrays of one shape"),
        ({"index": np.full((2, 2, 3), 8, dtype=np.uint8)}, "an index must lie below the group of 8, not be 8"),
        ({"partial": np.zeros((3, 2), dtype=np.float32)}, r"partial must have shape \(2, 3\)"),
        (
            {"a_words": np.ones((2, 3, 8), dtype=np.float16), "a_valid": np.ones((2, 3), dtype=np.bool_)},
            "same number of words, not 3 and 2",
        ),
    ],
)
def test_operands_that_do_not_fit(change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        gemm_entries(**(good() | change))  # type: ignore[arg-type]
