import os
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from gossamer_models.errors import InputError
from gossamer_models.loading import MAX_BYTES, builtin_names, load_model, load_yaml, resolve, validate
from gossamer_models.schema import Schema


class Leaf(Schema):
    type: Literal["leaf"]
    size: Annotated[int, Field(gt=0)]


class Twig(Schema):
    type: Literal["twig"]
    mode: Literal["slow", "fast"] = "slow"
    scale: float = 1.0


class Tree(Schema):
    name: str
    parts: tuple[Annotated[Leaf | Twig, Field(discriminator="type")], ...] = ()
    pair: tuple[int, int] = (1, 1)
    flag: bool = False


def write(folder: Path, text: str | bytes, name: str = "f.yaml") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def fault(path: str | Path, kind: str = "networks", relative_to: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_model(Tree, path, kind, relative_to)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def test_lists_become_tuples_and_numbers_keep_their_types(tmp_path: Path) -> None:
    path = write(
        tmp_path, "name: x\nparts: [{type: leaf, size: 3}, {type: twig, scale: 2}]\npair: [1, 2]\nflag: true\n"
    )
    tree = load_model(Tree, path, "networks")
    assert tree == Tree(
        name="x", parts=(Leaf(type="leaf", size=3), Twig(type="twig", scale=2.0)), pair=(1, 2), flag=True
    )


def test_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert load_yaml(write(tmp_path, b"\xef\xbb\xbfname: x")) == {"name": "x"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty; expected a YAML mapping"),
        (b"---\n", "the file is empty; expected a YAML mapping"),
        (b"- a\n- b\n", "the file is a list; expected a YAML mapping"),
        (b"hello", "the file is a text; expected a YAML mapping"),
        (b"3", "the file is a number; expected a YAML mapping"),
        (b"true", "the file is a boolean; expected a YAML mapping"),
        (b"name: \xff\xfe", "not UTF-8 at byte 6; expected UTF-8 text"),
        (b"name: x\nname: y\n", "line 2: duplicate key 'name'; expected every key once"),
    ],
)
def test_unusable_files(tmp_path: Path, text: bytes, message: str) -> None:
    path = write(tmp_path, text)
    assert fault(path) == f"{path}: {message}"


def test_ten_megabytes_of_nesting_are_refused_before_parsing(tmp_path: Path) -> None:
    path = write(tmp_path, b"a: " + b"[" * 10_000_000)
    assert fault(path) == f"{path}: the file is larger than {MAX_BYTES} bytes; expected a smaller file"


def test_missing_file_folder_device_and_unreadable_name(tmp_path: Path) -> None:
    assert fault(tmp_path / "no.yaml").startswith(f"{tmp_path}/no.yaml: no such file; expected a YAML file, or one of ")
    assert fault(tmp_path) == f"{tmp_path}: not a regular file; expected a YAML file"
    assert fault(Path(os.devnull)) == f"{os.devnull}: not a regular file; expected a YAML file"
    assert "expected" in fault("x" * 5000)
    assert "expected" in fault("a\0b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "name: the key is missing"),
        ("name: 3", "name: must be a string, not 3"),
        ("name: null", "name: must be a string, not null"),
        ("{name: x, flag: 1}", "flag: must be a boolean, not 1"),
        ("{name: x, flag: yes}", "flag: must be a boolean, not 'yes'"),
        ("{name: x, parts: 3}", "parts: must be a list, not 3"),
        ("{name: x, parts: [3]}", "parts[0]: must be a mapping, not 3"),
        ("{name: x, parts: [{size: 3}]}", "parts[0]: the key `type` is missing"),
        (
            "{name: x, parts: [{type: leef}]}",
            "parts[0]: unknown type 'leef', did you mean 'leaf'? (expected one of leaf, twig)",
        ),
        ("{name: x, parts: [{type: leaf, size: 0}]}", "parts[0].size: must be greater than 0, not 0"),
        ("{name: x, parts: [{type: leaf, size: 1.5}]}", "parts[0].size: must be an integer, not 1.5"),
        ("{name: x, parts: [{type: leaf, size: '3'}]}", "parts[0].size: must be an integer, not '3'"),
        (
            "{name: x, parts: [{type: leaf, size: 1, sise: 3}]}",
            "parts[0].sise: unknown key, did you mean 'size'? (expected one of size, type)",
        ),
        (
            "{name: x, parts: [{type: twig, mode: fist}]}",
            "parts[0].mode: must be 'slow' or 'fast', not 'fist', did you mean 'fast'?",
        ),
        ("{name: x, parts: [{type: twig, scale: .nan}]}", "parts[0].scale: must be a finite number, not nan"),
        ("{name: x, nmae: y}", "nmae: unknown key, did you mean 'name'? (expected one of flag, name, pair, parts)"),
        ("{name: x, pair: [1]}", "pair[1]: the element is missing"),
        ("{name: x, pair: {a: 1}}", "pair: must be a list, not a mapping"),
    ],
)
def test_faults_name_place_value_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    assert fault(path) == f"{path}: {message}"


def test_three_faults_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    text = "{name: 1, flag: 2, pair: 3, parts: 4, other: 5}"
    path = write(tmp_path, text)
    assert fault(path) == (
        f"{path}: name: must be a string, not 1; parts: must be a list, not 4; pair: must be a list, not 3; and 2 more"
    )


def test_long_values_are_cut(tmp_path: Path) -> None:
    assert len(fault(write(tmp_path, f"{{name: x, flag: {'y' * 10_000}}}"))) < 200


def test_unknown_name_gives_the_nearest_and_all() -> None:
    known = ", ".join(builtin_names("networks"))
    assert fault("resnet18-46") == (
        "unknown network 'resnet18-46', did you mean 'resnet18-64'?; "
        f"expected one of {known}, or the path of a YAML file"
    )
    assert "did you mean" not in fault("qqqq")


def test_resolution_prefers_the_referring_file_then_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "near").mkdir()
    near, here = write(tmp_path / "near", "name: near"), write(tmp_path, "name: here")
    monkeypatch.chdir(tmp_path)
    assert resolve("f.yaml", "networks", tmp_path / "near" / "workload.yaml") == near
    near.unlink()
    assert resolve("f.yaml", "networks", tmp_path / "near" / "workload.yaml").resolve() == here
    assert resolve("digits-mlp", "networks", tmp_path / "near" / "workload.yaml").stem == "digits-mlp"


def test_a_folder_does_not_shadow_a_ready_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "digits-mlp").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("digits-mlp", "networks").name == "digits-mlp.yaml"


def test_data_that_recurse_too_deeply_are_refused() -> None:
    data: list[object] = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(InputError, match=r"a.json: is nested too deeply; expected fewer levels"):
        validate(Schema, {"name": data}, "a.json")
