"""Bundles of groups, and where their weights lie."""

import numpy as np
import pytest

from gossamer_models.errors import UnsupportedError
from gossamer_models.grouping import DENSE, UNGROUPED, Grouping, grouping_of, groups_per_word
from gossamer_models.layouts import blocks_of, pack_grouped, unpack_grouped, words_of
from gossamer_models.sparsity import Pattern


@pytest.mark.parametrize(
    ("word", "groups", "c_in", "c_out", "together", "bundles", "inputs", "outputs"),
    [
        (8, 1, 20, 36, 1, 1, 20, 36),
        (8, 16, 16, 16, 8, 2, 8, 8),
        (8, 12, 12, 12, 8, 2, 8, 8),
        (8, 3, 3, 6, 8, 1, 3, 6),
        (8, 4, 16, 32, 2, 2, 8, 16),
        (8, 2, 32, 48, 1, 2, 16, 24),
        (16, 1, 20, 36, 1, 1, 20, 36),
        (16, 32, 32, 32, 16, 2, 16, 16),
        (16, 4, 32, 64, 2, 2, 16, 32),
        (16, 2, 32, 96, 1, 2, 16, 48),
    ],
)
def test_bundles(
    word: int, groups: int, c_in: int, c_out: int, together: int, bundles: int, inputs: int, outputs: int
) -> None:
    grouping = grouping_of("layer", groups, c_in, c_out, word)
    assert grouping == Grouping(groups, together)
    assert grouping.bundles == bundles
    assert (grouping.bundle_channels(c_in), grouping.bundle_channels(c_out)) == (inputs, outputs)
    for channels, of_bundle in ((c_in, inputs), (c_out, outputs)):
        assert grouping.bundle_words(channels, word) == words_of(of_bundle, word)
        assert grouping.bundle_blocks(channels, word) == blocks_of(of_bundle, word)


def test_kept_is_the_own_group_or_the_pattern() -> None:
    pattern = Pattern(2, 8)
    assert UNGROUPED.kept(64, pattern, 8) == pattern
    assert Grouping(2, 1).kept(32, pattern, 8) == pattern
    assert Grouping(16, 8).kept(16, pattern, 8) == Pattern(1, 8)
    assert Grouping(4, 2).kept(16, pattern, 8) == Pattern(4, 8)
    assert Grouping(4, 2).kept(64, pattern, 8) == DENSE
    assert Grouping(32, 16).kept(32, Pattern(2, 16), 16) == Pattern(1, 16)


@pytest.mark.parametrize(
    ("groups", "c_in", "c_out", "message"),
    [
        (4, 24, 16, "groups of 6 input channels; expected 1, 2, 4 or a multiple of 8"),
        (16, 16, 48, "groups of 3 output channels; expected 1, 2, 4 or a multiple of 8"),
        (8, 32, 16, "4 output channels per 8 input channels; expected a multiple of 8"),
        (2, 32, 24, "12 output channels per 16 input channels; expected a multiple of 8"),
        (12, 12, 24, "12 groups of 1 to 2 channels; expected a multiple of 8 groups"),
    ],
)
def test_what_does_not_bundle_is_an_error(groups: int, c_in: int, c_out: int, message: str) -> None:
    with pytest.raises(UnsupportedError, match=f"^layer 'layer' has {message}"):
        grouping_of("layer", groups, c_in, c_out, 8)


def test_what_fills_words_of_eight_may_not_fill_those_of_sixteen() -> None:
    grouping_of("layer", 2, 48, 48, 8)
    with pytest.raises(UnsupportedError, match="groups of 24 input channels; expected 1, 2, 4, 8 or a multiple of 16"):
        grouping_of("layer", 2, 48, 48, 16)


@pytest.mark.parametrize("word", [8, 16])
@pytest.mark.parametrize(
    "shape", [(16, 1, 1, 3, 2), (12, 1, 1, 1, 1), (3, 2, 1, 2, 2), (4, 8, 4, 1, 3), (2, 24, 16, 3, 1)]
)
def test_weights_of_groups_lie_on_the_diagonal(shape: tuple[int, int, int, int, int], word: int) -> None:
    groups, outputs, inputs, _, _ = shape
    together = min(groups, groups_per_word(inputs, word))
    tensor = np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)
    packed = pack_grouped(tensor, together, word)
    for g, o, i, y, x in np.ndindex(shape):
        bundle, place = divmod(g, together)
        row, column = place * inputs + i, place * outputs + o
        assert packed[y, x, bundle, row // 8, column // 8, row % 8, column % 8] == tensor[g, o, i, y, x]
    assert np.count_nonzero(packed) == tensor.size
    np.testing.assert_array_equal(unpack_grouped(packed, shape, together, word), tensor)
