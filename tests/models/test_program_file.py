"""Program files: what is saved is loaded, and whatever is damaged is one clear line."""

import json
import random
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program, StageProgram, TensorLayout
from gossamer_models.program_file import load_program, save_program
from gossamer_models.sparsity import Pattern

MACHINE = load_architecture("wide-4x4")


def program(*, filled: bool = True) -> Program:
    network = load_network("digits-resnet")
    made = compile_training(network, 3, METHODS["bdwp"], Pattern(2, 8), MACHINE)
    if filled:
        made.memory.fill()
        host.write_parameters(made, network, 3, seed=5)
    return made


def in_order(stage: StageProgram) -> tuple[Any, ...]:
    tokens = {semaphore: count for semaphore, count in stage.credits if count}
    return stage.layer, stage.stage, stage.instructions, tokens, stage.sparsity, stage.dataflow, stage.macs


@cache
def content(folder: Path) -> bytes:
    save_program(program(), MACHINE, folder / "cached")
    return (folder / "cached").read_bytes()


def saved(tmp_path: Path) -> Path:
    path = tmp_path / "step.gossamer"
    path.write_bytes(content(tmp_path.parent))
    return path


@pytest.mark.parametrize("filled", [True, False])
def test_what_is_saved_is_loaded(filled: bool, tmp_path: Path) -> None:
    made = program(filled=filled)
    save_program(made, MACHINE, tmp_path / "p.gossamer")
    found, machine = load_program(tmp_path / "p.gossamer")
    assert machine == MACHINE.model_copy(update={"energy": None})
    assert (found.name, found.architecture) == (made.name, made.architecture)
    assert [in_order(stage) for stage in found.stages] == [in_order(stage) for stage in made.stages]
    assert found.memory.tensors == made.memory.tensors
    assert found.memory.size_bytes == made.memory.size_bytes
    if filled:
        assert found.memory.data is not None
        np.testing.assert_array_equal(found.memory.data, made.memory.data)
        found.memory.data[0] ^= 1  # a copy of its own, to be run
    else:
        assert found.memory.data is None


@pytest.mark.fast_one_in(4)
@pytest.mark.parametrize("layout", get_args(TensorLayout))
def test_tensors_of_every_layout(layout: TensorLayout, tmp_path: Path) -> None:
    made = program(filled=False)
    made.memory.allocate("last", 64, layout, (1, 8, 1, 1))
    save_program(made, MACHINE, tmp_path / "p.gossamer")
    assert load_program(tmp_path / "p.gossamer")[0].memory.tensors == made.memory.tensors


def test_all_semaphores_keep_their_credits(tmp_path: Path) -> None:
    made = program()
    credits_ = tuple((semaphore, 1 + number % 15) for number, semaphore in enumerate(Semaphore))
    stage = StageProgram("a", "b", (), credits_)
    save_program(Program("x", MACHINE.name, (stage,), made.memory), MACHINE, tmp_path / "x")
    assert load_program(tmp_path / "x")[0].stages == (stage,)


