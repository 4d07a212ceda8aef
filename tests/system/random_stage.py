"""A stage of a random Program in the making: loops, places, DRAM, and buffers that change hands by tokens."""

import dataclasses
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import buffer_bytes
from gossamer_models.isa.instructions import (
    EndLoop,
    Format,
    Instruction,
    Load,
    Loop,
    Store,
)
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from tests.system.random_transfers import contiguous, legal, scattered, stepped

__all__ = ["APPLIED", "INPUT_BYTES", "LABELS_BYTES", "WAYS", "Region", "StageWriter", "TooLargeError", "Way"]

S = Semaphore

INPUT_BYTES = 1 << 15
"""Random data in front of the image; loads read it, nothing writes it."""

LABELS_BYTES = 256
"""At the end of the input: class numbers as fp32."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a scratchpad goes from its writer to its reader and back."""

    full: Semaphore
    free: Semaphore
    half: Advance


WAYS = {
    Buffer.A: Way(S.A_FULL, S.A_FREE, Advance.A),
    Buffer.B: Way(S.B_FULL, S.B_FREE, Advance.B),
    Buffer.ACC: Way(S.ACC_FULL, S.ACC_FREE, Advance.ACC),
    Buffer.VIN: Way(S.VIN_FULL, S.VIN_FREE, Advance.VIN),
    Buffer.VOUT: Way(S.VOUT_FULL, S.VOUT_FREE, Advance.VOUT),
    Buffer.PRM: Way(S.PRM_FULL, S.PRM_FREE, Advance(0)),
    Buffer.PRN: Way(S.PRN_FULL, S.PRN_FREE, Advance.PRN),
}


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes of a buffer."""

    buffer: Buffer
    address: int
    size_bytes: int


APPLIED = Way(S.OPERAND_FULL, S.OPERAND_FREE, Advance.A)
"""The same of A where the vector engine writes it."""


class TooLargeError(Exception):
    """A unit's operands exceed a buffer."""


