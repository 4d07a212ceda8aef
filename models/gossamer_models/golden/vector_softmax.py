"""Vector operation at the end of a classifier: softmax, its probabilities of the labels and the gradient."""

import numpy as np

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import factor, input16, input32, note_found
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.accumulate import add, ordered_sum
from gossamer_models.numerics.formats import Float32, canonical, to_fp16, to_fp32
from gossamer_models.numerics.special import divide, exp
from gossamer_models.roles import MAX_CHUNK_ELEMENTS

__all__ = ["softmax_cross_entropy"]

_CHUNK = MAX_CHUNK_ELEMENTS


def softmax_cross_entropy(machine: Machine, v: Vector) -> None:
    """Softmax over the classes of each sample, and its cross-entropy's gradient.

    Logits x = VIN[source0], blocks [count / (8 channels)][channels / 8][8 samples][8 classes] fp16, of which `size`
    classes are real; labels = VIN[source1], one fp32 class number per sample. m = the largest x (a NaN if there is
    one); e = exp(x - m); s = sum of e, classes ascending in chunks of 4096, each from +0, the first stored, later ones
    added in order; q = e / s. VOUT[target0] = fp16((q - (class = label ? 1 : 0)) scalar0) in the logits' layout, +0
    for classes and samples that are not real (sample = 8 block + row of the block). VOUT[target1] = q of the label
    fp32, one per sample, +0 for samples that are not real and labels that are no class. SCALED: PRM[parameter] takes
    scalar0's place. `found_mode` 1, 2: the flag `found` is set if an element of VOUT[target0] is not finite.
    """
    if not 1 <= v.size <= v.channels or v.channels % BLOCK or v.count % (BLOCK * v.channels):
        shape = f"`size` {v.size}, `channels` {v.channels} and `count` {v.count}"
        raise ExecutionError(f"{shape} must describe whole blocks of classes and samples")
    shape5 = (-1, v.channels // BLOCK, BLOCK, BLOCK)
    blocks = input16(machine, v, v.source0).reshape(shape5)
    logits = to_fp32(blocks.transpose(0, 2, 1, 3).reshape(-1, v.channels)[:, : v.size])
    samples = logits.shape[0]
    labels = input32(machine, v, v.source1, samples)
    onehot = labels[:, None] == np.arange(v.size, dtype=np.float32)
    q = _softmax(logits)
    used = (np.arange(samples) < (v.samples or samples))[:, None]
    scaled = multiply(add(q, -onehot.astype(np.float32)), factor(machine, v, v.scalar0))
    gradient = np.zeros((samples, v.channels), np.float32)
    gradient[:, : v.size] = np.where(used, scaled, np.float32(0))
    packed = to_fp16(gradient.reshape(-1, BLOCK, v.channels // BLOCK, BLOCK).transpose(0, 2, 1, 3))
    note_found(machine, v, to_fp32(packed))
    machine.write(v.engine, Buffer.VOUT, v.target0, packed)
    chosen = np.where(onehot & used, q, np.float32(0))[np.arange(samples), onehot.argmax(axis=1)]
    machine.write(v.engine, Buffer.VOUT, v.target1, chosen)


def _softmax(x: Float32) -> Float32:
    """Return the probabilities of logits, shape (samples, classes)."""
    with np.errstate(invalid="ignore"):
        largest = x.max(axis=1, keepdims=True)
    e = exp(add(x, -largest))
    return canonical(divide(e, ordered_sum(e, _CHUNK)[:, None]))
