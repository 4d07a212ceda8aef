"""Scene files: references, defaults, and one line for each fault."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.field_file import save_field
from gossamer_models.render.raycast import cast_views
from gossamer_models.render.scene import check_memory, field_names, load_scene
from gossamer_models.render.shapes import scene
from gossamer_models.render.views import save_views
from gossamer_models.sparsity import Pattern
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
    message = r"size: a picture of 4096 x 4096 pixels takes about 29 GB to render, and .* has 2; expected at most 1123"
    with pytest.raises(InputError, match=message):
        load_scene(write(folder, size="4096"))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 10, "SC_PAGE_SIZE": 1 << 10}.__getitem__)
    with pytest.raises(InputError, match=r"s.yaml: reference: a picture of .* takes about"):
        load_scene(write(folder, reference="data", size="", view="1"))


def test_shaded_samples_take_memory_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera = load_scene(write(folder)).camera
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1 << 19, "SC_PAGE_SIZE": 1 << 12}.__getitem__)
    check_memory(camera, 15_000_000)
    with pytest.raises(InputError, match="takes about 2 GB to render"):
        check_memory(camera, 16_000_000)


def test_the_other_images_are_not_read(folder: Path) -> None:
    (folder / "data" / "test" / "r_0.png").unlink()
    load_scene(write(folder, reference="data", size="", view="1"))
    with pytest.raises(InputError, match="no such image"):
        load_scene(write(folder, reference="data", size="", view="0"))


def test_a_zoom_lengthens_the_focal_length(folder: Path) -> None:
    near, far = (load_scene(write(folder, **change)).camera for change in ({"zoom": "1.5"}, {}))
    assert near.focal == pytest.approx(1.5 * far.focal)


def test_posed_images_as_reference(folder: Path) -> None:
    found = load_scene(write(folder, reference="data", size="", view="1"))
    assert found.reference.shape == (12, 12, 3)
    assert found.camera.focal == pytest.approx(cast_views(scene("solid"), 2, 12).focal)


def test_shading_and_network_as_asked(folder: Path) -> None:
    own = load_scene(write(folder))
    assert own.field.shading == "per-sample"
    assert own.is_fitted(own.field.shader, "per-sample")
    assert own.unpruned is None
    found = load_scene(write(folder, shading="deferred", network="2:8", unpruned="a.field"))
    assert found.field.shading == "deferred"
    assert [str(pattern) for pattern in found.field.shader.patterns] == ["2:8"] * 3
    assert not found.is_fitted(found.field.shader, "per-sample")
    assert not found.is_fitted(own.field.shader, "deferred")
    assert found.is_fitted(own.field.shader, "per-sample")
    assert found.unpruned is not None
    np.testing.assert_array_equal(found.unpruned.shader.basis, own.field.shader.basis)


def test_a_sparse_field_may_run_dense(folder: Path) -> None:
    field = random_field(1)
    save_field(replace(field, shader=field.shader.pruned(Pattern(2, 4)), shading="deferred"), folder / "b.field")
    own, dense = (load_scene(write(folder, field="b.field", network=name)) for name in ("", "dense"))
    assert {str(pattern) for pattern in own.field.shader.patterns} == {"2:4"}
    assert all(pattern.is_dense for pattern in dense.field.shader.patterns)
    assert dense.is_fitted(dense.field.shader, dense.field.shading)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field": "sold"}, "field: unknown field 'sold'"),
        (
            {"reference": "sold"},
            "reference: 'sold' is no scene and no path, did you mean 'solid'?; expected one of solid, thin",
        ),
        ({"size": "0"}, "size: must be"),
        ({"size": ""}, "size: is missing"),
        ({"view": "8"}, "view: must be less than 8, not 8"),
        ({"reference": "data", "size": "", "zoom": "2"}, "zoom: goes with a procedural reference"),
        ({"refine": "{grid: 8, cubes: 4, level: 900}"}, "refine: leaves no occupied cube"),
        ({"reference": "data", "view": "0"}, "size: goes with a procedural reference"),
        ({"reference": "data", "size": "", "view": "2"}, "has 2 images and no number 2; expected a `view` less than 2"),
        ({"reference": "data", "size": "", "split": "train"}, "transforms_train.json: no such file"),
        ({"step": "0"}, "step: must be"),
        ({"termination": "1"}, "termination: must be"),
        ({"colour": "red"}, "colour"),
        ({"shading": "late"}, "shading: must be"),
        ({"network": "3:7"}, "network: M of sparsity 3:7 must divide the word of 8"),
        ({"network": "sparse"}, "expected `dense`, or N:M"),
        ({"unpruned": "solids"}, "unpruned: unknown field 'solids', did you mean 'solid'?"),
        ({"unpruned": "solid"}, "unpruned: 'solid' has another grid or box than the scene's field"),
        ({"field": "s.yaml"}, "is damaged"),
        ({"tuned": "[a.field, b.field]"}, "tuned[1]: unknown field 'b.field'"),
        ({"field": "x" * 5000}, "field: unknown field 'xxx"),
        ({"reference": "x" * 5000}, "is no scene and no path"),
        ({"split": "train"}, "split: goes with posed images"),
        ({"tuned": "[solid]"}, "tuned[0]: 'solid' has other factors than the scene's field"),
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
