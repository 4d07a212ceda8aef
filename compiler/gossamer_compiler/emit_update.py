"""Instructions of the weight update: SGD on fp32 masters, then both compressed copies for the next step.

Update and pruning share one pass (SAT's pre-generation): a tile of masters goes through the vector engine, its fp16
copy through the prune engine once along input channels (FF) and once along output channels (BP).
"""

import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

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

    Where a tile has more stores than the queue takes, they are dealt behind the next tile's operations.

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

    def parts(group: TapGroup, span: Span, place: Place) -> _Parts:
        tile = Tile(weights, group, span, place)
        stores = [whole_pieces(store, architecture.memory) for store in tile.stores(forward)]
        return _Parts([tile.load(), tile.update(optimizer)], tile.prunes(forward, forward_pattern), stores)

    tiles = [parts(*nest, Place()) for nest in nests]
    behind = _deals_behind(tiles, architecture)
    for (group, span), tile in zip(nests, tiles, strict=True):
        if behind:
            joined = group.joined()
            _emit_behind(builder, (*joined.count, *span.counts), partial(parts, joined, span))
            continue
        with ExitStack() as loops:
            for count in (*group.count, *span.counts):
                loops.enter_context(builder.loop(count))
            builder.add(*tile.operations, *tile.prunes, *tile.stores)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Instructions of a tile."""

    operations: Sequence[Instruction]
    prunes: Sequence[Instruction]
    stores: Sequence[Instruction]

    @property
    def length(self) -> int:
        """How many there are."""
        return len(self.operations) + len(self.prunes) + len(self.stores)


def _deals_behind(tiles: Sequence[_Parts], architecture: Architecture) -> bool:
    """Whether stores are dealt behind the next tile's operations: a queue holds few, and the stage is still short.

    One is under way while others wait in the queue.
    """
    length = sum(2 * (tile.length + len(LEVELS)) for tile in tiles)
    waits = max(len(tile.stores) for tile in tiles) > architecture.queue_depth + 1
    return waits and 2 * length <= architecture.stage_instructions


def _emit_behind(builder: StageBuilder, counts: Sequence[int], parts: Callable[[Place], _Parts]) -> None:
    """Append loops, in the innermost of which a tile's stores stand behind the next tile's operations.

    Prunes wait for the update, and would keep what is behind them from being dealt: they come last.
    """
    inner = max((level for level, count in enumerate(counts) if count > 1), default=0)
    with ExitStack() as loops:
        for count in counts[:inner]:
            loops.enter_context(builder.loop(count))
        opening, closing = parts(Place(0, inner, True)), parts(Place(counts[inner] - 1, inner, True))
        builder.add(*opening.operations, *opening.prunes)
        if counts[inner] > 1:
            with builder.loop(counts[inner] - 1):
                ahead, behind = parts(Place(1, inner)), parts(Place(0, inner))
                builder.add(*ahead.operations, *behind.stores, *ahead.prunes)
        builder.add(*closing.stores)


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
