"""Field files: what is saved is loaded, and whatever is damaged is one clear line."""

import dataclasses
import json
import random
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.render.field import Field
from gossamer_models.render.field_file import load_field, save_field
from tests.models.render.fields import random_field

FIELD = random_field(2, cubes=(3, 5, 11))


def arrays(field: Field) -> list[Any]:
    layers = [array for layer in field.shader.layers for array in (layer.weights, layer.biases)]
    return [*field.density.arrays, *field.appearance.arrays, field.shader.basis, *layers, field.occupancy]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_field(FIELD, tmp_path / "a.field")
    return tmp_path / "a.field"


def rewrite(path: Path, **changes: object) -> None:
    """Change names of ``field.json``, drop or replace members (bytes, or None)."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(members["field.json"])
    for name, value in changes.items():
        member = name.replace("_bin", ".bin").replace("__", "-")
        if name.endswith("_bin"):
            members[member] = value  # type: ignore[assignment]
        else:
            header[name] = value
    members["field.json"] = json.dumps(header).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_what_is_saved_is_loaded(dtype: type[np.float16] | type[np.float32], tmp_path: Path) -> None:
    field = FIELD.astype(dtype)
    save_field(field, tmp_path / "a.field")
    found = load_field(tmp_path / "a.field")
    for ours, theirs in zip(arrays(field), arrays(found), strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)
    plain = ("name", "low", "high", "density_shift", "distance_scale")
    assert all(getattr(field, name) == getattr(found, name) for name in plain)
    save_field(found, tmp_path / "b.field")
    assert (tmp_path / "a.field").read_bytes() == (tmp_path / "b.field").read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "gossamer.field/9"}, "is of format 'gossamer.field/9'"),
        ({"grid": [10, 10, 12]}, "density-xy.bin has 720 bytes; expected 800 bytes"),
        ({"grid": [1, 10, 12]}, "grid"),
        ({"grid": [4096, 4096, 4096], "density_components": 4096}, "bytes; expected at most 1073741824"),
        ({"cubes": [3, 5, 1 << 20]}, "cubes"),
        ({"low": [2.0, 0.0, 0.0]}, "low < high"),
        ({"surplus": 1}, "surplus"),
        ({"occupancy_bin": None}, "lacks a member 'occupancy.bin'"),
        ({"other_bin": b""}, "has a member 'other.bin'"),
        ({"density__xy_bin": b"\0" * 719}, "density-xy.bin has 719 bytes; expected 720 bytes"),
        ({"density__xy_bin": b"\xff\x7f" * 360}, "plane xy: 360 of 360 values are infinite or NaN"),
    ],
)
def test_damage_is_one_line(saved: Path, changes: dict[str, object], message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(InputError, match=message) as caught:
        load_field(saved)
    assert str(caught.value).startswith(str(saved))
    assert "\n" not in str(caught.value)


def test_sizes_are_checked_before_anything_is_allocated(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(saved, grid=[4096, 4096, 4096], density_components=4096)

    def no_array(*arguments: object, **named: object) -> None:
        pytest.fail("an array was made")

    monkeypatch.setattr(np, "frombuffer", no_array)
    with pytest.raises(InputError, match="its arrays take"):
        load_field(saved)


def test_missing_truncated_and_foreign_files(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_field(tmp_path / "none.field")
    with pytest.raises(InputError, match="cannot be read"):
        load_field(tmp_path)
    data = saved.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:length])
        with pytest.raises(InputError, match="is damaged"):
            load_field(saved)


def test_flipped_bytes_are_noticed_or_change_nothing(saved: Path) -> None:
    data = saved.read_bytes()
    rng = random.Random(3)
    for _ in range(300):
        place = rng.randrange(len(data))
        saved.write_bytes(data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :])
        with suppress(InputError):
            for ours, theirs in zip(arrays(FIELD), arrays(load_field(saved)), strict=True):
                np.testing.assert_array_equal(ours, theirs, err_msg=f"byte {place}")


def test_a_field_of_mixed_formats_is_not_saved(tmp_path: Path) -> None:
    mixed = dataclasses.replace(FIELD, density=FIELD.density.astype(np.float32))
    with pytest.raises(InputError, match=r"appearance-xy.bin of field 'random' is float16"):
        save_field(mixed, tmp_path / "a.field")
    assert not (tmp_path / "a.field").exists()
    with pytest.raises(InputError, match="cannot be written"):
        save_field(FIELD, tmp_path / "none" / "a.field")
