"""The optimizer, and the update of fp32 vectors that are never pruned."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_vector import float_bits
from gossamer_compiler.found import OBEYS
from gossamer_compiler.loss_scale import ScaleState
from gossamer_compiler.reads import vector_read
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.isa.instructions import Format, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.loss_scale import DEFAULT_SCALE, LossScale
from gossamer_models.program import Tensor

__all__ = ["Hyperparameters", "Optimizer", "emit_vector_update", "update_rule"]

S = Semaphore


@dataclass(frozen=True, slots=True)
class Hyperparameters:
    """Constants that the Program carries."""

    rate: float = 0.1
    momentum: float = 0.9
    decay: float = 5e-4
    loss_scale: float | LossScale = DEFAULT_SCALE


@dataclass(frozen=True, slots=True)
class Optimizer:
    """SGD with momentum: w' = w - rate (momentum v + g / loss_scale + decay w + SR-STE's term).

    Members
    -------
    loss_scale : a constant, or where it lies.
    obeys : weights and momentum stay as they are if a gradient of this step is not finite.
    """

    rate: float
    momentum: float
    decay: float
    loss_scale: float | ScaleState
    sr_ste: float = 0.0
    obeys: bool = True

    def bring(self, builder: StageBuilder) -> None:
        """Append what a stage's first load of masters stands behind."""
        if isinstance(self.loss_scale, ScaleState):
            self.loss_scale.bring(builder)


def update_rule(optimizer: Optimizer) -> dict[str, int]:
    """Fields of an UPDATE that carry the rule."""
    values = [optimizer.rate, optimizer.momentum, optimizer.decay, optimizer.sr_ste]
    fields = {"flags": int(VectorFlag.SR_STE) if optimizer.sr_ste else 0}
    if isinstance(optimizer.loss_scale, ScaleState):
        fields |= {"flags": fields["flags"] | VectorFlag.SCALED, "parameter": optimizer.loss_scale.inverse}
    else:
        values.append(1 / optimizer.loss_scale)
    fields |= {f"scalar{number}": float_bits(value) for number, value in enumerate(values)}
    return fields | (OBEYS if optimizer.obeys else {})


def emit_vector_update(
    builder: StageBuilder,
    optimizer: Optimizer,
    tensors: Sequence[Tensor],
    words: tuple[int, int],
    architecture: Architecture,
    layer: str,
) -> None:
    """Append the update of biases or of a normalisation's scale and shift: fp32 vectors, never pruned.

    Parameters
    ----------
    tensors : masters, momentum and gradient.
    words : elements of each, and those of them that stand for a channel.

    Raises
    ------
    DoesNotFitError
        The vectors exceed the vector buffers.
    """
    padded, real = words
    size = architecture.vector.align(4 * padded)
    bound = min(architecture.buffers.vector_in_bytes // 3, architecture.buffers.vector_out_bytes * 2 // 5)
    if size > bound:
        raise DoesNotFitError(
            f"layer {layer!r}: its channel parameters exceed the vector buffers", size, bound, "bytes",
            "raise buffers.vector_in_bytes and vector_out_bytes",
        )  # fmt: skip
    builder.reads(*(vector_read(tensor.address, padded, real) for tensor in tensors))
    for place, tensor in enumerate(tensors):
        builder.add(
            Load(
                wait=S.VIN_FREE if place == 0 else 0, signal=S.VIN_FULL if place == 2 else 0,
                advance=Advance.VIN if place == 2 else 0, buffer=Buffer.VIN, format=Format.FP32,
                mem_base=tensor.address, buf_base=place * size, dims=merge(plain(padded, 4, 4)),
            )
        )  # fmt: skip
    builder.add(
        Vector(
            wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL, advance=Advance.VIN | Advance.VOUT,
            op=VectorOp.UPDATE, format=Format.FP32, count=padded, source1=size, source2=2 * size, target1=size,
            target2=2 * size, modifiers=(), **update_rule(dataclasses.replace(optimizer, sr_ste=0.0)),
        )
    )  # fmt: skip
    for place, tensor in enumerate(tensors[:2]):
        builder.add(
            Store(
                wait=S.VOUT_FULL if place == 0 else 0, signal=S.VOUT_FREE if place == 1 else 0,
                advance=Advance.VOUT if place == 1 else 0, buffer=Buffer.VOUT, format=Format.FP32,
                mem_base=tensor.address, buf_base=place * size, dims=merge(plain(padded, 4, 4)),
            )
        )  # fmt: skip
