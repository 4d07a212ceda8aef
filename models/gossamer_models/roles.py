"""Operand roles: which bank map, word axis and chunks each stage of each kind of layer uses.

The machine supports exactly the rows of :data:`ROLES`; whatever needs another is an error that says so. The
accumulation order, and with it :func:`channel_chunk_words` and :func:`gradient_chunk_words`, belongs to the layer and
never to the schedule.
"""

from dataclasses import dataclass
from enum import Enum

__all__ = ["MAX_CHUNK_ELEMENTS", "ROLES", "Case", "Role", "channel_chunk_words", "gradient_chunk_words"]

MAX_CHUNK_ELEMENTS = 4096
_SHORTEST_CHUNK = 16


class Case(Enum):
    """Row of the operand-role table."""

    CHANNELS = "FF, BP of convolution and linear"
    TURNED = "BP of convolution and linear, gradient as operand B"
    GRADIENT = "WU"
    TAPS = "WU of a window, c_in < R"
    STRIPS = "FF, BP of convolution, batch < R a power of two"
    PATCHES = "first layer, c_in < group"
    GROUPS = "groups of whole words"
    DIAGONAL = "depthwise, and groups that share a word"
    SCORES = "attention QK^T and its gradient dO V^T"
    VALUES = "attention PV, dS K, and of the transposes P^T dO, dS^T Q"


@dataclass(frozen=True, slots=True)
class Role:
    """How operand A lies in the row banks and how B's words run.

    Members
    -------
    banks : index whose value modulo R selects the row bank of A.
    words : index along which ``group`` neighbours share a word.
    reduced : loops of r, outermost first.
    interleave : what Li spans, in order of preference.
    utilisation : what bounds the share of rows and columns in use.
    """

    case: Case
    banks: str
    words: str
    reduced: tuple[str, ...]
    interleave: tuple[str, ...]
    utilisation: str


ROLES: dict[Case, Role] = {
    role.case: role
    for role in (
        Role(Case.CHANNELS, "batch", "channels", ("kh", "kw", "channel word"), ("batch blocks", "pixels"), "batch / R"),
        Role(Case.STRIPS, "sample, then strip across, then strip down", "channels", ("kh", "kw", "channel word"),
             ("pixels of a strip",), "pixels / strips, rounded up, of whole strips"),
        Role(Case.TURNED, "input channel", "output channels", ("kh", "kw", "channel word"),
             ("blocks of input channels",), "c_in / R, batch / C"),
        Role(Case.GRADIENT, "input channel", "batch", ("batch word", "y", "x"), ("channel blocks", "taps"), "c_in / R"),
        Role(Case.TAPS, "tap, input channel", "batch", ("batch word", "y", "x"), ("blocks of taps and channels",),
             "kh kw c_in / R"),
        Role(Case.PATCHES, "batch (FF), patch element (WU)", "patch element (FF), batch (WU)",
             ("patch word (FF)", "batch word, y, x (WU)"), ("batch blocks", "pixels"), "batch / R, kh kw c_in / R"),
        Role(Case.GROUPS, "batch (FF, BP), input channel (WU)", "channels of the group (FF, BP), batch (WU)",
             ("kh", "kw", "channel word of the group"), ("batch blocks", "pixels"),
             "as without groups, and c_out / groups / C"),
        # N:M stays off: a word holds fewer than eight of a column's channels, and keeps them all.
        Role(Case.DIAGONAL, "batch (FF, BP), input channel (WU)", "channels of 8 / (c_in / groups) groups, batch (WU)",
             ("kh", "kw", "word of the bundle"), ("batch blocks", "pixels"),
             "outputs to a word / C (FF, BP), and of WU the diagonal alone"),
        Role(Case.SCORES, "token", "channels of a head", ("channel word",), ("blocks of tokens",),
             "tokens / R, tokens / C"),
        Role(Case.VALUES, "token", "tokens", ("token word",), ("blocks of tokens",),
             "tokens / R, channels of a head / C"),
    )
}  # fmt: skip


def channel_chunk_words(words: int, group: int) -> int:
    """Chunk length of a reduction over (kh, kw, channel word): the fewest chunks of at most 4096 elements, evened out.

    Parameters
    ----------
    words : r positions of the layer, padding taps included.
    group : elements per word.
    """
    limit = MAX_CHUNK_ELEMENTS // group
    chunks = -(-words // limit)
    return -(-words // chunks)


def gradient_chunk_words(height: int, width: int, group: int) -> int:
    """Chunk length of a reduction over (batch word, y, x).

    Whole images while they fit (a power of two of them), else the largest divisor of an image, so that a reduction can
    be cut between chunks at the end of an image or of a strip; where that ends inside a row, as many whole rows as
    divide the image take its place, if a row fits. An image without a usable divisor is not cut.
    """
    limit, pixels = MAX_CHUNK_ELEMENTS // group, height * width
    if pixels <= limit:
        return pixels << (limit // pixels).bit_length() - 1
    divisor = next(length for length in range(limit, 0, -1) if pixels % length == 0)
    if divisor % width and width <= limit:
        rows = next(rows for rows in range(limit // width, 0, -1) if height % rows == 0)
        divisor = rows * width if rows * width >= _SHORTEST_CHUNK else divisor
    return divisor if divisor >= _SHORTEST_CHUNK else limit
