"""Light and ends of a tile's rays while its jobs are counted."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.composite import NEVER
from gossamer_models.render.uniform import Evaluate

__all__ = ["TileState", "Tiling"]

Index = NDArray[np.int64]

_ROUND: Final = 8  # samples of a ray that are computed before it is seen whether it has ended


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a picture is cut.

    Parameters
    ----------
    tile : pixels along either side of a tile
    block : cubes along either side of a block
    lag_cubes : cubes of a job behind which the projector sees that a ray has ended
    weight_cut, termination : of the renderer
    """

    tile: int
    block: int
    lag_cubes: int
    weight_cut: float
    termination: float | None


class TileState:
    """What becomes of a tile's rays from group to group: their light is as `composite` has it.

    Members
    -------
    end_k, end_job : arrays of int64, shape (pixels,): sample and job that ended the ray, or `NEVER`
    shaded : array of bool, shape (pixels,): which have a shaded sample
    jobs : of all groups so far
    begun : job that was worked on last
    """

    def __init__(self, pixels: int, tiling: Tiling) -> None:
        self.end_k, self.end_job = np.full(pixels, NEVER), np.full(pixels, NEVER)
        self.shaded = np.zeros(pixels, dtype=np.bool_)
        self.jobs = self.begun = 0
        self._light = np.ones(pixels, dtype=np.float32)
        self._cut = np.float32(tiling.weight_cut)
        self._threshold = np.float32(-1 if tiling.termination is None else tiling.termination)

    def begin(self, job: Index, which: Index, pixel: Index) -> Bool:
        """Return which cubes are worked on: those of jobs with a candidate that went on when the job before them began.

        Parameters
        ----------
        job : of each cube of a group
        which, pixel : pairs of cube and pixel
        """
        first = self.jobs
        count = int(job[-1]) + 1 - first if len(job) else 0
        latest = np.full(count, -1)
        np.maximum.at(latest, job[which] - first, self.end_job[pixel])
        chosen = np.zeros(count, dtype=np.bool_)
        for number, end in enumerate(latest.tolist()):
            if end >= self.begun:
                chosen[number], self.begun = True, first + number
        self.jobs += count
        worked: Bool = chosen[job - first]
        return worked

    def run(self, owner: Index, points: Float32, evaluate: Evaluate) -> tuple[Bool, Bool, Index]:
        """Take the samples of a group, sorted by pixel and place on the ray.

        Returns
        -------
        used, shaded : arrays of bool, shape (samples,)
        ended : array of int64: the samples that ended a ray
        """
        used, shaded, ended = np.zeros((3, len(owner)), dtype=np.bool_)
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        going, stops = owner[starts], np.append(starts[1:], len(owner))
        while len(going):
            place = starts[:, None] + np.arange(_ROUND)
            there = place < stops[:, None]
            left = np.ones(place.shape, dtype=np.float32)
            left[there] = evaluate(points[place[there]])
            alive, now = np.ones(len(going), dtype=np.bool_), self._light[going]
            for rank in range(_ROUND):
                taken = alive & there[:, rank]
                after, where = now * left[:, rank], place[taken, rank]
                used[where] = True
                shaded[where] = (now * (np.float32(1) - left[:, rank]))[taken] > self._cut
                ends = taken & (after < self._threshold)
                ended[place[ends, rank]] = True
                alive &= ~ends
                now = np.where(taken, after, now)
            self._light[going] = now
            rest = np.flatnonzero(alive & (starts + _ROUND < stops))
            going, starts, stops = going[rest], starts[rest] + _ROUND, stops[rest]
        return used, shaded, np.flatnonzero(ended)
