"""Field files: a radiance field in one file, without pickled objects. ``docs/fields.md`` describes the format.

A zip archive: ``field.json`` with names and sizes, and one member per array, little-endian, in C order. Every size
follows from ``field.json``, is bounded, and is compared with the archive's directory before a byte of an array is
read.
"""

import json
import os
import zipfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field as Bounded

from gossamer_models.archives import open_archive
from gossamer_models.errors import InputError
from gossamer_models.loading import validate
from gossamer_models.numerics.formats import Bool
from gossamer_models.render.field import (
    LINE_AXIS,
    MOST_CUBES,
    MOST_FREQUENCIES,
    PLANE_AXES,
    Dense,
    Factors,
    Field,
    Shader,
    Shading,
)  # fmt: skip
from gossamer_models.render.matrix_file import (
    Member,
    Shape,
    matrix_arrays,
    parse_pattern,
    pattern_name,
    plan_matrix,
    read_matrix,
)  # fmt: skip
from gossamer_models.schema import Schema
from gossamer_models.sparsity import Pattern

__all__ = ["FORMAT", "MAX_FIELD_BYTES", "MAX_HIDDEN", "SUFFIX", "load_field", "save_field"]

SUFFIX: Final = ".field"
"""How the names of field files end."""

FORMAT: Final = "gossamer.field/2"
MAX_FIELD_BYTES: Final = 1 << 30
"""Bound of all arrays of a field together."""

MAX_HIDDEN: Final = 16
"""Hidden layers of a network, at most."""

_HEADER: Final = "field.json"
_MAX_HEADER_BYTES: Final = 1 << 16
_TIMESTAMP: Final = (1980, 1, 1, 0, 0, 0)  # equal fields make equal files
_EXPECTED: Final = f"a field file of format {FORMAT}"
_FIRST_FORMAT: Final = "gossamer.field/1"  # had neither shadings nor N:M
_AXES: Final = "xyz"
_END: Final = b"PK\5\6"  # a zip archive ends with a record of 22 bytes, if no comment follows
_END_BYTES: Final = 22

Axis = Annotated[int, Bounded(ge=2, le=4096)]
Width = Annotated[int, Bounded(ge=1, le=4096)]
Cubes = Annotated[int, Bounded(ge=1, le=MOST_CUBES)]
Frequencies = Annotated[int, Bounded(ge=0, le=MOST_FREQUENCIES)]
Sparsity = Annotated[str, Bounded(max_length=9)]


class _Header(Schema):
    format: str
    name: Annotated[str, Bounded(max_length=200)]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    grid: tuple[Axis, Axis, Axis]
    precision: Literal["float16", "float32"]
    density_components: Width
    appearance_components: Width
    features: Width
    hidden: Annotated[tuple[Width, ...], Bounded(max_length=MAX_HIDDEN)]
    feature_frequencies: Frequencies
    direction_frequencies: Frequencies
    cubes: tuple[Cubes, Cubes, Cubes]
    density_shift: float
    distance_scale: float
    shading: Shading
    sparsity: Annotated[tuple[Sparsity, ...], Bounded(max_length=MAX_HIDDEN + 2)]

    @property
    def patterns(self) -> list[Pattern]:
        """N:M of the basis and of all layers."""
        return [parse_pattern(text) for text in self.sparsity]


def save_field(field: Field, path: Path) -> None:
    """Write a field file; equal fields make equal bytes.

    Raises
    ------
    InputError
        The field mixes formats or exceeds a bound of the file, or the file cannot be written.
    """
    source = f"field {field.name!r:.60}"
    header = validate(_Header, _describe(field), source)
    _check_sparsity(header, source)
    arrays = list(_arrays(field))
    planned = {name: (shape, dtype) for name, shape, dtype in _plan(header)}
    for name, array in arrays:
        if planned[name] != (array.shape, array.dtype):
            raise InputError(f"{name} of {source} is {array.dtype}{array.shape}", f"{planned[name]}")
    _check_total(header, str(path))
    text = json.dumps(header.model_dump(mode="json"), indent=1).encode()
    try:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(zipfile.ZipInfo(_HEADER, _TIMESTAMP), text, zipfile.ZIP_DEFLATED)
            for name, array in arrays:
                data = array.astype(array.dtype.newbyteorder("<"), order="C").tobytes()
                archive.writestr(zipfile.ZipInfo(name, _TIMESTAMP), data, zipfile.ZIP_DEFLATED)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be written ({error})", source=str(path)) from None


