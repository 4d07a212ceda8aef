"""Host tensors to and from their DRAM layouts; what a driver does with the data it hands to the machine."""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "ENTRY_LINE",
    "block_bytes",
    "blocks_of",
    "entry_tile",
    "pack_blocks",
    "pack_grouped",
    "pack_images",
    "pack_patches",
    "pack_weights",
    "unpack_blocks",
    "unpack_grouped",
    "unpack_images",
    "unpack_weights",
    "words_of",
]

BLOCK = 8
"""Samples and channels of one block; 8 x 8 fp16 are 128 bytes."""

F16 = NDArray[np.float16]
F32 = NDArray[np.float32]

ENTRY_LINE = 64
"""Entries that a column tile of a compressed operand is padded to, so that transfers of it start at whole lines."""


def blocks_of(size: int, word: int = BLOCK) -> int:
    """Blocks that cover ``size`` samples or channels, as many as whole words of ``word`` elements take."""
    return words_of(size, word) * (word // BLOCK)


def words_of(size: int, word: int) -> int:
    """Words of ``word`` elements that cover ``size`` samples or channels; a word is one block wide or several."""
    return -(-size // word)


def entry_tile(words: int, entries: int, lj: int, columns: int) -> int:
    """Entries that one column tile of a compressed operand takes in DRAM, padding included."""
    return -(-words * entries * lj * columns // ENTRY_LINE) * ENTRY_LINE


def block_bytes(batch: int, channels: int, height: int, width: int, word: int) -> int:
    """Bytes of an activation in block layout."""
    return blocks_of(batch) * height * width * blocks_of(channels, word) * BLOCK * BLOCK * 2


def pack_blocks(tensor: F16, word: int) -> F16:
    """Lay (batch, c, h, w) out as [batch/8][h][w][c/8][8 batch][8 c], zero-padded, channels to whole words."""
    batch, channels, height, width = tensor.shape
    padded = np.zeros((blocks_of(batch) * BLOCK, blocks_of(channels, word) * BLOCK, height, width), np.float16)
    padded[:batch, :channels] = tensor
    split = padded.reshape(blocks_of(batch), BLOCK, blocks_of(channels, word), BLOCK, height, width)
    return np.ascontiguousarray(split.transpose(0, 4, 5, 2, 1, 3))


def unpack_blocks(data: F16, shape: tuple[int, int, int, int]) -> F16:
    """Inverse of :func:`pack_blocks` for a logical shape (batch, c, h, w)."""
    batch, channels, height, width = shape
    blocks = data.reshape(blocks_of(batch), height, width, -1, BLOCK, BLOCK)
    full = blocks.transpose(0, 4, 3, 5, 1, 2).reshape(blocks_of(batch) * BLOCK, -1, height, width)
    return np.ascontiguousarray(full[:batch, :channels])


def pack_images(tensor: F16) -> F16:
    """Lay (batch, c, h, w) out as [batch/8][h][w][c][8 batch], samples zero-padded: what windows are copied from."""
    batch, *shape = tensor.shape
    padded = np.zeros((blocks_of(batch) * BLOCK, *shape), np.float16)
    padded[:batch] = tensor
    return np.ascontiguousarray(padded.reshape(-1, BLOCK, *shape).transpose(0, 3, 4, 2, 1))


def unpack_images(data: F16, shape: tuple[int, int, int, int]) -> F16:
    """Inverse of :func:`pack_images` for a logical shape (batch, c, h, w)."""
    batch, channels, height, width = shape
    full = data.reshape(-1, height, width, channels, BLOCK).transpose(0, 4, 3, 1, 2)
    return np.ascontiguousarray(full.reshape(-1, channels, height, width)[:batch])


def pack_weights(tensor: F32, word: int) -> F32:
    """Lay (c_out, c_in, kh, kw) out as [kh][kw][c_in/8][c_out/8][8 c_in][8 c_out], zero-padded to whole words."""
    c_out, c_in, kh, kw = tensor.shape
    out_blocks, in_blocks = blocks_of(c_out, word), blocks_of(c_in, word)
    padded = np.zeros((out_blocks * BLOCK, in_blocks * BLOCK, kh, kw), np.float32)
    padded[:c_out, :c_in] = tensor
    split = padded.reshape(out_blocks, BLOCK, in_blocks, BLOCK, kh, kw)
    return np.ascontiguousarray(split.transpose(4, 5, 2, 0, 3, 1))


def unpack_weights(data: F32, shape: tuple[int, int, int, int], word: int) -> F32:
    """Inverse of :func:`pack_weights` for a logical shape (c_out, c_in, kh, kw)."""
    c_out, c_in, kh, kw = shape
    out_blocks, in_blocks = blocks_of(c_out, word), blocks_of(c_in, word)
    blocks = data.reshape(kh, kw, in_blocks, out_blocks, BLOCK, BLOCK)
    full = blocks.transpose(3, 5, 2, 4, 0, 1).reshape(out_blocks * BLOCK, in_blocks * BLOCK, kh, kw)
    return np.ascontiguousarray(full[:c_out, :c_in])


def pack_grouped(tensor: F32, together: int, word: int) -> F32:
    """Lay (groups, c_out, c_in, kh, kw) out as [kh][kw][bundle][c_in/8][c_out/8][8 c_in][8 c_out].

    A bundle is ``together`` neighbouring groups as one block-diagonal matrix; channels are those of one group.
    """
    groups, c_out, c_in, kh, kw = tensor.shape
    bundles = -(-groups // together)
    dense = np.zeros((bundles, together, c_out, together, c_in, kh, kw), np.float32)
    for group in range(groups):
        bundle, place = divmod(group, together)
        dense[bundle, place, :, place] = tensor[group]
    whole = dense.reshape(bundles, together * c_out, together * c_in, kh, kw)
    packed = [pack_weights(bundle, word) for bundle in whole]
    return np.ascontiguousarray(np.stack(packed, axis=2))


def unpack_grouped(data: F32, shape: tuple[int, int, int, int, int], together: int, word: int) -> F32:
    """Inverse of :func:`pack_grouped` for a logical shape (groups, c_out, c_in, kh, kw)."""
    groups, c_out, c_in, kh, kw = shape
    bundles = -(-groups // together)
    split = data.reshape(kh, kw, bundles, -1)
    whole = (together * c_out, together * c_in, kh, kw)
    dense = [unpack_weights(np.ascontiguousarray(split[:, :, bundle]), whole, word) for bundle in range(bundles)]
    blocks = np.stack(dense).reshape(bundles, together, c_out, together, c_in, kh, kw)
    places = [divmod(group, together) for group in range(groups)]
    return np.stack([blocks[bundle, place, :, place] for bundle, place in places])


def pack_patches(
    tensor: F16,
    kernel: tuple[int, int],
    stride: tuple[int, int],
    paddings: tuple[tuple[int, int], tuple[int, int]],
    word: int,
) -> F16:
    """Explicit im2col of (batch, c, h, w): channels become (kh, kw, c) elements of the window, pixels its positions.

    Parameters
    ----------
    paddings : zeros before and behind, of rows and of columns.
    """
    batch, channels, height, width = tensor.shape
    (kh, kw), (sy, sx) = kernel, stride
    oh, ow = (height + sum(paddings[0]) - kh) // sy + 1, (width + sum(paddings[1]) - kw) // sx + 1
    padded = np.pad(tensor, ((0, 0), (0, 0), *paddings))
    patches = np.empty((batch, kh * kw * channels, oh, ow), np.float16)
    for y in range(kh):
        for x in range(kw):
            start = (y * kw + x) * channels
            patches[:, start : start + channels] = padded[:, :, y : y + sy * oh : sy, x : x + sx * ow : sx]
    return pack_blocks(patches, word)
