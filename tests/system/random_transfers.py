"""Random transfers that obey the rule of alignment, of any shape: strides, padding on axes, indices, turned blocks."""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from gossamer_models.isa.instructions import Dim, Format, Load, Modifier, Store
from gossamer_models.isa.loops import resolve, step
from gossamer_models.isa.tokens import Buffer
from gossamer_models.timing.dma import BLOCK_BYTES, misaligned

__all__ = ["contiguous", "converting", "legal", "scattered", "stepped"]

_NO_AXIS = 3
_TRIES = 20
_Transfer = TypeVar("_Transfer", Load, Store)


def converting(transfer: _Transfer, *, single_in_buffer: bool) -> _Transfer:
    """The same transfer of fp32 with fp16 on one side, in DRAM or in the buffer, all strides there halved."""
    stride = "mem_stride" if single_in_buffer else "buf_stride"
    dims = tuple(replace(dim, **{stride: getattr(dim, stride) // 2}) for dim in transfer.dims)
    return replace(transfer, convert=1, format=Format.FP32 if single_in_buffer else Format.FP16, dims=dims)


def contiguous(rng: random.Random, size_bytes: int, element: Format) -> tuple[Dim, ...]:
    """Dimensions of one run that is contiguous on both sides, cut at random into factors."""
    elements = size_bytes // element.bytes
    inner = rng.choice([factor for factor in range(1, elements + 1) if elements % factor == 0])
    sizes = [(inner, element.bytes), (elements // inner, element.bytes * inner)]
    return tuple(Dim(count, stride, stride, _NO_AXIS, 0) for count, stride in sizes)


def legal(transfer: Load | Store, loops: Mapping[int, int], width: int) -> bool:
    """Whether a transfer keeps the rule of alignment in every iteration of the loops around it (level to count)."""
    ranges = [range(count) for count in loops.values()]
    return not any(
        misaligned(resolve(transfer, dict(zip(loops, counters, strict=True)), loops), width)
        for counters in itertools.product(*ranges)
    )


def stepped(
    rng: random.Random, transfer: _Transfer, loops: Mapping[int, int], slack_bytes: int, width: int
) -> tuple[Modifier, ...]:
    """Steps of the DRAM address over the loops around it that together stay within some slack."""
    modifiers = []
    for level, count in loops.items():
        reach = slack_bytes // max(count - 1, 1) // width
        if count > 1 and reach and rng.random() < 0.7:
            value = rng.randint(0, reach) * width
            modifiers.append(step(type(transfer), "mem_base", level, value))
            slack_bytes -= value * (count - 1)
    return tuple(modifiers)


def scattered(
    rng: random.Random, kind: type[_Transfer], fixed: Mapping[str, Any], mem_bytes: int, buf_bytes: int, width: int
) -> _Transfer | None:
    """Return a transfer between ``mem_bytes`` of DRAM and ``buf_bytes`` of a buffer, or None where luck has run out.

    Parameters
    ----------
    fixed : buffer and base addresses.
    """
    for _ in range(_TRIES):
        fields = _fields(rng, kind, fixed, mem_bytes, buf_bytes, width)
        transfer = None if fields is None else kind(**fields)
        if transfer is not None and transfer.format == Format.FP32 and rng.random() < 0.5:
            only = {Buffer.PRM: True, Buffer.B: False}.get(Buffer(transfer.buffer))
            transfer = converting(transfer, single_in_buffer=rng.random() < 0.5 if only is None else only)
        if transfer is not None and misaligned(transfer, width) is None:
            return transfer
    return None


def _fields(
    rng: random.Random, kind: type[Load | Store], fixed: Mapping[str, Any], mem_bytes: int, buf_bytes: int, width: int
) -> dict[str, Any] | None:
    buffer = fixed["buffer"]
    formats = {Buffer.B_META: [Format.BYTE], Buffer.PRN_META: [Format.BYTE], Buffer.PRM: [Format.FP32]}
    element = rng.choice(formats.get(buffer, [Format.FP16, Format.FP16, Format.FP32]))
    turned = kind is Load and element is Format.FP16 and buffer in (Buffer.A, Buffer.VIN) and rng.random() < 0.3
    atom = BLOCK_BYTES * rng.randint(1, 2) if turned else element.bytes * rng.choice((1, 2, 4, 8, 8, 16, 32))
    unit = BLOCK_BYTES if turned else min(width, 1 << (atom - 1).bit_length())
    counts = [rng.randint(1, 4) for _ in range(rng.randint(0, 3))]
    mem = _strides(rng, counts, atom, unit, overlap=kind is Load and rng.random() < 0.5)
    buf = _strides(rng, counts, atom, unit, overlap=False)
    dims = [Dim(atom // element.bytes, element.bytes, element.bytes, _NO_AXIS, 0)]
    outer = sorted(range(len(counts)), key=mem.__getitem__)
    dims += [Dim(counts[place], mem[place], buf[place], _NO_AXIS, 0) for place in outer]
    if _extent(dims, "mem_stride", element) > mem_bytes or _extent(dims, "buf_stride", element) > buf_bytes:
        return None
    fields = {**fixed, "format": element, "transpose": int(turned)} if kind is Load else {**fixed, "format": element}
    return {**fields, **_axes(rng, dims)}


def _strides(rng: random.Random, counts: Sequence[int], atom: int, unit: int, *, overlap: bool) -> list[int]:
    """Strides of loops that are nested in a random order and leave gaps; with ``overlap`` any at all."""
    strides, extent = [0] * len(counts), atom
    for place in rng.sample(range(len(counts)), len(counts)):
        least = 1 if overlap else -(-extent // unit)
        strides[place] = (least + rng.choice((0, 0, 0, 1, 2, 5))) * unit
        extent += strides[place] * (counts[place] - 1)
    return strides


def _extent(dims: Sequence[Dim], stride: str, element: Format) -> int:
    return sum((dim.count - 1) * getattr(dim, stride) for dim in dims) + element.bytes


def _axes(rng: random.Random, dims: list[Dim]) -> dict[str, Any]:
    """Dimensions on axes whose bounds cut off a part, all or nothing."""
    fields: dict[str, Any] = {}
    for axis in range(3):
        chosen = [place for place, dim in enumerate(dims) if dim.axis == _NO_AXIS and rng.random() < 0.3]
        span = 0
        for place in chosen:
            weight = rng.randint(1, 3)
            span += (dims[place].count - 1) * weight
            dims[place] = Dim(dims[place].count, dims[place].mem_stride, dims[place].buf_stride, axis, weight)
        if chosen:
            base = rng.randint(-2, 2)
            fields[f"axis{axis}_base"] = base
            fields[f"axis{axis}_bound"] = max(1, base + span + rng.randint(-2, 2))
    return {**fields, "dims": tuple(dims)}
