"""Gradients that are pruned: along the batch without bias as operand B of WU, or along channels as operand B of BP.

The pass that makes a gradient prunes it on its way out: its result in VOUT goes through the prune engine, and entries
and metadata are stored beside the dense tensor, which BP, or WU, reads. Its reader then loads N entries for every M of
a word.
"""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from gossamer_compiler.activations import Activation
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.pieces import whole_pieces
from gossamer_models.architecture import Architecture
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Format, Instruction, Modifier, Prune, PruneMode, Store, Vector
from gossamer_models.isa.loops import last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, ENTRY_LINE
from gossamer_models.program import MemoryImage, Tensor
from gossamer_models.sparsity import Pattern, entries_in_last_word

__all__ = ["Sampled", "Tile", "allocate_sampled", "prune_tile", "skip_halves", "store_tile"]

S = Semaphore
_NOWHERE = Tensor("", 0, 0, "entries", ())


@dataclass(frozen=True, slots=True)
class Sampled:
    """Entries [batch/8][y][x][c/8][entry][8] of a gradient: fp16 values, then as many metadata bytes.

    Entries of eight channels, or of eight samples, lie side by side: those that are not along the words.

    Members
    -------
    tensor : where they lie.
    gradient : the dense gradient.
    pattern : N:M along the batch, or along channels.
    seed : of the random words, numbered as the words of eight samples lie: no tiling changes them.
    along_channels : the largest of a word of channels are kept, else some of a word of samples without bias.
    """

    tensor: Tensor
    gradient: Activation
    pattern: Pattern
    seed: int = 0
    along_channels: bool = False

    def unplaced(self) -> "Sampled":
        """The same shape without a place or seed, so that equal problems compare equal."""
        return dataclasses.replace(self, tensor=_NOWHERE, gradient=self.gradient.unplaced(), seed=0)

    @property
    def entries(self) -> int:
        """Entries per word of eight."""
        return self.pattern.entries_per_word(BLOCK)

    @property
    def last_entries(self) -> int:
        """Entries of the last word."""
        return entries_in_last_word((self.gradient.batch - 1) % BLOCK + 1, self.pattern, BLOCK)

    @property
    def pixel_entries(self) -> int:
        """Entries from one pixel of eight samples to the next."""
        return self.gradient.channel_blocks * self.entries * BLOCK

    @property
    def metadata(self) -> int:
        """Byte address of the metadata."""
        return self.tensor.address + 2 * _lines(self.gradient, self.entries)


def _lines(gradient: Activation, entries: int) -> int:
    """Entries of a gradient, padded to whole lines."""
    count = gradient.batch_blocks * gradient.pixels * gradient.channel_blocks * entries * BLOCK
    return -(-count // ENTRY_LINE) * ENTRY_LINE


def allocate_sampled(
    memory: MemoryImage,
    name: str,
    gradient: Activation,
    pattern: Pattern,
    seed: int = 0,
    *,
    along_channels: bool = False,
) -> Sampled:
    """Allocate the entries of a gradient."""
    entries = pattern.entries_per_word(BLOCK)
    shape = (gradient.batch_blocks, gradient.pixels, gradient.channel_blocks, entries, BLOCK)
    tensor = memory.allocate(name, 3 * _lines(gradient, entries), "entries", shape)
    return Sampled(tensor, gradient, pattern, seed, along_channels)


@dataclass(frozen=True, slots=True)
class Tile:
    """Pixels of eight samples that one pass of the engines takes.

    Members
    -------
    pixels : how many.
    first : number of the first one.
    steps : (level, pixels per iteration) of the loops around it, outermost first.
    ragged : real samples of the last block in the outermost loop; 0 if all are.
    """

    pixels: int
    first: int
    steps: tuple[tuple[int, int], ...]
    ragged: int


def prune_tile(sampled: Sampled, tile: Tile) -> Prune:
    """Prune the dense tile at the start of VOUT."""
    if sampled.along_channels:
        return Prune(
            wait=S.WEIGHT_FULL | S.PRN_FREE, signal=S.PRN_FULL, advance=Advance.VOUT | Advance.PRN, axis=1,
            keep=sampled.pattern.n, of=sampled.pattern.m, n2=tile.pixels, n0=sampled.gradient.channel_blocks,
            valid=sampled.gradient.channels,
        )  # fmt: skip
    words = sampled.gradient.channel_blocks * BLOCK
    modifiers = [step(Prune, "word", level, pixels * words) for level, pixels in tile.steps]
    if tile.ragged:
        modifiers.append(last(Prune, "valid", [tile.steps[0][0]], tile.ragged))
    return Prune(
        wait=S.WEIGHT_FULL | S.PRN_FREE, signal=S.PRN_FULL, advance=Advance.VOUT | Advance.PRN, mode=PruneMode.UNBIASED,
        keep=sampled.pattern.n, of=sampled.pattern.m, axis=0, n2=tile.pixels, n0=sampled.gradient.channel_blocks,
        valid=BLOCK, seed=sampled.seed, word=tile.first * words, modifiers=tuple(modifiers),
    )  # fmt: skip


def store_tile(sampled: Sampled, tile: Tile, architecture: Architecture) -> tuple[Store, Store]:
    """Write values and metadata; the last store gives the halves of VOUT and PRN free."""
    stores = []
    count = tile.pixels * sampled.pixel_entries
    parts = ((Buffer.PRN, Format.FP16, sampled.tensor.address), (Buffer.PRN_META, Format.BYTE, sampled.metadata))
    for buffer, fmt, address in parts:
        pixel = sampled.pixel_entries * fmt.bytes
        steps: tuple[Modifier, ...] = tuple(step(Store, "mem_base", level, n * pixel) for level, n in tile.steps)
        store = Store(
            buffer=buffer, format=fmt, mem_base=address + tile.first * pixel,
            dims=merge(plain(count, fmt.bytes, fmt.bytes)), modifiers=steps,
        )  # fmt: skip
        stores.append(whole_pieces(store, architecture.memory))
    values, metadata = stores
    return (
        dataclasses.replace(values, wait=S.PRN_FULL),
        dataclasses.replace(metadata, signal=S.PRN_FREE | S.VOUT_FREE, advance=Advance.PRN | Advance.VOUT),
    )


def skip_halves(sampled: Sampled | None, instructions: Iterable[Instruction]) -> list[Instruction]:
    """Results that no instruction prunes, in a stage that prunes others; those of a pass that is pruned stay.

    The prune engine counts the halves of VOUT for itself, and leaves one only behind an instruction of its own: it
    prunes a word of each such result, and the next one overwrites that.

    Parameters
    ----------
    sampled : what is pruned in the stage; None: nothing.
    """
    found: list[Instruction] = []
    instructions = list(instructions)
    if sampled is None or any(isinstance(each, Prune) for each in instructions):
        return instructions
    word = Prune(
        wait=S.WEIGHT_FULL | S.PRN_FREE, signal=S.PRN_FULL, advance=Advance.VOUT, axis=1, n2=1, n0=1, valid=BLOCK,
        keep=sampled.pattern.n, of=sampled.pattern.m,
    )  # fmt: skip
    for each in instructions:
        if isinstance(each, Vector) and each.advance & Advance.VOUT:
            found.append(changed(each, signal=each.signal | S.WEIGHT_FULL))
            found.append(word)
        elif isinstance(each, Store) and each.advance & Advance.VOUT:
            found.append(changed(each, wait=each.wait | S.PRN_FULL, signal=each.signal | S.PRN_FREE))
        else:
            found.append(each)
    return found
