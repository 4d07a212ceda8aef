"""Records and patches of blocks: what is written is read, and samples find all their texels."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.encoding import Layout
from gossamer_models.render.engine.patches import (
    JobRecord,
    Texels,
    block_texels,
    line_stream,
    patch_stream,
    read_lines,
    read_patches,
)
from gossamer_models.render.engine.view import VIEW_WORDS, View, view_of
from gossamer_models.render.field import PLANE_AXES
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.lattice import make_rays
from gossamer_models.render.renderer import Settings
from tests.models.render.fields import random_field
from tests.models.render.test_renderer import EYES, camera

FIELD = random_field(3)
CUBES = FIELD.occupancy.shape


def test_a_view_survives_memory() -> None:
    rays = make_rays(FIELD, camera(EYES["above"]), 0.5)
    view = view_of(FIELD, rays.camera, rays, Settings(), 4)
    words = view.to_words()
    assert words.shape == (VIEW_WORDS,)
    again = View.from_words(words)
    np.testing.assert_array_equal(again.to_words(), words)
    assert (again.grid, again.cubes, again.block) == (FIELD.grid, CUBES, (4,))
    assert again.lattice.step == rays.step
    cell = np.floor(rays.origin * np.array(CUBES, np.float32))
    assert cell[2] > CUBES[2], "the eye is above the box"
    assert again.eye_cell.tolist() == [*cell[:2], CUBES[2]]


def test_a_block_survives_memory() -> None:
    rng = np.random.default_rng(1)
    record = JobRecord((1, 0, 2), Texels((2, 0, 5), (6, 3, 9)), rng.random((4, 4, 4)) < 0.5)
    data = record.to_bytes()
    assert data.size == 64 + 64 // 8
    again = JobRecord.from_bytes(np.append(data, np.uint8(255)), 4)
    assert (again.place, again.texels) == (record.place, record.texels)
    np.testing.assert_array_equal(again.occupied, record.occupied)
    assert {tuple(cube) for cube in again.cubes()} == {
        (4 + x, y, 8 + z) for x, y, z in np.argwhere(record.occupied).tolist()
    }


def test_lines_survive_memory() -> None:
    density, appearance = read_lines(
        line_stream(FIELD.density, FIELD.appearance),
        FIELD.grid,
        (FIELD.density.components, FIELD.appearance.components),
    )
    for found, wanted in zip((density, appearance), (FIELD.density, FIELD.appearance), strict=True):
        for line, expected in zip(found.lines, wanted.lines, strict=True):
            np.testing.assert_array_equal(line.view(np.uint16), expected.view(np.uint16))


@pytest.mark.parametrize("place", [(0, 0, 0), (1, 0, 1), (2, 1, 1)])
def test_patches_hold_what_samples_of_their_block_read(place: tuple[int, int, int]) -> None:
    """Points all over the block, its walls included, lie between texels that are there; others are zero."""
    block = 2
    texels = block_texels(FIELD.grid, CUBES, np.array(place), block)
    lines = read_lines(line_stream(FIELD.density, FIELD.appearance), FIELD.grid, (4, 6))
    stream = np.concatenate([patch_stream(FIELD.density, FIELD.appearance, pair, texels) for pair in range(3)])
    found = [read_patches(stream, texels, FIELD.grid, lines, quantity) for quantity in range(2)]
    for factors, whole in zip(found, (FIELD.density, FIELD.appearance), strict=True):
        for (a, b), plane, expected in zip(PLANE_AXES, factors.planes, whole.planes, strict=True):
            part = texels.span(b), texels.span(a)
            np.testing.assert_array_equal(plane[part], expected[part])
            assert np.count_nonzero(plane) == np.count_nonzero(plane[part])
    rng = np.random.default_rng(2)
    low, end = np.array(place) * block, np.minimum((np.array(place) + 1) * block, CUBES)
    inside = rng.random((500, 3))
    inside[:40] = np.round(inside[:40])  # corners
    points = ((low + inside * (end - low)) / CUBES).astype(np.float32)
    one, other = (Interpolator(f, Arithmetic.MACHINE).sums(points) for f in (found[0], FIELD.density))
    np.testing.assert_array_equal(one.view(np.uint32), other.view(np.uint32))


def test_cut_off_patches_are_refused() -> None:
    lines = read_lines(line_stream(FIELD.density, FIELD.appearance), FIELD.grid, (4, 6))
    texels = block_texels(FIELD.grid, CUBES, np.zeros(3, np.int64), 2)
    stream = np.concatenate([patch_stream(FIELD.density, FIELD.appearance, pair, texels) for pair in range(3)])
    with pytest.raises(InputError, match=r"a table of \d+ bytes leaves the buffer"):
        read_patches(stream[:-100], texels, FIELD.grid, lines, 0)


def test_of_the_other_quantity_only_where_tables_end_counts() -> None:
    """A row of density that is none, and a header that says that its table ends elsewhere."""
    lines = read_lines(line_stream(FIELD.density, FIELD.appearance), FIELD.grid, (4, 6))
    texels = block_texels(FIELD.grid, CUBES, np.zeros(3, np.int64), 2)
    stream = np.concatenate([patch_stream(FIELD.density, FIELD.appearance, pair, texels) for pair in range(3)])
    whole = read_patches(stream, texels, FIELD.grid, lines, 1)
    stream[4] += 1
    found = read_patches(stream, texels, FIELD.grid, lines, 1)
    for plane, expected in zip(found.planes, whole.planes, strict=True):
        np.testing.assert_array_equal(plane, expected)
    with pytest.raises(InputError, match="does not have the length"):
        read_patches(stream, texels, FIELD.grid, lines, 0)
    rows = texels.count(0) * texels.count(1)
    layout = Layout(4)
    stream[layout.headers_bytes(rows) - layout.header_bytes + 3] = 1
    with pytest.raises(InputError, match="leaves the buffer"):
        read_patches(stream, texels, FIELD.grid, lines, 1)