def load_field(path: str | Path) -> Field:
    """Read a field file.

    Raises
    ------
    InputError
        The file is missing, truncated, damaged, longer than its archive, of another version, larger than
        `MAX_FIELD_BYTES` once unpacked, or holds numbers that are not finite; the message names the file.
    """
    source = str(path)
    with open_archive(path, _EXPECTED) as archive:
        if not _is_all(archive, Path(path)):
            raise InputError("has bytes before its first member or behind its directory", _EXPECTED, source)
        header, arrays = _read(archive, source)
    try:
        return _assemble(header, arrays)
    except InputError as error:
        error.source = source
        raise


def _is_all(archive: zipfile.ZipFile, path: Path) -> bool:
    """Whether an archive begins and ends where its file does."""
    with path.open("rb") as file:
        file.seek(-_END_BYTES, os.SEEK_END)
        ends = file.read(len(_END)) == _END
    return ends and min((item.header_offset for item in archive.infolist()), default=0) == 0


def _read(archive: zipfile.ZipFile, source: str) -> tuple[_Header, dict[str, NDArray[Any]]]:
    found = archive.infolist()
    members = {item.filename: item for item in found}
    if len(members) != len(found):
        raise InputError("has a member twice", _EXPECTED, source)
    if _HEADER not in members or members[_HEADER].file_size > _MAX_HEADER_BYTES:
        raise InputError(f"has no {_HEADER} of at most {_MAX_HEADER_BYTES} bytes", _EXPECTED, source)
    header = _parse(archive.read(members.pop(_HEADER)), source)
    _check_sparsity(header, source)
    _check_total(header, source)
    planned = {name: (shape, dtype) for name, shape, dtype in _plan(header)}
    for name in members.keys() ^ planned.keys():
        raise InputError(f"{'lacks' if name in planned else 'has'} a member {name!r:.60}", _EXPECTED, source)
    for name, (shape, dtype) in planned.items():
        if members[name].file_size != (wanted := _size(shape, dtype)):
            raise InputError(f"{name} has {members[name].file_size} bytes", f"{wanted} bytes", source)
    arrays = {}
    for name, (shape, dtype) in planned.items():
        data = np.frombuffer(archive.read(members[name]), dtype.newbyteorder("<"))
        arrays[name] = data.astype(dtype).reshape(shape)
    return header, arrays


def _parse(text: bytes, source: str) -> _Header:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{_HEADER} is no JSON ({error})", _EXPECTED, source) from None
    found = data.get("format") if isinstance(data, dict) else None
    if found == _FIRST_FORMAT:
        hidden = data.get("hidden")
        matrices = 2 + (len(hidden) if isinstance(hidden, list) else 0)
        data = {"shading": "per-sample", "sparsity": ["dense"] * matrices} | data
    elif found != FORMAT:
        raise InputError(f"is of format {found!r:.40}", _EXPECTED, source)
    return validate(_Header, data, source)


def _check_sparsity(header: _Header, source: str) -> None:
    """Refuse patterns that the file or the machine's words have no place for."""
    matrices = len(header.hidden) + 2
    if len(header.sparsity) != matrices:
        raise InputError(f"has {len(header.sparsity)} entries", f"{matrices}: basis and layers", source, "sparsity")
    for number, text in enumerate(header.sparsity):
        path = f"sparsity[{number}]"
        try:
            pattern = parse_pattern(text)
        except InputError as error:
            error.source, error.path = source, path
            raise
        if not pattern.is_dense and header.precision != "float16":
            raise InputError(f"is {text} of {header.precision}", '"dense", or N:M of float16', source, path)


def _check_total(header: _Header, source: str) -> None:
    total = sum(_size(shape, dtype) for _, shape, dtype in _plan(header))
    if total > MAX_FIELD_BYTES:
        raise InputError(f"its arrays take {total} bytes", f"at most {MAX_FIELD_BYTES} bytes", source)


def _size(shape: Shape, dtype: np.dtype[Any]) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size


