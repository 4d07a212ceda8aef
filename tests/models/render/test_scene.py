"""Scene files: references, defaults, and one line for each fault."""

import os
from pathlib import Path

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.field_file import save_field
from gossamer_models.render.raycast import cast_views
from gossamer_models.render.scene import field_names, load_scene
from gossamer_models.render.shapes import scene
from gossamer_models.render.views import save_views
from tests.models.render.fields import random_field


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_field(random_field(1), tmp_path / "a.field")
    save_views(cast_views(scene("solid"), 2, 12), tmp_path / "data", "test")
    return tmp_path


def write(folder: Path, **changes: str) -> Path:
    content = {"field": "a.field", "reference": "solid", "size": "16"} | changes
    path = folder / "s.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in content.items() if value))
    return path


def test_a_procedural_reference(folder: Path) -> None:
    found = load_scene(write(folder, view="2", termination="null", background="0.5"))
    assert found.reference.shape == (16, 16, 3)
    assert found.settings.termination is None
    assert found.settings.exact
    assert (found.reference == 0.5).any()
    assert found.name == "s"
    other = load_scene(write(folder, view="3", background="0.5"))
    assert not np.array_equal(found.camera.pose, other.camera.pose)


def test_a_picture_larger_than_memory_is_refused_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,700 bytes per pixel; 2 GiB hold a picture of 1123 pixels per side."""
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1 << 19, "SC_PAGE_SIZE": 1 << 12}.__getitem__)
    load_scene(write(folder))
    message = r"size: a picture of 8000 x 8000 pixels takes about 109 GB to render, and .* has 2; expected at most 1123"
    with pytest.raises(InputError, match=message):
        load_scene(write(folder, size="8000"))


def test_a_zoom_lengthens_the_focal_length(folder: Path) -> None:
    near, far = (load_scene(write(folder, **change)).camera for change in ({"zoom": "1.5"}, {}))
    assert near.focal == pytest.approx(1.5 * far.focal)


def test_posed_images_as_reference(folder: Path) -> None:
    found = load_scene(write(folder, reference="data", size="", view="1"))
    assert found.reference.shape == (12, 12, 3)
    assert found.camera.focal == pytest.approx(cast_views(scene("solid"), 2, 12).focal)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field": "sold"}, "field: unknown field 'sold'"),
        ({"reference": "sold"}, "reference: 'sold' is no scene and no path; expected one of solid, thin"),
        ({"size": "0"}, "size: must be"),
        ({"size": ""}, "size: is missing"),
        ({"view": "8"}, "view: must be less than 8, not 8"),
        ({"reference": "data", "size": "", "zoom": "2"}, "zoom: goes with a procedural reference"),
        ({"refine": "{grid: 8, cubes: 4, level: 900}"}, "refine: leaves no occupied cube"),
        ({"reference": "data", "view": "0"}, "size: goes with a procedural reference"),
        ({"reference": "data", "size": "", "view": "2"}, "view: must be less than 2, not 2"),
        ({"reference": "data", "size": "", "split": "train"}, "transforms_train.json: no such file"),
        ({"step": "0"}, "step: must be"),
        ({"termination": "1"}, "termination: must be"),
        ({"colour": "red"}, "colour"),
        ({"field": "s.yaml"}, "is damaged"),
    ],
)
def test_faults_are_one_line(folder: Path, changes: dict[str, str], message: str) -> None:
    path = write(folder, **changes)
    with pytest.raises(InputError) as caught:
        load_scene(path)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_the_shipped_field_is_found() -> None:
    assert "solid" in field_names()
    assert load_scene("solid").field.density.components == 16
