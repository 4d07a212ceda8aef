"""One tile of a weight update: masters, momentum and gradient in, both compressed copies out."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer_compiler.dims import Digit, merge, plain, refine
from gossamer_compiler.geometry import Taps
from gossamer_compiler.optimizer import Optimizer, update_rule
from gossamer_compiler.weight_stream import Stream
from gossamer_compiler.weights import Weights
from gossamer_models.isa.instructions import Dim, Format, Load, Modifier, Prune, Store, Vector, VectorOp
from gossamer_models.isa.loops import last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, ENTRY_LINE
from gossamer_models.program import Tensor
from gossamer_models.sparsity import Pattern

__all__ = ["BLOCK_ELEMENTS", "LEVELS", "MASTER_BYTES", "BackwardStream", "Place", "Span", "TapGroup", "Tile"]

S = Semaphore

BLOCK_ELEMENTS = BLOCK * BLOCK
MASTER_BYTES = BLOCK_ELEMENTS * 4
LEVELS = (0, 1, 2, 3)
"""Loops over a kernel's rows and columns, over j tiles or bundles, and over tiles of rows."""


@dataclass(frozen=True, slots=True)
class BackwardStream:
    """Operand B of one phase of BP and the taps it holds."""

    stream: Stream
    pattern: Pattern
    y: Taps
    x: Taps


@dataclass(frozen=True, slots=True)
class TapGroup:
    """Taps that share a phase: kernel index = first + pitch * tap on each axis."""

    count: tuple[int, int]
    first: tuple[int, int]
    pitch: tuple[int, int]
    backward: BackwardStream | None

    def joined(self) -> "TapGroup":
        """The same with one loop over all taps, if these are neighbours."""
        down, across = self.count
        return dataclasses.replace(self, count=(1, down * across)) if self.pitch == (1, 1) else self


@dataclass(frozen=True, slots=True)
class Span:
    """Rows of blocks ``start + outer_step * o + w`` for o below ``outer`` and w below ``blocks``, ``rows`` at a time.

    All are whole words. An address in a backward stream is affine in the word within a j tile, and in the j tile or in
    the bundle, but not across: hence one loop for either, and a span of its own for the words of a ragged last j tile.
    """

    start: int
    outer: int
    outer_step: int
    blocks: int
    rows: int
    final: bool

    @property
    def counts(self) -> tuple[int, int]:
        """Iterations of the loops over o and over tiles."""
        return self.outer, self.blocks // self.rows


@dataclass(frozen=True, slots=True)
class Place:
    """Which tile an instruction is of, where not every loop is around it whole.

    Members
    -------
    level : of the first loop that is not around it whole.
    turns : iterations of that loop that are; with none the instruction stands in front of it or behind it.
    at : tile in the first iteration, by its number in that loop and in each deeper one, of which none is around it.
    """

    level: int = len(LEVELS)
    turns: int = 0
    at: tuple[int, ...] = ()

    def is_open(self, level: int) -> bool:
        """Whether a level's loop is around the instruction."""
        return level < self.level + (self.turns > 0)

    def first(self, level: int) -> int:
        """Tile of a level in its loop's first iteration."""
        return 0 if level < self.level else self.at[level - self.level]

    def reaches(self, level: int, count: int) -> bool:
        """Whether the last of ``count`` tiles of a level is one of the instruction's."""
        turns = max(self.turns, 1) if level == self.level else 1
        return level < self.level or self.first(level) + turns == count


