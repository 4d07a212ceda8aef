"""Declaration of instruction fields: width, sign and meaning beside the attribute they belong to.

An instruction is a frozen dataclass whose attributes are made by :func:`bits` or :func:`structs`. Encoder,
decoder, Amaranth layouts, C header and reference document all read these declarations and nothing else.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["FieldRangeError", "Leaf", "bits", "check_range", "leaves", "structs"]


class FieldRangeError(ValueError):
    """A value does not fit the field that it is meant for."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar field at its place in the encoded instruction.

    Members
    -------
    path : attribute name, or ``name[i].member`` inside an array of structures.
    offset_bits, width_bits : place counted from the least significant bit of the instruction.
    signed : two's complement if true.
    description : one sentence for the reference document.
    """

    path: str
    offset_bits: int
    width_bits: int
    signed: bool
    description: str


def bits(width: int, description: str, *, signed: bool = False, default: int = 0) -> Any:
    """Declare a scalar field of ``width`` bits."""
    return dataclasses.field(default=default, metadata={"width": width, "signed": signed, "description": description})


def structs(cls: type, count: int, description: str) -> Any:
    """Declare an array of up to ``count`` structures; missing ones encode as all zeros."""
    return dataclasses.field(default=(), metadata={"struct": cls, "count": count, "description": description})


def leaves(cls: type, prefix: str = "", offset_bits: int = 0) -> Iterator[Leaf]:
    """Yield every scalar field of ``cls`` in encoding order, least significant first."""
    for field in dataclasses.fields(cls):
        meta = field.metadata
        if "struct" in meta:
            for index in range(meta["count"]):
                inner = list(leaves(meta["struct"], f"{prefix}{field.name}[{index}].", offset_bits))
                yield from inner
                offset_bits = inner[-1].offset_bits + inner[-1].width_bits
        else:
            yield Leaf(prefix + field.name, offset_bits, meta["width"], meta["signed"], meta["description"])
            offset_bits += meta["width"]


def check_range(instance: object) -> None:
    """Check that every scalar field of a dataclass instance fits its width.

    Raises
    ------
    FieldRangeError
        A value is out of range or an array holds too many structures.
    """
    for field in dataclasses.fields(instance):  # type: ignore[arg-type]
        meta, value = field.metadata, getattr(instance, field.name)
        if "struct" in meta:
            if len(value) > meta["count"]:
                raise FieldRangeError(f"`{field.name}` must hold at most {meta['count']} structures, not {len(value)}")
            continue
        low = -(1 << (meta["width"] - 1)) if meta["signed"] else 0
        high = (1 << (meta["width"] - int(meta["signed"]))) - 1
        if not low <= value <= high:
            raise FieldRangeError(f"`{field.name}` must lie in {low}..{high}, not {value!r}")
