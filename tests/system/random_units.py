"""Units of a random Program: loads, work on what they brought, stores."""

import dataclasses
from collections.abc import Callable, Sequence

from gossamer_models.isa.instructions import (
    Dim,
    Format,
    FoundMode,
    Load,
    Modifier,
    Prune,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import first, last
from gossamer_models.isa.tokens import Buffer, Semaphore
from tests.system.random_fields import (
    BLOCK,
    Fields,
    finish,
    flag_of,
    line_bytes,
    load_parameters,
    random_number,
    real_of,
    tokens_of,
)
from tests.system.random_products import product
from tests.system.random_stage import INPUT_BYTES, LABELS_BYTES, Region, StageWriter

__all__ = ["UNITS", "again"]

S = Semaphore

_GROUP = 8
_LINE_ELEMENTS = 16


def elementwise(w: StageWriter) -> None:
    """APPLY, GRADIENT or FILL, one or two of them on the same operands; LOSS_SCALE on their parameters."""
    channels = 8 * w.rng.randint(1, 3)
    count = BLOCK * w.rng.randint(1, 6)
    affine = w.rng.random() < 0.5
    parameter = load_parameters(w, 4 * channels) if affine else 0
    x = w.regions(Buffer.VIN, [2 * count] * 3, line_bytes(w))
    y = w.regions(Buffer.VOUT, [2 * count] * 2 + [4 * BLOCK], line_bytes(w))
    w.loads(x)
    shape = dict(
        count=count, channels=channels, channel_mid_count=channels // 8, parameter=parameter,
        **{f"source{n}": region.address for n, region in enumerate(x)},
    )  # fmt: skip
    tokens = tokens_of(w, [Buffer.VIN, *([Buffer.PRM] if affine else [])], [Buffer.VOUT])
    fill = Vector(op=VectorOp.FILL, count=BLOCK, format=Format.FP32, target0=y[2].address)
    operations = [fill, *(_streamed(w, shape, y, affine=affine) for _ in range(w.rng.randint(1, 2)))]
    if w.rng.random() < 0.5:
        operations.append(Vector(op=VectorOp.APPLY, **{**shape, **real_of(w, count)}, target0=y[1].address))
    else:
        operations.insert(0, Vector(op=VectorOp.FILL, count=count, format=Format.FP16, target0=y[1].address))
    if affine and w.rng.random() < 0.5:
        operations.insert(0, _scaling(w, channels, parameter))
    operations[0] = dataclasses.replace(operations[0], wait=tokens["wait"])
    operations[-1] = dataclasses.replace(operations[-1], signal=tokens["signal"], advance=tokens["advance"])
    w.add(*operations)
    finish(w, w.rng.sample(y, 3), used_parameters=affine)


def _scaling(w: StageWriter, channels: int, parameter: int) -> Vector:
    """LOSS_SCALE of numbers that need not be a scale's."""
    fields = {"op": VectorOp.LOSS_SCALE, "count": channels, "channels": channels, "parameter": parameter}
    fields |= {f"scalar{n}": w.rng.randint(1, 253) << 23 if n < 2 else random_number(w) for n in range(4)}
    return Vector(**fields | flag_of(w, FoundMode.OBEY), modifiers=())


def _streamed(w: StageWriter, shape: Fields, y: Sequence[Region], *, affine: bool) -> Vector:
    op = w.rng.choice((VectorOp.APPLY, VectorOp.GRADIENT))
    options = {
        VectorOp.APPLY: (VectorFlag.RESIDUAL, VectorFlag.RELU, VectorFlag.SIX),
        VectorOp.GRADIENT: (VectorFlag.MASK, VectorFlag.SECOND_OUTPUT, VectorFlag.SIX),
    }[op]
    flags = sum(option for option in options if w.rng.random() < 0.5) | (VectorFlag.AFFINE if affine else 0)
    return Vector(
        op=op, flags=flags, target0=y[0].address, target1=y[1].address, **{**shape, **real_of(w, shape["count"])}
    )  # fmt: skip


def again(w: StageWriter) -> None:
    """Store, load back what was stored, store again."""
    count = BLOCK * w.rng.randint(1, 4)
    place = w.reserve(2 * count)
    for round_trip in (False, True):
        x, y = w.regions(Buffer.VIN, [2 * count], line_bytes(w)), w.regions(Buffer.VOUT, [2 * count], line_bytes(w))
        w.loads(x, wait=S.STORED if round_trip else 0, source=place if round_trip else None)
        flags = VectorFlag.RELU if w.rng.random() < 0.3 else 0
        tokens = tokens_of(w, [Buffer.VIN], [Buffer.VOUT])
        fields: Fields = {"op": VectorOp.APPLY, "flags": flags, "count": count}
        w.add(Vector(**fields, source0=x[0].address, target0=y[0].address, **tokens))
        w.stores(y, signal=0 if round_trip else S.STORED, target=None if round_trip else place)


def normalise(w: StageWriter) -> None:
    """REDUCE over the tiles of a loop, NORM_FORWARD or NORM_BACKWARD on the sums, APPLY or GRADIENT."""
    channels, backward = 8 * w.rng.randint(1, 2), w.rng.random() < 0.5
    count = BLOCK * (channels // 8) * w.rng.randint(1, 3)
    sums = load_parameters(w, 13 * channels)
    affine, result = sums + 2 * channels, sums + 8 * channels
    shape: Fields = {"count": count, "channels": channels, "channel_mid_count": channels // 8}
    flags = (
        VectorFlag.PRODUCT
        | VectorFlag.ACCUMULATE
        | w.rng.choice((0, VectorFlag.MASK, VectorFlag.MASK | VectorFlag.SIX))
    )
    with w.loop(3) as level:
        x = w.regions(Buffer.VIN, [2 * count] * 3, line_bytes(w))
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
        tokens = tokens_of(w, [Buffer.VIN], [])
        tokens["wait"] |= 0 if level >= 0 else S.PRM_FULL
        w.add(
            Vector(
                op=VectorOp.REDUCE, parameter=sums, source0=x[0].address, source1=w.rng.choice(x).address,
                source2=x[2].address, modifiers=changes, **shape, **start, **real_of(w, count), **tokens,
                **flag_of(w, FoundMode.SET, FoundMode.CLEAR_AND_SET),
            )
        )  # fmt: skip
    w.add(
        Vector(
            op=VectorOp.NORM_BACKWARD if backward else VectorOp.NORM_FORWARD, count=channels, channels=channels,
            source0=sums, source1=affine, parameter=result, scalar0=random_number(w), scalar1=random_number(w),
            **(flag_of(w, FoundMode.SET, FoundMode.CLEAR_AND_SET) if backward else {}),
        )
    )  # fmt: skip
    x, y = w.regions(Buffer.VIN, [2 * count] * 2, line_bytes(w)), w.regions(Buffer.VOUT, [2 * count], line_bytes(w))
    w.loads(x)
    tokens = tokens_of(w, [Buffer.VIN, Buffer.PRM], [Buffer.VOUT])
    tokens["wait"] &= ~S.PRM_FULL  # taken by the first REDUCE
    w.add(
        Vector(
            op=VectorOp.GRADIENT if backward else VectorOp.APPLY, flags=VectorFlag.AFFINE, parameter=result, **shape,
            source0=x[0].address, source1=x[1].address, target0=y[0].address, **tokens,
        )
    )  # fmt: skip
    kept = [Region(Buffer.PRM, 4 * result, 16 * channels)] if w.stores_parameters else []
    finish(w, [*y, *kept], used_parameters=True)


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
    x = w.regions(Buffer.VIN, [2 * size for size in sizes], line_bytes(w))
    y = w.regions(Buffer.VOUT, [2 * result], line_bytes(w))
    w.loads(x)
    w.add(
        Vector(
            op=op, count=result, channels=channels, height=height, width=width, kernel=kernel, kernel_x=kernel_x,
            stride=stride, padding=padding, scalar0=random_number(w), source0=x[0].address, source1=x[-1].address,
            target0=y[0].address, **real_of(w, result, result // slabs), **tokens_of(w, [Buffer.VIN], [Buffer.VOUT]),
        )
    )  # fmt: skip
    w.stores(y)


def _scaled(w: StageWriter) -> tuple[Fields, list[Buffer]]:
    """A factor from PRM or none, and what else the instruction takes over then."""
    scaled = {"flags": VectorFlag.SCALED, "parameter": load_parameters(w, 8)} if w.rng.random() < 0.5 else {"flags": 0}
    return scaled, [Buffer.PRM] if scaled["flags"] else []


def loss(w: StageWriter) -> None:
    """SOFTMAX_CROSS_ENTROPY of one or two blocks of samples."""
    channels, blocks = 8 * w.rng.randint(1, 2), w.rng.randint(1, 2)
    logits, samples = 8 * channels * blocks, 8 * blocks
    x = w.regions(Buffer.VIN, [2 * logits, 4 * samples], line_bytes(w))
    y = w.regions(Buffer.VOUT, [2 * logits, 4 * samples], line_bytes(w))
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
            samples=w.rng.randint(0, samples), scalar0=random_number(w), source0=x[0].address, source1=x[1].address,
            target0=y[0].address, target1=y[1].address, **tokens_of(w, [Buffer.VIN, *parameters], [Buffer.VOUT]),
            **scaled, **flag_of(w, FoundMode.SET, FoundMode.CLEAR_AND_SET),
        )
    )  # fmt: skip
    finish(w, y, used_parameters=bool(parameters))


def update(w: StageWriter) -> None:
    """UPDATE, with or without PRUNE behind it; with it, VOUT must be one half."""
    blocks = [w.rng.randint(1, 2) for _ in range(3)]
    prunes = Buffer.VOUT not in w.doubled and w.rng.random() < 0.8
    flags = VectorFlag.SR_STE if w.rng.random() < 0.5 else 0
    whole = prunes or flags
    count = BLOCK * blocks[0] * blocks[1] * blocks[2] if whole else _LINE_ELEMENTS * w.rng.randint(1, 24)
    x = w.regions(Buffer.VIN, [4 * count] * 3, line_bytes(w))
    y = w.regions(Buffer.VOUT, [4 * count, 4 * count, 2 * count], 128)
    scaled, parameters = _scaled(w)
    w.loads(x)
    of = w.rng.choice((1, 2, 4, 8))
    tokens = tokens_of(w, [Buffer.VIN, *parameters], [Buffer.VOUT])
    tokens["signal"] |= S.WEIGHT_FULL if prunes else 0
    scalars: Fields = {f"scalar{n}": random_number(w) for n in range(5)}
    places: Fields = {f"source{n}": region.address for n, region in enumerate(x)}
    places |= {f"target{n}": region.address for n, region in enumerate(y)}
    w.add(
        Vector(
            op=VectorOp.UPDATE, count=count, keep=w.rng.randint(1, of), of=of,
            **scalars, **places, **flag_of(w, FoundMode.OBEY), **tokens, **scaled | {"flags": scaled["flags"] | flags},
        )
    )  # fmt: skip
    finish(w, w.rng.sample(y, 3) + (_pruned(w, blocks, y[2]) if prunes else []), used_parameters=bool(parameters))


def _pruned(w: StageWriter, blocks: Sequence[int], source: Region) -> list[Region]:
    """Compress blocks of fp16 in VOUT; give the places of values and metadata."""
    n2, n1, n0 = w.rng.sample(blocks, 3)
    of, axis = w.rng.choice((1, 2, 4, 8)), w.rng.randint(0, 1)
    keep = w.rng.randint(1, of)
    entries = n2 * n1 * n0 * (keep * _GROUP // of) * _GROUP
    values = w.regions(Buffer.PRN, [2 * entries], 128)[0]
    tags = w.regions(Buffer.PRN_META, [entries], 128)[0]
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
