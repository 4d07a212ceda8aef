"""Stage of the softmax cross-entropy: probabilities of the labels, and the scaled gradient of the logits."""

import dataclasses

from gossamer_compiler.activations import Activation
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_vector import float_bits
from gossamer_compiler.found import SETS
from gossamer_compiler.graph import Loss
from gossamer_compiler.loss_scale import ScaleState
from gossamer_compiler.reads import map_read, vector_read
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Format, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK
from gossamer_models.program import MemoryImage

__all__ = ["emit_loss"]

S = Semaphore


def emit_loss(
    builder: StageBuilder,
    node: Loss,
    logits: Activation,
    gradient: Activation,
    loss_scale: float | ScaleState,
    memory: MemoryImage,
    architecture: Architecture,
) -> None:
    """Append the loss, one block of eight samples at a time; gradients that overflow set the step's flag.

    Allocates ``labels`` and ``probabilities``, fp32 per sample, padded to whole blocks.

    Raises
    ------
    DoesNotFitError
        Eight samples' logits exceed a vector buffer.
    """
    samples = logits.batch_blocks * BLOCK
    labels = memory.allocate("labels", 4 * samples, "channels", (logits.batch,))
    probabilities = memory.allocate("probabilities", 4 * samples, "channels", (logits.batch,))
    size, line = logits.slab_bytes, architecture.vector.align(logits.slab_bytes)
    bound = min(architecture.buffers.vector_in_bytes, architecture.buffers.vector_out_bytes)
    if line + 4 * BLOCK > bound:
        raise DoesNotFitError(
            f"layer {node.name!r}: the logits of eight samples exceed a vector buffer", line + 4 * BLOCK, bound,
            "bytes",
            "raise buffers.vector_in_bytes and vector_out_bytes",
        )  # fmt: skip
    if isinstance(loss_scale, ScaleState):
        loss_scale.bring(builder)
        scale = {"flags": int(VectorFlag.SCALED), "parameter": loss_scale.by_batch}
    else:
        scale = {"scalar0": float_bits(loss_scale / logits.batch)}
    blocks, words = merge(plain(size // 2, 2, 2)), merge(plain(BLOCK, 4, 4))
    ragged = logits.batch % BLOCK
    builder.reads(map_read(logits), vector_read(labels.address, samples, logits.batch))
    with builder.loop(logits.batch_blocks) as level:
        load_steps = (step(Load, "mem_base", level, size),), (step(Load, "mem_base", level, 4 * BLOCK),)
        store_steps = (step(Store, "mem_base", level, size),), (step(Store, "mem_base", level, 4 * BLOCK),)
        load = Load(buffer=Buffer.VIN, format=Format.FP16, mem_base=logits.address, dims=blocks, wait=S.VIN_FREE)
        store = Store(buffer=Buffer.VOUT, format=Format.FP16, mem_base=gradient.address, dims=blocks, wait=S.VOUT_FULL)
        builder.add(
            dataclasses.replace(load, modifiers=load_steps[0]),
            Load(
                buffer=Buffer.VIN, format=Format.FP32, mem_base=labels.address, buf_base=line, dims=words,
                signal=S.VIN_FULL, advance=Advance.VIN, modifiers=load_steps[1],
            ),
            Vector(
                wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL, advance=Advance.VIN | Advance.VOUT,
                op=VectorOp.SOFTMAX_CROSS_ENTROPY, format=Format.FP16, count=size // 2, source1=line, target1=line,
                channels=logits.channel_blocks * BLOCK, size=node.classes,
                modifiers=(last(Vector, "samples", [level], ragged),) if ragged else (), **scale, **SETS,
            ),
            dataclasses.replace(store, modifiers=store_steps[0]),
            Store(
                buffer=Buffer.VOUT, format=Format.FP32, mem_base=probabilities.address, buf_base=line, dims=words,
                signal=S.VOUT_FREE, advance=Advance.VOUT, modifiers=store_steps[1],
            ),
        )  # fmt: skip
