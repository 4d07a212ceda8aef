"""The trainer: a tiny field learns, pruning prunes, and golden renders what PyTorch renders."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from gossamer.field_quality import HeldOut
from gossamer_models.errors import InputError
from gossamer_models.grouping import DENSE
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES, Field, Shading
from gossamer_models.render.raycast import cast_views
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.scene import load_scene
from gossamer_models.render.shapes import distances, scene
from gossamer_models.render.views import load_views
from gossamer_models.sparsity import Pattern
from tests.models.render.fields import random_field
from tests.real_views import lego

torch = pytest.importorskip("torch")
from torch.nn import functional  # noqa: E402

from gossamer.field_fit import FitSettings, _looks_at, computing_on, fit, hull  # noqa: E402
from gossamer.field_model import Shape, TorchField  # noqa: E402
from gossamer.field_pruning import NetworkPruning  # noqa: E402
from tests.gossamer.other_device import KNOWN, fit_elsewhere  # noqa: E402

# Threads that wait for each other cost more than such small tensors.
torch.set_num_threads(1)

LOW, HIGH = (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)
SMALL = Shape(density=4, appearance=6, features=6, hidden=(16,))
VIEWS = cast_views(scene("solid"), 8, 24, samples=1)


def test_the_hull_holds_the_scene() -> None:
    found = hull(VIEWS, 16, np.array(LOW), np.array(HIGH))
    points = np.random.default_rng(0).uniform(-1, 1, (20000, 3)).astype(np.float32)
    inside = points[distances(scene("solid"), points)[0] < -0.05]
    assert len(inside) > 500
    assert found[tuple(((inside + 1) * 8).astype(int).T)].all()
    assert found.mean() < 0.8


@pytest.mark.slow
def test_a_field_learns_and_is_pruned() -> None:
    notes: list[str] = []
    settings = FitSettings(
        (12, 16), (50, 70), 30, 160, 16, sparsity=0.8, network_tuning=20, shape=SMALL,
        networks=(("per-sample", Pattern(2, 4)), ("deferred", DENSE)),
    )  # fmt: skip
    fitted = fit(VIEWS, "solid", LOW, HIGH, settings, notes.append)
    assert [field.shader.patterns for field in fitted.tuned] == [(Pattern(2, 4),) * 3, (DENSE,) * 3]
    assert [field.shading for field in fitted.tuned] == ["per-sample", "deferred"]
    first, second = ((*field.density.arrays, *field.appearance.arrays) for field in fitted.tuned)
    assert all((one == other).all() for one, other in zip(first, second, strict=True))
    before = (*fitted.pruned.density.planes, *fitted.pruned.appearance.planes)
    behind = (*fitted.tuned[0].density.planes, *fitted.tuned[0].appearance.planes)
    for one, other in zip(behind, before, strict=True):
        assert not one[other == 0].any()
        assert not np.array_equal(one, other)
    assert not np.array_equal(fitted.tuned[1].shader.basis, fitted.pruned.shader.basis)
    for field in (fitted.pruned, *fitted.tuned):
        planes = [*field.density.planes, *field.appearance.planes]
        zeros = [sum(int((plane == 0).sum()) for plane in part) for part in (planes, field.density.planes)]
        assert zeros[0] / sum(plane.size for plane in planes) == pytest.approx(0.8, abs=0.01)
        assert zeros[1] / sum(plane.size for plane in field.density.planes) == pytest.approx(0.6, abs=0.01)
        assert not any(np.signbit(plane[plane == 0]).any() for plane in planes)
        held_out = HeldOut([VIEWS.camera(3)], [VIEWS.over(1.0)[3]])
        assert held_out.psnr_db(held_out.render(field))[0] > 15
    assert all(kind.sparsity < 0.01 for kind in (fitted.unpruned.density, fitted.unpruned.appearance))
    assert any("pruning to 80%" in note for note in notes)


@pytest.mark.slow
def test_a_real_scene_is_learnt() -> None:
    folder = lego()
    train, test = load_views(folder), load_views(folder, "test")
    settings = FitSettings((24, 32), (60, 60), 1, rays=256, cubes=32, sparsity=0.0, shape=SMALL)
    field = fit(train, "lego", (-1.5,) * 3, (1.5,) * 3, settings, lambda _: None).unpruned
    camera = test.camera(0).resized(50, 50)
    picture = test.over(1.0)[0].reshape(50, 4, 50, 4, 3).mean(axis=(1, 3))
    held_out = HeldOut([camera], [picture])
    assert held_out.psnr_db(held_out.render(field))[0] > 15


@pytest.mark.parametrize("turned", [np.diag([1.0, -1, -1, 1]), np.eye(4)])
def test_cameras_that_look_elsewhere(turned: Any) -> None:
    """Poses of cameras that look along +z are the usual mistake; a box that lies between all rays is another."""
    views = dataclasses.replace(VIEWS, poses=VIEWS.poses @ turned)
    low, high = (LOW, HIGH) if turned[2, 2] < 0 else ((-1e-4,) * 3, (1e-4,) * 3)
    with pytest.raises(InputError, match="no ray of the images meets the box"):
        fit(views, "n", low, high, FitSettings(), lambda _: None)


def test_an_eye_in_a_wall_looks_at_its_box() -> None:
    for eye, seen in (((0.0, 0.0, 3.0), True), ((1.0, 0.0, 1.0), True), ((0.0, 0.0, -3.0), False)):
        pose = np.eye(4)
        pose[:3, 3] = eye
        assert _looks_at(Camera(pose, 9.0, 3, 3), np.array(LOW), np.array(HIGH)) == seen


def rays(camera: Camera) -> tuple[Any, Any]:
    views = torch.from_numpy(camera.directions().astype(np.float32))
    return torch.from_numpy(camera.eye.astype(np.float32)).expand(len(views), 3), views


@pytest.mark.parametrize("shading", ["per-sample", "deferred"])
def test_golden_renders_what_torch_renders(shading: Shading) -> None:
    """Plain fp32 in both; the transmittance is a product here and the exponential of a sum there."""
    torch.manual_seed(1)
    model = TorchField(dataclasses.replace(SMALL, shading=shading), 9, LOW, HIGH)
    occupancy = np.random.default_rng(2).random((5, 5, 5)) < 0.5
    camera = VIEWS.camera(1)
    with torch.no_grad():
        theirs = model.render(*rays(camera), torch.from_numpy(occupancy)).numpy().reshape(24, 24, 3)
    settings = Settings(termination=None, arithmetic=Arithmetic.SINGLE)
    ours = render(model.field("m", occupancy), camera, "sweep", settings).image
    assert (ours < 0.99).any()
    # A sample that lies on a face of a cube may fall on either side of it.
    different = np.abs(ours - theirs).max(axis=2) > 1e-4
    assert different.mean() < 0.01


def test_golden_renders_the_shipped_field_like_torch() -> None:
    """A trained field: every sample in float32, and the machine's arithmetic with early termination."""
    shipped = load_scene("solid")
    camera = shipped.camera.resized(40, 40)
    with torch.no_grad():
        theirs = TorchField.of(shipped.field).render(*rays(camera), torch.from_numpy(shipped.field.occupancy))
    plain = Settings(termination=None, arithmetic=Arithmetic.SINGLE)
    single, machine = (
        np.abs(render(shipped.field, camera, "sweep", settings).image - theirs.numpy().reshape(40, 40, 3))
        for settings in (plain, Settings(exact=False))
    )
    # A sample that lies on a face of a cube may fall on either side of it.
    assert (single.max(axis=2) > 1e-4).mean() < 0.01
    assert machine.max() < 0.005
    assert machine.mean() < 3e-4


