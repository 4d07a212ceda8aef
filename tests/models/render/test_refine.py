"""Finer fields: interpolated factors, what is pruned, which cubes are left; and the benchmark's scene."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.loading import resolve
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.encoded_field import storage
from gossamer_models.render.field import Factors
from gossamer_models.render.frame import count_frame
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.refine import Refinement, refine
from gossamer_models.render.scene import load_scene
from tests.models.render.fields import random_field

FIELD = random_field(3, shift=-2.0)


def refinement(**changes: float) -> Refinement:
    return Refinement.model_validate({"grid": 21, "cubes": 8, "level": -1.0} | changes)


def numbers(factors: Factors) -> Float32:
    return np.concatenate([np.abs(part.astype(np.float32)).ravel() for part in factors.planes])


def test_texels_lie_between_those_of_the_coarse_field() -> None:
    fine = refine(FIELD, refinement(gain=2))
    # Between the fine texels the two fields differ.
    points = np.random.default_rng(0).integers(0, 21, (200, 3)).astype(np.float32) / np.float32(20)
    coarse, new = (Interpolator(field.density, Arithmetic.SINGLE).sums(points) for field in (FIELD, fine))
    np.testing.assert_allclose(new, 2 * coarse, atol=0.02)
    old, new = (Interpolator(field.appearance, Arithmetic.SINGLE).products(points) for field in (FIELD, fine))
    np.testing.assert_allclose(new, old, atol=0.01)


@pytest.mark.parametrize("zeros", [0.5, 0.9])
def test_the_smallest_numbers_of_all_planes_go(zeros: float) -> None:
    whole, fine = (refine(FIELD, refinement(zeros=share)) for share in (0, zeros))
    for before, after in ((whole.density, fine.density), (whole.appearance, fine.appearance)):
        assert zeros <= after.sparsity < zeros + 0.01
        old, new = numbers(before), numbers(after)
        assert old[new == 0].max() < new[new > 0].min()
        np.testing.assert_array_equal(new[new > 0], old[new > 0])


def test_occupied_cubes_one_by_one() -> None:
    """The walls of 8 cubes and 21 texels meet only at the ends, those of 6 coarse cubes only in the middle."""
    field = random_field(5, shift=-2.0)
    fine = refine(field, refinement(level=1.5, gain=8))
    grid, cubes = 21, 8
    depth = Interpolator(fine.density, Arithmetic.SINGLE)
    found = 0
    for cube in itertools.product(range(cubes), repeat=3):
        texels = [np.arange(c * (grid - 1) // cubes, -(-(c + 1) * (grid - 1) // cubes) + 1) for c in cube]
        points = np.stack(np.meshgrid(*texels, indexing="ij"), axis=-1).reshape(-1, 3) / np.float32(grid - 1)
        sums = depth.sums(points.astype(np.float32)).astype(np.float64) + fine.density_shift
        alpha = 1 - np.exp(-np.logaddexp(0, sums) * fine.distance_scale * fine.texel / 2)
        below = [
            range(c * n // cubes, -(-(c + 1) * n // cubes)) for c, n in zip(cube, field.occupancy.shape, strict=True)
        ]
        wanted = bool(field.occupancy[np.ix_(*below)].any() and alpha.max() > 1e-4)
        assert fine.occupancy[cube] == wanted, cube
        found += wanted
    assert 20 < found < 400


def test_factors_that_are_too_large_are_refused_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer_models.render.refine.MAX_FIELD_BYTES", 1 << 12)
    with pytest.raises(InputError, match=r"refine.grid: gives factors of \d+ bytes; expected at most 4096"):
        refine(FIELD, refinement())


def test_what_leaves_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="refine: leaves no occupied cube; expected a lower `level`"):
        refine(FIELD, refinement(level=500.0))
    with pytest.raises(InputError, match=r"refine.zeros: leaves nothing of the planes at 0.999 zeros"):
        refine(FIELD, refinement(zeros=0.999))


@pytest.mark.slow
def test_the_benchmark_is_what_it_is_pinned_to(tmp_path: Path) -> None:
    """At a quarter of its size along either side: 300^3 texels, 90 % zeros, coverage, shaded samples, encoding."""
    shipped = resolve("pinned", "scenes").read_text()
    assert "size: 800\n" in shipped
    small = tmp_path / "pinned.yaml"
    small.write_text(shipped.replace("size: 800", "size: 200"))
    pinned = load_scene(small)
    assert pinned.field.grid == (300, 300, 300)
    assert min(pinned.field.density.sparsity, pinned.field.appearance.sparsity) >= 0.9
    assert pinned.settings.termination == 1e-3
    stored = storage(pinned.field.density) + storage(pinned.field.appearance)
    assert stored.dense >= 5 * stored.hybrid
    frame = count_frame(pinned.field, pinned.camera, pinned.settings, load_architecture("rtnerf-edge").render_engine)
    assert frame.total("shaded_pixels") >= 0.4 * frame.pixels
    assert 16 * frame.total("shaded") >= 1_500_000
