"""Both pipelines: the same bits, the float64 reference, the bound of early termination, and counts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer_models.errors import InputError
from gossamer_models.grouping import DENSE
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import Camera, look_at
from gossamer_models.render.encoded_field import encode_factors
from gossamer_models.render.field import Field, Shading
from gossamer_models.render.renderer import Picture, Settings, render
from gossamer_models.render.shade import ShaderUnit
from gossamer_models.sparsity import Pattern
from tests.models.render.fields import overflowing, random_field
from tests.references import radiance

FIELD = random_field(7, shift=-2.0)
DEFERRED = dataclasses.replace(FIELD, shader=FIELD.shader.pruned(Pattern(2, 8)), shading="deferred")
EYES = {
    "outside": (2.5, -3.0, 1.5),
    "far": (60.0, 10.0, -5.0),
    "inside": (0.1, 0.2, -0.1),
    "on a face": (1.0, 0.0, 0.1),
    "on a cube's corner": (-0.2, 0.0, 0.125),
    "above": (0.0, 0.0, 4.0),
}


def camera(eye: tuple[float, float, float], size: int = 24, angle: float = 1.0) -> Camera:
    target = np.array([0.05, 0.1, 0.2])
    distance = float(np.linalg.norm(np.array(eye) - target))
    return Camera(look_at(np.array(eye), target), angle * size * max(1.0, distance / 3), size, size - 3)


def with_dense_entries(field: Field) -> Field:
    return dataclasses.replace(field, shader=field.shader.pruned(DENSE))


def same(one: Picture, other: Picture) -> None:
    np.testing.assert_array_equal(one.image.view(np.uint32), other.image.view(np.uint32))
    np.testing.assert_array_equal(one.transmittance.view(np.uint32), other.transmittance.view(np.uint32))
    for name in ("samples", "shaded", "colours"):
        assert getattr(one.counts, name) == getattr(other.counts, name)


@pytest.mark.fast_one_in(5)
@pytest.mark.parametrize("field", [FIELD, DEFERRED], ids=["per sample", "deferred 2:8"])
@pytest.mark.parametrize("termination", [None, 0.1])
@pytest.mark.parametrize("eye", EYES)
def test_both_pipelines_give_the_same_bits(eye: str, termination: float | None, field: Field) -> None:
    chosen = Settings(termination=termination)
    uniform, sweep = (render(field, camera(EYES[eye]), kind, chosen) for kind in ("uniform", "sweep"))
    assert uniform.counts.samples > 500
    same(uniform, sweep)


def test_light_that_is_no_number() -> None:
    """Both pipelines drop it alike, and nobody is warned."""
    field = overflowing(random_field(6, (9, 7, 8), components=(2, 2), occupied=0.8))
    uniform, sweep = (
        render(field, camera(EYES["inside"], 8), kind, Settings(step=1.0)) for kind in ("uniform", "sweep")
    )
    assert 0 < np.isnan(sweep.image).any(axis=2).sum() < sweep.image[..., 0].size
    same(uniform, sweep)


def test_the_corners_of_cubes_are_inside_their_balls() -> None:
    """Steps so small that some samples lie within a hundredth of a corner."""
    field = random_field(4, cubes=(3, 3, 3), occupied=1.1, shift=-4.0)
    chosen = Settings(step=1 / 32, termination=None, weight_cut=1.0)
    uniform, sweep = (render(field, camera(EYES["outside"], 28), kind, chosen) for kind in ("uniform", "sweep"))
    assert uniform.counts.samples > 100_000
    same(uniform, sweep)


@given(
    seed=st.integers(0, 1 << 20),
    eye=st.tuples(*[st.floats(-4, 4)] * 3),
    cubes=st.tuples(*[st.integers(1, 9)] * 3),
    occupied=st.floats(0.02, 1),
    step=st.floats(0.1, 3),
    shading=st.sampled_from(["per-sample", "deferred"]),
)
@settings(max_examples=40)
def test_both_pipelines_agree_on_random_fields(
    seed: int,
    eye: tuple[float, float, float],
    cubes: tuple[int, int, int],
    occupied: float,
    step: float,
    shading: Shading,
) -> None:
    field = dataclasses.replace(random_field(seed, cubes=cubes, occupied=occupied, shift=-1.0), shading=shading)
    field.occupancy[0, 0, 0] = True
    chosen = Settings(step=step, termination=None)
    view = camera(eye, 12, angle=0.7)
    same(*(render(field, view, kind, chosen) for kind in ("uniform", "sweep")))


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(
    ("arithmetic", "bound"),
    [(Arithmetic.SINGLE, 1e-6), (Arithmetic.MACHINE, 1e-3)],
)
@pytest.mark.parametrize("threshold", [None, 0.01])
@pytest.mark.parametrize("field", [FIELD, DEFERRED], ids=["per sample", "deferred 2:8"])
def test_against_float64(field: Field, arithmetic: Arithmetic, bound: float, threshold: float | None) -> None:
    """The weight cut is 0: where it is not, a sample on its edge may be shaded in one picture and not in the other."""
    view = camera(EYES["outside"], 12)
    theirs, samples, shaded = radiance.render(
        field, view.pose, view.focal, view.width, view.height, 0.5, 0.0, threshold, 0.5
    )
    chosen = Settings(weight_cut=0.0, termination=threshold, background=0.5, arithmetic=arithmetic)
    ours = render(field, view, "sweep", chosen)
    error = np.abs(ours.image - theirs).max()
    assert error < bound
    if threshold is None:
        assert ours.counts.samples == samples
    assert abs(ours.counts.shaded - shaded) <= 0.01 * shaded


@pytest.mark.parametrize("threshold", [0.3, 0.1, 1e-2, 1e-3])
def test_early_termination_changes_no_more_than_the_threshold(threshold: float) -> None:
    """Per-sample shading: what is left of the light times the largest colour, which is 1, and 20 ulp of rounding."""
    view = camera(EYES["outside"])
    solid = dataclasses.replace(FIELD, density_shift=2.0, distance_scale=20.0)
    whole, ended = (render(solid, view, "sweep", Settings(termination=t)) for t in (None, threshold))
    assert ended.counts.samples < whole.counts.samples
    assert 0 < np.abs(whole.image - ended.image).max() <= threshold + 20 * 2**-24


def test_occupancy_is_read_once_per_cube() -> None:
    view = camera(EYES["outside"])
    for termination in (None, 0.05):
        uniform, sweep = (
            render(FIELD, view, kind, Settings(termination=termination)).counts for kind in ("uniform", "sweep")
        )
        assert sweep.occupancy_accesses == sweep.cubes == int(FIELD.occupancy.sum())
        assert uniform.occupancy_accesses > uniform.samples
        assert sweep.candidates >= sweep.hits > 0
        assert sweep.tests >= sweep.samples


def test_accesses_end_with_the_ray() -> None:
    """A field that blocks all light: every ray ends at its first occupied sample."""
    field = dataclasses.replace(FIELD, density_shift=500.0, occupancy=np.ones((1, 1, 1), np.bool_))
    view = camera(EYES["outside"])
    counts = render(field, view, "uniform", Settings()).counts
    assert counts.occupancy_accesses == counts.samples == counts.shaded
    assert counts.samples <= view.width * view.height


def test_nothing_is_seen_away_from_the_field() -> None:
    away = Camera(look_at(np.array([5.0, 0, 0]), np.array([9.0, 0, 0])), 20.0, 8, 8)
    for kind in ("uniform", "sweep"):
        picture = render(FIELD, away, kind, Settings(background=0.25))
        assert (picture.image == 0.25).all()
        assert picture.counts.samples == 0


def test_fetches_against_the_encoded_tables() -> None:
    """A field of one texel pair per axis: every sample reads all rows of all planes and lines."""
    field = random_field(3, (2, 2, 2), components=(16, 24), cubes=(1, 1, 1), occupied=1.1, density=0.3)
    picture = render(field, camera(EYES["outside"], 10), "sweep", Settings(termination=None), fetches=True)
    for found, factors, number in (
        (picture.density, field.density, picture.counts.samples),
        (picture.appearance, field.appearance, picture.counts.shaded),
    ):
        assert found is not None
        encoded = encode_factors(factors)
        tables = (*encoded.planes, *encoded.lines)
        assert found.bitmap_bytes + found.coordinate_bytes == number * sum(int(t.lengths.sum()) for t in tables)
        assert found.bitmap_rows + found.coordinate_rows == 18 * number
        assert found.dense_bytes == 18 * number * 2 * factors.components


@pytest.mark.parametrize("pattern", ["8:8", "2:8", "2:4"])
def test_features_have_the_array_s_bits(pattern: str) -> None:
    """The array adds inputs in ascending order from +0, in fp32, each product exact; pruned ones are left out."""
    shader = FIELD.shader.pruned(Pattern.parse(pattern))
    products = np.random.default_rng(8).normal(size=(20, 18)).astype(np.float16).astype(np.float32)
    found = ShaderUnit(shader, Arithmetic.MACHINE, exact=True).features(products)
    for sample, row in zip(products, found, strict=True):
        for weights, feature in zip(shader.basis.astype(np.float32), row, strict=True):
            total = np.float32(0)
            for x, weight in zip(sample, weights, strict=True):
                if weight != 0:
                    total = x * weight + total
            assert feature.view(np.uint32) == total.view(np.uint32)


def test_a_pruned_weight_never_multiplies() -> None:
    """An infinite operand where all weights are pruned leaves finite sums: the dense product has no number there."""
    products = np.zeros((1, 18), np.float32)
    products[0, 3] = 1e6
    basis = FIELD.shader.basis.copy()
    basis[:, 2:8] = 0
    pruned = dataclasses.replace(FIELD.shader, basis=basis).pruned(Pattern(2, 8))
    assert np.isfinite(ShaderUnit(pruned, Arithmetic.MACHINE, exact=True).features(products)).all()
    assert np.isnan(ShaderUnit(pruned.pruned(DENSE), Arithmetic.MACHINE, exact=True).features(products)).all()


def test_dense_and_entries_of_the_same_weights_give_the_same_bits() -> None:
    view = camera(EYES["outside"])
    same(*(render(field, view, "sweep") for field in (DEFERRED, with_dense_entries(DEFERRED))))


def test_one_sample_per_pixel_has_one_colour_in_both_shadings() -> None:
    """Rays end behind a first sample that lets nothing pass: T is 0, and the only weight is 1."""
    field = dataclasses.replace(FIELD, density_shift=500.0, occupancy=np.ones((1, 1, 1), np.bool_))
    view = camera(EYES["outside"])
    each, late = (render(dataclasses.replace(field, shading=s), view, "sweep") for s in ("per-sample", "deferred"))
    assert each.counts.shaded == each.counts.colours == late.counts.colours > 50
    same(each, late)


def test_variants_are_pictures_of_their_own() -> None:
    """Other networks and shadings on the light of one picture: the bits of fields that have them."""
    view = camera(EYES["outside"])
    found = render(FIELD, view, variants=[(DEFERRED.shader, "deferred"), (FIELD.shader, "deferred")])
    fields = DEFERRED, dataclasses.replace(FIELD, shading="deferred")
    for variant, field in zip(found.variants, fields, strict=True):
        np.testing.assert_array_equal(variant.view(np.uint32), render(field, view).image.view(np.uint32))
    np.testing.assert_array_equal(found.image, render(FIELD, view).image)


def test_deferred_shading_computes_a_colour_per_pixel() -> None:
    view = camera(EYES["outside"])
    counts = render(DEFERRED, view, "sweep").counts
    assert 0 < counts.colours <= view.width * view.height < counts.shaded
    unshaded = render(DEFERRED, view, "sweep", Settings(weight_cut=1.0, background=0.5))
    assert (unshaded.counts.shaded, unshaded.counts.colours) == (0, 0)
    np.testing.assert_array_equal(unshaded.image, unshaded.transmittance[..., None].repeat(3, 2) * np.float32(0.5))


def test_library_sums_change_the_last_bits_only() -> None:
    view = camera(EYES["outside"])
    exact, fast = (render(FIELD, view, "sweep", Settings(exact=exact)) for exact in (True, False))
    assert exact.counts == fast.counts
    assert np.abs(exact.image - fast.image).max() < 2e-3


def test_half_precision_fields_render_like_single() -> None:
    view = camera(EYES["outside"])
    machine, single = (
        render(FIELD, view, "sweep", Settings(arithmetic=arithmetic)).image
        for arithmetic in (Arithmetic.MACHINE, Arithmetic.SINGLE)
    )
    assert 10 * np.log10(1 / np.mean((machine - single) ** 2)) > 45


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_cut": -1.0}, "weight_cut must lie between 0 and 1"),
        ({"background": 2.0}, "background must lie between 0 and 1"),
        ({"termination": 0.0}, "termination must lie between 0 and 1"),
        ({"step": 0.0}, "the step must lie between"),
    ],
)
def test_settings_out_of_range(changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        render(FIELD, camera(EYES["outside"], 8), "sweep", Settings(**changes))  # type: ignore[arg-type]


def test_a_field_without_occupied_cubes_is_refused() -> None:
    empty = dataclasses.replace(FIELD, occupancy=np.zeros((2, 2, 2), np.bool_))
    with pytest.raises(InputError, match="no occupied cube"):
        render(empty, camera(EYES["outside"], 8))


def test_a_field_of_too_many_occupied_cubes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer_models.render.lattice.MAX_OCCUPIED", 7)
    full = dataclasses.replace(FIELD, occupancy=np.ones((2, 2, 2), np.bool_))
    with pytest.raises(InputError, match="has 8 occupied cubes, each of which is projected; expected at most 7"):
        render(full, camera(EYES["outside"], 8))
