"""Prune: N of every M along one axis of 8 x 8 blocks, as entries of words of one block or two."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.formats import Float16, UInt8, from_bits16, to_fp16, to_fp32
from gossamer_models.sampling import Sample, random_parts, sample_groups
from gossamer_models.sparsity import Entries, Pattern, compress, entries_in_last_word, top_n_mask
from gossamer_models.transposable import transposable_mask

__all__ = ["prune"]


def prune(machine: Machine, instruction: Prune) -> None:
    """Execute a Prune.

    Raises
    ------
    ExecutionError
        An address leaves its buffer, `valid` is zero or exceeds the axis, the mode does not take N:M or words of 16, or
        blocks along the axis do not fill words.
    InputError
        Not 1 <= N <= M, or M does not divide the word.
    """
    p = instruction
    word = machine.architecture.array.group
    length = (p.n1, p.n0)[p.axis] * BLOCK
    if length % word:
        raise ExecutionError(f"blocks along the axis must fill words of {word} elements, not end at {length}")
    if not 1 <= p.valid <= length:
        raise ExecutionError(f"`valid` must lie in 1..{length}, not {p.valid}")
    shape = (p.n2, p.n1, p.n0, BLOCK, BLOCK)
    blocks = machine.read(p.engine, Buffer.VOUT, np.float16, p.source, p.n2 * p.n1 * p.n0 * BLOCK**2).reshape(shape)
    kept = _kept(p, blocks, word)
    # From (n2, across, other, along, entry) to (n2, n1, n0, entry, other).
    order = (0, 3, 1, 4, 2) if p.axis == 0 else (0, 1, 3, 4, 2)
    values = _filled(kept.values, length // word).transpose(order)
    packed: UInt8 = _filled(kept.metadata, length // word).transpose(order)
    machine.write(p.engine, Buffer.PRN, p.values, values)
    machine.write(p.engine, Buffer.PRN_META, p.metadata, packed)


def _filled(entries: NDArray[Any], words: int) -> NDArray[Any]:
    """Entries of `words` words, those that are missing at the end zero."""
    present = entries.shape[3]
    if present == words:
        return entries
    filled = np.zeros((*entries.shape[:3], words, entries.shape[4]), entries.dtype)
    filled[:, :, :, :present] = entries
    return filled


def _kept(p: Prune, blocks: Float16, word: int) -> Entries:
    """Entries as (n2, blocks across the axis, the other 8, words along the axis, entry)."""
    along = (0, 2, 4, 1, 3) if p.axis == 0 else (0, 1, 3, 2, 4)
    turned = blocks.transpose(along)
    lines = turned.reshape(*turned.shape[:3], -1)[..., : p.valid]
    pattern = Pattern(p.keep, p.of)
    match PruneMode(p.mode):
        case PruneMode.LARGEST:
            return compress(lines, pattern, word, axis=3)
        case PruneMode.UNBIASED:
            if word != BLOCK:
                raise ExecutionError(f"mode unbiased takes words of {BLOCK} elements, not {word}")
            sample = _sampled(lines, pattern, _random(p))
            return compress(sample.values, pattern, BLOCK, axis=3, mask=sample.kept)
        case PruneMode.TRANSPOSABLE:
            if (p.keep, p.of) != (2, 4):
                raise ExecutionError(f"mode transposable takes N:M = 2:4, not {pattern}")
            mask = transposable_mask(blocks).transpose(along).reshape(*turned.shape[:3], -1)[..., : p.valid]
            return compress(lines, pattern, word, axis=3, mask=mask)
        case PruneMode.DECAYED:
            factor = to_fp32(from_bits16(p.factor))
            mask = top_n_mask(lines, pattern.n, pattern.m, 3)
            decayed = np.where(mask, lines, to_fp16(to_fp32(lines) * factor))
            return compress(decayed, Pattern(word, word), word, axis=3)
        case PruneMode.MASKED:
            if p.axis != 1 or p.n1 * BLOCK % word:
                raise ExecutionError(f"mode masked takes axis 1 and whole words of {word} elements along axis 0")
            return _masked(p, blocks, pattern, word)


def _masked(p: Prune, blocks: Float16, pattern: Pattern, word: int) -> Entries:
    """What is kept along axis 0 and then, in each word along axis 1, is among the largest that have room."""
    columns = blocks.transpose(0, 2, 4, 1, 3)
    first = top_n_mask(columns.reshape(*columns.shape[:3], -1), pattern.n, pattern.m, 3).reshape(columns.shape)
    shape = p.n2, p.n1, BLOCK, -1
    lines = blocks.transpose(0, 1, 3, 2, 4).reshape(shape)[..., : p.valid]
    kept = first.transpose(0, 3, 4, 1, 2).reshape(shape)[..., : p.valid]
    left, whole = np.where(kept, lines, np.float16(0)), p.valid // word * word
    room = Pattern(pattern.entries_per_word(word), word)
    kept[..., :whole] &= top_n_mask(left[..., :whole], room.n, word, 3)
    if p.valid > whole:
        kept[..., whole:] &= top_n_mask(
            left[..., whole:], entries_in_last_word(p.valid - whole, pattern, word), word, 3
        )
    return compress(left, room, word, axis=3, mask=kept)


def _random(p: Prune) -> NDArray[np.int64]:
    """Random words in the order of lines: (n2, blocks across the axis, the other 8, words along the axis, part)."""
    parts = random_parts(p.seed, p.n2 * p.n1 * p.n0 * BLOCK, p.word).reshape(p.n2, p.n1, p.n0, BLOCK, -1)
    return parts.transpose((0, 2, 3, 1, 4) if p.axis == 0 else (0, 1, 3, 2, 4))


def _sampled(lines: Float16, pattern: Pattern, random: NDArray[np.int64]) -> Sample:
    """Sample lines along their last axis, a ragged last word as if zeros followed."""
    length = lines.shape[3]
    padded = np.pad(lines, [(0, 0)] * 3 + [(0, -length % BLOCK)])
    words = padded.reshape(*lines.shape[:3], -1, BLOCK // pattern.m, pattern.m)
    sample = sample_groups(words, pattern, random[..., : words.shape[3], : words.shape[4]])
    shape = padded.shape
    return Sample(sample.values.reshape(shape)[..., :length], sample.kept.reshape(shape)[..., :length])
