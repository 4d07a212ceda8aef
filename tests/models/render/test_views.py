"""Posed images: what is written is read, and every fault is one line with the file."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gossamer_models.errors import InputError
from gossamer_models.render.camera import sphere_poses
from gossamer_models.render.views import Views, load_views, save_views

RNG = np.random.default_rng(6)
FAR = np.eye(4) + np.outer((1, 0, 0, 0), (0, 0, 0, 1e7))
VIEWS = Views((RNG.integers(0, 256, (3, 4, 6, 4)) / 255).astype(np.float32), sphere_poses(3, 4.0, 0, 1), 7.5)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_views(VIEWS, tmp_path, "train")
    return tmp_path


def edit(folder: Path, **changes: object) -> None:
    path = folder / "transforms_train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def frames(folder: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads((folder / "transforms_train.json").read_text())["frames"]
    return found


def test_a_folder_comes_back(folder: Path) -> None:
    found = load_views(folder)
    np.testing.assert_array_equal(found.images, VIEWS.images)
    np.testing.assert_allclose(found.poses, VIEWS.poses, rtol=1e-15)
    assert found.focal == pytest.approx(7.5)
    assert (found.camera(1).width, found.camera(1).height) == (6, 4)


def test_names_may_have_a_suffix_and_files_may_say_more(folder: Path) -> None:
    more = [frame | {"file_path": f"{frame['file_path']}.png", "rotation": 0.1} for frame in frames(folder)]
    edit(folder, frames=more, camera="blender")
    np.testing.assert_array_equal(load_views(folder).images, VIEWS.images)


def test_alpha_mixes_with_the_background() -> None:
    mixed = VIEWS.over(1.0)
    alpha = VIEWS.images[..., 3:]
    np.testing.assert_allclose(mixed, VIEWS.images[..., :3] * alpha + 1 - alpha, atol=1e-7)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": []}, "frames"),
        ({"camera_angle_x": 0.0}, "camera_angle_x"),
        ({"camera_angle_x": 4.0}, "camera_angle_x"),
        ({"frames": [{"file_path": "/", "transform_matrix": np.eye(4).tolist()}]}, "`file_path` '/' names no image"),
        ({"frames": [{"file_path": "train/none", "transform_matrix": np.eye(4).tolist()}]}, "png: no such image"),
        ({"frames": [{"file_path": "train/r_0", "transform_matrix": [[1, 2], [3, 4]]}]}, "transform_matrix"),
        ({"frames": [{"file_path": "train/r_0", "transform_matrix": np.diag([2.0, 1, 1, 1]).tolist()}]}, "not rigid"),
    ],
)
def test_faults_of_the_description(folder: Path, changes: dict[str, object], message: str) -> None:
    edit(folder, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_views(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_pose_has_the_number_of_its_file(folder: Path, tmp_path: Path) -> None:
    """When it is the only one that is loaded, too."""
    listed = frames(folder)
    listed[2]["transform_matrix"] = np.diag([2.0, 1, 1, 1]).tolist()
    edit(folder, frames=listed)
    poses = VIEWS.poses.copy()
    poses[2] = np.nan
    np.savez(tmp_path / "a.npz", images=VIEWS.images, poses=poses, focal=7.5)
    for view in (None, 2):
        with pytest.raises(InputError, match=r"_train.json: frames\[2\].transform_matrix: the pose is not rigid"):
            load_views(folder, view=view)
        with pytest.raises(InputError, match=r"a.npz: poses\[2\]: the pose must be finite"):
            load_views(tmp_path / "a.npz", view=view)
    load_views(folder, view=1)
    load_views(tmp_path / "a.npz", view=1)


def test_faults_of_images(folder: Path) -> None:
    image = folder / "train" / "r_1.png"
    Image.new("RGBA", (5, 4)).save(image)
    with pytest.raises(InputError, match=r"r_1.png: the image has 5x4 pixels; expected 6x4 as the first"):
        load_views(folder)
    image.write_bytes((folder / "train" / "r_0.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"r_1.png: is no readable PNG"):
        load_views(folder)
    image.write_bytes(b"")
    with pytest.raises(InputError, match=r"r_1.png: is no readable PNG"):
        load_views(folder)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(image)
    with pytest.raises(InputError, match=r"r_1.png: the image has more than 8 bits per channel; expected 8 bits"):
        load_views(folder)
    Image.new("RGB", (9000, 1)).save(folder / "train" / "r_0.png")
    with pytest.raises(InputError, match="at most 8192 per side"):
        load_views(folder)


def test_missing_and_foreign_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read"):
        load_views(tmp_path, "a\0b")
    with pytest.raises(InputError, match=r"transforms_test.json: no such file"):
        load_views(tmp_path, "test")
    (tmp_path / "transforms_test.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        load_views(tmp_path, "test")


@pytest.mark.parametrize("depth", [300, 991, 992, 993, 994, 995, 100_000])
def test_a_description_nested_too_deeply(depth: int, tmp_path: Path) -> None:
    """As far as reader and validation go, and beyond."""
    text = f'{{"camera_angle_x": 1.0, "frames": [], "more": {"[" * depth}{"]" * depth}}}'
    (tmp_path / "transforms_train.json").write_text(text)
    with pytest.raises(InputError, match=r"nested too deeply|maximum recursion depth"):
        load_views(tmp_path)


@pytest.mark.parametrize("kind", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [3, 4])
def test_an_archive_is_read(kind: str, channels: int, tmp_path: Path) -> None:
    images = VIEWS.images[..., :channels]
    stored = np.rint(images * 255).astype(np.uint8) if kind == "uint8" else images
    np.savez(tmp_path / "a.npz", images=stored, poses=VIEWS.poses.astype(np.float32), focal=7.5)
    found = load_views(tmp_path / "a.npz")
    np.testing.assert_allclose(found.images[..., :channels], images, atol=1e-7)
    assert channels == 4 or (found.images[..., 3] == 1).all()
    assert found.focal == 7.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": np.zeros((3, 0, 6, 3), np.uint8)}, "none 0"),
        ({"images": np.zeros((2, 4, 6, 3), np.uint8)}, "2 images need poses"),
        ({"images": np.zeros((3, 4, 6, 2), np.uint8)}, "shape"),
        ({"poses": VIEWS.poses[:2]}, "3 images need poses of shape"),
        ({"images": np.full((3, 4, 6, 3), np.nan, np.float32)}, "uint8, or floats from 0 to 1"),
        ({"images": np.full((3, 4, 6, 3), 2.0, np.float32)}, "uint8, or floats from 0 to 1"),
        ({"images": np.array([{}], dtype=object)}, "objects"),
        ({"focal": -1.0}, "focal length must lie between 0.001 and"),
        ({"focal": 1e-300}, "focal length must lie between 0.001 and"),
        ({"poses": np.tile(FAR, (3, 1, 1))}, "a number beyond"),
        ({"focal": "wide"}, "must be numbers"),
        ({"poses": np.zeros((3, 4, 4))}, "not rigid"),
    ],
)
def test_faults_of_archives(changes: dict[str, object], message: str, tmp_path: Path) -> None:
    content: dict[str, object] = {"images": VIEWS.images, "poses": VIEWS.poses, "focal": 7.5} | changes
    np.savez(tmp_path / "a.npz", **content)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=message) as caught:
        load_views(tmp_path / "a.npz")
    assert str(caught.value).startswith(str(tmp_path / "a.npz"))
    if "poses" not in changes or message.startswith("3 images"):  # what is wrong with another view's pose is its own
        with pytest.raises(InputError, match=message):
            load_views(tmp_path / "a.npz", view=0)


def test_archives_that_are_cut_short_or_lack_an_array(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(InputError, match="no such file"):
        load_views(path)
    np.savez(path, images=VIEWS.images, poses=VIEWS.poses)
    with pytest.raises(InputError, match="has no array 'focal'"):
        load_views(path)
    np.savez(path, images=VIEWS.images, poses=VIEWS.poses, focal=7.5)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(InputError, match="is damaged"):
        load_views(path)
    header = b"{xxxx".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("images", "poses", "focal"):
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match="is damaged"):
        load_views(path)


def test_archives_that_unpack_to_too_much_are_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossamer_models.render.views.MAX_VIEWS_BYTES", 1000)
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 4, 6, 4), np.uint8), poses=VIEWS.poses, focal=7.5)
    with pytest.raises(InputError, match=r"`images` of shape \(3, 4, 6, 4\) take 1152 bytes; expected at most 1000"):
        load_views(tmp_path / "a.npz")


def test_images_must_fit_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four times what they take: 3 x 4 x 6 pixels are 1,152 bytes."""
    save_views(VIEWS, tmp_path, "train")
    monkeypatch.setattr("gossamer_models.render.views.memory_bytes", lambda: 4 * 1152)
    load_views(tmp_path)
    monkeypatch.setattr("gossamer_models.render.views.memory_bytes", lambda: 4 * 1151)
    with pytest.raises(InputError, match="3 images of 6x4 pixels take 1152 bytes; expected at most 1151"):
        load_views(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_one_view_alone(packed: bool, tmp_path: Path) -> None:
    save_views(VIEWS, tmp_path, "train")
    source = tmp_path
    if packed:
        source = tmp_path / "a.npz"
        np.savez(source, images=VIEWS.images, poses=VIEWS.poses, focal=VIEWS.focal)
    found, views = load_views(source, view=2), load_views(source)
    np.testing.assert_array_equal(found.images, views.images[2:])
    np.testing.assert_array_equal(found.poses, views.poses[2:])
    with pytest.raises(InputError, match="has 3 images and no number 3; expected a `view` less than 3"):
        load_views(source, view=3)


@pytest.mark.parametrize("view", [None, 0])
def test_an_archive_without_images(view: int | None, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=VIEWS.images[:0], poses=VIEWS.poses[:0], focal=VIEWS.focal)
    with pytest.raises(InputError, match="has no images; expected one or more"):
        load_views(tmp_path / "a.npz", view=view)
