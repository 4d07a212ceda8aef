"""Stages written once per shape.

All that decides a stage is one *work*, a frozen dataclass. A book replaces the addresses in it by stand-ins,
lets it emit its instructions, and gives later works that are equal so the same ones, placed anew. What a
book does not know to be an address stays as it is: such works share less, but nothing wrong.

An address may only be added to. The difference of two stand-ins is that of their operands where one begins on the
page behind the other's end, and else does not fit a stride's field.
"""

import dataclasses
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter
from typing import Any, Final, Protocol

from gossamer_compiler import emit_tiles
from gossamer_compiler.pieces import in_whole_pieces
from gossamer_compiler.reads import Read
from gossamer_compiler.statistics import Normalisation
from gossamer_models.architecture import Architecture
from gossamer_models.copies import copied
from gossamer_models.isa.instructions import Instruction, Load, Store
from gossamer_models.placement import (
    MAX_OPERAND_BYTES,
    MAX_OPERANDS,
    Blueprint,
    Placed,
    stand_in_address,
)
from gossamer_models.program import PAGE_BYTES, StageProgram, Tensor

__all__ = ["StageBook", "Work", "stage_book"]

_ADDRESSES: Final[dict[type, tuple[str, ...]]] = {
    Tensor: ("address",), Read: ("place",), Normalisation: ("affine", "factors"), emit_tiles.Stream: ("address",),
    Load: ("mem_base",), Store: ("mem_base",),
}  # fmt: skip
_LABELS: Final[dict[type, str]] = {Tensor: "name"}
_TOGETHER: Final = frozenset({"weights", "grouped"})
_MAX_STAGES: Final = 1 << 10


class Work(Protocol):
    """A frozen dataclass that says all that decides a stage."""

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage; ``layer`` is for what goes wrong."""
        ...


class StageBook:
    """Stages of one machine."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._known: dict[object, tuple[StageProgram, Blueprint]] = {}

    def stage(self, work: Work, layer: str, stage: str, beside: str = "") -> StageProgram:
        """Give a work's stage; the others are its names."""
        reader = _Reader()
        key = reader.key(work)
        if reader.full:
            made = self._emitted(work, layer)
            return copied(made, layer=layer, stage=stage, beside=beside)
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _MAX_STAGES:
                self._known.clear()
            made = self._emitted(reader.copy(work), layer)
            known = self._known[key] = made, Blueprint(tuple(made.instructions))
        placed = Placed(known[1], reader.moves)
        return copied(known[0], layer=layer, stage=stage, beside=beside, instructions=placed)

    def _emitted(self, work: Work, layer: str) -> StageProgram:
        return in_whole_pieces(work.emit(self._architecture, layer), self._architecture.memory)


@lru_cache(maxsize=8)
def stage_book(architecture: Architecture) -> StageBook:
    """The book of a machine, which runs of one process share."""
    return StageBook(architecture)


class _Reader:
    """Numbers the operands of one work in the order it comes across them.

    Members
    -------
    moves : per operand, bytes from its stand-in to its address.
    large : an operand is too large for a stand-in.
    """

    def __init__(self) -> None:
        self.moves: list[int] = []
        self.large = False
        self._addresses: dict[int, int] = {}
        self._behind: dict[int, int] = {}

    @property
    def full(self) -> bool:
        """Whether stand-ins do not suffice."""
        return self.large or len(self.moves) > MAX_OPERANDS

    def key(self, value: Any) -> object:
        """All of a value but names, with stand-ins in it; equal keys have equal copies."""
        return _handling(type(value)).key(self, value)  # type: ignore[arg-type]

    def copy(self, value: Any) -> Any:
        """The value with the same stand-ins."""
        return _handling(type(value)).copy(self, value)  # type: ignore[arg-type]

    def address(self, address: int) -> int:
        """Stand-in of an address."""
        found = self._addresses.get(address)
        if found is None:
            found = self._behind.get(address)
            if found is None:
                found = stand_in_address(len(self.moves)) + address % PAGE_BYTES
                self.moves.append(address - found)
            self._addresses[address] = found
        return found

    def tensor(self, tensor: Tensor) -> int:
        """Stand-in of a tensor's address; of masters, one after the other, also where the next one begins."""
        found = self.address(tensor.address)
        if tensor.layout in _TOGETHER:
            pages = -(-tensor.size_bytes // PAGE_BYTES) * PAGE_BYTES
            self._behind.setdefault(tensor.address + pages, found + pages)
        self.large = self.large or tensor.size_bytes > MAX_OPERAND_BYTES
        return found


@dataclass(frozen=True, slots=True)
class _Handling:
    """How values of one class are read."""

    key: Callable[[_Reader, Any], object]
    copy: Callable[[_Reader, Any], Any]


_AS_IT_IS: Final = _Handling(lambda reader, value: value, lambda reader, value: value)
_SEQUENCE: Final = _Handling(
    lambda reader, value: tuple([reader.key(item) for item in value]),
    lambda reader, value: tuple(reader.copy(item) for item in value),
)
_MAPPING: Final = _Handling(
    lambda reader, value: tuple([(name, reader.key(item)) for name, item in value.items()]),
    lambda reader, value: {name: reader.copy(item) for name, item in value.items()},
)


@cache
def _handling(cls: type) -> _Handling:
    if issubclass(cls, tuple | list):
        return _SEQUENCE
    if issubclass(cls, Mapping):
        return _MAPPING
    if not dataclasses.is_dataclass(cls) or not _holds_places(cls):
        return _AS_IT_IS
    readers = _field_readers(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    plain = tuple(name for name in names if name not in readers and name != _LABELS.get(cls))
    read = attrgetter(*plain) if plain else lambda value: ()

    def key(reader: _Reader, value: Any) -> object:
        return cls, read(value), *[handle.key(reader, value) for handle in readers.values()]

    def copy(reader: _Reader, value: Any) -> Any:
        places = {name: handle.copy(reader, value) for name, handle in readers.items()}
        return copied(value, **places)

    return _Handling(key, copy)


def _field_readers(cls: type) -> dict[str, _Handling]:
    """Fields of a class that say where, may hold something that does, or cannot be hashed as they are."""
    readers: dict[str, _Handling] = {}
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if cls is Tensor and field.name == "address":
            readers[field.name] = _Handling(_Reader.tensor, _Reader.tensor)
        elif field.name in _ADDRESSES.get(cls, ()):
            readers[field.name] = _reading(field.name, _Reader.address, _Reader.address)
        elif _may_hold_places(hint):
            readers[field.name] = _reading(field.name, _Reader.key, _Reader.copy)
    return readers


def _reading(name: str, key: Callable[[_Reader, Any], object], copy: Callable[[_Reader, Any], Any]) -> _Handling:
    """What is done with a field of a value."""
    read = attrgetter(name)
    return _Handling(lambda reader, value: key(reader, read(value)), lambda reader, value: copy(reader, read(value)))


@cache
def _holds_places(cls: type) -> bool:
    """Whether a class has a field that says where, may hold something that does, or cannot be hashed as it is."""
    if cls in _ADDRESSES:
        return True
    return any(_may_hold_places(hint) for hint in typing.get_type_hints(cls).values())


def _may_hold_places(hint: Any) -> bool:
    if dataclasses.is_dataclass(hint):
        return hint is Instruction or _holds_places(hint)  # type: ignore[arg-type]
    if typing.get_origin(hint) in (Mapping, Sequence):
        return True
    return any(map(_may_hold_places, typing.get_args(hint)))
