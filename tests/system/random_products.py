"""Products of a random Program: operands, one of which APPLY may write, GEMM and DRAIN."""

import dataclasses

from gossamer_models.isa.instructions import Dim, Format, FoundMode, Gemm, Load, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import first, last
from gossamer_models.isa.tokens import Buffer, Semaphore
from tests.references.gemm_instructions import random_instruction
from tests.references.gemm_steps import walk_steps
from tests.system.random_fields import (
    Fields,
    finish,
    flag_of,
    line_bytes,
    load_parameters,
    real_of,
    tokens_of,
)
from tests.system.random_stage import INPUT_BYTES, LABELS_BYTES, Region, StageWriter

__all__ = ["product"]

S = Semaphore

_GROUP = 8
_MAX_A_BYTES, _MAX_B_ENTRIES = 8192, 256
_CLIPS = 0, VectorFlag.RELU, VectorFlag.RELU | VectorFlag.SIX


def product(w: StageWriter) -> None:
    """GEMM on random operands, in a loop of its own that adds up or alone; then DRAIN, once or with sums that go on."""
    g, a, entries = _gemm(w)
    columns = w.architecture.array.columns
    b = Region(Buffer.B, 0, 2 * entries * columns)
    affine, sums = w.rng.random() < 0.4, w.rng.choice((0, 0, 1, 2))
    if w.feeds:
        _applied(w, a)
    else:
        w.loads([a])
    _entries(w, b)
    channels = -(-g.lj * g.j * columns // _GROUP) * _GROUP
    parameter = load_parameters(w, 3 * channels) if affine or sums else 0
    tokens = tokens_of(w, [Buffer.A, Buffer.B], [Buffer.ACC])
    with w.loop(3) as level:
        if level < 0:
            w.add(dataclasses.replace(g, **tokens))
        else:
            changes = [first(Gemm, "wait", [level], tokens["wait"]), last(Gemm, "signal", [level], tokens["signal"])]
            changes += [last(Gemm, "advance", [level], tokens["advance"]), first(Gemm, "accumulate", [level], 0)]
            words = g.r2 * g.r1 * g.r0
            # Chunks side by side are equally long.
            chunks = [n for n in (1, 4, 512) if g.lr == 1 or not words % n or n > words]
            changes += [last(Gemm, "chunk_words", [level], w.rng.choice(chunks))] if w.rng.random() < 0.5 else []
            w.add(dataclasses.replace(g, accumulate=1, modifiers=tuple(w.rng.sample(changes, len(changes)))))
    count = g.tiles * g.li * g.lj * w.architecture.array.rows * columns
    element = Format.FP16 if sums else w.rng.choice((Format.FP16, Format.FP32))
    y = w.regions(Buffer.VOUT, [element.bytes * count], line_bytes(w))
    flags = (VectorFlag.AFFINE if affine else 0) | w.rng.choice(_CLIPS)
    drain = Vector(
        op=VectorOp.DRAIN, format=element, count=count, source0=g.acc_base, target0=y[0].address, parameter=parameter,
        channels=channels, channel_low=columns, channel_mid_period=g.li * w.architecture.array.rows * columns,
        channel_mid_count=g.lj, channel_high_period=count // g.j, target1=parameter + channels,
        target2=parameter + 2 * channels,
    )  # fmt: skip
    uses_parameters = bool(affine or sums)
    tokens = tokens_of(w, [Buffer.ACC, *([Buffer.PRM] if uses_parameters else [])], [Buffer.VOUT])
    drains = [
        dataclasses.replace(
            drain, flags=flags | (VectorFlag.STATISTICS if sums else 0) | (VectorFlag.ACCUMULATE if number else 0),
            size=w.rng.choice((0, 1, 1, 2)), **real_of(w, count), **flag_of(w, FoundMode.SET, FoundMode.CLEAR_AND_SET),
        )
        for number in range(max(sums, 1))
    ]  # fmt: skip
    drains[0] = dataclasses.replace(drains[0], wait=tokens["wait"])
    drains[-1] = dataclasses.replace(drains[-1], signal=tokens["signal"], advance=tokens["advance"])
    w.add(*drains)
    kept = [Region(Buffer.PRM, 4 * parameter, 12 * channels)] if sums and w.stores_parameters else []
    finish(w, [*y, *kept], used_parameters=uses_parameters)


def _applied(w: StageWriter, a: Region) -> None:
    """Operand A by APPLY, as a normalisation that is applied on load: with factors or a second operand, to VOUT too."""
    count, array = a.size_bytes // 2, w.architecture.array
    affine = w.rng.random() < 0.6
    second = w.rng.random() < 0.5 or (affine and w.stores_parameters)
    channels = array.group * w.rng.randint(1, 3)
    parameter = load_parameters(w, 2 * channels) if affine else 0
    x = w.regions(Buffer.VIN, [a.size_bytes] * w.rng.randint(1, 2), line_bytes(w))
    y = w.regions(Buffer.VOUT, [a.size_bytes], line_bytes(w)) if second else []
    w.loads(x)
    options = {VectorFlag.AFFINE: affine, VectorFlag.SECOND_OUTPUT: second, VectorFlag.RESIDUAL: len(x) > 1}
    flags = VectorFlag.TO_A | sum(flag for flag, chosen in options.items() if chosen)
    reads, writes = [Buffer.VIN, *([Buffer.PRM] if affine else [])], [Buffer.A, *([Buffer.VOUT] if second else [])]
    w.add(
        Vector(
            op=VectorOp.APPLY, flags=flags | w.rng.choice(_CLIPS), count=count, parameter=parameter,
            source0=x[0].address, source1=x[-1].address, target0=y[0].address if y else 0, target1=a.address,
            channels=channels, channel_low=array.group, channel_mid_period=array.rows * array.group,
            channel_mid_count=channels // array.group, **real_of(w, count), **tokens_of(w, reads, writes),
        )
    )  # fmt: skip
    if second:
        finish(w, y, used_parameters=affine)


def _gemm(w: StageWriter) -> tuple[Gemm, Region, int]:
    """A legal GEMM with the words of A and the entries of B that it reaches."""
    array = w.architecture.array
    while True:
        g = random_instruction(w.rng, array, max_tiles=3, max_words=8)
        steps = walk_steps(g, rows=array.rows, drain_steps=array.rows // array.drain_ports)
        words = [item.a for item in steps if item and item.a is not None and item.valid_rows] or [0]
        entries = 1 + max((item.b for item in steps if item and item.b is not None), default=0)
        word_bytes, base = array.rows * array.group * 2, w.rng.randint(0, 3)
        a = Region(Buffer.A, base * word_bytes, (max(words) - min(words) + 1) * word_bytes)
        if a.address + a.size_bytes <= _MAX_A_BYTES and entries <= _MAX_B_ENTRIES:
            moved = dataclasses.replace(g, a_base=g.a_base - min(words) + base, accumulate=0, advance=0)
            return moved, a, -(-entries // _GROUP) * _GROUP


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
