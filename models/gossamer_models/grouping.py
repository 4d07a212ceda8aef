"""Groups of channels of a convolution, and the bundles of whole words that they are computed in.

A convolution with g groups is g products of c_in / g by c_out / g channels. Words hold eight or sixteen channels, so
groups are computed in *bundles*: the fewest groups whose input channels fill whole words. With a word's channels or
more per group a bundle is one group. With fewer it is a word of as many groups as it holds, and a column has entries
of its own group alone: the masters of a bundle are blocks of which only the diagonal differs from zero, and keeping the
c_in / g largest of a word keeps exactly that (a kept zero in place of another zero changes no bit of a finite product).
"""

from dataclasses import dataclass

from gossamer_models.errors import UnsupportedError
from gossamer_models.layouts import BLOCK, blocks_of, words_of
from gossamer_models.sparsity import Pattern

__all__ = ["DENSE", "UNGROUPED", "Grouping", "grouping_of", "groups_per_word"]

DENSE = Pattern(BLOCK, BLOCK)


@dataclass(frozen=True, slots=True)
class Grouping:
    """How channels are cut.

    Members
    -------
    groups : groups of the convolution.
    together : groups per bundle.
    """

    groups: int = 1
    together: int = 1

    @property
    def bundles(self) -> int:
        """Bundles, the last one perhaps with fewer groups."""
        return -(-self.groups // self.together)

    @property
    def diagonal(self) -> bool:
        """Whether several groups share a word."""
        return self.together > 1

    def bundle_channels(self, channels: int) -> int:
        """Channels of a bundle, of all ``channels`` on one side of the layer."""
        return channels if self.bundles == 1 else channels // self.groups * self.together

    def bundle_words(self, channels: int, word: int) -> int:
        """Words of a bundle's channels."""
        return words_of(self.bundle_channels(channels), word)

    def bundle_blocks(self, channels: int, word: int) -> int:
        """Blocks of a bundle's channels, padded to whole words."""
        return blocks_of(self.bundle_channels(channels), word)

    def kept(self, channels: int, pattern: Pattern, word: int) -> Pattern:
        """What operand B keeps along ``channels``: the pattern, or what a word has of a column's own group."""
        return Pattern(min(channels // self.groups, word), word) if self.diagonal else pattern


UNGROUPED = Grouping()


def groups_per_word(inputs: int, word: int) -> int:
    """Groups of ``inputs`` channels that share a word, at least 1."""
    return max(1, word // inputs)


def grouping_of(layer: str, groups: int, c_in: int, c_out: int, word: int) -> Grouping:
    """Bundle the groups of a layer for words of ``word`` elements.

    Raises
    ------
    UnsupportedError
        Groups do not fill words, or bundles do not end at words of output channels.
    """
    if groups == 1:
        return UNGROUPED
    inputs, outputs = c_in // groups, c_out // groups
    parts = ", ".join(str(1 << bits) for bits in range(word.bit_length() - 1))
    expected = f"{parts} or a multiple of {word}"
    if inputs % word and word % inputs:
        raise UnsupportedError(f"layer {layer!r} has groups of {inputs} input channels", expected)
    grouping = Grouping(groups, groups_per_word(inputs, word))
    if grouping.diagonal and outputs % word and word % outputs:
        raise UnsupportedError(f"layer {layer!r} has groups of {outputs} output channels", expected)
    bundle = outputs * grouping.together
    if grouping.bundles == 1:
        return grouping
    if bundle % word:
        raise UnsupportedError(
            f"layer {layer!r} has {bundle} output channels per {max(inputs, word)} input channels",
            f"a multiple of {word}",
        )
    if groups % grouping.together and bundle != word:
        raise UnsupportedError(
            f"layer {layer!r} has {groups} groups of {inputs} to {outputs} channels",
            f"a multiple of {grouping.together} groups, or as many output as input channels",
        )
    return grouping
