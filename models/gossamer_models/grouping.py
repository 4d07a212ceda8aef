"""Groups of channels of a convolution, and the bundles of whole words that they are computed in.

A convolution with g groups is g products of c_in / g by c_out / g channels. Words hold eight channels, so groups are
computed in *bundles*: the fewest groups whose input channels fill whole words. With eight or more channels per group a
bundle is one group. With fewer it is a word of 8 / (c_in / g) groups, and a column has entries of its own group alone:
the masters of a bundle are a block of which only the diagonal differs from zero, and keeping the c_in / g largest of
eight keeps exactly that (a kept zero in place of another zero changes no bit of a finite product).
"""

from dataclasses import dataclass

from gossamer_models.errors import UnsupportedError
from gossamer_models.layouts import BLOCK, blocks_of
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

    def bundle_words(self, channels: int) -> int:
        """Words of a bundle's channels."""
        return blocks_of(self.bundle_channels(channels))

    def kept(self, channels: int, pattern: Pattern) -> Pattern:
        """What operand B keeps along ``channels``: the pattern, or what a word has of a column's own group."""
        return Pattern(min(channels // self.groups, BLOCK), BLOCK) if self.diagonal else pattern


UNGROUPED = Grouping()


def groups_per_word(inputs: int) -> int:
    """Groups of ``inputs`` channels that share a word, at least 1."""
    return max(1, BLOCK // inputs)


def grouping_of(layer: str, groups: int, c_in: int, c_out: int) -> Grouping:
    """Bundle the groups of a layer.

    Raises
    ------
    UnsupportedError
        Groups do not fill words, or bundles do not end at blocks of eight output channels.
    """
    if groups == 1:
        return UNGROUPED
    inputs, outputs = c_in // groups, c_out // groups
    if inputs % BLOCK and BLOCK % inputs:
        raise UnsupportedError(
            f"layer {layer!r} has groups of {inputs} input channels", f"1, 2, 4 or a multiple of {BLOCK}"
        )
    grouping = Grouping(groups, groups_per_word(inputs))
    if grouping.diagonal and outputs % BLOCK and BLOCK % outputs:
        raise UnsupportedError(
            f"layer {layer!r} has groups of {outputs} output channels", f"1, 2, 4 or a multiple of {BLOCK}"
        )
    bundle = outputs * grouping.together
    if grouping.bundles == 1:
        return grouping
    if bundle % BLOCK:
        raise UnsupportedError(
            f"layer {layer!r} has {bundle} output channels per {max(inputs, BLOCK)} input channels",
            f"a multiple of {BLOCK}",
        )
    if groups % grouping.together and bundle != BLOCK:
        raise UnsupportedError(
            f"layer {layer!r} has {groups} groups of {inputs} to {outputs} channels",
            f"a multiple of {grouping.together} groups, or as many output as input channels",
        )
    return grouping
