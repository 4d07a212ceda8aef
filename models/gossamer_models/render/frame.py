"""Counts of a whole picture for the render engine, tile by tile, on as many threads as there are cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import DoesNotFitError
from gossamer_models.render.camera import Camera
from gossamer_models.render.engine.view import sweep_axes
from gossamer_models.render.fetches import FetchCounter, Fetches
from gossamer_models.render.field import Field, Shader
from gossamer_models.render.lattice import Rays, make_rays
from gossamer_models.render.patches import PatchLoads, PatchMap, PatchRing, Touched
from gossamer_models.render.renderer import Settings, light_left
from gossamer_models.render.sweep import Rectangles, project
from gossamer_models.render.tile_counts import TileCounts
from gossamer_models.render.tile_state import Tiling
from gossamer_models.render.tiles import Tile, count_tile, tile_order
from gossamer_models.render_engine import RenderEngine

__all__ = ["Frame", "TileWork", "count_frame"]

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TileWork:
    """What one tile takes.

    Members
    -------
    pixels : of the tile
    counts : TileCounts, points left out
    swept : array of int64, shape (jobs,): occupied cubes of the job's block
    loads : PatchLoads of the jobs
    touched : patches that the samples read
    density, appearance : encoded rows that samples read
    """

    pixels: int
    counts: TileCounts
    swept: Index
    loads: PatchLoads
    touched: Touched
    density: Fetches
    appearance: Fetches

    @property
    def jobs(self) -> int:
        """How many blocks the tile works on."""
        return len(self.swept)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What one picture takes.

    Members
    -------
    tiles : row by row
    density_components, appearance_components : of the field
    shader : Shader
    line_bytes : loaded once
    """

    tiles: tuple[TileWork, ...]
    density_components: int
    appearance_components: int
    shader: Shader
    line_bytes: int

    def total(self, name: str) -> int:
        """Return the sum of one of the members of `TileCounts` over all tiles."""
        return sum(int(np.sum(getattr(tile.counts, name))) for tile in self.tiles)

    @property
    def pixels(self) -> int:
        """Pixels of the picture."""
        return sum(tile.pixels for tile in self.tiles)

    @property
    def jobs(self) -> int:
        """Pairs of tile and block that are worked on."""
        return sum(tile.jobs for tile in self.tiles)

    @property
    def swept(self) -> int:
        """Occupied cubes that are looked at, once per job."""
        return sum(int(tile.swept.sum()) for tile in self.tiles)


def count_frame(
    field: Field,
    camera: Camera,
    settings: Settings,
    engine: RenderEngine,
    note: Callable[[int, int], None] | None = None,
) -> Frame:
    """Count what a picture takes; its samples are exactly those of `render`.

    Parameters
    ----------
    field, camera, settings : what is rendered; `settings.exact` has no effect on counts
    engine : tile, block, lag and the buffer of patches count
    note : is told how many tiles of how many are done

    Raises
    ------
    InputError
        The field has no occupied cube, or the step is out of range.
    DoesNotFitError
        Its planes have more patches than the engine's table.
    """
    rays = make_rays(field, camera, settings.step)
    found = project(field, rays)
    eye = np.floor(rays.origin * np.array(rays.cubes, dtype=np.float32)).astype(np.int64)
    order = tile_order(found.cubes, eye, engine.block, sweep_axes(rays))
    worker = _Worker(field, rays, found, order, settings, engine)
    patches, table = sum(sizes.size for sizes in worker.patches.sizes(encoded=True)), engine.patch_table
    if patches > table:
        what = f"the planes of field {field.name!r:.60} do not fit the render engine's table of patches"
        raise DoesNotFitError(what, patches, table, "patches", "raise `render.patch_table`")
    side = engine.tile
    tiles = [
        Tile(left, top, min(side, camera.width - left), min(side, camera.height - top))
        for top in range(0, camera.height, side)
        for left in range(0, camera.width, side)
    ]
    works, ring = [], PatchRing(worker.patches, engine.patch_bytes)
    with ThreadPoolExecutor(min(len(os.sched_getaffinity(0)), len(tiles))) as pool:
        for done, work in enumerate(pool.map(worker.run, tiles), 1):
            works.append(replace(work, loads=ring.loads(work.counts)))
            if note:
                note(done, len(tiles))
    return Frame(
        tuple(works), field.density.components, field.appearance.components, field.shader, worker.patches.line_bytes
    )


class _Worker:
    """Counts tiles; shared by threads, written to by none."""

    def __init__(
        self, field: Field, rays: Rays, found: Rectangles, order: Index, settings: Settings, engine: RenderEngine
    ) -> None:
        self.patches = PatchMap(field)
        self._field, self._rays, self._found, self._order = field, rays, found, order
        self._tiling = Tiling(engine.tile, engine.block, engine.lag_cubes, settings.weight_cut, settings.termination)
        self._evaluate = light_left(field, float(rays.step), settings.arithmetic)
        self._counters = FetchCounter(field.density), FetchCounter(field.appearance)
        self._occupied = _block_sums(field, engine.block)

    @np.errstate(over="ignore", invalid="ignore")  # here, as every thread has settings of its own
    def run(self, tile: Tile) -> TileWork:
        """Count a tile."""
        counts = count_tile(self._found, self._order, self._rays, tile, self._tiling, self._evaluate)
        x, y, z = (counts.first_cubes // self._tiling.block).T
        density, appearance = self._counters
        reads, shaded_reads = density.reads(counts.points), appearance.reads(counts.shaded_points)
        return TileWork(
            tile.width * tile.height,
            counts.without_points(),
            self._occupied[x, y, z],
            PatchLoads.none(),
            self.patches.touched(reads, shaded_reads),
            density.count(reads),
            appearance.count(shaded_reads),
        )


def _block_sums(field: Field, block: int) -> Index:
    """Return the occupied cubes of all blocks."""
    sums = field.occupancy.astype(np.int64)
    for axis in range(3):
        sums = np.add.reduceat(sums, np.arange(0, sums.shape[axis], block), axis=axis)
    return sums
