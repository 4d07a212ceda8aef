"""Instructions of the weight update: SGD on fp32 masters, then both compressed copies for the next step.

Update and pruning share one pass (SAT's pre-generation): a tile of masters goes through the vector engine, its fp16
copy through the prune engine once along input channels (FF) and once along output channels (BP).
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import Digit, merge, plain, refine
from gossamer_compiler.geometry import Taps
from gossamer_compiler.optimizer import Optimizer, update_rule
from gossamer_compiler.pieces import whole_pieces
from gossamer_compiler.weight_stream import Stream
from gossamer_compiler.weights import Weights
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import (
    Dim,
    Format,
    Load,
    Modifier,
    Prune,
    Store,
    Vector,
    VectorOp,
)
from gossamer_models.isa.loops import last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, ENTRY_LINE
from gossamer_models.program import Tensor
from gossamer_models.sparsity import Pattern

__all__ = ["BackwardStream", "emit_update"]

S = Semaphore

_ELEMENTS = BLOCK * BLOCK
_MASTER_BYTES = _ELEMENTS * 4
_COUNTED = {8: "eight", 16: "sixteen"}
_LEVELS = (0, 1, 2, 3)
"""Loops over a kernel's rows and columns, over j tiles or bundles, and over tiles of rows."""


@dataclass(frozen=True, slots=True)
class BackwardStream:
    """Operand B of one phase of BP and the taps it holds."""

    stream: Stream
    pattern: Pattern
    y: Taps
    x: Taps


@dataclass(frozen=True, slots=True)
class _TapGroup:
    """Taps that share a phase: kernel index = first + pitch * tap on each axis."""

    count: tuple[int, int]
    first: tuple[int, int]
    pitch: tuple[int, int]
    backward: BackwardStream | None


