"""Dynamic loss scaling: where its state lies, and the stage that carries it on."""

from dataclasses import dataclass

from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.emit_vector import float_bits, load_parameters, store_parameters
from gossamer_compiler.found import OBEYS
from gossamer_compiler.reads import Read
from gossamer_models.isa.instructions import Vector, VectorOp
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.loss_scale import SCALE_BOUND, STATE_CHANNELS, STATE_TENSOR, STATE_VECTORS, LossScale
from gossamer_models.program import MemoryImage, StageProgram, Tensor

__all__ = ["ScaleState", "allocate_scale"]

S = Semaphore


@dataclass(frozen=True, slots=True)
class ScaleState:
    """State of a loss scale in DRAM; in PRM it lies from word 0 on.

    Members
    -------
    tensor : of :data:`~gossamer_models.loss_scale.STATE_TENSOR`.
    rule : growth and backoff.
    """

    tensor: Tensor
    rule: LossScale

    @property
    def by_batch(self) -> int:
        """Word of scale / batch in PRM."""
        return STATE_CHANNELS

    @property
    def inverse(self) -> int:
        """Word of 1 / scale in PRM."""
        return 2 * STATE_CHANNELS

    def bring(self, builder: StageBuilder, *, alone: bool = False) -> None:
        """Append what brings the state to PRM; the load behind it gives the token, unless it comes `alone`.

        Of all that lies there other loads' operations use one number.
        """
        words = STATE_VECTORS * STATE_CHANNELS
        used = 4 * (words if alone else 1)
        builder.reads(Read(self.tensor.address, 4 * words, 4 * words, used, used))
        builder.add(load_parameters(self.tensor.address, words, 0, last_one=alone))

    def step(self, layer: str) -> StageProgram:
        """Stage at the end of a step: the scale of the next one."""
        builder, rule = StageBuilder(), self.rule
        scalars = (rule.growth_factor, rule.backoff_factor, float(rule.growth_interval), SCALE_BOUND)
        self.bring(builder, alone=True)
        builder.add(
            Vector(
                wait=S.PRM_FULL | S.VOUT_FREE, signal=S.VOUT_FULL, op=VectorOp.LOSS_SCALE, count=STATE_CHANNELS,
                channels=STATE_CHANNELS, modifiers=(), **OBEYS,
                **{f"scalar{number}": float_bits(value) for number, value in enumerate(scalars)},
            ),
            store_parameters(self.tensor.address, STATE_VECTORS * STATE_CHANNELS, 0),
        )  # fmt: skip
        return builder.finish(layer, "update")


def allocate_scale(memory: MemoryImage, rule: float | LossScale) -> float | ScaleState:
    """Give a dynamic loss scale its place; a constant one stays as it is."""
    if not isinstance(rule, LossScale):
        return rule
    shape = (STATE_VECTORS, STATE_CHANNELS)
    return ScaleState(memory.allocate(STATE_TENSOR, 4 * STATE_VECTORS * STATE_CHANNELS, "channels", shape), rule)
