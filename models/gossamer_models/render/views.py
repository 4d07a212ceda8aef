"""Posed images: the NeRF-synthetic layout and ``.npz`` archives.

NeRF-synthetic: a folder with ``transforms_train.json``, ``transforms_test.json``, ..., each with ``camera_angle_x``
and frames of ``file_path`` (a PNG with alpha, the suffix may be left out) and ``transform_matrix``. Archive: arrays
``images`` (views, height, width, 3 or 4; uint8, or floats in [0, 1]), ``poses`` (views, 4, 4) and ``focal`` in
pixels, without pickled objects.
"""

import json
import math
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import ConfigDict, Field

from gossamer_models.archives import open_archive
from gossamer_models.errors import InputError
from gossamer_models.loading import validate
from gossamer_models.numerics.formats import Float32
from gossamer_models.physical import memory_bytes
from gossamer_models.render.camera import MAX_SIDE, Camera, check_pose
from gossamer_models.schema import Schema

__all__ = ["MAX_VIEWS_BYTES", "Views", "check_size", "load_views", "save_views"]

MAX_VIEWS_BYTES: Final = 1 << 32
"""Bound of the images of a set, as float32."""

_MAX_JSON_BYTES: Final = 1 << 24
_EXPECTED_NPZ: Final = "an .npz archive of images, poses and focal"

Row = tuple[float, float, float, float]


class _Frame(Schema):
    model_config = ConfigDict(extra="ignore")

    file_path: Annotated[str, Field(min_length=1)]
    transform_matrix: tuple[Row, Row, Row, Row]


