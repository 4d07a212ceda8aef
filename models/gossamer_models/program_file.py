"""Program files: a Program with its architecture and its memory image in one file, to be replayed anywhere.

A zip archive of three members, without pickled objects:

==================== ================================================================================================
``program.json``     names, architecture, what reports say of each stage, tensors, size of the image
``stages.bin``       per stage a STAGE header and its instructions, as the machine fetches them
``image.bin``        the image's bytes; missing if the image is symbolic
==================== ================================================================================================
"""

import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field

from gossamer_models.architecture import Architecture
from gossamer_models.archives import open_archive
from gossamer_models.errors import InputError
from gossamer_models.isa.encoding import decode_all
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, ISA_VERSION, Instruction, Stage
from gossamer_models.isa.tokens import TOKEN_BITS, Semaphore
from gossamer_models.loading import validate
from gossamer_models.program import MemoryImage, Program, StageProgram, Tensor, TensorLayout
from gossamer_models.program_encoding import encode_program
from gossamer_models.recorded import SweepCounts
from gossamer_models.schema import Schema

__all__ = ["MAX_IMAGE_BYTES", "SUFFIX", "load_program", "save_program"]

SUFFIX: Final = ".gossamer"
"""How the names of program files end."""

MAX_IMAGE_BYTES: Final = 1 << 30
_MAX_MEMBER_BYTES: Final = {"program.json": 1 << 24, "stages.bin": 1 << 28, "image.bin": MAX_IMAGE_BYTES}
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)  # equal programs make equal files
_EXPECTED: Final = "a program file that this version has written"

Count = Annotated[int, Field(ge=0, lt=1 << 63)]


class _Tensor(Schema):
    name: str
    address: Count
    size_bytes: Count
    layout: TensorLayout
    shape: tuple[Count, ...]


class _Stage(Schema):
    layer: str
    stage: str
    dataflow: str
    sparsity: str
    macs: Count
    macs_dense: Count


class _Sweep(Schema):
    cubes: Count
    samples: Count
    cycles: Count


class _Header(Schema):
    format: Literal["gossamer.program/1"]
    isa_version: int
    name: str
    architecture: Architecture
    stages: tuple[_Stage, ...]
    tensors: tuple[_Tensor, ...]
    image_bytes: Count
    filled: bool
    recorded: tuple[_Sweep, ...] = ()


def save_program(program: Program, architecture: Architecture, path: Path) -> None:
    """Write a program file.

    Parameters
    ----------
    architecture : that the program was compiled for; its energy table is left out.

    Raises
    ------
    InputError
        The architecture is another, the image is larger than ``MAX_IMAGE_BYTES``, or the file cannot be written.
    """
    if program.architecture != architecture.name:
        raise InputError(f"program {program.name!r} is for {program.architecture!r}, not {architecture.name!r}")
    memory = program.memory
    if memory.data is not None and memory.data.size > MAX_IMAGE_BYTES:
        raise InputError(f"the image of program {program.name!r} has {memory.data.size} bytes", f"{MAX_IMAGE_BYTES}")
    members = {
        "program.json": json.dumps(_header(program, architecture), indent=1).encode(),
        "stages.bin": encode_program(program),
    }
    if memory.data is not None:
        members["image.bin"] = memory.data.tobytes()
    try:
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), data, zipfile.ZIP_DEFLATED)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written ({error})", source=str(path)) from None


def load_program(path: str | Path) -> tuple[Program, Architecture]:
    """Read a program file.

    Raises
    ------
    InputError
        The file is missing, damaged, or of another version; the message names the file and what is wrong.
    """
    source = str(path)
    members = _members(Path(path), source)
    header = _parse(members, source)
    stages = tuple(_stages(header.stages, members["stages.bin"], source))
    memory = MemoryImage(
        {
            item.name: Tensor(item.name, item.address, item.size_bytes, item.layout, item.shape)
            for item in header.tensors
        },
        header.image_bytes,
        word=header.architecture.array.group,
    )
    _check_image(header, members, source)
    if header.filled:
        memory.data = np.frombuffer(members["image.bin"], np.uint8).copy()
    recorded = tuple(SweepCounts(**sweep.model_dump()) for sweep in header.recorded)
    return Program(header.name, header.architecture.name, stages, memory, recorded), header.architecture