def _plan(header: _Header) -> Iterator[Member]:
    """Yield name, shape and type of every array, in the order of the file."""
    real, single = np.dtype(header.precision), np.dtype(np.float32)
    for kind, count in (("density", header.density_components), ("appearance", header.appearance_components)):
        for a, b in PLANE_AXES:
            yield f"{kind}-{_AXES[a]}{_AXES[b]}.bin", (header.grid[b], header.grid[a], count), real
        for c in LINE_AXIS:
            yield f"{kind}-{_AXES[c]}.bin", (header.grid[c], count), real
    yield from plan_matrix("basis", (header.features, 3 * header.appearance_components), header.patterns[0], real)
    for number, shape in enumerate(_layer_shapes(header)):
        yield from plan_matrix(f"weights-{number}", shape, header.patterns[number + 1], real)
        yield f"biases-{number}.bin", shape[:1], single
    rx, ry, rz = header.cubes
    yield "occupancy.bin", (rx, ry, -(-rz // 8)), np.dtype(np.uint8)


def _layer_shapes(header: _Header) -> list[tuple[int, int]]:
    """Return (outputs, inputs) of all layers."""
    width = Shader.inputs(header.features, header.feature_frequencies, header.direction_frequencies)
    return [(outputs, inputs) for inputs, outputs in pairwise((width, *header.hidden, 3))]


def _describe(field: Field) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "name": field.name,
        "low": [float(x) for x in field.low],
        "high": [float(x) for x in field.high],
        "grid": field.grid,
        "precision": field.density.lines[0].dtype.name,
        "density_components": field.density.components,
        "appearance_components": field.appearance.components,
        "features": field.shader.features,
        "hidden": [int(layer.weights.shape[0]) for layer in field.shader.layers[:-1]],
        "feature_frequencies": field.shader.feature_frequencies,
        "direction_frequencies": field.shader.direction_frequencies,
        "cubes": field.occupancy.shape,
        "density_shift": field.density_shift,
        "distance_scale": field.distance_scale,
        "shading": field.shading,
        "sparsity": [pattern_name(pattern) for pattern in field.shader.patterns],
    }


def _arrays(field: Field) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield name and array of everything that a file holds."""
    for kind, factors in (("density", field.density), ("appearance", field.appearance)):
        for (a, b), plane in zip(PLANE_AXES, factors.planes, strict=True):
            yield f"{kind}-{_AXES[a]}{_AXES[b]}.bin", plane
        for c, line in zip(LINE_AXIS, factors.lines, strict=True):
            yield f"{kind}-{_AXES[c]}.bin", line
    yield from matrix_arrays("basis", field.shader.basis, field.shader.basis_pattern)
    for number, layer in enumerate(field.shader.layers):
        yield from matrix_arrays(f"weights-{number}", layer.weights, layer.pattern)
        yield f"biases-{number}.bin", layer.biases
    yield "occupancy.bin", _packed(field.occupancy)


def _packed(occupancy: Bool) -> NDArray[np.uint8]:
    return np.packbits(occupancy, axis=2, bitorder="little")


def _assemble(header: _Header, arrays: dict[str, NDArray[Any]]) -> Field:
    def factors(kind: str) -> Factors:
        xy, xz, yz = (arrays[f"{kind}-{_AXES[a]}{_AXES[b]}.bin"] for a, b in PLANE_AXES)
        z, y, x = (arrays[f"{kind}-{_AXES[c]}.bin"] for c in LINE_AXIS)
        return Factors((xy, xz, yz), (z, y, x))

    basis_pattern, *patterns = header.patterns
    layers = tuple(
        Dense(read_matrix(f"weights-{number}", arrays, inputs, pattern), arrays[f"biases-{number}.bin"], pattern)
        for number, ((_, inputs), pattern) in enumerate(zip(_layer_shapes(header), patterns, strict=True))
    )
    basis = read_matrix("basis", arrays, 3 * header.appearance_components, basis_pattern)
    shader = Shader(basis, layers, header.feature_frequencies, header.direction_frequencies, basis_pattern)
    packed = arrays["occupancy.bin"]
    occupancy = np.unpackbits(packed, axis=2, count=header.cubes[2], bitorder="little").astype(np.bool_)
    if not np.array_equal(_packed(occupancy), packed):
        raise InputError("occupancy.bin has bits behind the last cube of a row", "zeros")
    return Field(
        header.name, header.low, header.high, factors("density"), factors("appearance"), shader, occupancy,
        header.density_shift, header.distance_scale, header.shading,
    )  # fmt: skip