def numbers(field: Field) -> list[Any]:
    """Return all that is trained of a field."""
    biases = (layer.biases for layer in field.shader.layers)
    return [*field.density.arrays, *field.appearance.arrays, *field.shader.matrices, *biases]


def test_a_field_comes_back_from_torch() -> None:
    field = load_scene("solid").field
    back = TorchField.of(field).field("back", field.occupancy)
    assert all((a == b).all() for a, b in zip(numbers(field), numbers(back), strict=True))
    with pytest.raises(InputError, match="axes or frequencies that differ"):
        TorchField.of(random_field(0))
    with pytest.raises(InputError, match="scales its density in another way"):
        TorchField.of(dataclasses.replace(field, density_shift=-9.0))


def test_products_are_those_of_grid_sample() -> None:
    """Values and gradients, against PyTorch's own interpolation."""
    torch.manual_seed(3)
    model = TorchField(SMALL, 7, LOW, HIGH)
    u = torch.rand(200, 3)
    planes, lines = model.factors["density"]
    found = torch.stack(model.products("density", u))
    place = 2 * u - 1
    expected = []
    for (a, b), c, plane, line in zip(PLANE_AXES, LINE_AXIS, planes, lines, strict=True):
        parts = []
        for part, axes in ((plane, (a, b)), (line[:, None].expand(-1, 7, -1), (a, c))):
            at = torch.stack([place[:, axis] for axis in axes], dim=-1)[None, :, None]
            parts.append(functional.grid_sample(part.permute(2, 0, 1)[None], at, align_corners=True)[0, :, :, 0].T)
        expected.append(parts[0] * parts[1])
    torch.testing.assert_close(found, torch.stack(expected), atol=1e-5, rtol=1e-4)
    ours, theirs = (torch.autograd.grad((x**2).sum(), [*planes, *lines]) for x in (found, torch.stack(expected)))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-3)


