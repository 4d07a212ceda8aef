"""Feature maps in DRAM, as the compiler addresses them."""

from dataclasses import dataclass

from gossamer_models.copies import copied
from gossamer_models.layouts import BLOCK, block_bytes, blocks_of, words_of
from gossamer_models.program import MemoryImage, Tensor

__all__ = ["Activation", "allocate"]

BLOCK_BYTES = BLOCK * BLOCK * 2
_NOWHERE = Tensor("", 0, 0, "blocks", ())


@dataclass(frozen=True, slots=True)
class Activation:
    """A tensor [batch/8][height][width][channels/8][8][8] of fp16, channels padded to whole words of ``word``.

    Members
    -------
    turned : blocks are [8 channels][8 samples], as BP of a pruned gradient leaves them, which only passes read, and
        copies of a first layer's patches.
    """

    tensor: Tensor
    batch: int
    channels: int
    height: int
    width: int
    word: int = BLOCK
    turned: bool = False

    def unplaced(self) -> "Activation":
        """The same shape without a place, so that equal problems compare equal."""
        return copied(self, tensor=_NOWHERE)

    @property
    def address(self) -> int:
        """Byte address of the first block."""
        return self.tensor.address

    @property
    def channel_blocks(self) -> int:
        """Blocks of eight channels, those of whole words."""
        return blocks_of(self.channels, self.word)

    @property
    def word_blocks(self) -> int:
        """Blocks of eight channels, or of eight samples, per word."""
        return self.word // BLOCK

    @property
    def batch_words(self) -> int:
        """Words of samples; the last one may hold fewer blocks than the others."""
        return words_of(self.batch, self.word)

    @property
    def batch_blocks(self) -> int:
        """Blocks of eight samples."""
        return blocks_of(self.batch)

    @property
    def pixels(self) -> int:
        """Pixels per sample."""
        return self.height * self.width

    @property
    def pixel_bytes(self) -> int:
        """Bytes from one pixel to the next."""
        return self.channel_blocks * BLOCK_BYTES

    @property
    def row_bytes(self) -> int:
        """Bytes from one row of pixels to the next."""
        return self.width * self.pixel_bytes

    @property
    def slab_bytes(self) -> int:
        """Bytes from one block of eight samples to the next."""
        return self.height * self.row_bytes


def allocate(
    memory: MemoryImage, name: str, batch: int, channels: int, height: int, width: int, *, turned: bool = False
) -> Activation:
    """Allocate an activation."""
    size = block_bytes(batch, channels, height, width, memory.word)
    tensor = memory.allocate(name, size, "turned" if turned else "blocks", (batch, channels, height, width))
    return Activation(tensor, batch, channels, height, width, memory.word, turned)
