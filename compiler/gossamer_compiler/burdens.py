"""What passes over feature maps cost, whatever they run beside."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from gossamer_compiler.emit_tiles import TilePass
from gossamer_compiler.emit_vector import Pass, companion_tiles
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture
from gossamer_models.copies import copied
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Load, Prune, Store, Vector
from gossamer_models.layouts import BLOCK
from gossamer_models.timing.dma import LOAD_START_CYCLES, STORE_START_CYCLES
from gossamer_models.timing.vector import vector_cycles

__all__ = ["Burden", "Shape", "burden_of"]

_APART_TILES = 8
_TILE_BYTES = 1 << 20
"""Of an operand of the tile that stands for a pass: so much that what an instruction takes in any case is little."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A pass without its places; passes of one shape compare equal.

    Members
    -------
    alike : all that decides what it costs and how it can be cut.
    """

    alike: tuple[object, ...]
    work: Pass | TilePass = field(compare=False, repr=False)

    @classmethod
    def of(cls, work: Pass | TilePass) -> Self | None:
        """That of a pass; None of one that no other loops can be laid around."""
        if isinstance(work, Pass):
            if next(iter(work.inputs.values())).batch % BLOCK:
                return None
            maps = list(dict.fromkeys(work.inputs.values()))
            read = tuple((number, maps.index(source)) for number, source in work.inputs.items())
            shapes = tuple(source.unplaced() for source in maps)
            sampled = work.sampled and work.sampled.unplaced()
            return cls((work.op, work.flags, read, shapes, len(work.outputs), sampled), work)
        if not work.joined:
            return None
        operations = tuple((each.vector, each.elements, *each.sources.items()) for each in work.operations)
        streams = tuple(
            (stream.pixel_bytes, stream.block_bytes, stream.held, stream.format, stream.turned)
            for stream in (*work.loads, *work.stores)
        )
        return cls((operations, streams, len(work.loads), work.batch, work.pixels), work)


@dataclass(frozen=True, slots=True)
class Burden:
    """What a pass does to each engine.

    Members
    -------
    read, written, streamed : cycles that loads, stores and the vector engine take for its maps.
    read_tile, written_tile, streamed_tile : cycles that they take beyond that for each tile.
    tiles : that it is cut into at least.
    actions : what it does, counted.
    share : how much of a product it runs beside, relative to the others' shares.
    """

    read: int
    written: int
    streamed: int
    read_tile: int
    written_tile: int
    streamed_tile: int
    tiles: int
    actions: Actions
    share: int = 1

    @property
    def apart(self) -> int:
        """Predicted cycles of a stage of its own, its first load and last store of an eighth included."""
        return max(self.read, self.written, self.streamed) + (self.read + self.written) // _APART_TILES


def burden_of(shape: Shape, share: int, architecture: Architecture) -> Burden:
    """The burden of a pass that runs beside its share of a product."""
    return copied(_burden(shape, architecture), share=share)


@lru_cache(maxsize=1 << 10)
def _burden(shape: Shape, architecture: Architecture) -> Burden:
    """That of one tile for every pixel."""
    work, memory, buffers = shape.work, architecture.memory, architecture.buffers
    pixels, pixel_bytes = _pixels(work)
    iterations = min(pixels, -(-pixels * pixel_bytes // _TILE_BYTES))
    nest = ((0, iterations),)
    found: Sequence[Load | Vector | Prune | Store]
    if isinstance(work, Pass):
        tile, found = pixels // iterations, companion_tiles(work, nest, 1, architecture)
    else:
        tile, found = -(-pixels // iterations), work.tiles(nest, 1, architecture)
    instructions = [changed(each, modifiers=()) for each in found]
    counted = Actions.total([(instruction_actions(architecture.array, each), pixels) for each in instructions])
    actions = Actions(**{name: count // tile for name, count in counted.as_dict().items()})
    read, written = actions.dram_read_bits // 8, actions.dram_write_bits // 8
    loads, stores = (sum(isinstance(each, cls) for each in instructions) for cls in (Load, Store))
    operations = [each for each in instructions if isinstance(each, Vector)]
    streamed = sum(vector_cycles(architecture, each) for each in operations)
    halves = sum(vector_cycles(architecture, changed(each, count=each.count // 2)) for each in operations)
    begun = max(0, 2 * halves - streamed)
    return Burden(
        read=read // memory.bytes_per_cycle,
        written=written // memory.bytes_per_cycle,
        streamed=(streamed - begun) * pixels // tile,
        read_tile=loads * (LOAD_START_CYCLES + memory.latency_cycles),
        written_tile=stores * (STORE_START_CYCLES + memory.latency_cycles),
        streamed_tile=begun,
        tiles=max(-(-read // buffers.vector_in_bytes), -(-written // buffers.vector_out_bytes)),
        actions=actions,
    )


def _pixels(work: Pass | TilePass) -> tuple[int, int]:
    """Pixels of eight samples, and bytes of one of the largest operand."""
    if isinstance(work, Pass):
        shape = next(iter(work.inputs.values()))
        return shape.pixels * shape.batch_blocks, shape.pixel_bytes
    return work.pixels * (work.batch // BLOCK), max(stream.held_bytes for stream in (*work.loads, *work.stores))
