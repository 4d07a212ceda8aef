"""How batches, channels and columns are cut into equal tiles."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from gossamer_compiler.dims import Digit
from gossamer_models.architecture import Buffers
from gossamer_models.errors import DoesNotFitError
from gossamer_models.layouts import BLOCK

__all__ = ["Columns", "block_options", "column_tiles", "divisors", "does_not_fit", "fits", "granule"]

_UNITS = {
    "a_words": "words per bank",
    "b_entries": "entries per bank",
    "accumulator_words": "words per bank",
    "vector_in_bytes": "bytes",
    "vector_out_bytes": "bytes",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Result columns of equal units, cut into tiles of ``columns`` x ``lj``.

    A unit is what shares operand A: all channels of a layer, or one or several bundles of a grouped one.

    Members
    -------
    units : units of the layer.
    outputs : result channels of a unit.
    columns, lj : columns of the array and interleave.
    word : elements of a word, which tiles of a layer without groups fill.
    """

    units: int
    outputs: int
    columns: int
    lj: int
    word: int

    @property
    def width(self) -> int:
        """Columns of a tile."""
        return self.columns * self.lj

    @property
    def shared(self) -> bool:
        """Whether one instruction may hold several units: each is one tile that its columns fill from the start."""
        full = self.outputs % self.columns == 0 and self.outputs <= self.width
        return self.units > 1 and (self.outputs <= self.columns or full)

    @property
    def tiles(self) -> int:
        """Tiles per unit."""
        return 1 if self.shared else column_tiles(self.outputs, self.width, self.word)

    @property
    def all_tiles(self) -> int:
        """Tiles of the layer."""
        return self.units * self.tiles

    def options(self) -> list[int]:
        """Tiles that an instruction may hold, ascending; each divides all of them."""
        if self.units == 1:
            return [n for n in divisors(self.tiles) if n * self.width % self.word == 0]
        return divisors(self.units) if self.shared else [self.tiles]

    def units_of(self, j_tiles: int) -> int:
        """Units of an instruction of ``j_tiles`` tiles."""
        return j_tiles if self.shared else 1

    def blocks_of(self, j_tiles: int) -> int:
        """Blocks of result channels from one instruction's columns to the next one's."""
        if self.units == 1:
            return j_tiles * self.width // BLOCK
        return self.units_of(j_tiles) * self.outputs // BLOCK

    def digits(self, column_bytes: int, lj_bytes: int) -> list[Digit]:
        """Digits on chip of a column of a unit that is one tile."""
        used = min(self.columns, self.outputs)
        return [Digit(used, column_bytes), Digit(self.outputs // used, lj_bytes)]


def granule(lanes: int, whole: int = BLOCK) -> int:
    """Blocks of ``lanes`` samples (channels) that make ``whole`` ones."""
    return max(1, whole // lanes)


def column_tiles(channels: int, width: int, word: int) -> int:
    """Tiles of ``width`` columns that cover whole words of channels."""
    return _round_up(-(-channels // width), granule(width, word))


def block_options(size: int, lanes: int) -> list[int]:
    """Blocks of ``lanes`` samples (channels) that a tile may have, so that equal tiles cover ``size``; ascending.

    Several tiles, or a tile of several blocks, must consist of whole blocks of eight.
    """
    blocks = -(-size // lanes)
    unit = 1 if blocks == 1 else granule(lanes)
    total = _round_up(blocks, unit)
    return [number for number in divisors(total) if number == total or number % unit == 0]


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


@cache
def divisors(value: int) -> list[int]:
    """Divisors, ascending."""
    small = [n for n in range(1, int(value**0.5) + 1) if value % n == 0]
    return sorted({*small, *(value // n for n in small)})


def fits(demands: Mapping[str, int], buffers: Buffers) -> bool:
    """Whether demands, by the name of the buffer, stay within the buffers' sizes; element by element for a family."""
    fitting: Any = True
    for name, demand in demands.items():
        fitting = fitting & (demand <= getattr(buffers, name))
    return fitting  # type: ignore[no-any-return]


def does_not_fit(layer: str, candidates: Iterable[Mapping[str, int]], buffers: Buffers) -> DoesNotFitError:
    """The error for a layer of which no candidate fits: the fullest buffer of the least demanding one."""

    def fullest(demands: Mapping[str, int]) -> tuple[float, str]:
        return max((demand / getattr(buffers, name), name) for name, demand in demands.items())

    least = min(candidates, key=fullest)
    name = fullest(least)[1]
    return DoesNotFitError(
        f"layer {layer!r}: its smallest tile exceeds buffers.{name}",
        least[name], getattr(buffers, name), _UNITS[name], f"raise buffers.{name}",
    )  # fmt: skip
