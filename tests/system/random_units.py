"""Units of a random Program: loads, work on what they brought, stores."""

import dataclasses
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

from gossamer_models.isa.instructions import (
    Dim,
    Format,
    FoundMode,
    Gemm,
    Load,
    Modifier,
    Prune,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import first, last
from gossamer_models.isa.tokens import Buffer, Semaphore
from tests.references.gemm_instructions import random_instruction
from tests.references.gemm_steps import walk_steps
from tests.system.random_stage import INPUT_BYTES, LABELS_BYTES, Region, StageWriter

__all__ = ["FLAGS", "UNITS", "again"]

S = Semaphore

FLAGS = (0, 4095)
"""Sticky flags in use."""

_BLOCK = 64
_GROUP = 8
_LINE_ELEMENTS = 16
_MAX_A_BYTES, _MAX_B_ENTRIES = 8192, 256
_SPECIAL_SHARE = 1 / 12

Fields = dict[str, Any]


def _line(w: StageWriter) -> int:
    return w.architecture.vector.line_bytes


def _number(w: StageWriter) -> int:
    """Bit pattern of an fp32 scalar, now and then a special one."""
    value = w.rng.gauss(0, 1)
    if w.rng.random() < _SPECIAL_SHARE:
        value = w.rng.choice((0.0, -0.0, 1.0, math.inf, -math.inf, math.nan))
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def _found(w: StageWriter, *modes: FoundMode) -> Fields:
    """What happens to a sticky flag; only one that the Program has cleared says anything."""
    number = w.rng.choice(FLAGS)
    legal = [mode for mode in modes if mode is FoundMode.CLEAR_AND_SET or number in w.cleared]
    mode = w.rng.choice((FoundMode.NONE, *legal, *legal))
    if mode is FoundMode.CLEAR_AND_SET:
        w.cleared.add(number)
    return {"found": number, "found_mode": mode}


def _samples(w: StageWriter, count: int, slab: int = _BLOCK) -> Fields:
    """All samples are real, or only the first ones of blocks of eight; a block has whole slabs."""
    if w.rng.random() < 0.6:
        return {}
    period = slab * w.rng.randint(1, count // slab)
    return {"samples": w.rng.randint(1, 8 * -(-count // period)), "sample_period": period}


def _use(w: StageWriter, reads: Sequence[Buffer], writes: Sequence[Buffer], **further: Any) -> Fields:
    """Tokens of an instruction that takes whole halves over and hands them on."""
    wait = sum(w.way(buffer).full for buffer in reads) | sum(w.way(buffer).free for buffer in writes)
    signal = sum(w.way(buffer).free for buffer in reads) | sum(w.way(buffer).full for buffer in writes)
    return {"wait": wait, "signal": signal, "advance": w.half(*reads, *writes), **further}


def _parameters(w: StageWriter, words: int) -> int:
    """Load PRM, if an earlier unit has let go of it; give the word address."""
    region = w.regions(Buffer.PRM, [4 * words], 32)[0]
    w.loads([region], wait=S.STORED if w.stores_parameters else 0)
    return region.address // 4


def _finish(w: StageWriter, regions: Sequence[Region], *, used_parameters: bool) -> None:
    """Store what a unit made; the last store of a unit with parameters says that they may change."""
    w.stores(regions, signal=S.STORED if used_parameters and w.stores_parameters else 0)


def elementwise(w: StageWriter) -> None:
    """APPLY, GRADIENT or FILL, one or two of them on the same operands; LOSS_SCALE on their parameters."""
    channels = 8 * w.rng.randint(1, 3)
    count = _BLOCK * w.rng.randint(1, 6)
    affine = w.rng.random() < 0.5
    parameter = _parameters(w, 4 * channels) if affine else 0
    x = w.regions(Buffer.VIN, [2 * count] * 3, _line(w))
    y = w.regions(Buffer.VOUT, [2 * count] * 2 + [4 * _BLOCK], _line(w))
    w.loads(x)
    shape = dict(
        count=count, channels=channels, channel_mid_count=channels // 8, parameter=parameter,
        **{f"source{n}": region.address for n, region in enumerate(x)},
    )  # fmt: skip
    tokens = _use(w, [Buffer.VIN, *([Buffer.PRM] if affine else [])], [Buffer.VOUT])
    fill = Vector(op=VectorOp.FILL, count=_BLOCK, format=Format.FP32, target0=y[2].address)
    operations = [fill, *(_streamed(w, shape, y, affine=affine) for _ in range(w.rng.randint(1, 2)))]
    if w.rng.random() < 0.5:
        operations.append(Vector(op=VectorOp.APPLY, **{**shape, **_samples(w, count)}, target0=y[1].address))
    else:
        operations.insert(0, Vector(op=VectorOp.FILL, count=count, format=Format.FP16, target0=y[1].address))
    if affine and w.rng.random() < 0.5:
        operations.insert(0, _scaling(w, channels, parameter))
    operations[0] = dataclasses.replace(operations[0], wait=tokens["wait"])
    operations[-1] = dataclasses.replace(operations[-1], signal=tokens["signal"], advance=tokens["advance"])
    w.add(*operations)
    _finish(w, w.rng.sample(y, 3), used_parameters=affine)


def _scaling(w: StageWriter, channels: int, parameter: int) -> Vector:
    """LOSS_SCALE of numbers that need not be a scale's."""
    fields = {"op": VectorOp.LOSS_SCALE, "count": channels, "channels": channels, "parameter": parameter}
    fields |= {f"scalar{n}": w.rng.randint(1, 253) << 23 if n < 2 else _number(w) for n in range(4)}
    return Vector(**fields | _found(w, FoundMode.OBEY), modifiers=())


def _streamed(w: StageWriter, shape: Fields, y: Sequence[Region], *, affine: bool) -> Vector:
    op = w.rng.choice((VectorOp.APPLY, VectorOp.GRADIENT))
    options = {
        VectorOp.APPLY: (VectorFlag.RESIDUAL, VectorFlag.RELU),
        VectorOp.GRADIENT: (VectorFlag.MASK, VectorFlag.SECOND_OUTPUT),
    }[op]
    flags = sum(option for option in options if w.rng.random() < 0.5) | (VectorFlag.AFFINE if affine else 0)
    return Vector(
        op=op, flags=flags, target0=y[0].address, target1=y[1].address, **{**shape, **_samples(w, shape["count"])}
    )  # fmt: skip


def again(w: StageWriter) -> None:
    """Store, load back what was stored, store again."""
    count = _BLOCK * w.rng.randint(1, 4)
    place = w.reserve(2 * count)
    for round_trip in (False, True):
        x, y = w.regions(Buffer.VIN, [2 * count], _line(w)), w.regions(Buffer.VOUT, [2 * count], _line(w))
        w.loads(x, wait=S.STORED if round_trip else 0, source=place if round_trip else None)
        flags = VectorFlag.RELU if w.rng.random() < 0.3 else 0
        tokens = _use(w, [Buffer.VIN], [Buffer.VOUT])
        fields: Fields = {"op": VectorOp.APPLY, "flags": flags, "count": count}
        w.add(Vector(**fields, source0=x[0].address, target0=y[0].address, **tokens))
        w.stores(y, signal=0 if round_trip else S.STORED, target=None if round_trip else place)


def product(w: StageWriter) -> None:
    """GEMM on random operands, in a loop of its own that adds up or alone; then DRAIN, once or with sums that go on."""
    g, a_bytes, entries = _gemm(w)
    columns = w.architecture.array.columns
    b = Region(Buffer.B, 0, 2 * entries * columns)
    affine, sums = w.rng.random() < 0.4, w.rng.choice((0, 0, 1, 2))
    w.operand(a_bytes)
    _entries(w, b)
    channels = -(-g.lj * g.j * columns // _GROUP) * _GROUP
    parameter = _parameters(w, 3 * channels) if affine or sums else 0
    tokens = _use(w, [Buffer.A, Buffer.B], [Buffer.ACC])
    with w.loop(3) as level:
        if level < 0:
            w.add(dataclasses.replace(g, **tokens))
        else:
            changes = [first(Gemm, "wait", [level], tokens["wait"]), last(Gemm, "signal", [level], tokens["signal"])]
            changes += [last(Gemm, "advance", [level], tokens["advance"]), first(Gemm, "accumulate", [level], 0)]
            changes += [last(Gemm, "chunk_words", [level], w.rng.choice((1, 4, 512)))] if w.rng.random() < 0.5 else []
            w.add(dataclasses.replace(g, accumulate=1, modifiers=tuple(w.rng.sample(changes, len(changes)))))
    count = g.tiles * g.li * g.lj * w.architecture.array.rows * columns
    element = Format.FP16 if sums else w.rng.choice((Format.FP16, Format.FP32))
    y = w.regions(Buffer.VOUT, [element.bytes * count], _line(w))
    flags = (VectorFlag.AFFINE if affine else 0) | w.rng.choice((0, VectorFlag.RELU))
    drain = Vector(
        op=VectorOp.DRAIN, format=element, count=count, source0=g.acc_base, target0=y[0].address, parameter=parameter,
        channels=channels, channel_low=columns, channel_mid_period=g.li * w.architecture.array.rows * columns,
        channel_mid_count=g.lj, channel_high_period=count // g.j, target1=parameter + channels,
        target2=parameter + 2 * channels,
    )  # fmt: skip
    uses_parameters = bool(affine or sums)
    tokens = _use(w, [Buffer.ACC, *([Buffer.PRM] if uses_parameters else [])], [Buffer.VOUT])
    drains = [
        dataclasses.replace(
            drain, flags=flags | (VectorFlag.STATISTICS if sums else 0) | (VectorFlag.ACCUMULATE if number else 0),
            size=w.rng.choice((0, 1, 1, 2)), **_samples(w, count), **_found(w, FoundMode.SET, FoundMode.CLEAR_AND_SET),
        )
        for number in range(max(sums, 1))
    ]  # fmt: skip
    drains[0] = dataclasses.replace(drains[0], wait=tokens["wait"])
    drains[-1] = dataclasses.replace(drains[-1], signal=tokens["signal"], advance=tokens["advance"])
    w.add(*drains)
    kept = [Region(Buffer.PRM, 4 * parameter, 12 * channels)] if sums and w.stores_parameters else []
    _finish(w, [*y, *kept], used_parameters=uses_parameters)


def _gemm(w: StageWriter) -> tuple[Gemm, int, int]:
    """A legal GEMM with the bytes of A and the entries of B that it reaches."""
    array = w.architecture.array
    while True:
        g = random_instruction(w.rng, array, max_tiles=3, max_words=8)
        steps = walk_steps(g, rows=array.rows, drain_steps=array.rows // array.drain_ports)
        words = [item.a for item in steps if item and item.a is not None and item.valid_rows] or [0]
        entries = 1 + max((item.b for item in steps if item and item.b is not None), default=0)
        a_bytes = (max(words) - min(words) + 1) * array.rows * array.group * 2
        if a_bytes <= _MAX_A_BYTES and entries <= _MAX_B_ENTRIES:
            moved = dataclasses.replace(g, a_base=g.a_base - min(words), accumulate=0, advance=0)
            return moved, a_bytes, -(-entries // _GROUP) * _GROUP


def _entries(w: StageWriter, values: Region) -> None:
    """Fill operand B: values with the index of their place, or values and random metadata."""
    tags = dataclasses.replace(values, buffer=Buffer.B_META, size_bytes=values.size_bytes // 2)
    room = INPUT_BYTES - LABELS_BYTES - values.size_bytes
    base = w.rng.randint(0, room // w.width) * w.width
    shared: Fields = {"buffer": Buffer.B, "format": Format.FP16, "mem_base": base, "wait": S.B_FREE}
    done: Fields = {"signal": S.B_FULL, "advance": w.half(Buffer.B)}
    columns = w.architecture.array.columns
    if w.rng.random() < 0.5:
        groups = values.size_bytes // (2 * columns * _GROUP)
        axis = w.rng.choice((0, 3))
        bound = w.rng.randint(1, groups) if axis == 0 else 1
        dims = (
            Dim(columns, 2, 2, 3, 0),
            Dim(_GROUP, 2 * columns, 2 * columns, 3, 0),
            Dim(groups, 2 * columns * _GROUP, 2 * columns * _GROUP, axis, 1),
        )
        w.add(Load(**shared, **done, index_dim=1, axis0_bound=bound, dims=dims))
        return
    size = values.size_bytes
    w.add(Load(**shared, dims=(Dim(size // 2, 2, 2, 3, 0),)))
    w.add(
        Load(
            buffer=Buffer.B_META, format=Format.BYTE, mem_base=base // 2 // w.width * w.width,
            dims=(Dim(tags.size_bytes, 1, 1, 3, 0),), **done,
        )
    )  # fmt: skip


def normalise(w: StageWriter) -> None:
    """REDUCE over the tiles of a loop, NORM_FORWARD or NORM_BACKWARD on the sums, APPLY or GRADIENT."""
    channels, backward = 8 * w.rng.randint(1, 2), w.rng.random() < 0.5
    count = _BLOCK * (channels // 8) * w.rng.randint(1, 3)
    sums = _parameters(w, 13 * channels)
    affine, result = sums + 2 * channels, sums + 8 * channels
    shape: Fields = {"count": count, "channels": channels, "channel_mid_count": channels // 8}
    flags = VectorFlag.PRODUCT | VectorFlag.ACCUMULATE | w.rng.choice((0, VectorFlag.MASK))
    with w.loop(3) as level:
        x = w.regions(Buffer.VIN, [2 * count] * 3, _line(w))
        w.loads(x)
        changes: tuple[Modifier, ...] = ()
        start: Fields = {"flags": flags & ~VectorFlag.ACCUMULATE, "size": 1}
        if level >= 0:
            start = {"flags": flags, "size": w.rng.choice((0, 2))}
            changes = (
                first(Vector, "flags", [level], flags & ~VectorFlag.ACCUMULATE),
                first(Vector, "wait", [level], S.PRM_FULL),
                last(Vector, "size", [level], 1),
            )
        tokens = _use(w, [Buffer.VIN], [])
        tokens["wait"] |= 0 if level >= 0 else S.PRM_FULL
        w.add(
            Vector(
                op=VectorOp.REDUCE, parameter=sums, source0=x[0].address, source1=w.rng.choice(x).address,
                source2=x[2].address, modifiers=changes, **shape, **start, **_samples(w, count), **tokens,
                **_found(w, FoundMode.SET, FoundMode.CLEAR_AND_SET),
            )
        )  # fmt: skip
    w.add(
        Vector(
            op=VectorOp.NORM_BACKWARD if backward else VectorOp.NORM_FORWARD, count=channels, channels=channels,
            source0=sums, source1=affine, parameter=result, scalar0=_number(w), scalar1=_number(w),
            **(_found(w, FoundMode.SET, FoundMode.CLEAR_AND_SET) if backward else {}),
        )
    )  # fmt: skip
    x, y = w.regions(Buffer.VIN, [2 * count] * 2, _line(w)), w.regions(Buffer.VOUT, [2 * count], _line(w))
    w.loads(x)
    tokens = _use(w, [Buffer.VIN, Buffer.PRM], [Buffer.VOUT])
    tokens["wait"] &= ~S.PRM_FULL  # taken by the first REDUCE
    w.add(
        Vector(
            op=VectorOp.GRADIENT if backward else VectorOp.APPLY, flags=VectorFlag.AFFINE, parameter=result, **shape,
            source0=x[0].address, source1=x[1].address, target0=y[0].address, **tokens,
        )
    )  # fmt: skip
    kept = [Region(Buffer.PRM, 4 * result, 16 * channels)] if w.stores_parameters else []
    _finish(w, [*y, *kept], used_parameters=True)


def pool(w: StageWriter) -> None:
    """One of the four poolings."""
    op = w.rng.choice((VectorOp.MAX_POOL, VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT))
    kernel, kernel_x, stride = w.rng.randint(1, 3), w.rng.randint(1, 3), w.rng.randint(1, 3)
    padding = w.rng.randint(0, min(kernel, kernel_x) - 1)
    height, width = w.rng.randint(kernel, kernel + 3), w.rng.randint(kernel_x, kernel_x + 3)
    channels, slabs = 8 * w.rng.randint(1, 2), w.rng.randint(1, 2)
    rows, columns = (height + 2 * padding - kernel) // stride + 1, (width + 2 * padding - kernel_x) // stride + 1
    inputs, outputs = (slabs * 8 * channels * pixels for pixels in (height * width, rows * columns))
    sizes, result = {
        VectorOp.MAX_POOL: ([inputs], outputs),
        VectorOp.AVG_POOL: ([inputs], outputs),
        VectorOp.MAX_POOL_GRADIENT: ([inputs, outputs], inputs),
        VectorOp.AVG_POOL_GRADIENT: ([outputs], inputs),
    }[op]
    x = w.regions(Buffer.VIN, [2 * size for size in sizes], _line(w))
    y = w.regions(Buffer.VOUT, [2 * result], _line(w))
    w.loads(x)
    w.add(
        Vector(
            op=op, count=result, channels=channels, height=height, width=width, kernel=kernel, kernel_x=kernel_x,
            stride=stride, padding=padding, scalar0=_number(w), source0=x[0].address, source1=x[-1].address,
            target0=y[0].address, **_samples(w, result, result // slabs), **_use(w, [Buffer.VIN], [Buffer.VOUT]),
        )
    )  # fmt: skip
    w.stores(y)


def _scaled(w: StageWriter) -> tuple[Fields, list[Buffer]]:
    """A factor from PRM or none, and what else the instruction takes over then."""
    scaled = {"flags": VectorFlag.SCALED, "parameter": _parameters(w, 8)} if w.rng.random() < 0.5 else {"flags": 0}
    return scaled, [Buffer.PRM] if scaled["flags"] else []


def loss(w: StageWriter) -> None:
    """SOFTMAX_CROSS_ENTROPY of one or two blocks of samples."""
    channels, blocks = 8 * w.rng.randint(1, 2), w.rng.randint(1, 2)
    logits, samples = 8 * channels * blocks, 8 * blocks
    x = w.regions(Buffer.VIN, [2 * logits, 4 * samples], _line(w))
    y = w.regions(Buffer.VOUT, [2 * logits, 4 * samples], _line(w))
    scaled, parameters = _scaled(w)
    w.loads([x[0]])
    labels = Load(
        buffer=Buffer.VIN, format=Format.FP32, mem_base=INPUT_BYTES - LABELS_BYTES, buf_base=x[1].address,
        dims=(Dim(samples, 4, 4, 3, 0),),
    )  # fmt: skip
    # In front of the other load, which hands the half over.
    place = max(n for n, item in enumerate(w.items) if isinstance(item, Load) and item.wait & S.VIN_FREE)
    ahead = dataclasses.replace(labels, wait=w.items[place].wait)
    w.items[place] = dataclasses.replace(w.items[place], wait=0)
    w.items.insert(place, ahead)
    w.add(
        Vector(
            op=VectorOp.SOFTMAX_CROSS_ENTROPY, count=logits, channels=channels, size=w.rng.randint(1, channels),
            samples=w.rng.randint(0, samples), scalar0=_number(w), source0=x[0].address, source1=x[1].address,
            target0=y[0].address, target1=y[1].address, **_use(w, [Buffer.VIN, *parameters], [Buffer.VOUT]), **scaled,
            **_found(w, FoundMode.SET, FoundMode.CLEAR_AND_SET),
        )
    )  # fmt: skip
    _finish(w, y, used_parameters=bool(parameters))


def update(w: StageWriter) -> None:
    """UPDATE, with or without PRUNE behind it; with it, VOUT must be one half."""
    blocks = [w.rng.randint(1, 2) for _ in range(3)]
    prunes = Buffer.VOUT not in w.doubled and w.rng.random() < 0.8
    flags = VectorFlag.SR_STE if w.rng.random() < 0.5 else 0
    whole = prunes or flags
    count = _BLOCK * blocks[0] * blocks[1] * blocks[2] if whole else _LINE_ELEMENTS * w.rng.randint(1, 24)
    x = w.regions(Buffer.VIN, [4 * count] * 3, _line(w))
    y = w.regions(Buffer.VOUT, [4 * count, 4 * count, 2 * count], 128)
    scaled, parameters = _scaled(w)
    w.loads(x)
    of = w.rng.choice((1, 2, 4, 8))
    tokens = _use(w, [Buffer.VIN, *parameters], [Buffer.VOUT])
    tokens["signal"] |= S.WEIGHT_FULL if prunes else 0
    scalars: Fields = {f"scalar{n}": _number(w) for n in range(5)}
    places: Fields = {f"source{n}": region.address for n, region in enumerate(x)}
    places |= {f"target{n}": region.address for n, region in enumerate(y)}
    w.add(
        Vector(
            op=VectorOp.UPDATE, count=count, keep=w.rng.randint(1, of), of=of,
            **scalars, **places, **_found(w, FoundMode.OBEY), **tokens, **scaled | {"flags": scaled["flags"] | flags},
        )
    )  # fmt: skip
    _finish(w, w.rng.sample(y, 3) + (_pruned(w, blocks, y[2]) if prunes else []), used_parameters=bool(parameters))


def _pruned(w: StageWriter, blocks: Sequence[int], source: Region) -> list[Region]:
    """Compress blocks of fp16 in VOUT; give the places of values and metadata."""
    n2, n1, n0 = w.rng.sample(blocks, 3)
    of, axis = w.rng.choice((1, 2, 4, 8)), w.rng.randint(0, 1)
    keep = w.rng.randint(1, of)
    entries = n2 * n1 * n0 * (keep * _GROUP // of) * _GROUP
    values = w.regions(Buffer.PRN, [2 * entries], 128)[0]
    tags = dataclasses.replace(w.regions(Buffer.PRN, [entries], 128)[0], buffer=Buffer.PRN_META)
    w.add(
        Prune(
            keep=keep, of=of, axis=axis, n2=n2, n1=n1, n0=n0, valid=w.rng.randint(1, _GROUP * (n1, n0)[axis]),
            source=source.address, values=values.address, metadata=tags.address,
            wait=S.WEIGHT_FULL | S.PRN_FREE, signal=S.PRN_FULL, advance=w.half(Buffer.PRN),
        )
    )  # fmt: skip
    return [values, tags]


UNITS: tuple[Callable[[StageWriter], None], ...] = (
    *(elementwise,) * 2, *(product,) * 3, *(pool,) * 3, *(update,) * 3, again, *(normalise,) * 2, loss,
)  # fmt: skip
"""Each as often as it shall be drawn."""