def test_equal_programs_make_equal_files(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_program(program(), MACHINE, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is for 'wide-4x4', not 'small-8x8'"):
        save_program(program(), load_architecture("small-8x8"), tmp_path / "p")


def test_a_folder_is_no_place_to_write(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        save_program(program(filled=False), MACHINE, tmp_path)


Change = Callable[[dict[str, Any]], None]


def rewrite(path: Path, *, header: Change = lambda _: None, members: Change = lambda _: None) -> None:
    """Change a file's JSON or its members, checksums of the archive right."""
    with zipfile.ZipFile(path) as archive:
        held: dict[str, Any] = {name: archive.read(name) for name in archive.namelist()}
    data = json.loads(held["program.json"])
    header(data)
    held["program.json"] = json.dumps(data).encode()
    members(held)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)


HEADERS: dict[str, tuple[Change, str]] = {
    "version": (lambda h: h.update(isa_version=0), "version 0 of the instruction set"),
    "unknown key": (lambda h: h.update(more=1), "more"),
    "missing key": (lambda h: h.pop("name"), "name"),
    "architecture": (lambda h: h["architecture"]["array"].update(rows=3), "rows"),
    "tensor outside": (lambda h: h["tensors"][0].update(address=1 << 40), "leaves the image"),
    "negative address": (lambda h: h["tensors"][0].update(address=-1), "address"),
    "two of a name": (lambda h: h["tensors"].append(h["tensors"][0]), "two tensors have one name"),
    "layout": (lambda h: h["tensors"][0].update(layout="rows"), "layout"),
    "image size": (lambda h: h.update(image_bytes=h["image_bytes"] + 1), "image.bin has"),
    "symbolic": (lambda h: h.update(filled=False), "image.bin has .* as the image is symbolic"),
    "one stage less": (lambda h: h["stages"].pop(), "its stages take"),
    "one stage more": (lambda h: h["stages"].append(h["stages"][0]), "cannot be decoded"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_wrong_headers(name: str, tmp_path: Path) -> None:
    change, message = HEADERS[name]
    path = saved(tmp_path)
    rewrite(path, header=change)
    assert_refused(path, message)


def _stages(change: Callable[[bytearray], Any]) -> Change:
    def apply(members: dict[str, Any]) -> None:
        data = bytearray(members["stages.bin"])
        change(data)
        members["stages.bin"] = bytes(data)

    return apply


MEMBERS: dict[str, tuple[Change, str]] = {
    "no stages": (lambda m: m.pop("stages.bin"), "has no member stages.bin"),
    "no header": (lambda m: m.pop("program.json"), "has no member program.json"),
    "no image": (lambda m: m.pop("image.bin"), "image.bin has None bytes"),
    "a stranger": (lambda m: m.update(other=b""), "has a member 'other'"),
    "no JSON": (lambda m: m.update({"program.json": b"{"}), "is no JSON"),
    "nested JSON": (lambda m: m.update({"program.json": b"[" * 100_000}), "is no JSON"),
    "a list": (lambda m: m.update({"program.json": b"[]"}), "version None"),
    "illegal opcode": (_stages(lambda d: d.__setitem__(192, 255)), "stage 0 cannot be decoded: opcode"),
    "no STAGE": (_stages(lambda d: d.__delitem__(slice(0, 192))), "does not start with STAGE"),
    "truncated": (_stages(lambda d: d.__delitem__(slice(-192, None))), "ends before them"),
    "half an instruction": (_stages(lambda d: d.__delitem__(slice(-1, None))), "ends before them"),
    "more behind": (_stages(lambda d: d.extend(bytes(192))), "its stages take"),
}


@pytest.mark.parametrize("name", MEMBERS)
def test_wrong_members(name: str, tmp_path: Path) -> None:
    change, message = MEMBERS[name]
    path = saved(tmp_path)
    rewrite(path, members=change)
    assert_refused(path, message)


def assert_refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        load_program(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_missing_files_and_other_files(tmp_path: Path) -> None:
    assert_refused(tmp_path / "none", "no such file")
    assert_refused(tmp_path, "not a regular file")
    (tmp_path / "text").write_text("network: digits-cnn\n")
    assert_refused(tmp_path / "text", "is damaged")


@pytest.mark.parametrize("seed", range(40))
def test_damage_anywhere_is_an_input_error(seed: int, tmp_path: Path) -> None:
    path = saved(tmp_path)
    numbers = random.Random(seed)
    data = bytearray(path.read_bytes())
    if seed % 4:
        for _ in range(numbers.randint(1, 8)):
            data[numbers.randrange(len(data))] ^= numbers.randint(1, 255)
    else:
        del data[numbers.randrange(len(data)) :]
    path.write_bytes(data)
    with suppress(InputError):
        found, _ = load_program(path)
        # Only what a reader of archives ignores was changed: dates, versions, attributes.
        expected = [in_order(stage) for stage in program().stages]
        assert [in_order(stage) for stage in found.stages] == expected, f"seed {seed}"
