"""Positions and taps along one axis of a convolution's operand, as a schedule sweeps over it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gossamer_compiler.geometry import Taps
from gossamer_compiler.predicted_actions import between, reached

__all__ = ["Swept", "swept"]


@dataclass(frozen=True, slots=True)
class Swept:
    """One axis of a convolution's operand under a schedule: real positions, and taps.

    Members
    -------
    loaded : positions, summed over tiles.
    used : of them, those that an output of the same tile reaches.
    different : positions that any output reaches.
    taps : taps that reach a position from an output of a tile, summed over tiles; strips are one tile's.
    any_taps : taps that reach a position from any output.
    """

    loaded: int
    used: int
    different: int
    taps: int
    any_taps: int


@lru_cache(maxsize=1 << 12)
def swept(taps: Taps, outputs: int, strips: int = 1, *, whole: bool = False) -> Swept:
    """Sweep an axis.

    Parameters
    ----------
    outputs : output positions of a tile, of a strip.
    strips : strips that are computed side by side.
    whole : the only tile loads all positions, reached or not.
    """
    tiles = taps.strip(strips).outputs // outputs
    starts = outputs * np.arange(tiles * strips)
    # Behind the last output a last strip computes what nothing stores.
    ends = np.minimum(starts + outputs, taps.outputs)
    base = taps.origin + taps.direction * np.arange(taps.count)
    first = np.maximum(starts[:, None], -(base // taps.step))
    final = np.minimum(ends[:, None] - 1, (taps.size - 1 - base) // taps.step)
    hits = (first <= final).reshape(strips, tiles, taps.count).any(axis=0)
    if taps.step <= taps.count:
        begins = taps.low + taps.step * starts
        reach = np.where(ends > starts, (ends - starts - 1) * taps.step + taps.count, 0)
        used = int(np.maximum(np.minimum(begins + reach, taps.size) - np.maximum(begins, 0), 0).sum())
        different = between(taps.low, 0, taps.extent(taps.outputs), 1, taps.size)
    else:
        used = different = between(taps.low, taps.step, taps.count, taps.outputs, taps.size)
    loaded = taps.size if whole else reached(taps, outputs, strips)
    return Swept(loaded, used, different, int(hits.sum()), int(hits.any(axis=0).sum()))