@dataclass(slots=True)
class StageWriter:
    """A stage in the making.

    Members
    -------
    rng : source of every choice.
    output : first free byte of DRAM, behind all that earlier units write.
    stores_parameters : units that use PRM also store it; STORED then tells loads of PRM that they may.
    doubled : buffers that go back and forth between two halves.
    most_iterations : of nested loops together.
    cleared : sticky flags that the Program has cleared so far.
    feeds : the vector engine writes A, not the load engine.
    items, loops : instructions so far; levels and counts of the loops that are open.
    """

    rng: random.Random
    architecture: Architecture
    output: int
    stores_parameters: bool
    doubled: frozenset[Buffer]
    most_iterations: int
    cleared: set[int]
    feeds: bool
    items: list[Instruction] = field(default_factory=list)
    loops: dict[int, int] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Bytes of a data word."""
        return self.architecture.memory.port_bits // 8

    @property
    def iterations(self) -> int:
        """How often an instruction that is added now is executed."""
        return int(np.prod(list(self.loops.values()), dtype=int))

    @contextmanager
    def loop(self, most: int) -> Iterator[int]:
        """Open a loop around what is added, if a level is left; give its level, or -1 for no loop."""
        level = max(self.loops, default=-1) + self.rng.choice((1, 1, 2))
        count = self.rng.randint(1, max(1, min(most, self.most_iterations // self.iterations)))
        if level > 3:
            yield -1
            return
        self.loops[level] = count
        self.items.append(Loop(level=level, count=count))
        yield level
        self.items.append(EndLoop(level=level))
        del self.loops[level]

    def way(self, buffer: Buffer) -> Way:
        """How a scratchpad changes hands in this stage."""
        return APPLIED if self.feeds and buffer is Buffer.A else WAYS[buffer]

    def half(self, *buffers: Buffer) -> int:
        """Mask of the halves that an instruction leaves which is through with some buffers."""
        return sum(WAYS[buffer].half for buffer in buffers if buffer in self.doubled)

    def add(self, *instructions: Instruction) -> None:
        """Append instructions."""
        self.items += instructions

    def reserve(self, size_bytes: int) -> int:
        """DRAM that nothing else writes."""
        address = self.output
        self.output += -(-size_bytes // 128) * 128
        return address

    def regions(self, buffer: Buffer, sizes: Sequence[int], unit: int) -> list[Region]:
        """Places of operands beside each other in a buffer, in any order and with gaps."""
        places: dict[int, Region] = {}
        address = self.rng.randint(0, 3) * unit
        for number in self.rng.sample(range(len(sizes)), len(sizes)):
            places[number] = Region(buffer, address, sizes[number])
            address += (-(-sizes[number] // unit) + self.rng.choice((0, 0, 1, 3))) * unit
        if max(place.address + place.size_bytes for place in places.values()) > buffer_bytes(self.architecture)[buffer]:
            raise TooLargeError(buffer.name)
        return [places[number] for number in range(len(sizes))]

    def attempt(self, unit: Callable[["StageWriter"], None]) -> bool:
        """Append a unit, or nothing where it does not fit; whether it did."""
        items, loops, output, cleared = list(self.items), dict(self.loops), self.output, set(self.cleared)
        try:
            unit(self)
        except TooLargeError:
            self.items, self.loops, self.output = items, loops, output
            self.cleared &= cleared
            return False
        return True

    def loads(self, regions: Sequence[Region], *, wait: int = 0, source: int | None = None) -> None:
        """Fill regions of one buffer, wholly and then here and there again; hand the buffer over.

        Parameters
        ----------
        wait : further tokens of the first load.
        source : DRAM address of the first region's data; random by default.
        """
        way, made = WAYS[regions[0].buffer], list[Load]()
        for number, region in enumerate(regions):
            made.append(self._whole(region, source if number == 0 else None))
            while self.rng.random() < 0.4 and source is None:
                made += self._parts(region)
        made[0] = dataclasses.replace(made[0], wait=way.free | wait)
        made[-1] = dataclasses.replace(made[-1], signal=way.full, advance=self.half(regions[0].buffer))
        self.add(*made)

    def _whole(self, region: Region, source: int | None) -> Load:
        size = region.size_bytes
        slack = INPUT_BYTES - LABELS_BYTES - size
        if slack < 0:
            raise TooLargeError(region.buffer.name)
        base = self.rng.randint(0, slack // self.width) * self.width
        element = self.rng.choice((Format.FP16, Format.FP32))
        load = Load(
            buffer=region.buffer, format=element, mem_base=base if source is None else source, buf_base=region.address,
            dims=contiguous(self.rng, size, element),
        )  # fmt: skip
        if source is not None:
            return load
        return dataclasses.replace(load, modifiers=stepped(self.rng, load, self.loops, slack - base, self.width))

    def _parts(self, region: Region) -> list[Load]:
        """One more load into a region, or none."""
        room = (INPUT_BYTES - LABELS_BYTES) // 2
        base = self.rng.randint(0, room // 128) * 128
        skip = self.rng.randint(0, region.size_bytes // self.width // 2) * self.width
        fixed = {"buffer": region.buffer, "mem_base": base, "buf_base": region.address + skip}
        load = scattered(self.rng, Load, fixed, room, region.size_bytes - skip, self.width)
        if load is None:
            return []
        load = dataclasses.replace(load, modifiers=stepped(self.rng, load, self.loops, room - 128, self.width))
        return [load] if legal(load, self.loops, self.width) else []

    def stores(self, regions: Sequence[Region], *, signal: int = 0, target: int | None = None) -> None:
        """Store regions of VOUT, PRM or PRN to DRAM, wholly or in parts, and hand VOUT (and PRN) back.

        Parameters
        ----------
        signal : further tokens of the last store.
        target : DRAM address of the first region; a new place by default.
        """
        made = [self._store(region, None if number else target) for number, region in enumerate(regions)]
        pruned = [place for place, store in enumerate(made) if store.buffer in (Buffer.PRN, Buffer.PRN_META)]
        free, half = S.VOUT_FREE | signal, self.half(Buffer.VOUT)
        made[0] = dataclasses.replace(made[0], wait=S.VOUT_FULL)
        if pruned:
            # The prune engine reads VOUT: only behind its token may VOUT go back.
            made[pruned[0]] = dataclasses.replace(made[pruned[0]], wait=made[pruned[0]].wait | S.PRN_FULL)
            free, half = free | S.PRN_FREE, half | self.half(Buffer.PRN)
        made[-1] = dataclasses.replace(made[-1], signal=free, advance=half)
        self.add(*made)

    def _store(self, region: Region, target: int | None) -> Store:
        size = region.size_bytes
        if target is None and self.rng.random() < 0.4:
            fixed = {"buffer": region.buffer, "mem_base": self.output, "buf_base": region.address}
            store = scattered(self.rng, Store, fixed, 1 << 12, region.size_bytes, self.width)
            if store is not None:
                self.reserve(sum((dim.count - 1) * dim.mem_stride for dim in store.dims) + self.width)
                return store
        element = Format.BYTE if region.buffer is Buffer.PRN_META else self.rng.choice((Format.FP16, Format.FP32))
        base = self.reserve(size * self.iterations) if target is None else target
        store = Store(
            buffer=region.buffer, format=element, mem_base=base, buf_base=region.address,
            dims=contiguous(self.rng, size, element),
        )  # fmt: skip
        if target is None:
            steps = stepped(self.rng, store, self.loops, size * (self.iterations - 1), self.width)
            store = dataclasses.replace(store, modifiers=steps)
        return store