def emit_update(
    builder: StageBuilder,
    weights: Weights,
    optimizer: Optimizer,
    forward: Stream,
    forward_pattern: Pattern,
    backward: Sequence[BackwardStream],
    architecture: Architecture,
    layer: str,
) -> None:
    """Append update and pruning of one layer's weights.

    Raises
    ------
    DoesNotFitError
        A word of input channels of one tap exceeds the vector or prune buffers.
    """
    optimizer.bring(builder)
    builder.reads(*weights.reads())
    limit = _row_limit(weights, bool(backward), architecture, layer)
    for group in _tap_groups(*weights.shape[2:], backward):
        for span in _spans(weights, group, limit):
            work = _Tile(weights, group, span)
            with (
                builder.loop(group.count[0]),
                builder.loop(group.count[1]),
                builder.loop(span.outer),
                builder.loop(span.blocks // span.rows),
            ):
                builder.add(work.load(), work.update(optimizer))
                builder.add(*work.prunes(forward, forward_pattern))
                builder.add(*(whole_pieces(store, architecture.memory) for store in work.stores(forward)))


def _row_limit(weights: Weights, has_backward: bool, architecture: Architecture, layer: str) -> int:
    """Rows of blocks (eight input channels of one tap, all output channels) that fit the buffers, at least a word's."""
    buffers, blocks = architecture.buffers, weights.word_blocks * weights.out_blocks
    limits = {
        "vector_in_bytes": (3 * _MASTER_BYTES * blocks, buffers.vector_in_bytes),
        "vector_out_bytes": ((2 * _MASTER_BYTES + 2 * _ELEMENTS) * blocks, buffers.vector_out_bytes),
        "prune_entries": ((1 + has_backward) * _ELEMENTS * blocks, buffers.prune_entries),
    }
    for name, (demand, bound) in limits.items():
        if demand > bound:
            raise DoesNotFitError(
                f"layer {layer!r}: {_COUNTED[weights.word]} input channels of one tap exceed buffers.{name}",
                demand, bound, "entries" if name == "prune_entries" else "bytes", f"raise buffers.{name}",
            )  # fmt: skip
    return weights.word_blocks * min(bound // demand for demand, bound in limits.values())


@dataclass(frozen=True, slots=True)
class _Span:
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


def _spans(weights: Weights, group: "_TapGroup", limit: int) -> list[_Span]:
    bundles, blocks = weights.grouping.bundles, weights.bundle_in
    stream = group.backward.stream if group.backward else None
    if weights.single_words:
        rows = weights.rows
        return [_Span(0, 1, rows, rows, _power_divisor(rows, limit), True)]
    width = stream.lj * stream.columns if stream else weights.word
    tile = blocks if width <= weights.word else min(blocks, width // BLOCK)
    count, rest = divmod(blocks, tile)
    if bundles > 1:
        starts = [(n * tile, tile) for n in range(count)] + ([(count * tile, rest)] if rest else [])
        return [_Span(start, bundles, blocks, size, _power_divisor(size, limit), False) for start, size in starts]
    spans = [_Span(0, count, tile, tile, _power_divisor(tile, limit), not rest)]
    return spans + ([_Span(count * tile, 1, rest, rest, _power_divisor(rest, limit), True)] if rest else [])


def _power_divisor(blocks: int, limit: int) -> int:
    """Largest power of two that divides ``blocks`` and is at most ``limit``."""
    return 1 << min((blocks & -blocks).bit_length(), limit.bit_length()) - 1


def _tap_groups(kh: int, kw: int, backward: Sequence[BackwardStream]) -> list[_TapGroup]:
    """Taps by phase; a phase without pixels has no stream, but its weights are updated all the same."""
    if not backward:
        return [_TapGroup((kh, kw), (0, 0), (1, 1), None)]
    pitch = backward[0].y.pitch, backward[0].x.pitch
    by_first = {(b.y.first, b.x.first): b for b in backward}
    firsts = itertools.product(range(min(pitch[0], kh)), range(min(pitch[1], kw)))
    return [
        _TapGroup((-(-(kh - y) // pitch[0]), -(-(kw - x) // pitch[1])), (y, x), pitch, by_first.get((y, x)))
        for y, x in firsts
    ]


class _Tile:
    """One tile of masters: ``span.rows`` rows of blocks of one tap, all output channels."""

    def __init__(self, weights: Weights, group: _TapGroup, span: _Span) -> None:
        self.weights, self.group, self.span = weights, group, span
        self.kernel_width = weights.shape[3]
        self.in_blocks, self.out_blocks, self.rows = weights.rows, weights.out_blocks, span.rows
        self.word_blocks, self.word_rows = weights.word_blocks, span.rows // weights.word_blocks
        self.blocks = span.rows * self.out_blocks
        self.master_bytes = self.blocks * _MASTER_BYTES

    def _kernel_steps(self, row_bytes: int) -> list[tuple[int, int]]:
        """(level, bytes) steps of an address that advances ``row_bytes`` per row of blocks, [kh][kw][c_in/8]."""
        tap = self.in_blocks * row_bytes
        return [
            (_LEVELS[0], self.group.pitch[0] * self.kernel_width * tap),
            (_LEVELS[1], self.group.pitch[1] * tap),
            (_LEVELS[2], self.span.outer_step * row_bytes),
            (_LEVELS[3], self.rows * row_bytes),
        ]

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
        row_bytes = self.out_blocks * _MASTER_BYTES
        distance = tensors[1].address - tensors[0].address
        dims = [*plain(self.master_bytes // 4, 4, 4), *plain(len(tensors), distance, self.master_bytes)]
        steps = tuple(step(cls, "mem_base", *item) for item in self._kernel_steps(row_bytes))
        return tensors[0].address + self._kernel_base(row_bytes), merge(dims), steps

    def update(self, optimizer: Optimizer) -> Vector:
        """New masters and momentum, and the fp16 copy behind them."""
        pattern = self.weights.pattern
        apart = {"channels": self.out_blocks * BLOCK} if pattern.m > BLOCK else {}
        return Vector(
            wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL | S.WEIGHT_FULL,
            advance=Advance.VIN | Advance.VOUT,
            op=VectorOp.UPDATE, format=Format.FP32,
            count=self.blocks * _ELEMENTS, source1=self.master_bytes, source2=2 * self.master_bytes,
            target1=self.master_bytes, target2=2 * self.master_bytes, keep=pattern.n, of=pattern.m,
            modifiers=(), **apart, **update_rule(optimizer),
        )  # fmt: skip

    def prunes(self, forward: Stream, pattern: Pattern) -> list[Prune]:
        """Entries for FF along input channels, then for BP along output channels."""
        c_out, c_in, _, _ = self.weights.shape
        valid_out = c_out if self.weights.grouping.bundles == 1 else self.out_blocks * BLOCK
        shape = {"n1": self.rows, "n0": self.out_blocks, "source": 2 * self.master_bytes}
        rest = c_in - (self.in_blocks - self.rows) * BLOCK
        cut = self.span.final and rest != self.rows * BLOCK
        ragged = (last(Prune, "valid", _LEVELS[2:], rest),) if cut else ()
        backward, places = self.group.backward, self._places(forward)
        result = [
            Prune(
                wait=S.WEIGHT_FULL | S.PRN_FREE, signal=0 if backward else S.PRN_FULL,
                advance=Advance.VOUT | Advance.PRN if not backward else 0, axis=0, valid=self.rows * BLOCK,
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

    def stores(self, forward: Stream) -> list[Store]:
        """Values and metadata of the streams, then masters and momentum.

        The longest comes last: then the next tile's loads are dealt while it still waits, however short the queue.
        """
        entries = self._forward_stores(forward)
        if self.group.backward:
            entries += self._backward_stores(self.group.backward.stream, self._places(forward)[1])
        if self.weights.halves is not None:
            entries.insert(0, self._halves(self.weights.halves))
        first, *others, final = entries
        place, dims, steps = self._together(Store, (self.weights.master, self.weights.momentum))
        masters = Store(
            signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP32, mem_base=place, dims=dims,
            modifiers=steps,
        )  # fmt: skip
        return [
            dataclasses.replace(first, wait=S.VOUT_FULL | S.PRN_FULL), *others,
            dataclasses.replace(final, signal=S.PRN_FREE, advance=Advance.PRN), masters,
        ]  # fmt: skip

    def _halves(self, copy: Tensor) -> Store:
        """The dense fp16 copy, as the masters lie."""
        row_bytes = self.out_blocks * _ELEMENTS * 2
        return Store(
            buffer=Buffer.VOUT, format=Format.FP16, mem_base=copy.address + self._kernel_base(row_bytes),
            buf_base=2 * self.master_bytes, dims=merge(plain(self.blocks * _ELEMENTS, 2, 2)),
            modifiers=tuple(step(Store, "mem_base", *item) for item in self._kernel_steps(row_bytes)),
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
                step(Store, "mem_base", _LEVELS[0], group.pitch[0] * self.kernel_width * words * word),
                step(Store, "mem_base", _LEVELS[1], group.pitch[1] * words * word),
                step(Store, "mem_base", _LEVELS[2], outer),
                step(Store, "mem_base", _LEVELS[3], self.word_rows * row),
            )
            start = (group.first[0] * self.kernel_width + group.first[1]) * words + span.start // self.word_blocks
            store = _entry_store(buffer, fmt, base, address + start * word, dims, steps)
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
                step(Store, "mem_base", _LEVELS[0], self.group.count[1] * tap),
                step(Store, "mem_base", _LEVELS[1], tap),
                step(Store, "mem_base", _LEVELS[2], outer),
                step(Store, "mem_base", _LEVELS[3], inner),
            )
            start_bytes = stream.column_offset(self.span.start * BLOCK) * unit
            stores.append(_entry_store(buffer, fmt, base, address + start_bytes, dims, steps))
        return stores


def _parts(stream: Stream, places: tuple[int, int]) -> list[tuple[Buffer, Format, int, int]]:
    """(buffer, format, place there, address in DRAM) of values and metadata."""
    return [
        (Buffer.PRN, Format.FP16, places[0], stream.tensor.address),
        (Buffer.PRN_META, Format.BYTE, places[1], stream.metadata),
    ]


def _entry_store(
    buffer: Buffer, fmt: Format, base: int, address: int, dims: list[Dim], steps: tuple[Modifier, ...]
) -> Store:
    return Store(buffer=buffer, format=fmt, mem_base=address, buf_base=base, dims=merge(dims), modifiers=steps)
