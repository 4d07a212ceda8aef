"""Vector operations on elements of one place: fill, drain, apply, gradient, update."""

import numpy as np

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_operands import (
    clip,
    factor,
    has,
    input16,
    input32,
    masked_gradient,
    note_found,
    output,
    per_channel,
    require_known,
    scalar,
    set_vector,
)
from gossamer_models.golden.vector_sums import add_to_sums
from gossamer_models.isa.instructions import Format, FoundMode, Vector, VectorFlag
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.accumulate import add
from gossamer_models.numerics.formats import Bool, Float16, Float32, canonical, to_fp16, to_fp32
from gossamer_models.sparsity import top_n_mask

__all__ = ["apply", "drain", "fill", "gradient", "multiply", "update"]


def multiply(x: Float32, y: Float32) -> Float32:
    """Return fp32(x * y), NaN canonical."""
    with np.errstate(all="ignore"):
        return canonical(np.multiply(x, y, dtype=np.float32))


def fill(machine: Machine, v: Vector) -> None:
    """Write zeros.

    VOUT[target0] = +0, `count` elements of `format`. `found_mode` 1, 2: zeros are finite, so that 2 clears the flag
    `found`, also with a `count` of 0.
    """
    size = _format(v).bytes
    note_found(machine, v, np.zeros(0, np.float32))
    machine.write(v.engine, Buffer.VOUT, v.target0, np.zeros(v.count * size, np.uint8))


def drain(machine: Machine, v: Vector) -> None:
    """Take sums from the accumulators.

    y = ACC[source0 C + p] in flat elements. AFFINE: y = y + PRM[parameter + channel]. RELU: y = y > 0 ? y : +0, SIX:
    y = y > 6 ? 6 : y, a NaN stays. VOUT[target0] = y in `format` (fp16 or fp32). `found_mode` 1, 2: the flag `found` is
    set if a y is not finite. STATISTICS, in fp16 only: the sums of t and of t t over the elements of each channel,
    t = fp16(y), go on with ACCUMULATE as REDUCE's do. With `size` 1: PRM[target1 + channel] = first sum, rounded once;
    PRM[target2 + channel] = second.
    """
    element = _format(v)
    word_bytes = machine.architecture.array.columns * 4
    values = canonical(machine.read(v.engine, Buffer.ACC, np.float32, v.source0 * word_bytes, v.count))
    known = None
    if has(v, VectorFlag.AFFINE):
        if v.found_mode or has(v, VectorFlag.STATISTICS):
            require_known(machine, v, 1)
        (shift,), known = per_channel(machine, v, 1)
        values = add(values, shift)
    values = clip(v, values)
    note_found(machine, v, values)
    output(machine, v, v.target0, values, element, known=known)
    if has(v, VectorFlag.STATISTICS):
        if element is not Format.FP16:
            raise ExecutionError(f"`format` must be {Format.FP16.name} with STATISTICS, not {element.name}")
        terms = to_fp16(values)
        sums = add_to_sums(machine, v, terms, (np.ones(terms.shape, np.float16), terms))
        if sums:
            set_vector(machine, v, v.target1, sums[0])
            set_vector(machine, v, v.target2, sums[1])


def apply(machine: Machine, v: Vector) -> None:
    """Scale, shift, add and clip.

    y = VIN[source0] fp16. AFFINE: y = y PRM[parameter + channel] + PRM[parameter + channels + channel]. RESIDUAL:
    y = y + VIN[source1] fp16. RELU: y = y > 0 ? y : +0, SIX: y = y > 6 ? 6 : y, a NaN stays. VOUT[target0] = fp16(y).
    TO_A: A[target1] = fp16(y) in its place, with SECOND_OUTPUT in both; only where the architecture has
    `vector.feeds_array`.
    """
    values, known = to_fp32(input16(machine, v, v.source0)), None
    if has(v, VectorFlag.AFFINE):
        (scale, shift), known = per_channel(machine, v, 2)
        values = add(multiply(values, scale), shift)
    if has(v, VectorFlag.RESIDUAL):
        values = add(values, to_fp32(input16(machine, v, v.source1)))
    values = clip(v, values)
    to_a = has(v, VectorFlag.TO_A)
    if to_a:
        output(machine, v, v.target1, values, buffer=Buffer.A, known=known)
    if not to_a or has(v, VectorFlag.SECOND_OUTPUT):
        output(machine, v, v.target0, values, known=known)


