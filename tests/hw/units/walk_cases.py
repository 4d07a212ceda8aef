"""Walks of blocks of cubes between streams."""

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.render.block_scan import BlockScan
from gossamer_hw.render.sampler import AXES, CUBE_BITS
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.render.tiles import tile_order
from gossamer_models.timing.render_units import SCAN_CYCLES
from tests.hw.units.case import Case, joined, stream_case

__all__ = ["walk_case"]

_REQUEST = ("place", "eye", "axes")


class _Walk(wiring.Component):
    """A :class:`BlockScan` that goes on in every cycle, and holds what it was asked for.

    Parameters
    ----------
    block
        Cubes along either side.

    Members
    -------
    valid, ready, place, eye, axes : a block is asked for, which enters while none is walked.
    found, cube, number : a cube.
    """

    def __init__(self, *, block: int) -> None:
        self._scan = BlockScan(block=block)
        members = self._scan.signature.members
        request = {name: In(members[name].shape) for name in _REQUEST}
        cube = {name: Out(members[name].shape) for name in ("cube", "number")}
        super().__init__({"valid": In(1), "ready": Out(1), **request, "found": Out(1), **cube})

    def elaborate(self, platform: Any) -> Elaboratable:
        """Start at once."""
        m = Module()
        m.submodules.scan = scan = self._scan
        m.d.comb += [
            self.ready.eq(~scan.walking),
            scan.start.eq(self.valid & self.ready),
            scan.advance.eq(scan.walking),
            self.found.eq(scan.walking),
            self.cube.eq(scan.cube),
            self.number.eq(scan.number),
        ]
        for name in _REQUEST:
            asked = Value.cast(getattr(self, name))
            held = Signal(len(asked), name=f"held_{name}")
            with m.If(scan.start):
                m.d.sync += held.eq(asked)
            m.d.comb += Value.cast(getattr(scan, name)).eq(Mux(scan.start, asked, held))
        return m


def walk_case(block: int, seed: int, rounds: int) -> Case:
    """Blocks anywhere, by every order of axes as many times as there are rounds.

    Along each axis the eye is before the grid or the block, behind it, in its first, its last or another cell.
    """
    rng = np.random.default_rng(seed)
    cells = np.argwhere(np.ones((block,) * AXES))
    unit = StreamUnit(_Walk(block=block), inputs=_REQUEST, outputs=("cube", "number"))
    items, results = [], []
    for outer, middle, inner in list(permutations(range(AXES))) * rounds:
        axes = (outer, middle, inner)
        place = rng.integers(0, 4, AXES)
        low = place * block
        kinds = np.stack([-np.ones(AXES, np.int64), low - 1, low, low + block - 1, low + block, low + 3 * block])
        within = low + rng.integers(0, block, AXES)
        eye = np.concatenate([kinds, within[None], within[None]])[rng.integers(0, 8, AXES), np.arange(AXES)]
        cubes = low + cells
        order = tile_order(cubes, eye, block, axes)
        items.append((joined(place.tolist(), CUBE_BITS), joined((eye + 1).tolist(), CUBE_BITS + 1), joined(axes, 2)))
        results += [(joined(cubes[n].tolist(), CUBE_BITS), n) for n in order.tolist()]

    def leaving(entered: Sequence[int]) -> list[int]:
        return [cycle + SCAN_CYCLES + n for cycle in entered for n in range(len(cells))]

    return stream_case(unit, items, results, leaving, steady=False)
