"""Archives that are missing, damaged, encrypted or packed in another way."""

import os
import zipfile
from pathlib import Path

import pytest

from gossamer_models.archives import open_archive
from gossamer_models.errors import InputError


def written(folder: Path) -> Path:
    path = folder / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("member", b"0123456789")
    return path


def changed(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return path


def test_members_are_read(tmp_path: Path) -> None:
    with open_archive(written(tmp_path), "an archive") as archive:
        assert archive.read("member") == b"0123456789"


@pytest.mark.parametrize("fault", ["missing", "folder", "pipe", "truncated", "checksum", "packing", "encrypted"])
def test_faults_name_the_file(tmp_path: Path, fault: str) -> None:
    path = written(tmp_path)
    if fault == "missing":
        path.unlink()
    elif fault == "folder":
        path = tmp_path
    elif fault == "pipe":
        path = tmp_path / "pipe"
        os.mkfifo(path)
    elif fault == "truncated":
        path.write_bytes(path.read_bytes()[:-10])
    elif fault == "checksum":
        changed(path, b"0123456789", b"0123456780")
    else:
        # General purpose flags and method stand 8 and 10 bytes into the directory's entry, 6 and 8 into the member's.
        data = bytearray(path.read_bytes())
        entry = data.index(b"PK\x01\x02")
        for place in (6, entry + 8):
            data[place + 2 * (fault == "packing")] |= 99 if fault == "packing" else 1
        path.write_bytes(data)
    with pytest.raises(InputError, match="expected an archive") as caught, open_archive(path, "an archive") as archive:
        archive.read("member")
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damage_within_packed_members(tmp_path: Path, packing: int) -> None:
    """Every byte, one after the other: what unpackers raise differs, and some bits say nothing."""
    path, content, refused = tmp_path / "a.zip", b"0123456789" * 9, 0
    with zipfile.ZipFile(path, "w", packing) as archive:
        archive.writestr("member", content)
    data = path.read_bytes()
    for place in range(36, data.index(b"PK\x01\x02")):
        path.write_bytes(data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :])
        try:
            with open_archive(path, "an archive") as archive:
                assert archive.read("member") == content
        except InputError:
            refused += 1
    assert refused > 8


def test_what_the_reader_finds_wrong_is_left_as_it_is(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="own") as caught,
        open_archive(written(tmp_path), "an archive"),
    ):
        raise InputError("own words")
    assert str(caught.value) == "own words"
