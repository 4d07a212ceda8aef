"""A picture of opacity through the sweep lane: what it is given, and what golden makes of it."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gossamer_hw.render.compositor import Item
from gossamer_hw.render.sampler import CUBE_BITS, pair_layout
from gossamer_hw.render.sweep import Task
from gossamer_hw.render.texel_fetch import COORDINATE_BITS
from gossamer_hw.units.render_units import sweep_unit
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.composite import Compositor, Index
from gossamer_models.render.engine.job import JobRays, TileRays, find_rays, run_job
from gossamer_models.render.engine.view import View, view_of
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Factors
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings, light_left
from gossamer_models.render.tiles import Tile, tile_order
from gossamer_models.timing.render import compositor_entries
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES, LATTICE_CYCLES, opacity_cycles, sampler_turns
from tests.hw.render.rows import packed
from tests.hw.units.case import Case, behind, joined, stream_case
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import EYES, camera

__all__ = ["SWEEPS", "Size", "sweep_case"]

_BLOCK: Final = 2

Numbers = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """What a lane is made for: a tile of a picture of 12 x 12, components of density, texels, and cubes."""

    tile: Tile
    components: int
    grid: tuple[int, int, int]
    cubes: tuple[int, int, int]

    @property
    def pixels(self) -> int:
        """Pixels of the tile."""
        return self.tile.width * self.tile.height


SWEEPS: Final = (
    ("above", 0.1, Size(Tile(4, 4, 3, 2), 2, (3, 4, 3), (4, 4, 2))),
    ("far", None, Size(Tile(5, 5, 2, 1), 3, (5, 3, 4), (4, 2, 4))),
    ("outside", 0.3, Size(Tile(4, 4, 4, 4), 2, (4, 4, 4), (4, 4, 4))),
)
"""Eye, threshold of termination and size of three sweeps: arguments of :func:`sweep_case`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample that lies in its cube.

    Members
    -------
    cycle : behind the entry of its job's first ray in which it is taken up, if none ever waits
    pixel : whose it is
    dropped : its pixel has ended
    """

    cycle: int
    pixel: int
    dropped: bool


def sweep_case(eye: str, termination: float | None, size: Size, seed: int) -> Case:
    """Two blocks of cubes front to back, their planes of different fields, then all pixels over a background of 1."""
    field, other = (
        random_field(seed + n, size.grid, components=(size.components, 1), cubes=size.cubes, occupied=0.8, shift=-1.0)
        for n in range(2)
    )
    look = camera(EYES[eye], 12, 0.7)
    rays = make_rays(field, look, 0.1)
    view = view_of(field, look, rays, Settings(termination=termination, weight_cut=0.01), _BLOCK)
    pixels = size.tile.pixels(look.width)
    tile = TileRays(size.tile, rays.directions[pixels], rays.views[pixels])
    light = Compositor(size.pixels, float(view.cut[0]), view.termination)
    items = [_pixel(Item.BEGIN, pixel) for pixel in range(size.pixels)]
    results: list[Numbers] = []
    jobs: list[tuple[int, list[Sample]]] = []
    x, y, z = view.axes
    cubes = np.argwhere(field.occupancy)
    cubes = cubes[tile_order(cubes, view.eye_cell, _BLOCK, (x, y, z))]
    for density, block in zip((field.density, other.density), _sampled_blocks(cubes, tile, view), strict=False):
        mixed = dataclasses.replace(field, density=Factors(density.planes, field.density.lines))
        evaluate = light_left(mixed, float(rays.step), Arithmetic.MACHINE)
        items += _texels(mixed.density, lines=not jobs)
        met = find_rays(view, tile, light, block)
        begin = len(items)
        items += _rays(met, tile)
        samples, points, found = _samples(met, tile, view)
        taken = list(_compose(light, samples, points, found, evaluate(points), view))
        results += [result for result in taken if result]
        shaded, _ = run_job(view, tile, light, block, evaluate)
        weights = [result[4] for result in taken if result and result[2]]
        assert weights == [packed(weight) for weight in shaded.weights], "golden's job weighs its samples otherwise"
        jobs.append((begin, [Sample(c, p, not r) for (c, p), r in zip(samples, taken, strict=True)]))
    assert len(jobs) == 2, f"seed {seed}: fewer than two blocks have samples"
    dropped = any(sample.dropped for _, samples in jobs for sample in samples)
    assert dropped == (termination is not None), f"seed {seed}: samples are dropped where pixels end"
    finishing = range(len(items), len(items) + size.pixels)
    items += [_pixel(Item.FINISH, pixel) for pixel in range(size.pixels)]
    results += [(pixel, 1, 0, 0, packed(np.repeat(t, 3)), 0, 0) for pixel, t in enumerate(light.transmittance)]

    def leaving(entered: Sequence[int]) -> list[int]:
        return _leaving(jobs, size.components, entered) + behind(COMPOSITOR_CYCLES, finishing)(entered)

    unit = sweep_unit(size.pixels, size.components, size.grid, size.grid)
    case = stream_case(unit, items, results, leaving, steady=False)
    case.settings.update(
        step_length=packed(view.step), origin=packed(view.origin), cubes=packed(np.array(size.cubes, np.float32)),
        spans=packed(np.array(size.grid, np.float32) - np.float32(1)),
        highest=joined([n - 2 for n in size.grid], COORDINATE_BITS), bases=0,
        lasts=joined([n - 1 for n in size.grid], COORDINATE_BITS), shift=packed(view.shift),
        thickness=packed(view.thickness), cut=packed(view.cut), threshold=packed(view.threshold),
    )  # fmt: skip
    return case


def _sampled_blocks(cubes: Index, tile: TileRays, view: View) -> Iterator[Index]:
    """Yield the cubes of the blocks in which there are samples, front to back."""
    light = Compositor(tile.tile.width * tile.tile.height, float(view.cut[0]), None)
    for first in np.sort(np.unique(cubes // _BLOCK, axis=0, return_index=True)[1]):
        block = cubes[(cubes // _BLOCK == cubes[first] // _BLOCK).all(axis=1)]
        met = find_rays(view, tile, light, block)
        if len(met.pixels) and _samples(met, tile, view)[0]:
            yield block


def _leaving(jobs: Sequence[tuple[int, list[Sample]]], components: int, entered: Sequence[int]) -> list[int]:
    """Return when results leave of jobs whose first rays are these items."""
    latency = LATTICE_CYCLES + opacity_cycles(components) + COMPOSITOR_CYCLES
    expected = []
    for first, samples in jobs:
        entries = compositor_entries([sample.cycle for sample in samples], [sample.pixel for sample in samples])
        start = entered[first] + latency
        expected += [start + entry for entry, sample in zip(entries, samples, strict=True) if not sample.dropped]
    return expected


def _item(task: Task, **values: int) -> Numbers:
    names = ("pair", "cube", "final", "axes", "column", "row", "numbers", "item", "pixel", "amount", "colour")
    return (task, *(values.get(name, 0) for name in names))


def _pixel(item: Item, pixel: int) -> Numbers:
    white = packed(np.ones(3, np.float32)) if item is Item.FINISH else 0
    return _item(Task.PIXEL, item=item, pixel=pixel, colour=white)


def _texels(density: Factors, *, lines: bool) -> Iterator[Numbers]:
    for pair, ((a, b), c) in enumerate(zip(PLANE_AXES, LINE_AXIS, strict=True)):
        for row in range(density.grid[b]):
            for column in range(density.grid[a]):
                numbers = packed(density.planes[pair][row, column])
                yield _item(Task.PLANE, axes=pair, column=column, row=row, numbers=numbers)
        for n in range(density.grid[c]) if lines else ():
            yield _item(Task.LINE, axes=pair, column=n, numbers=packed(density.lines[pair][n]))


def _rays(met: JobRays, tile: TileRays) -> Iterator[Numbers]:
    layout = pair_layout(tile.tile.width * tile.tile.height)
    following = np.append(met.which[1:], -1)
    for cube, after, pixel, first, last in zip(met.which, following, met.pixels, met.first, met.last, strict=True):
        direction = packed(tile.directions[pixel])
        values = {"pixel": int(pixel), "direction": direction, "first": int(first), "last": int(last)}
        pair = sum(value << layout[name].offset for name, value in values.items())
        yield _item(Task.RAY, pair=pair, cube=joined(met.cubes[cube].tolist(), CUBE_BITS), final=int(after != cube))


def _samples(met: JobRays, tile: TileRays, view: View) -> tuple[list[tuple[int, int]], Float32, list[int]]:
    """Return cycle and pixel, place, and index of the samples that lie in their cubes, as they are taken up."""
    found, directions, indices, start = [], [], [], 0
    for cube in range(len(met.cubes)):
        rays = np.flatnonzero(met.which == cube)
        end = start
        for cycle, ray, turn in sampler_turns((met.last - met.first + 1)[rays].tolist()):
            place, end = rays[ray], start + cycle + 1
            direction = tile.directions[met.pixels[place]]
            k = met.first[place] + turn
            point = view.lattice.points(direction[None], k[None])
            if (view.lattice.cells(point) == met.cubes[cube]).all():
                found.append((start + cycle, int(met.pixels[place])))
                directions.append(direction)
                indices.append(int(k))
        start = end
    places = np.array(directions, np.float32).reshape(-1, 3)
    return found, view.lattice.points(places, np.array(indices, np.int64)), indices


def _compose(
    light: Compositor, samples: list[tuple[int, int]], points: Float32, indices: list[int], left: Float32, view: View
) -> Iterator[Numbers]:
    """Yield every sample's result, nothing for those that are dropped; the light itself is left as it is."""
    now, ended = light.transmittance.copy(), ~light.alive(np.arange(len(light.transmittance)))
    for (_, pixel), point, index, e in zip(samples, points, indices, left, strict=True):
        if ended[pixel]:
            yield ()
            continue
        weight = now[pixel] * (np.float32(1) - e)
        now[pixel] *= e
        ended[pixel] = now[pixel] < view.threshold[0]
        shaded = weight > view.cut[0]
        yield pixel, 0, int(shaded), int(ended[pixel]), packed(weight), index, packed(point)
