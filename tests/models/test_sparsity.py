"""Masks against sorting, entries against their dense form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float16, bits16, from_bits16
from gossamer_models.sparsity import Pattern, compress, entries_in_last_word, expand, top_n_mask
from tests.references import naive

PATTERNS = [Pattern(n, m) for m in (2, 4, 8) for n in range(1, m + 1)]
GROUP = 8


@st.composite
def matrices(draw: st.DrawFn) -> Float16:
    """Draw small matrices whose elements often tie and include NaN, infinities and both zeros."""
    rows, length = draw(st.integers(1, 3)), draw(st.integers(1, 21))
    common = st.sampled_from([0x0000, 0x8000, 0x3C00, 0xBC00, 0x0001, 0x7C00, 0xFC00, 0x7E00, 0xFE00, 0x7E01])
    pattern = st.lists(common | st.integers(0, 0xFFFF), min_size=rows * length, max_size=rows * length)
    return from_bits16(np.array(draw(pattern), dtype=np.uint16)).reshape(rows, length)


@pytest.mark.parametrize(("text", "n", "m"), [("2:8", 2, 8), ("1:1", 1, 1), ("04:8", 4, 8)])
def test_parse(text: str, n: int, m: int) -> None:
    assert Pattern.parse(text) == Pattern(n, m)
    assert str(Pattern(n, m)) == f"{n}:{m}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("9:8", "N of a sparsity N:M must lie between 1 and M = 8, not 9"),
        ("0:8", "N of a sparsity N:M must lie between 1 and M = 8, not 0"),
        ("0:0", "M of a sparsity N:M must be a positive integer, not 0"),
        ("2/8", 'form "N:M"'),
        ("-2:8", 'form "N:M"'),
        ("2:8\n", 'form "N:M"'),
        ("", 'form "N:M"'),
        ("2:" + "9" * 5000, 'form "N:M"'),
        ("\u0662:8", 'form "N:M"'),
    ],
)
def test_parse_errors_are_one_short_line(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Pattern.parse(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_properties() -> None:
    assert Pattern(2, 8).density == 0.25
    assert Pattern(8, 8).is_dense
    assert not Pattern(7, 8).is_dense
    assert [Pattern(2, 4).entries_per_word(g) for g in (4, 8, 16)] == [2, 4, 8]


@pytest.mark.parametrize("group", [0, -8, 4, 12])
def test_m_must_divide_the_word(group: int) -> None:
    with pytest.raises(InputError, match=f"must divide the word of {group} elements"):
        Pattern(2, 8).entries_per_word(group)


@given(matrices(), st.sampled_from(PATTERNS), st.sampled_from([0, 1, -1]))
def test_mask_is_what_sorting_gives(x: Float16, pattern: Pattern, axis: int) -> None:
    mask = top_n_mask(x, pattern.n, pattern.m, axis)
    np.testing.assert_array_equal(mask, naive.n_of_m_mask(x, pattern.n, pattern.m, axis))


def test_ties_go_to_the_lower_index_and_nan_wins() -> None:
    x = np.array([1, -1, 1, 1, np.inf, np.nan, 65504, -np.inf], dtype=np.float16)
    assert top_n_mask(x, 2, 4, 0).tolist() == [True, True, False, False, True, True, False, False]
    assert top_n_mask(x, 1, 4, 0).tolist() == [True, False, False, False, False, True, False, False]


def test_mask_of_fp32_sees_all_its_bits() -> None:
    x = np.array([1, 1 + 2.0**-23, -1, 0], dtype=np.float32)
    assert top_n_mask(x, 1, 4, 0).tolist() == [False, True, False, False]


def test_ragged_group_keeps_what_it_has() -> None:
    x = np.arange(1, 12, dtype=np.float16)
    assert np.flatnonzero(top_n_mask(x, 4, 8, 0)).tolist() == [4, 5, 6, 7, 8, 9, 10]
    assert np.flatnonzero(top_n_mask(x, 2, 8, 0)).tolist() == [6, 7, 9, 10]


@given(matrices(), st.sampled_from(PATTERNS), st.sampled_from([0, 1]))
def test_round_trip_keeps_every_bit(x: Float16, pattern: Pattern, axis: int) -> None:
    entries = compress(x, pattern, GROUP, axis)
    back = expand(entries, GROUP, x.shape[axis], axis)
    kept = naive.n_of_m_mask(x, pattern.n, pattern.m, axis)
    np.testing.assert_array_equal(bits16(back), np.where(kept, bits16(x), 0))


@given(matrices(), st.sampled_from(PATTERNS))
def test_entries_are_well_formed(x: Float16, pattern: Pattern) -> None:
    rows, length = x.shape
    words = -(-length // GROUP)
    entries = compress(x, pattern, GROUP, 1)
    assert entries.values.shape == entries.index.shape == entries.valid.shape
    assert entries.values.shape == (rows, words, pattern.entries_per_word(GROUP))
    assert [str(x.dtype) for x in (entries.values, entries.index, entries.valid)] == ["float16", "uint8", "bool"]
    assert not bits16(entries.values)[~entries.valid].any()
    assert not entries.index[~entries.valid].any()
    for word in np.ndindex(rows, words):
        index, valid = entries.index[word].tolist(), entries.valid[word].tolist()
        count = sum(valid)
        assert valid == sorted(valid, reverse=True)
        assert index[:count] == sorted(set(index[:count]))
        full = length - word[1] * GROUP >= GROUP
        elements = GROUP if full else length % GROUP
        assert count == entries_in_last_word(elements, pattern, GROUP)


def test_dense_entries_are_all_elements_in_order() -> None:
    x = np.arange(16, dtype=np.float16)
    entries = compress(x, Pattern(8, 8), 8, 0)
    assert entries.index.tolist() == [list(range(8))] * 2
    assert entries.valid.all()
    np.testing.assert_array_equal(entries.values.ravel(), x)


def test_axes_keep_their_order() -> None:
    x = np.random.default_rng(0).standard_normal((3, 16, 5)).astype(np.float16)
    entries = compress(x, Pattern(2, 8), 8, 1)
    assert entries.values.shape == (3, 5, 2, 2)
    one = compress(x[2, :, 4], Pattern(2, 8), 8, 0)
    np.testing.assert_array_equal(entries.values[2, 4], one.values)
    np.testing.assert_array_equal(entries.index[2, 4], one.index)


@pytest.mark.parametrize("shape", [(0, 16), (3, 0)])
def test_nothing_becomes_no_words(shape: tuple[int, int]) -> None:
    x = np.zeros(shape, np.float16)
    entries = compress(x, Pattern(2, 8), 8, 1)
    assert entries.values.shape == (shape[0], shape[1] // 8, 2)
    np.testing.assert_array_equal(expand(entries, 8, shape[1], 1), x)


def test_a_given_mask_decides() -> None:
    x = np.array([9, 8, 0, 1], dtype=np.float16)
    mask = np.array([False, False, True, False])
    entries = compress(x, Pattern(2, 4), 4, 0, mask)
    assert entries.values.tolist() == [[0, 0]]
    assert entries.index.tolist() == [[2, 0]]
    assert entries.valid.tolist() == [[True, False]]  # kept although its value is zero


def test_a_mask_that_keeps_too_many() -> None:
    x = np.ones(8, dtype=np.float16)
    mask = np.array([True, True, False, False, True, True, True, False])
    with pytest.raises(InputError, match="at most 2 of every 4"):
        compress(x, Pattern(2, 4), 8, 0, mask)


def test_words_of_more_than_256_elements_have_no_index() -> None:
    with pytest.raises(InputError, match="at most 256"):
        compress(np.ones(512, dtype=np.float16), Pattern(1, 2), 512, 0)


@pytest.mark.parametrize(
    ("valid", "text", "count"),
    [(3, "8:8", 3), (8, "2:8", 2), (1, "2:8", 1), (3, "2:8", 2), (5, "2:4", 3), (6, "2:4", 4), (7, "1:2", 4)],
)
def test_entries_in_last_word_by_hand(valid: int, text: str, count: int) -> None:
    assert entries_in_last_word(valid, Pattern.parse(text), 8) == count


@pytest.mark.parametrize("valid", [0, 9, -1])
def test_elements_in_last_word_are_checked(valid: int) -> None:
    with pytest.raises(InputError, match="between 1 and 8"):
        entries_in_last_word(valid, Pattern(2, 8), 8)


@pytest.mark.parametrize("length", [0, 8, 17])
def test_expand_checks_the_length(length: int) -> None:
    entries = compress(np.ones(16, dtype=np.float16), Pattern(2, 8), 8, 0)
    with pytest.raises(InputError, match=f"2 words of 8 elements cannot hold an axis of {length}"):
        expand(entries, 8, length, 0)