def gradient(machine: Machine, v: Vector) -> None:
    """Gradient through a rectifier and a normalisation.

    g = VIN[source0] fp16. MASK: g = VIN[source2] fp16 > 0 ? g : +0, with SIX it must also be < 6. y = g, or with AFFINE
    y = (a g + b x) + d, where x = VIN[source1] fp16 and a, b, d = PRM[parameter + i channels + channel], i = 0, 1, 2.
    VOUT[target0] = fp16(y). SECOND_OUTPUT: VOUT[target1] = g.
    """
    g = to_fp32(masked_gradient(machine, v))
    values, known = g, None
    if has(v, VectorFlag.AFFINE):
        (a, b, d), known = per_channel(machine, v, 3)
        x = to_fp32(input16(machine, v, v.source1))
        values = add(add(multiply(a, g), multiply(b, x)), d)
    output(machine, v, v.target0, values, known=known)
    if has(v, VectorFlag.SECOND_OUTPUT):
        output(machine, v, v.target1, g)


def _kept_largest(v: Vector, halves: Float16) -> Bool:
    """Which masters are among the largest of their group."""
    if v.of <= BLOCK:
        return top_n_mask(halves.reshape(-1, BLOCK, BLOCK), v.keep, v.of, axis=1).ravel()
    blocks = v.of // BLOCK
    if v.channels < BLOCK or v.channels % BLOCK or v.count % (v.of * v.channels):
        raise ExecutionError(f"`count` must be whole words of {v.of} by `channels`, not {v.count} by {v.channels}")
    words = halves.reshape(-1, blocks, v.channels // BLOCK, BLOCK, BLOCK).transpose(0, 2, 1, 3, 4)
    mask = top_n_mask(words.reshape(*words.shape[:2], v.of, BLOCK), v.keep, v.of, axis=2)
    return mask.reshape(words.shape).transpose(0, 2, 1, 3, 4).ravel()


def update(machine: Machine, v: Vector) -> None:
    """Stochastic gradient descent with momentum on fp32 masters.

    w, v, g = VIN[source0], VIN[source1], VIN[source2] fp32; rate, momentum, decay, lambda, inverse loss scale =
    scalar0 .. scalar4, the last PRM[parameter] with SCALED. g1 = g inverse; g2 = g1 + decay w. SR_STE: g2 = g2 + t,
    where t = +0 if fp16(w) is among the `keep` largest of its group, else lambda w; groups are `of` consecutive
    elements along the first 8 of blocks [count / 64][8][8], if they are more than 8 along [2][8] of
    [count / (16 channels)][2][channels / 8][8][8]. v' = momentum v + g2; w' = w - rate v'. VOUT[target0] =
    w' fp32, VOUT[target1] = v' fp32, VOUT[target2] = fp16(w'). `found_mode` 3 and the flag `found` set: w' = w and
    v' = v instead, in the same cycles.
    """
    w, velocity, g = (input32(machine, v, source, v.count) for source in (v.source0, v.source1, v.source2))
    rate, momentum, decay, regularisation = map(scalar, (v.scalar0, v.scalar1, v.scalar2, v.scalar3))
    inverse_scale = factor(machine, v, v.scalar4)
    step = add(multiply(g, inverse_scale), multiply(decay, w))
    if has(v, VectorFlag.SR_STE):
        if v.count % BLOCK**2:
            raise ExecutionError(f"`count` must be a multiple of {BLOCK**2} with SR_STE, not {v.count}")
        kept = _kept_largest(v, to_fp16(w))
        step = add(step, np.where(kept, np.float32(0), multiply(regularisation, w)))
    if v.found_mode != FoundMode.OBEY or v.found not in machine.found:
        velocity = add(multiply(momentum, velocity), step)
        w = add(w, -multiply(rate, velocity))
    output(machine, v, v.target0, w, Format.FP32)
    output(machine, v, v.target1, velocity, Format.FP32)
    output(machine, v, v.target2, w)


def _format(v: Vector) -> Format:
    if v.format not in set(Format):
        raise ExecutionError(f"`format` must be one of {[int(f) for f in Format]}, not {v.format}")
    return Format(v.format)
