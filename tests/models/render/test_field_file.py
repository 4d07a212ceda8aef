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
from gossamer_models.sparsity import Pattern
from tests.models.render.fields import random_field

FIELD = random_field(2, cubes=(3, 5, 11))


def arrays(field: Field) -> list[Any]:
    layers = [array for layer in field.shader.layers for array in (layer.weights, layer.biases)]
    return [*field.density.arrays, *field.appearance.arrays, field.shader.basis, *layers, field.occupancy]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_field(FIELD, tmp_path / "a.field")
    return tmp_path / "a.field"


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, **changes: object) -> None:
    """Change names of ``field.json``, drop or replace members (bytes, or None)."""
    members = members_of(path)
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


@pytest.mark.parametrize("pattern", ["2:4", "2:8", "4:8", "1:2"])
@pytest.mark.parametrize("basis", [True, False])
def test_sparse_networks_and_shadings_are_loaded_as_saved(pattern: str, basis: bool, tmp_path: Path) -> None:
    shader = FIELD.shader.pruned(Pattern.parse(pattern), basis=basis)
    shader.layers[0].weights[0] = 0  # groups with fewer entries than the file has room for
    field = dataclasses.replace(FIELD, shader=shader, shading="deferred")
    save_field(field, tmp_path / "a.field")
    found = load_field(tmp_path / "a.field")
    for ours, theirs in zip(arrays(field), arrays(found), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert found.shader.patterns == shader.patterns
    assert found.shading == "deferred"
    save_field(found, tmp_path / "b.field")
    assert (tmp_path / "a.field").read_bytes() == (tmp_path / "b.field").read_bytes()


def test_entries_in_a_file_by_hand(tmp_path: Path) -> None:
    """Layer 1 has 3 outputs of 8 inputs: one word, two entries of 2:8, and a byte of valid bit and place for each."""
    weights = np.zeros((3, 8), np.float16)
    weights[0, [1, 6]], weights[1, 7] = (1.0, -2.0), 0.5
    layers = FIELD.shader.layers[0], dataclasses.replace(
        FIELD.shader.layers[1], weights=weights, pattern=Pattern(2, 8)
    )  # fmt: skip
    save_field(
        dataclasses.replace(FIELD, shader=dataclasses.replace(FIELD.shader, layers=layers)), tmp_path / "a.field"
    )
    found = members_of(tmp_path / "a.field")
    assert json.loads(found["field.json"])["sparsity"] == ["dense", "dense", "2:8"]
    assert found["weights-1.bin"] == bytes.fromhex("003c 00c0 0038 0000 0000 0000")
    assert found["weights-1-metadata.bin"] == bytes.fromhex("81 86 87 00 00 00")


def test_files_of_the_first_format_are_loaded(saved: Path) -> None:
    members = members_of(saved)
    header = json.loads(members["field.json"])
    del header["shading"], header["sparsity"]
    members["field.json"] = json.dumps(header | {"format": "gossamer.field/1"}).encode()
    with zipfile.ZipFile(saved, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    found = load_field(saved)
    assert found.shading == "per-sample"
    assert all(pattern.is_dense for pattern in found.shader.patterns)


def sparse(folder: Path, pattern: str) -> Path:
    """A file whose layer 1 has three words; the first has its numbers at places 0 and 1, and 4 and 5 for 2:4."""
    weights = np.zeros((3, 8), np.float16)
    weights[:, [0, 1, 4, 5] if pattern == "2:4" else [0, 1]] = 1
    layer = dataclasses.replace(FIELD.shader.layers[1], weights=weights, pattern=Pattern.parse(pattern))
    shader = dataclasses.replace(FIELD.shader, layers=(FIELD.shader.layers[0], layer))
    save_field(dataclasses.replace(FIELD, shader=shader), folder / "a.field")
    return folder / "a.field"


@pytest.mark.parametrize(
    ("pattern", "metadata", "message"),
    [
        ("2:4", "80 81 82 85", "1 groups of 4 inputs have more than 2 entries"),
        ("2:4", "80 81 82 83", "1 groups of 4 inputs have more than 2 entries"),
        ("2:8", "80 80", "out of order, twice"),
        ("2:8", "81 80", "out of order"),
        ("2:8", "80 89", "a place beyond its word"),
        ("2:8", "80 01", "out of order, twice, zero"),
        ("2:8", "80 00", "out of order, twice, zero"),
    ],
)
def test_tampered_entries_are_one_line(pattern: str, metadata: str, message: str, tmp_path: Path) -> None:
    path = sparse(tmp_path, pattern)
    before = members_of(path)["weights-1-metadata.bin"]
    data = bytes.fromhex(metadata)
    rewrite(path, weights__1__metadata_bin=data + before[len(data) :])
    with pytest.raises(InputError, match=message) as caught:
        load_field(path)
    assert str(caught.value).startswith(f"{path}: weights-1")
    assert "\n" not in str(caught.value)


def test_entries_beyond_the_inputs_are_refused(tmp_path: Path) -> None:
    """Layer 0 has 40 inputs; the basis has 18: its last word ends at place 1."""
    field = dataclasses.replace(FIELD, shader=FIELD.shader.pruned(Pattern(2, 8)))
    save_field(field, tmp_path / "a.field")
    metadata = bytearray(members_of(tmp_path / "a.field")["basis-metadata.bin"])
    assert metadata[5] == 0x81
    metadata[5] = 0x82
    rewrite(tmp_path / "a.field", basis__metadata_bin=bytes(metadata))
    with pytest.raises(InputError, match="beyond 18 inputs"):
        load_field(tmp_path / "a.field")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shading": "both"}, "shading: must be"),
        ({"sparsity": ["dense", "dense"]}, "sparsity: has 2 entries; expected 3: basis and layers"),
        ({"sparsity": ["dense", "2:16", "dense"]}, r"sparsity\[1\]: M of sparsity 2:16 must divide the word"),
        ({"sparsity": ["dense", "9:8", "dense"]}, r"sparsity\[1\]: N of a sparsity N:M must lie"),
        ({"sparsity": ["dense", "8:8", "dense"]}, r"sparsity\[1\]: is 8:8; expected `dense`"),
        (
            {"sparsity": ["2:8", "dense", "dense"]},
            "lacks a member 'basis-metadata.bin'",
        ),
        ({"sparsity": ["dense", "dense", "2:8"], "precision": "float32"}, "is 2:8 of float32"),
        ({"format": "gossamer.field/9"}, "is of format 'gossamer.field/9'"),
        ({"grid": [10, 10, 12]}, "density-xy.bin has 720 bytes; expected 800 bytes"),
        ({"grid": [1, 10, 12]}, "grid"),
        ({"grid": [4096, 4096, 4096], "density_components": 4096}, "bytes; expected at most 1073741824"),
        ({"cubes": [3, 5, 1 << 20]}, "cubes"),
        ({"low": [2.0, 0.0, 0.0]}, "low < high"),
        ({"low": [-1e300, -1.0, -1.0]}, "box must lie within 1e"),
        ({"distance_scale": 1e300}, "and distance_scale above 0"),
        ({"density_shift": -1e7}, "density_shift must lie within"),
        ({"surplus": 1}, "surplus"),
        ({"occupancy_bin": None}, "lacks a member 'occupancy.bin'"),
        (
            {"occupancy_bin": b"\1" * 29 + b"\x08"},
            "occupancy.bin has bits behind the last cube of a row; expected zeros",
        ),
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
    with pytest.raises(InputError, match="not a regular file"):
        load_field(tmp_path)
    data = saved.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:length])
        with pytest.raises(InputError, match="is damaged"):
            load_field(saved)


@pytest.mark.parametrize(("before", "behind"), [(b"x", b""), (b"", b"x"), (b"", bytes(100)), (b"PK\3\4", b"")])
def test_bytes_beside_the_archive_are_refused(saved: Path, before: bytes, behind: bytes) -> None:
    saved.write_bytes(before + saved.read_bytes() + behind)
    with pytest.raises(InputError, match="has bytes before its first member or behind its directory"):
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