class Tile:
    """One tile of masters: ``span.rows`` rows of blocks of one tap, all output channels."""

    def __init__(self, weights: Weights, group: TapGroup, span: Span, place: Place) -> None:
        self.weights, self.group, self.span, self.place = weights, group, span, place
        self.kernel_width = weights.shape[3]
        self.in_blocks, self.out_blocks, self.rows = weights.rows, weights.out_blocks, span.rows
        self.word_blocks, self.word_rows = weights.word_blocks, span.rows // weights.word_blocks
        self.blocks = span.rows * self.out_blocks
        self.master_bytes = self.blocks * MASTER_BYTES

    def _kernel_steps(self, row_bytes: int) -> list[tuple[int, int]]:
        """(level, bytes) steps of an address that advances ``row_bytes`` per row of blocks, [kh][kw][c_in/8]."""
        tap = self.in_blocks * row_bytes
        return [
            (LEVELS[0], self.group.pitch[0] * self.kernel_width * tap),
            (LEVELS[1], self.group.pitch[1] * tap),
            (LEVELS[2], self.span.outer_step * row_bytes),
            (LEVELS[3], self.rows * row_bytes),
        ]

    def _stepped(
        self, cls: type[Load | Store], base: int, steps: Sequence[tuple[int, int]]
    ) -> tuple[int, tuple[Modifier, ...]]:
        """Address of the tile in the loops' first iteration, and how it advances with (level, bytes)."""
        base += sum(self.place.first(level) * size for level, size in steps)
        return base, tuple(step(cls, "mem_base", level, size) for level, size in steps if self.place.is_open(level))

    def _kernel_base(self, row_bytes: int) -> int:
        tap = self.group.first[0] * self.kernel_width + self.group.first[1]
        return (tap * self.in_blocks + self.span.start) * row_bytes

    def load(self) -> Load:
        """Masters, momentum and gradient."""
        tensors = (self.weights.master, self.weights.momentum, self.weights.gradient)
        place, dims, steps = self._together(Load, tensors)
        return Load(
            wait=S.VIN_FREE, signal=S.VIN_FULL, advance=Advance.VIN, buffer=Buffer.VIN, format=Format.FP32,
            mem_base=place, dims=dims, modifiers=steps,
        )  # fmt: skip

    def _together(
        self, cls: type[Load | Store], tensors: Sequence[Tensor]
    ) -> tuple[int, tuple[Dim, ...], tuple[Modifier, ...]]:
        """Address, dimensions and steps of one transfer of this tile of several tensors, back to back on chip."""
        row_bytes = self.out_blocks * MASTER_BYTES
        distance = tensors[1].address - tensors[0].address
        dims = [*plain(self.master_bytes // 4, 4, 4), *plain(len(tensors), distance, self.master_bytes)]
        address = tensors[0].address + self._kernel_base(row_bytes)
        place, steps = self._stepped(cls, address, self._kernel_steps(row_bytes))
        return place, merge(dims), steps

    def update(self, optimizer: Optimizer) -> Vector:
        """New masters and momentum, and the fp16 copy behind them."""
        pattern = self.weights.pattern
        apart = {"channels": self.out_blocks * BLOCK} if pattern.m > BLOCK else {}
        return Vector(
            wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL | S.WEIGHT_FULL,
            advance=Advance.VIN | Advance.VOUT,
            op=VectorOp.UPDATE, format=Format.FP32,
            count=self.blocks * BLOCK_ELEMENTS, source1=self.master_bytes, source2=2 * self.master_bytes,
            target1=self.master_bytes, target2=2 * self.master_bytes, keep=pattern.n, of=pattern.m,
            modifiers=(), **apart, **update_rule(optimizer),
        )  # fmt: skip

    def prunes(self, forward: Stream, pattern: Pattern) -> list[Prune]:
        """Entries for FF along input channels, then for BP along output channels."""
        c_out, c_in, _, _ = self.weights.shape
        valid_out = c_out if self.weights.grouping.bundles == 1 else self.out_blocks * BLOCK
        shape = {"n1": self.rows, "n0": self.out_blocks, "source": 2 * self.master_bytes}
        rest = c_in - (self.in_blocks - self.rows) * BLOCK
        ends = all(self.place.reaches(level, count) for level, count in zip(LEVELS[2:], self.span.counts, strict=True))
        cut = self.span.final and rest != self.rows * BLOCK and ends
        tiles = [level for level in LEVELS[2:] if self.place.is_open(level)]
        ragged = (last(Prune, "valid", tiles, rest),) if cut and tiles else ()
        backward, places = self.group.backward, self._places(forward)
        result = [
            Prune(
                wait=S.WEIGHT_FULL | S.PRN_FREE, signal=0 if backward else S.PRN_FULL,
                advance=Advance.VOUT | Advance.PRN if not backward else 0, axis=0,
                valid=rest if cut and not tiles else self.rows * BLOCK,
                metadata=places[0][1], modifiers=ragged, **shape, **self.weights.rule.forward(pattern),
            )
        ]  # fmt: skip
        if backward:
            result.append(
                Prune(
                    signal=S.PRN_FULL, advance=Advance.VOUT | Advance.PRN, axis=1, valid=valid_out,
                    values=places[1][0], metadata=places[1][1], modifiers=(), **shape,
                    **self.weights.rule.backward(backward.pattern),
                )
            )  # fmt: skip
        return result

    def _entries(self, stream: Stream) -> int:
        return self.blocks // self.word_blocks * stream.entries * BLOCK

    def _places(self, forward: Stream) -> tuple[tuple[int, int], tuple[int, int]]:
        """Byte addresses of (values in PRN, metadata in PRN_META), for FF and for BP."""
        ahead = -(-self._entries(forward) // ENTRY_LINE) * ENTRY_LINE
        return (0, 0), (2 * ahead, ahead)

    def stores(self, forward: Stream, *, masters_first: bool = False) -> list[Store]:
        """Values and metadata of the streams, and masters and momentum behind them or in front.

        Behind them that store, the longest, still waits while the next tile's loads are dealt, however short the queue.
        Where these are dealt before anyway it comes first: it does not wait for the prune engine and frees VOUT sooner.
        """
        entries = self._forward_stores(forward)
        if self.group.backward:
            entries += self._backward_stores(self.group.backward.stream, self._places(forward)[1])
        first, *others, final = entries
        final = dataclasses.replace(final, signal=S.PRN_FREE, advance=Advance.PRN)
        copy = [] if self.weights.halves is None else [self._halves(self.weights.halves)]
        masters = self._masters()
        if masters_first:
            *kept, last_kept = masters, *copy
            kept = [*kept, dataclasses.replace(last_kept, advance=Advance.VOUT)]
            kept[0] = dataclasses.replace(kept[0], wait=S.VOUT_FULL)
            return [*kept, dataclasses.replace(first, wait=S.PRN_FULL, signal=S.VOUT_FREE), *others, final]
        result = [*copy, first, *others, final, dataclasses.replace(masters, signal=S.VOUT_FREE, advance=Advance.VOUT)]
        result[0] = dataclasses.replace(result[0], wait=S.VOUT_FULL | S.PRN_FULL)
        return result

    def _masters(self) -> Store:
        """Masters and momentum."""
        place, dims, steps = self._together(Store, (self.weights.master, self.weights.momentum))
        return Store(buffer=Buffer.VOUT, format=Format.FP32, mem_base=place, dims=dims, modifiers=steps)

    def _halves(self, copy: Tensor) -> Store:
        """The dense fp16 copy, as the masters lie."""
        row_bytes = self.out_blocks * BLOCK_ELEMENTS * 2
        address = copy.address + self._kernel_base(row_bytes)
        place, steps = self._stepped(Store, address, self._kernel_steps(row_bytes))
        return Store(
            buffer=Buffer.VOUT, format=Format.FP16, mem_base=place, buf_base=2 * self.master_bytes,
            dims=merge(plain(self.blocks * BLOCK_ELEMENTS, 2, 2)), modifiers=steps,
        )  # fmt: skip

    def _forward_stores(self, stream: Stream) -> list[Store]:
        """PRN [word][c_out/8][entry][8 c_out] to [bundle][j tile][tap, word of c_in][entry][lj][column]."""
        stores = []
        span, group, words = self.span, self.group, self.weights.bundle_in // self.word_blocks
        padded = max(self.out_blocks, stream.bundle_tiles * stream.lj * stream.columns // BLOCK)
        for buffer, fmt, base, address in _parts(stream, self._places(stream)[0]):
            unit = fmt.bytes
            entry = stream.lj * stream.columns * unit
            word, bundle = stream.entries * entry, stream.bundle_entries * unit
            row = bundle if self.weights.single_words else word
            outer = bundle if self.weights.grouping.bundles > 1 else span.outer_step // self.word_blocks * word
            dims = [
                *refine(
                    [Digit(BLOCK, unit), Digit(padded, stream.entries * BLOCK * unit)],
                    stream.column_digits(unit),
                    axis=0,
                    unit=BLOCK,
                ),
                *plain(stream.entries, entry, BLOCK * unit),
                *plain(self.word_rows, row, self.out_blocks * stream.entries * BLOCK * unit),
            ]
            steps = (
                (LEVELS[0], group.pitch[0] * self.kernel_width * words * word),
                (LEVELS[1], group.pitch[1] * words * word),
                (LEVELS[2], outer),
                (LEVELS[3], self.word_rows * row),
            )
            start = (group.first[0] * self.kernel_width + group.first[1]) * words + span.start // self.word_blocks
            store = self._entry_store(buffer, fmt, base, address + start * word, dims, steps)
            stores.append(dataclasses.replace(store, axis0_bound=self.out_blocks))
        return stores

    def _backward_stores(self, stream: Stream, places: tuple[int, int]) -> list[Store]:
        """PRN [c_in/8][word][entry][8 c_in] to [bundle][j tile][tap, word of c_out][entry][lj][column]."""
        stores = []
        words = self.out_blocks // self.word_blocks
        for buffer, fmt, base, address in _parts(stream, places):
            unit = fmt.bytes
            entry = stream.lj * stream.columns * unit
            word, bundle = stream.entries * entry, stream.bundle_entries * unit
            row, tap = words * stream.entries * BLOCK * unit, words * word
            columns = stream.column_digits(unit)
            outer = (
                bundle
                if self.weights.grouping.bundles > 1
                else stream.column_offset(self.span.outer_step * BLOCK) * unit
            )
            if self.weights.single_words:
                inner = self.word_rows * bundle
                rows = refine([Digit(BLOCK, unit), Digit(self.word_blocks, row)], columns)
                rows += plain(self.word_rows, bundle, self.word_blocks * row)
            else:
                inner = stream.column_offset(self.rows * BLOCK) * unit
                rows = refine([Digit(BLOCK, unit), Digit(self.rows, row)], columns)
            dims = [
                *rows,
                *plain(stream.entries, entry, BLOCK * unit),
                *plain(words, word, stream.entries * BLOCK * unit),
            ]
            steps = (
                (LEVELS[0], self.group.count[1] * tap),
                (LEVELS[1], tap),
                (LEVELS[2], outer),
                (LEVELS[3], inner),
            )
            start_bytes = stream.column_offset(self.span.start * BLOCK) * unit
            stores.append(self._entry_store(buffer, fmt, base, address + start_bytes, dims, steps))
        return stores

    def _entry_store(
        self, buffer: Buffer, fmt: Format, base: int, address: int, dims: list[Dim], steps: Sequence[tuple[int, int]]
    ) -> Store:
        place, modifiers = self._stepped(Store, address, steps)
        return Store(buffer=buffer, format=fmt, mem_base=place, buf_base=base, dims=merge(dims), modifiers=modifiers)


def _parts(stream: Stream, places: tuple[int, int]) -> list[tuple[Buffer, Format, int, int]]:
    """(buffer, format, place there, address in DRAM) of values and metadata."""
    return [
        (Buffer.PRN, Format.FP16, places[0], stream.tensor.address),
        (Buffer.PRN_META, Format.BYTE, places[1], stream.metadata),
    ]
