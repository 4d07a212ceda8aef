"""The trainer: a tiny field learns, pruning prunes, and golden renders what PyTorch renders."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.raycast import cast_views
from gossamer_models.render.renderer import Settings, render
from gossamer_models.render.shapes import distances, scene

torch = pytest.importorskip("torch")

from gossamer.field_fit import FitSettings, fit, hull  # noqa: E402
from gossamer.field_model import Shape, TorchField  # noqa: E402

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
    settings = FitSettings((12, 16), (50, 50), 25, rays=256, cubes=16, sparsity=0.8, shape=SMALL)
    dense, sparse = fit(VIEWS, "solid", LOW, HIGH, settings, notes.append)
    planes = (*sparse.density.planes, *sparse.appearance.planes)
    for kind in (sparse.density, sparse.appearance):
        zeros = sum(int((plane == 0).sum()) for plane in kind.planes)
        assert zeros / sum(plane.size for plane in kind.planes) == pytest.approx(0.8, abs=0.01)
    assert sum(int((plane == 0).sum()) for plane in (*dense.density.planes, *dense.appearance.planes)) < len(planes)
    picture = render(sparse, VIEWS.camera(3), "sweep", Settings(exact=False)).image
    error = float(np.mean((picture - VIEWS.over(1.0)[3]) ** 2))
    assert -10 * np.log10(error) > 15
    assert any("pruned to 80%" in note for note in notes)


def test_golden_renders_what_torch_renders() -> None:
    """Plain fp32 in both; the transmittance is a product here and the exponential of a sum there."""
    torch.manual_seed(1)
    model = TorchField(SMALL, 9, LOW, HIGH)
    occupancy = np.random.default_rng(2).random((5, 5, 5)) < 0.5
    camera = VIEWS.camera(1)
    views = torch.from_numpy(camera.directions().astype(np.float32))
    eyes = torch.from_numpy(camera.eye.astype(np.float32)).expand(len(views), 3)
    with torch.no_grad():
        theirs = model.render(eyes, views, torch.from_numpy(occupancy)).numpy().reshape(24, 24, 3)
    settings = Settings(termination=None, arithmetic=Arithmetic.SINGLE)
    ours = render(model.field("m", occupancy), camera, "sweep", settings).image
    assert (ours < 0.99).any()
    # A sample that lies on a face of a cube may fall on either side of it.
    different = np.abs(ours - theirs).max(axis=2) > 1e-4
    assert different.mean() < 0.01


def test_wrong_settings() -> None:
    with pytest.raises(InputError, match="sparsity must lie between 0 and 1"):
        fit(VIEWS, "n", LOW, HIGH, FitSettings(sparsity=1.0), lambda _: None)