class _Transforms(Schema):
    model_config = ConfigDict(extra="ignore")

    camera_angle_x: Annotated[float, Field(gt=0, lt=math.pi)]
    frames: Annotated[tuple[_Frame, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """Images of one size with their cameras.

    Parameters
    ----------
    images : array of float32, shape (views, height, width, 4)
        Colour, not multiplied with alpha, and alpha, in [0, 1].
    poses : array of float64, shape (views, 4, 4)
    focal : focal length in pixels

    Raises
    ------
    InputError
        Images of size zero, numbers of images and poses that differ, or a pose that is not rigid.
    """

    images: Float32
    poses: NDArray[np.float64]
    focal: float

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[3] != 4 or 0 in self.images.shape:
            raise InputError(f"images must have shape (views, height, width, 4), none 0, not {self.images.shape}")
        if self.poses.shape != (len(self.images), 4, 4):
            raise InputError(f"{len(self.images)} images need poses of shape ({len(self.images)}, 4, 4)")
        for number in range(len(self.poses)):
            check_pose(self.poses[number], f"pose {number}")
        self.camera(0)

    def camera(self, number: int) -> Camera:
        """Return the camera of one image."""
        height, width = self.images.shape[1:3]
        return Camera(self.poses[number], self.focal, width, height)

    def over(self, background: float) -> Float32:
        """Return the images on a grey background, shape (views, height, width, 3)."""
        alpha = self.images[..., 3:]
        return self.images[..., :3] * alpha + np.float32(background) * (1 - alpha)


def load_views(path: str | Path, split: str = "train", view: int | None = None) -> Views:
    """Load posed images.

    Parameters
    ----------
    path : folder in the NeRF-synthetic layout, or an ``.npz`` archive
    split : which ``transforms_SPLIT.json`` of the folder
    view : the only one to load, counted from 0; all by default

    Raises
    ------
    InputError
        Something is missing, damaged, too large or not as described; the message names the file.
    """
    path = Path(path)
    source = str(path if path.is_file() or path.suffix == ".npz" else path / f"transforms_{split}.json")
    try:
        return _load_archive(path, view) if source == str(path) else _load_folder(path, Path(source), view)
    except InputError as error:
        error.source = error.source or source
        raise


def save_views(views: Views, folder: Path, split: str) -> None:
    """Write images and poses in the NeRF-synthetic layout, alpha included, eight bits per channel.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    width = views.images.shape[2]
    frames = []
    try:
        (folder / split).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(views.images):
            name = f"{split}/r_{number}"
            Image.fromarray(np.rint(image * 255).astype(np.uint8), "RGBA").save(folder / f"{name}.png")
            frames.append({"file_path": f"./{name}", "transform_matrix": views.poses[number].tolist()})
        described = {"camera_angle_x": 2 * math.atan(width / (2 * views.focal)), "frames": frames}
        (folder / f"transforms_{split}.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot be written ({error})", source=str(folder)) from None


def _load_folder(folder: Path, description: Path, view: int | None) -> Views:
    try:
        with description.open("rb") as stream:
            text = stream.read(_MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        raise InputError("no such file", "a folder in the NeRF-synthetic layout, or an .npz archive") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({getattr(error, 'strerror', None) or error})", "a JSON file") from None
    if len(text) > _MAX_JSON_BYTES:
        raise InputError(f"the file is larger than {_MAX_JSON_BYTES} bytes", "a smaller file")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"is no JSON ({error})", "camera_angle_x and frames") from None
    described = validate(_Transforms, data, str(description))
    chosen = _chosen(len(described.frames), view)
    frames = described.frames[chosen]
    poses = np.array([frame.transform_matrix for frame in frames], dtype=np.float64)
    _check_poses(poses, chosen, "frames[{}].transform_matrix")
    first = _open(_image_path(folder, frames[0].file_path), None)
    check_size(f"{len(poses)} images of {first.shape[1]}x{first.shape[0]} pixels", first.nbytes * len(poses))
    images = np.empty((len(poses), *first.shape), dtype=np.float32)
    images[0] = first
    for number, frame in enumerate(frames[1:], start=1):
        images[number] = _open(_image_path(folder, frame.file_path), first.shape[1::-1])
    return Views(images, poses, first.shape[1] / (2 * math.tan(described.camera_angle_x / 2)))


def _chosen(count: int, view: int | None) -> slice:
    if not count:
        raise InputError("has no images", "one or more")
    if view is None:
        return slice(None)
    if view >= count:
        raise InputError(f"has {count} images and no number {view}", f"a `view` less than {count}")
    return slice(view, view + 1)


def _check_poses(poses: NDArray[Any], chosen: slice, place: str) -> None:
    """Refuse a pose by the number that its file gives it; `place` says where that one is."""
    for number, pose in enumerate(poses, start=chosen.start or 0):
        try:
            check_pose(pose, "the pose")
        except InputError as error:
            error.path = place.format(number)
            raise


def check_size(what: str, size: int) -> None:
    """Refuse images that take so many bytes as float32, before they are held.

    Parameters
    ----------
    what : they are, a plural, for messages

    Raises
    ------
    InputError
    """
    # What is read, what it becomes and what lies on a background are held at once.
    most = min(MAX_VIEWS_BYTES, memory_bytes() // 4)
    if size > most:
        raise InputError(f"{what} take {size} bytes", f"at most {most}")


def _image_path(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.name:
        raise InputError(f"`file_path` {name!r:.80} names no image", "a PNG file")
    return path if path.suffix == ".png" else path.with_name(path.name + ".png")


def _open(path: Path, size: tuple[int, ...] | None) -> Float32:
    """Return one image as RGBA in [0, 1]; `size` is the (width, height) that it must have."""
    source = str(path)
    try:
        with (
            warnings.catch_warnings(action="ignore", category=Image.DecompressionBombWarning),
            Image.open(path, formats=["PNG"]) as image,
        ):
            found = f"the image has {image.width}x{image.height} pixels"
            if max(image.size) > MAX_SIDE:
                raise InputError(found, f"at most {MAX_SIDE} per side", source)
            if size is not None and image.size != size:
                raise InputError(found, f"{size[0]}x{size[1]} as the first", source)
            if image.mode.startswith(("I", "F")):
                # Converted, these would be cut off at 255, not scaled.
                raise InputError("the image has more than 8 bits per channel", "8 bits", source)
            pixels = np.asarray(image.convert("RGBA"), dtype=np.float32)
    except FileNotFoundError:
        raise InputError("no such image", "a PNG file", source) from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(f"is no readable PNG ({error})", "a PNG file", source) from None
    return pixels / np.float32(255)


def _load_archive(path: Path, view: int | None) -> Views:
    with open_archive(path, _EXPECTED_NPZ) as archive:
        names = set(archive.namelist())
        missing = {"images.npy", "poses.npy", "focal.npy"} - names
        if missing:
            raise InputError(f"has no array {min(missing).removesuffix('.npy')!r}", _EXPECTED_NPZ)
        images, poses, focal = (_array(archive, name) for name in ("images", "poses", "focal"))
    if images.ndim != 4 or images.shape[3] not in (3, 4):
        raise InputError(f"`images` has shape {images.shape}", "(views, height, width, 3 or 4)")
    if poses.shape != (len(images), 4, 4):
        raise InputError(f"{len(images)} images need poses of shape ({len(images)}, 4, 4), not {poses.shape}")
    chosen = _chosen(len(images), view)
    if focal.size != 1 or focal.dtype.kind not in "iuf" or poses.dtype.kind not in "iuf":
        raise InputError("`focal` and `poses` must be numbers", "one focal length and poses of shape (views, 4, 4)")
    poses = poses[chosen].astype(np.float64)
    _check_poses(poses, chosen, "poses[{}]")
    return Views(_unit(images[chosen]), poses, float(focal.reshape(-1)[0]))


def _array(archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    """Read one array after its size is known to be the member's."""
    member = archive.getinfo(f"{name}.npy")
    with archive.open(member) as stream:
        shape, dtype = _npy_header(stream)
        begin = stream.tell()
    if dtype.hasobject or min(shape, default=0) < 0:
        raise InputError(f"`{name}` holds objects, not numbers", _EXPECTED_NPZ)
    size = math.prod(shape) * dtype.itemsize
    if begin + size != member.file_size:
        raise InputError(f"`{name}` of shape {shape} takes {size} bytes, its member {member.file_size}", _EXPECTED_NPZ)
    check_size(f"numbers of `{name}` of shape {shape}", math.prod(shape) * max(dtype.itemsize, 4))
    with archive.open(member) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _npy_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise InputError(f"holds an array of version {version}", _EXPECTED_NPZ)
    shape, _, dtype = read[version](stream)
    return shape, dtype


def _unit(images: NDArray[Any]) -> Float32:
    """Return images as RGBA floats in [0, 1]."""
    if images.dtype == np.uint8:
        found = images.astype(np.float32) / np.float32(255)
    else:
        # A comparison with NaN is false, so NaN is refused as well.
        if images.dtype.kind != "f" or not ((images >= 0) & (images <= 1)).all():
            raise InputError(f"`images` are {images.dtype} or leave [0, 1]", "uint8, or floats from 0 to 1")
        found = images.astype(np.float32)
    if found.shape[3] == 4:
        return found
    return np.concatenate([found, np.ones_like(found[..., :1])], axis=3)