def test_thrift_is_right_on_average() -> None:
    torch.manual_seed(4)
    model = TorchField(SMALL, 9, LOW, HIGH)
    eyes, views = (part[288:300].repeat(150, 1) for part in rays(VIEWS.camera(2)))
    every = torch.ones(4, 4, 4, dtype=torch.bool)
    with torch.no_grad():
        whole, thrifty = (model.render(eyes, views, every, thrift=thrift) for thrift in (0.0, 0.1))
    assert (thrifty - whole).abs().max() > 0.05
    assert abs(float((thrifty - whole).mean())) < 0.01


def test_weights_that_take_no_part_may_come_back() -> None:
    """Gradients go to all weights while the N:M choice moves; then it stays."""
    torch.manual_seed(5)
    model = TorchField(SMALL, 9, LOW, HIGH)
    pruning = NetworkPruning(model, Pattern(2, 4), range(20))
    before = [weights.detach().clone() for weights in model.matrices()]
    pruning.apply(0)
    masks = [mask.clone() for mask in model.masks]
    for weights, mask, old in zip(model.matrices(), masks, before, strict=True):
        assert (weights[mask] == old[mask]).all()
        assert (weights[~mask].abs() < old[~mask].abs()).all()
    kept = model.field("m", np.ones((2, 2, 2), np.bool_)).shader
    assert all((matrix[~mask.numpy()] == 0).all() for matrix, mask in zip(kept.matrices, masks, strict=True))
    model.colour(model.features(torch.rand(50, 3)), torch.rand(50, 3)).sum().backward()
    assert all((weights.grad[~mask] != 0).any() for weights, mask in zip(model.matrices(), masks, strict=True))
    row, column = (int(place[0]) for place in (~masks[1]).nonzero(as_tuple=True))
    with torch.no_grad():
        model.matrices()[1][row, column] = 100.0
    pruning.apply(19)
    assert not model.masks[1][row, column]
    pruning.apply(1)
    assert model.masks[1][row, column]


@pytest.mark.slow
@pytest.mark.skipif(not KNOWN, reason="this PyTorch has no devices made in Python")
def test_every_phase_computes_on_one_device() -> None:
    """On a device that refuses partners from elsewhere, as a GPU does, and computes what the CPU computes."""
    settings = FitSettings(
        (8, 9), (2, 2), 3, 24, 4, sparsity=0.8, network_tuning=3, shape=SMALL,
        networks=(("per-sample", Pattern(2, 4)), ("deferred", DENSE)),
    )  # fmt: skip
    notes: list[str] = []
    here = fit(VIEWS, "elsewhere", LOW, HIGH, settings, notes.append)
    there, same_notes = fit_elsewhere(VIEWS, settings)
    assert notes == same_notes
    for ours, theirs in zip(*((all_.unpruned, all_.pruned, *all_.tuned) for all_ in (here, there)), strict=True):
        assert all(np.array_equal(one, other) for one, other in zip(numbers(ours), numbers(theirs), strict=True))


def test_devices_that_cannot_compute() -> None:
    for device in ("nonsense", "meta", *(["cuda"] if not torch.cuda.is_available() else [])):
        with pytest.raises(InputError, match=f"PyTorch cannot compute on '{device}'"), computing_on(device):
            pass
    with computing_on("cpu"):
        assert torch.zeros(1).device.type == "cpu"


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match="sparsity must lie between 0 and 1"):
        fit(VIEWS, "n", LOW, HIGH, FitSettings(sparsity=1.0), lambda _: None)
