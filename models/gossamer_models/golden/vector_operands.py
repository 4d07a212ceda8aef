"""Operands of the vector operations: where elements lie, which channel and sample they belong to."""

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import Format, FoundMode, Vector, VectorFlag
from gossamer_models.isa.tokens import Buffer
from gossamer_models.numerics.formats import Bool, Float16, Float32, canonical, from_bits32, to_fp16, to_fp32

__all__ = [
    "channels_of", "clip", "factor", "has", "input16", "input32", "known_parameters", "masked_gradient", "note_found",
    "output", "parameters", "per_channel", "real", "relu", "require_known", "scalar", "set_parameters", "set_vector",
]  # fmt: skip

_BLOCK = 64
_SAMPLES_PER_BLOCK = 8
_WORD_BYTES = 4
_SIX = np.float32(6)


def has(v: Vector, flag: VectorFlag) -> bool:
    """Whether an option is set."""
    return bool(v.flags & flag)


def scalar(pattern: int) -> Float32:
    """Return the fp32 number of a scalar field, shape ()."""
    return canonical(from_bits32(pattern))


def factor(machine: Machine, v: Vector, pattern: int) -> Float32:
    """Return PRM[parameter] with SCALED, else the fp32 number of a scalar field, shape ()."""
    if not has(v, VectorFlag.SCALED):
        return scalar(pattern)
    word: Float32 = canonical(machine.read(v.engine, Buffer.PRM, np.float32, v.parameter * _WORD_BYTES, 1))[0]
    return word


def relu(x: Float32) -> Float32:
    """Return x where x > 0, NaN where it is one, else +0."""
    return np.where((x > 0) | np.isnan(x), x, np.float32(0))


def clip(v: Vector, x: Float32) -> Float32:
    """RELU, then SIX: x where x < 6, NaN where it is one, else 6."""
    if has(v, VectorFlag.RELU):
        x = relu(x)
    return np.where(x > _SIX, _SIX, x) if has(v, VectorFlag.SIX) else x


def input16(machine: Machine, v: Vector, address: int, count: int | None = None) -> Float16:
    """Read fp16 elements (``count`` of the instruction by default) at a byte address of VIN."""
    return machine.read(v.engine, Buffer.VIN, np.float16, address, v.count if count is None else count)


def input32(machine: Machine, v: Vector, address: int, count: int) -> Float32:
    """Read fp32 elements at a byte address of VIN."""
    return canonical(machine.read(v.engine, Buffer.VIN, np.float32, address, count))


def output(
    machine: Machine,
    v: Vector,
    address: int,
    values: Float32,
    element: Format = Format.FP16,
    buffer: Buffer = Buffer.VOUT,
    known: Bool | None = None,
) -> None:
    """Round results to their format and write them at a byte address; elements that are not real become +0."""
    used = real(v, values.size)
    masked = np.where(used, values.ravel(), np.float32(0))
    known = None if known is None else known | ~used
    if element is Format.FP32:
        machine.write(v.engine, buffer, address, canonical(masked), known)
    elif element is Format.FP16:
        machine.write(v.engine, buffer, address, to_fp16(masked), known)
    else:
        raise ExecutionError(f"`format` must be {Format.FP16.name} or {Format.FP32.name}, not {element.name}")


def parameters(machine: Machine, v: Vector, address: int, parts: int) -> Float32:
    """Read ``parts`` vectors, one after the other, at a word address of PRM: shape (parts, channels)."""
    flat = machine.read(v.engine, Buffer.PRM, np.float32, address * _WORD_BYTES, parts * v.channels)
    return canonical(flat).reshape(parts, v.channels)


def known_parameters(machine: Machine, v: Vector, address: int, parts: int) -> tuple[Float32, Bool]:
    """Return what :func:`parameters` does, and of which channels all has been written, shape (channels,)."""
    place = address * _WORD_BYTES
    flat, known = machine.read_known(v.engine, Buffer.PRM, np.float32, place, parts * v.channels)
    return canonical(flat).reshape(parts, v.channels), np.asarray(known.reshape(parts, v.channels).all(axis=0))


def set_parameters(machine: Machine, v: Vector, *parts: Float32, known: Bool | None = None) -> None:
    """Write vectors, one after the other, at the instruction's ``parameter`` address of PRM."""
    whole = np.stack(parts)
    set_vector(machine, v, v.parameter, whole, None if known is None else np.broadcast_to(known, whole.shape))


def set_vector(machine: Machine, v: Vector, address: int, values: Float32, known: Bool | None = None) -> None:
    """Write numbers at a word address of PRM."""
    machine.write(v.engine, Buffer.PRM, address * _WORD_BYTES, canonical(values.astype(np.float32)), known)


def per_channel(machine: Machine, v: Vector, parts: int) -> tuple[Float32, Bool]:
    """Read ``parts`` vectors at ``parameter`` and give each element its channel's: shape (parts, count).

    Returns
    -------
    factors : by element.
    known : which elements have factors that have all been written, shape (count,).
    """
    factors, known = known_parameters(machine, v, v.parameter, parts)
    channels = channels_of(v)
    return factors[:, channels], known[channels]


def require_known(machine: Machine, v: Vector, parts: int) -> None:
    """Refuse parameters of the elements' channels that nothing has written."""
    words = np.add.outer(v.parameter + np.arange(parts) * v.channels, channels_of(v))
    machine.readable(v.engine, Buffer.PRM, _WORD_BYTES, words)


def channels_of(v: Vector) -> NDArray[np.int64]:
    """Channel of each element, shape (count,).

    Raises
    ------
    ExecutionError
        A period is zero or a channel is not below ``channels``.
    """
    if not (v.channel_low and v.channel_mid_period and v.channel_mid_count and v.channel_high_period):
        raise ExecutionError("the periods and counts of the channel formula must be positive")
    p = np.arange(v.count, dtype=np.int64)
    high = v.channel_mid_count * (p // v.channel_high_period)
    channel = p % v.channel_low + v.channel_low * ((p // v.channel_mid_period) % v.channel_mid_count + high)
    if channel.max(initial=0) >= v.channels:
        raise ExecutionError(f"a channel must lie below {v.channels}, not be {channel.max()}")
    return channel


def real(v: Vector, count: int) -> Bool:
    """Whether each element belongs to a real sample, shape (count,)."""
    if not v.samples:
        return np.ones(count, np.bool_)
    if not v.sample_period:
        raise ExecutionError("`sample_period` must be positive")
    p = np.arange(count, dtype=np.int64)
    sample = p // v.sample_period * _SAMPLES_PER_BLOCK + p % _BLOCK // _SAMPLES_PER_BLOCK
    return np.asarray(sample < v.samples)


def note_found(machine: Machine, v: Vector, results: Float32) -> None:
    """Set the sticky flag if a result is not finite, or clear it first, as ``found_mode`` says."""
    if v.found_mode == FoundMode.CLEAR_AND_SET:
        machine.found.discard(v.found)
    if v.found_mode in (FoundMode.SET, FoundMode.CLEAR_AND_SET) and not np.isfinite(results).all():
        machine.found.add(v.found)


def masked_gradient(machine: Machine, v: Vector) -> Float16:
    """Return g: source0, or with MASK source0 where source2 > 0, with SIX also < 6, else +0."""
    g = input16(machine, v, v.source0)
    if has(v, VectorFlag.MASK):
        y = to_fp32(input16(machine, v, v.source2))
        g = np.where((y > 0) & (y < _SIX) if has(v, VectorFlag.SIX) else y > 0, g, np.float16(0))
    return g