def _header(program: Program, architecture: Architecture) -> dict[str, object]:
    return {
        "format": "gossamer.program/1",
        "isa_version": ISA_VERSION,
        "name": program.name,
        "architecture": architecture.model_copy(update={"energy": None}).model_dump(mode="json"),
        "stages": [{name: getattr(stage, name) for name in _Stage.model_fields} for stage in program.stages],
        "tensors": [
            {name: getattr(tensor, name) for name in _Tensor.model_fields} for tensor in program.memory.tensors.values()
        ],
        "image_bytes": program.memory.size_bytes,
        "filled": program.memory.data is not None,
        "recorded": [{name: getattr(sweep, name) for name in _Sweep.model_fields} for sweep in program.recorded],
    }


def _members(path: Path, source: str) -> dict[str, bytes]:
    """Read the members, none larger than its bound."""
    with open_archive(path, _EXPECTED) as archive:
        found = {item.filename: item for item in archive.infolist()}
        for name in found:
            if name not in _MAX_MEMBER_BYTES:
                raise InputError(f"has a member {name!r:.60}", _EXPECTED, source)
            if found[name].file_size > _MAX_MEMBER_BYTES[name]:
                raise InputError(f"{name} is larger than {_MAX_MEMBER_BYTES[name]} bytes", _EXPECTED, source)
        members = {name: archive.read(item) for name, item in found.items()}
    missing = {"program.json", "stages.bin"} - members.keys()
    if missing:
        raise InputError(f"has no member {sorted(missing)[0]}", _EXPECTED, source)
    return members


def _parse(members: dict[str, bytes], source: str) -> _Header:
    try:
        data = json.loads(members["program.json"])
    except (ValueError, RecursionError) as error:
        raise InputError(f"program.json is no JSON ({error})", _EXPECTED, source) from None
    version = data.get("isa_version") if isinstance(data, dict) else None
    if version != ISA_VERSION:
        raise InputError(f"is for version {version!r:.20} of the instruction set", f"version {ISA_VERSION}", source)
    return validate(_Header, data, source)


def _stages(described: Sequence[_Stage], data: bytes, source: str) -> Iterator[StageProgram]:
    """Decode the stages; each header says how many instructions follow it."""
    place = 0
    for number, item in enumerate(described):
        header, instructions = _decode_stage(data, place, number, source)
        place += (1 + len(instructions)) * INSTRUCTION_BYTES
        mask = (1 << TOKEN_BITS) - 1
        held = ((s, header.credits >> TOKEN_BITS * (s.bit_length() - 1) & mask) for s in Semaphore)
        yield StageProgram(
            instructions=instructions, credits=tuple((s, count) for s, count in held if count), **item.model_dump()
        )
    if place != len(data):
        raise InputError(f"stages.bin has {len(data)} bytes, its stages take {place}", _EXPECTED, source)


def _decode_stage(data: bytes, place: int, number: int, source: str) -> tuple[Stage, tuple[Instruction, ...]]:
    try:
        header = decode_all(data[place : place + INSTRUCTION_BYTES])
        if len(header) != 1 or not isinstance(header[0], Stage):
            raise ValueError("it does not start with STAGE")
        start, end = place + INSTRUCTION_BYTES, place + (1 + header[0].length) * INSTRUCTION_BYTES
        if end > len(data):
            raise ValueError(f"it has {header[0].length} instructions, the file ends before them")
        return header[0], tuple(decode_all(data[start:end]))
    except ValueError as error:
        raise InputError(f"stage {number} cannot be decoded: {error}", _EXPECTED, source) from None


def _check_image(header: _Header, members: dict[str, bytes], source: str) -> None:
    names = {item.name for item in header.tensors}
    if len(names) != len(header.tensors):
        raise InputError("two tensors have one name", _EXPECTED, source)
    for item in header.tensors:
        if item.address + item.size_bytes > header.image_bytes:
            raise InputError(
                f"tensor {item.name!r:.60} leaves the image of {header.image_bytes} bytes", _EXPECTED, source
            )
    held = len(members["image.bin"]) if "image.bin" in members else None
    if held != (header.image_bytes if header.filled else None):
        wanted = f"{header.image_bytes} bytes" if header.filled else "none, as the image is symbolic"
        raise InputError(f"image.bin has {held} bytes", wanted, source)
