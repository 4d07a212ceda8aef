"""Instructions of the weight update: SGD on fp32 masters, then both compressed copies for the next step.

Update and pruning share one pass (SAT's pre-generation): a tile of masters goes through the vector engine, its fp16
copy through the prune engine once along input channels (FF) and once along output channels (BP).
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from math import prod

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.optimizer import Optimizer
from gossamer_compiler.pieces import whole_pieces
from gossamer_compiler.update_tiles import (
    BLOCK_ELEMENTS,
    LEVELS,
    MASTER_BYTES,
    BackwardStream,
    Place,
    Span,
    TapGroup,
    Tile,
)
from gossamer_compiler.weight_stream import Stream
from gossamer_compiler.weights import Weights
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Instruction
from gossamer_models.layouts import BLOCK
from gossamer_models.sparsity import Pattern

__all__ = ["emit_update"]

_COUNTED = {8: "eight", 16: "sixteen"}


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

    Where a tile has more stores than the queue takes, they are dealt behind the next tile's update.

    Raises
    ------
    DoesNotFitError
        A word of input channels of one tap exceeds the vector or prune buffers.
    """
    optimizer.bring(builder)
    builder.reads(*weights.reads())
    limit = _row_limit(weights, bool(backward), architecture, layer)
    nests = [
        (group, span) for group in _tap_groups(*weights.shape[2:], backward) for span in _spans(weights, group, limit)
    ]

    def parts(group: TapGroup, span: Span, place: Place, *, masters_first: bool = False) -> _Parts:
        tile = Tile(weights, group, span, place)
        found = tile.stores(forward, masters_first=masters_first)
        stores = [whole_pieces(store, architecture.memory) for store in found]
        return _Parts(tile.load(), tile.update(optimizer), tile.prunes(forward, forward_pattern), stores)

    tiles = [parts(*nest, Place()) for nest in nests]
    rotations = _rotations(nests, tiles, architecture)
    if rotations:
        for (group, span), rotation in zip(nests, rotations, strict=True):
            rotation.emit(builder, partial(parts, group.joined(), span, masters_first=rotation.tiles > 1))
        return
    for (group, span), tile in zip(nests, tiles, strict=True):
        with ExitStack() as loops:
            for count in (*group.count, *span.counts):
                loops.enter_context(builder.loop(count))
            builder.add(tile.load, tile.update, *tile.prunes, *tile.stores)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Instructions of a tile."""

    load: Instruction
    update: Instruction
    prunes: Sequence[Instruction]
    stores: Sequence[Instruction]

    @property
    def length(self) -> int:
        """How many there are."""
        return 2 + len(self.prunes) + len(self.stores)


@dataclass(frozen=True, slots=True)
class _Rotation:
    """Loops whose tiles overlap though queues are short.

    Behind a tile's update come the next tile's load, then what is to be done with the tile before: prunes and stores
    wait for updates, and would keep what stands behind them from being dealt.

    Members
    -------
    counts : iterations of each loop.
    level : of the loop that is turned; the tiles of deeper ones are written one by one.
    """

    counts: tuple[int, ...]
    level: int

    @property
    def written(self) -> int:
        """Tiles in an iteration of the loop."""
        return prod(self.counts[self.level + 1 :])

    @property
    def begun(self) -> int:
        """How often it is begun anew, which no tile overlaps."""
        return prod(self.counts[: self.level])

    @property
    def tiles(self) -> int:
        """Tiles in all iterations."""
        return self.counts[self.level] * self.written

    @property
    def turns(self) -> int:
        """Iterations that are left of the loop, as a load is two tiles ahead; one needs no loop."""
        turns = self.counts[self.level] - -(-2 // self.written)
        return turns if turns > 1 else 0

    def length(self, tile: int) -> int:
        """How many instructions there are, ``tile`` for each."""
        straight = self.tiles - self.turns * self.written
        looped = self.written if self.turns else 0
        return 2 * (self.level + (self.turns > 0)) + (straight + looped) * tile

    def emit(self, builder: StageBuilder, parts: Callable[[Place], _Parts]) -> None:
        """Append the loops."""

        def tile(number: int, turns: int = 0) -> _Parts:
            at = []
            for count in reversed(self.counts[self.level + 1 :]):
                number, place = divmod(number, count)
                at.append(place)
            return parts(Place(self.level, turns, (number, *reversed(at))))

        def turn(number: int, turns: int = 0) -> None:
            behind = tile(number, turns)
            if number + 1 < self.tiles:
                builder.add(tile(number + 1, turns).update)
            if number + 2 < self.tiles:
                builder.add(tile(number + 2, turns).load)
            builder.add(*behind.prunes, *behind.stores)

        with ExitStack() as loops:
            for count in self.counts[: self.level]:
                loops.enter_context(builder.loop(count))
            opening = tile(0)
            builder.add(opening.load, opening.update)
            if self.tiles > 1:
                builder.add(tile(1).load)
            if self.turns:
                with builder.loop(self.turns):
                    for number in range(self.written):
                        turn(number, self.turns)
            for number in range(self.turns * self.written, self.tiles):
                turn(number)


def _rotations(
    nests: Sequence[tuple[TapGroup, Span]], tiles: Sequence[_Parts], architecture: Architecture
) -> list[_Rotation]:
    """Loops turned, where a queue holds fewer than a tile's stores and half of a stage all instructions; else none.

    One store is under way while others wait in the queue. Best is the loop that overlaps most tiles, then the one that
    leaves fewest instructions.
    """
    if max(len(tile.stores) for tile in tiles) <= architecture.queue_depth + 1:
        return []
    room = architecture.stage_instructions // (2 * len(nests))
    found = []
    for (group, span), tile in zip(nests, tiles, strict=True):
        counts = *group.joined().count, *span.counts
        choices = [each for each in (_Rotation(counts, level) for level in LEVELS) if each.length(tile.length) <= room]
        if not choices:
            return []
        found.append(min(choices, key=lambda each: (each.begun, each.length(tile.length))))
    return found


def _row_limit(weights: Weights, has_backward: bool, architecture: Architecture, layer: str) -> int:
    """Rows of blocks (eight input channels of one tap, all output channels) that fit the buffers, at least a word's."""
    buffers, blocks = architecture.buffers, weights.word_blocks * weights.out_blocks
    limits = {
        "vector_in_bytes": (3 * MASTER_BYTES * blocks, buffers.vector_in_bytes),
        "vector_out_bytes": ((2 * MASTER_BYTES + 2 * BLOCK_ELEMENTS) * blocks, buffers.vector_out_bytes),
        "prune_entries": ((1 + has_backward) * BLOCK_ELEMENTS * blocks, buffers.prune_entries),
    }
    for name, (demand, bound) in limits.items():
        if demand > bound:
            raise DoesNotFitError(
                f"layer {layer!r}: {_COUNTED[weights.word]} input channels of one tap exceed buffers.{name}",
                demand, bound, "entries" if name == "prune_entries" else "bytes", f"raise buffers.{name}",
            )  # fmt: skip
    return weights.word_blocks * min(bound // demand for demand, bound in limits.values())


def _spans(weights: Weights, group: TapGroup, limit: int) -> list[Span]:
    bundles, blocks = weights.grouping.bundles, weights.bundle_in
    stream = group.backward.stream if group.backward else None
    if weights.single_words:
        rows = weights.rows
        return [Span(0, 1, rows, rows, _power_divisor(rows, limit), True)]
    width = stream.lj * stream.columns if stream else weights.word
    tile = blocks if width <= weights.word else min(blocks, width // BLOCK)
    count, rest = divmod(blocks, tile)
    if bundles > 1:
        starts = [(n * tile, tile) for n in range(count)] + ([(count * tile, rest)] if rest else [])
        return [Span(start, bundles, blocks, size, _power_divisor(size, limit), False) for start, size in starts]
    spans = [Span(0, count, tile, tile, _power_divisor(tile, limit), not rest)]
    return spans + ([Span(count * tile, 1, rest, rest, _power_divisor(rest, limit), True)] if rest else [])


def _power_divisor(blocks: int, limit: int) -> int:
    """Largest power of two that divides ``blocks`` and is at most ``limit``."""
    return 1 << min((blocks & -blocks).bit_length(), limit.bit_length()) - 1


def _tap_groups(kh: int, kw: int, backward: Sequence[BackwardStream]) -> list[TapGroup]:
    """Taps by phase; a phase without pixels has no stream, but its weights are updated all the same."""
    if not backward:
        return [TapGroup((kh, kw), (0, 0), (1, 1), None)]
    pitch = backward[0].y.pitch, backward[0].x.pitch
    by_first = {(b.y.first, b.x.first): b for b in backward}
    firsts = itertools.product(range(min(pitch[0], kh)), range(min(pitch[1], kw)))
    return [
        TapGroup((-(-(kh - y) // pitch[0]), -(-(kw - x) // pitch[1])), (y, x), pitch, by_first.get((y, x)))
        for y, x in firsts
    ]
