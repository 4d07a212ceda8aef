"""Which patches jobs load: samples find all their texels, and nothing is overwritten that is still read."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.encoded_field import PATCH
from gossamer_models.render.frame import count_frame
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.lattice import Lattice
from gossamer_models.render.patches import PatchMap, PatchRing
from gossamer_models.render.renderer import Settings
from gossamer_models.render.tile_counts import joined
from gossamer_models.render_engine import RenderEngine
from tests.models.render.fields import random_field

SEED = 11
FIELD = random_field(SEED, (40, 29, 34), cubes=(10, 9, 7), occupied=0.6)
CUBES = np.array(FIELD.occupancy.shape)
ENGINE = RenderEngine(
    tile=16, block=4, candidate_lanes=1, sampler_lanes=1, search_units=18, interpolation_lanes=336, exp_units=3,
    sine_units=8,
)  # fmt: skip


def test_a_cube_lies_on_all_patches_that_its_samples_read() -> None:
    random = np.random.default_rng(SEED)
    patches, factors = PatchMap(FIELD), Interpolator(FIELD.density, Arithmetic.MACHINE)
    lattice = Lattice(np.zeros(3, np.float32), np.float32(1), tuple(CUBES.tolist()))
    some = 0
    for cube in np.argwhere(FIELD.occupancy):
        inner = random.random((50, 3))
        inner[:20] = random.choice(np.array([0, 1 - 2**-24]), (20, 3))
        points = ((cube + inner) / CUBES).astype(np.float32)
        points = points[(lattice.cells(points) == cube).all(axis=1)]
        some += len(points)
        found = patches.footprints(cube[None])
        for cells, plane, (rows, columns, covered) in zip(
            factors.cells(points)[:3], FIELD.density.planes, found, strict=True
        ):
            y, x = np.divmod(cells, plane.shape[1])
            for row, column in ((y, x), (y + 1, x), (y, x + 1), (y + 1, x + 1)):
                assert covered[row // PATCH - rows.start, column // PATCH - columns.start].all(), f"seed {SEED}"
    assert some > 34 * FIELD.occupancy.sum()


@pytest.mark.parametrize("kept", [0, 5_000, 20_000, 1 << 30])
def test_loads_against_a_walk_patch_by_patch(kept: int) -> None:
    """Each patch anew unless it was among the last bytes; what two jobs in turn read is whole while they run."""
    random = np.random.default_rng(kept)
    patches = PatchMap(FIELD)
    sizes = patches.sizes(encoded=True)
    ring, places, end, jobs = PatchRing(patches, kept), dict[tuple[int, int, int], int](), 0, list[list[int]]()
    for tile in range(3):
        counts = joined([], 0, 0)
        cubes = [
            np.clip(np.argwhere(np.ones((2, 2, 2))) + random.integers(0, CUBES - 2), 0, CUBES - 1) for _ in range(6)
        ]
        job = np.repeat(np.arange(6), 8)
        counts = replace(counts, places=np.concatenate(cubes), job=job, finished=np.zeros(6, np.int64))
        expected = []
        for mine in cubes:
            begin, read = end, []
            needed = {
                (pair, row, column)
                for cube in mine
                for pair, (rows, columns, covered) in enumerate(patches.footprints(cube[None]))
                for row, column in np.argwhere(covered) + np.array([rows.start, columns.start])
            }
            for patch in sorted(needed):
                if patch not in places or places[patch] < begin - kept:
                    places[patch] = end
                    end += int(sizes[patch[0]][patch[1:]])
                read.append(places[patch])
            expected.append(end - begin)
            jobs.append([begin, min(read), end])
        found = ring.loads(counts)
        assert found.encoded_bytes.tolist() == expected, f"seed {kept}, tile {tile}"
    loaded = [end - begin for begin, _, end in jobs]
    assert min(loaded) < max(loaded) if kept else min(loaded) > 0
    for (_, oldest, _), (_, _, behind) in pairwise(jobs):
        if max(loaded) <= kept / 2:
            assert behind - oldest <= 2 * kept, f"seed {kept}"


def test_patches_that_are_kept_are_not_loaded_again() -> None:
    """All kept: every patch at most once a picture. Nothing kept: every job its own; runs fall with the bytes."""
    camera = Camera(look_at(np.array([2.5, -3.0, 1.5]), np.zeros(3)), 40, 30, 27)
    every, some, nothing = (
        count_frame(FIELD, camera, Settings(), ENGINE.model_copy(update={"patch_bytes": kept}))
        for kept in (1 << 22, 1 << 14, 0)
    )
    sizes = PatchMap(FIELD).sizes(encoded=True)
    bytes_loaded, runs = zip(
        *(
            [sum(int(tile.loads[True][part].sum()) for tile in frame.tiles) for part in (0, 1)]
            for frame in (every, some, nothing)
        ),
        strict=True,
    )
    assert 0 < bytes_loaded[0] <= sum(int(part.sum()) for part in sizes)
    assert bytes_loaded[0] < bytes_loaded[1] < bytes_loaded[2]
    assert runs[0] < runs[1] < runs[2]
    assert every.total("samples") == nothing.total("samples")
