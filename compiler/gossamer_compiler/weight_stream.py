"""Operand B of FF and BP in DRAM, as its GEMM reads it."""

from dataclasses import dataclass

from gossamer_compiler.channel_tiles import ChannelMapping, channel_columns
from gossamer_compiler.dims import Digit
from gossamer_compiler.geometry import ChannelGemm
from gossamer_models.architecture import Architecture
from gossamer_models.layouts import entry_tile
from gossamer_models.program import Tensor

__all__ = ["Stream", "stream_of"]


@dataclass(frozen=True, slots=True)
class Stream:
    """Operand B in DRAM as its GEMM reads it: values [j tile][word][entry][lj][column], then the metadata bytes.

    Entries that nothing writes stay invalid: those of columns beyond the channels.

    Members
    -------
    tensor : where it lies.
    lj, columns : digits of the column index above the j tile.
    words, entries : words along r and entries per word.
    j_tiles : j tiles.
    bundle_tiles : j tiles per bundle of channels.
    """

    tensor: Tensor
    lj: int
    columns: int
    words: int
    entries: int
    j_tiles: int
    bundle_tiles: int

    @property
    def tile_entries(self) -> int:
        """Entries of one j tile over all columns, padded to whole lines."""
        return entry_tile(self.words, self.entries, self.lj, self.columns)

    @property
    def bundle_entries(self) -> int:
        """Entries of one bundle over all columns."""
        return self.bundle_tiles * self.tile_entries

    @property
    def metadata(self) -> int:
        """Byte address of the metadata."""
        return self.tensor.address + 2 * self.j_tiles * self.tile_entries

    def column_offset(self, column: int) -> int:
        """Entries in front of the first entry of a column of the first bundle."""
        tile, rest = divmod(column, self.lj * self.columns)
        return tile * self.tile_entries + rest

    def column_digits(self, unit_bytes: int) -> list[Digit]:
        """Digits of a bundle's column index in DRAM."""
        return [
            Digit(self.columns, unit_bytes),
            Digit(self.lj, self.columns * unit_bytes),
            Digit(self.bundle_tiles, self.tile_entries * unit_bytes),
        ]


def stream_of(gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture, tensor: Tensor) -> Stream:
    """Describe the weights of a scheduled GEMM."""
    cut = channel_columns(gemm, architecture.array, mapping.lj)
    return Stream(tensor, mapping.lj, cut.columns, gemm.words, gemm.entries, cut.all_tiles, cut.tiles)
