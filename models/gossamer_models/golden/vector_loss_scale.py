"""Vector operation at the end of a training step: the loss scale of the next one."""

import numpy as np

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import parameters, scalar, set_parameters
from gossamer_models.isa.instructions import FoundMode, Vector
from gossamer_models.loss_scale import is_factor
from gossamer_models.numerics.accumulate import add

__all__ = ["loss_scale"]


def loss_scale(machine: Machine, v: Vector) -> None:
    """Back off behind a gradient that is not finite, grow behind enough steps whose gradients were.

    s, a, r, n = PRM[parameter + i channels + channel], i = 0 .. 3: loss scale, scale / batch, 1 / scale, good steps.
    growth, backoff, interval, bound = scalar0 .. scalar3; growth and backoff are powers of two from 2^-126 to 2^126.
    m = n + 1; f = growth; with `found_mode` 3 and the flag `found` set, f = backoff and interval = +0, in the same
    cycles. If m >= interval: n' = +0, else n' = m and f = 1. If s f and r / f are both at most `bound`: s', a', r' =
    s f, a f, r (1 / f), else as they are. PRM[parameter + i channels + channel] = s', a', r', n'. `count` is
    `channels`: channels are copies of the same numbers.
    """
    if v.count != v.channels:
        raise ExecutionError(f"`count` must be `channels` ({v.channels}), not {v.count}")
    for name in ("scalar0", "scalar1"):
        if not is_factor(float(scalar(getattr(v, name)))):
            raise ExecutionError(f"`{name}` of LOSS_SCALE must be a power of two, not {getattr(v, name):#x}")
    held = parameters(machine, v, v.parameter, 4)
    scale, by_batch, inverse, good = held
    change, interval, bound = scalar(v.scalar0), scalar(v.scalar2), scalar(v.scalar3)
    if v.found_mode == FoundMode.OBEY and v.found in machine.found:
        change, interval = scalar(v.scalar1), np.zeros((), np.float32)
    one, zero = np.float32(1), np.float32(0)
    good = add(good, np.full_like(good, one))
    with np.errstate(invalid="ignore"):
        due = good >= interval
        f, over_f = np.where(due, change, one), np.where(due, one / change, one)
        changed = np.stack([multiply(scale, f), multiply(by_batch, f), multiply(inverse, over_f)])
        within = (changed[0] <= bound) & (changed[2] <= bound)
    set_parameters(machine, v, *np.where(within, changed, held[:3]), np.where(due, zero, good))
