"""Random transfers that the rules allow."""

import random
from dataclasses import replace
from typing import Any

import numpy as np

from gossamer_models.architecture import Architecture
from gossamer_models.golden.state import ExecutionError, Machine, buffer_bytes
from gossamer_models.golden.transfer import LOADED, STORED, load, store
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.timing.dma import misaligned, transfer_plan
from tests.system.random_transfers import converting

MOST_STEPS = 260
_ATOM_BYTES = (1, 2, 4, 8, 16, 24, 32, 48, 64, 80, 128, 200)


def random_transfer(
    generator: random.Random, kind: type[Load] | type[Store], architecture: Architecture, memory_bytes: int
) -> Load | Store:
    """A transfer that golden executes and that is aligned, of at most :data:`MOST_STEPS` pieces."""
    width = architecture.memory.port_bits // 8
    while True:
        transfer = any_transfer(generator, kind, architecture, memory_bytes)
        if misaligned(transfer, width) is not None or transfer_plan(transfer, width).steps > MOST_STEPS:
            continue
        if _runs(transfer, architecture, memory_bytes):
            return transfer


def _runs(transfer: Load | Store, architecture: Architecture, memory_bytes: int) -> bool:
    machine = Machine(architecture, np.zeros(memory_bytes, np.uint8))
    try:
        if isinstance(transfer, Load):
            load(machine, transfer)
        else:
            machine.writable(transfer.engine, Buffer(transfer.buffer))
            store(machine, transfer)
    except ExecutionError:
        return False
    return True


def any_transfer(
    generator: random.Random, kind: type[Load] | type[Store], architecture: Architecture, memory_bytes: int
) -> Load | Store:
    """A transfer that may be out of place or out of bounds."""
    width = architecture.memory.port_bits // 8
    buffer = generator.choice(sorted(LOADED if kind is Load else STORED))
    fmt = generator.choice([Format.FP16, Format.FP16, Format.FP32, Format.BYTE])
    turned = kind is Load and generator.random() < 0.2
    if turned or buffer is Buffer.B:
        fmt = Format.FP16
    converts = not turned and fmt is not Format.BYTE and generator.random() < 0.3
    if converts:
        fmt = Format.FP32
    atoms = [16, 16, 32, 128, 384] if turned else [size for size in _ATOM_BYTES if size >= fmt.bytes]
    atom = generator.choice(atoms)
    grain = min(width, 1 << (atom - 1).bit_length())
    first = [Dim(atom // fmt.bytes, fmt.bytes, fmt.bytes, axis=3)]
    if turned and atom < 128:
        first.append(Dim(128 // atom, atom, atom * generator.choice([1, 3]), axis=3))
    dims = _dims(generator, first, grain, 128 if turned else grain)
    dims, axes = _bounded(generator, dims)
    room = memory_bytes - sum((dim.count - 1) * dim.mem_stride for dim in dims)
    step = 128 if turned else grain
    base = generator.randrange(max(room // step, 1)) * step
    if generator.random() < 0.3:
        base -= dims[-1].mem_stride * generator.randrange(3)
    size = buffer_bytes(architecture)[buffer] - sum((dim.count - 1) * dim.buf_stride for dim in dims)
    transfer: Any = kind(
        buffer=buffer,
        format=fmt,
        transpose=int(turned),
        mem_base=base,
        buf_base=generator.randrange(max(size // grain, 1)) * grain,
        dims=dims,
        advance=generator.choice([0, 0, 0x3F]),
        **axes,
    )
    if converts:
        transfer = converting(transfer, single_in_buffer=buffer is not Buffer.B and generator.random() < 0.5)
    candidates = [n for n, dim in enumerate(dims) if dim.count <= 8]
    if buffer is Buffer.B and candidates and generator.random() < 0.7:
        return replace(transfer, index_dim=generator.choice(candidates))
    return transfer


def _dims(generator: random.Random, first: list[Dim], grain: int, grid: int) -> tuple[Dim, ...]:
    """An atom or a block, then up to five dimensions, contiguous or not on either side."""
    dims = list(first)
    memory, buffer = dims[-1].count * dims[-1].mem_stride, dims[-1].count * dims[-1].buf_stride
    for _ in range(generator.randrange(6)):
        count = generator.choice([1, 2, 2, 3, 4, 8])
        if generator.random() < 0.5:
            memory = -(-memory // grid) * grid + grid * generator.randrange(3)
        if generator.random() < 0.5:
            buffer = -(-buffer // grain) * grain + grain * generator.randrange(3)
        dims.append(Dim(count, memory, buffer, axis=3))
        memory, buffer = memory * count, buffer * count
    return tuple(dims)


def _bounded(generator: random.Random, dims: tuple[Dim, ...]) -> tuple[tuple[Dim, ...], dict[str, Any]]:
    """Put some dimensions on axes, some of which clip."""
    axes: dict[str, Any] = {}
    drawn = list(dims)
    for axis in range(3):
        if generator.random() < 0.5:
            continue
        span = 0
        for n, dim in enumerate(drawn):
            if dim.axis == 3 and generator.random() < 0.4:
                drawn[n] = replace(dim, axis=axis, weight=generator.choice([1, 1, 2, 5]))
                span += (dim.count - 1) * drawn[n].weight
        clips = span and generator.random() < 0.7
        axes[f"axis{axis}_base"] = generator.choice([1, -1, -3]) if clips else generator.choice([0, 0, 0, 0, 1])
        axes[f"axis{axis}_bound"] = max(span + generator.choice([3, 1, 0, -2] if clips else [1, 2, 3]), 1)
    return tuple(drawn), axes
