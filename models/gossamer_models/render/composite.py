"""Front-to-back accumulation of samples, and what was counted on the way.

With e = exp(-density * step) a sample has the weight w = T * (1 - e) and leaves T * e of the transmittance T. It is
shaded if w exceeds the weight cut. With early termination a ray ends behind the first sample that leaves less than
the threshold. A pixel sums w * x over its shaded samples in the order of the ray, from +0. Per sample, x is the colour
and the pixel's colour is the sum, and then T * background is added. Deferred, x is the features, and the pixel's colour
is (1 - T) * the network's colour of the sum, and then T * background is added; a pixel without a shaded sample has no
network's colour. Every operation is rounded to fp32.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.render.lattice import INDEX_BITS

__all__ = ["NEVER", "Compositor", "Counts", "Shaded"]

Index = NDArray[np.int64]

NEVER: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Counts:
    """What rendering one picture took.

    Members
    -------
    occupancy_accesses : reads of the occupancy grid: one per sample in the box, or one per cube that is swept
    cubes : occupied cubes that may be seen
    candidates : pairs of cube and pixel that were tested, pixels that have ended left out
    hits : candidates whose ray meets the cube's ball
    tests : samples whose cube was computed
    samples : samples in occupied cubes whose density was computed
    shaded : samples whose features were computed
    colours : times that the network was computed: for those samples, or for pixels that have one
    """

    occupancy_accesses: int = 0
    cubes: int = 0
    candidates: int = 0
    hits: int = 0
    tests: int = 0
    samples: int = 0
    shaded: int = 0
    colours: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Shaded:
    """Samples that are shaded, in the order of (pixel, k)."""

    pixels: Index
    k: Index
    weights: Float32

    def __getitem__(self, part: slice) -> "Shaded":
        """Return some of them."""
        return Shaded(self.pixels[part], self.k[part], self.weights[part])

    def add_to(self, sums: Float32, values: Float32) -> None:
        """Add weighted values to the sums of their pixels, in the order of each ray.

        Parameters
        ----------
        sums : array of float32, shape (pixels, n)
            Of all samples before these; changed.
        values : array of float32, shape (samples, n)
        """
        starts = np.flatnonzero(np.diff(self.pixels, prepend=-1))
        counts = np.diff(starts, append=len(self.pixels))
        parts = self.weights[:, None] * values
        for rank in range(int(counts.max(initial=0))):
            now = starts[counts > rank] + rank
            sums[self.pixels[now]] += parts[now]


class Compositor:
    """Transmittance of all pixels.

    Parameters
    ----------
    pixels : how many
    weight_cut : samples with no more weight are not shaded
    termination : threshold of early termination, or None

    Members
    -------
    transmittance : array of float32, shape (pixels,)
    last : array of int64, shape (pixels,): index of the sample that ended the ray, or `NEVER`
    samples : how many were accumulated
    """

    def __init__(self, pixels: int, weight_cut: float, termination: float | None) -> None:
        self.transmittance = np.ones(pixels, dtype=np.float32)
        self.last = np.full(pixels, NEVER, dtype=np.int64)
        self.samples = 0
        self._cut = np.float32(weight_cut)
        self._threshold = None if termination is None else np.float32(termination)
        self._shaded: list[tuple[Index, Index, Float32]] = []

    def restart(self, pixels: slice) -> None:
        """Let all light of some pixels be left."""
        self.transmittance[pixels], self.last[pixels] = 1, NEVER

    def alive(self, pixels: Index) -> Bool:
        """Return which pixels' rays go on."""
        going: Bool = self.last[pixels] == NEVER
        return going

    def add(self, pixels: Index, k: Index, left: Float32) -> Bool:
        """Accumulate samples.

        Parameters
        ----------
        pixels, k : arrays of int64, sorted by (pixel, k); no ray has had a sample behind these
        left : array of float32
            e of every sample.

        Returns
        -------
        array of bool
            Which samples were accumulated: those that do not lie behind their ray's end.
        """
        starts = np.flatnonzero(np.diff(pixels, prepend=-1))
        rank = np.arange(len(pixels)) - np.repeat(starts, np.diff(starts, append=len(pixels)))
        order = np.argsort(rank, kind="stable")
        bounds = np.searchsorted(rank[order], np.arange(int(rank.max(initial=-1)) + 2))
        used = np.zeros(len(pixels), dtype=np.bool_)
        for begin, end in pairwise(bounds):
            now = order[begin:end]
            now = now[self.alive(pixels[now])]
            used[now] = True
            self._step(pixels[now], k[now], left[now])
        self.samples += int(used.sum())
        return used

    def _step(self, pixels: Index, k: Index, left: Float32) -> None:
        """Accumulate one sample of each of different rays."""
        before = self.transmittance[pixels]
        weights = before * (np.float32(1) - left)
        after = before * left
        self.transmittance[pixels] = after
        shaded = weights > self._cut
        self._shaded.append((pixels[shaded], k[shaded], weights[shaded]))
        if self._threshold is not None:
            ended = after < self._threshold
            self.last[pixels[ended]] = k[ended]

    def shaded(self) -> Shaded:
        """Return all samples that are shaded."""
        parts = self._shaded or [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))]
        pixels, k, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.argsort(pixels << INDEX_BITS | k, kind="stable")
        return Shaded(pixels[order], k[order], weights[order])

    def take_shaded(self) -> Shaded:
        """Return the samples that are shaded and that no call has returned before."""
        found = self.shaded()
        self._shaded.clear()
        return found

    def covered(self, pixels: Index) -> Float32:
        """Return the light that does not pass, 1 - T."""
        return np.float32(1) - self.transmittance[pixels]

    def over(self, colours: Float32, background: float) -> Float32:
        """Return colours, shape (pixels, 3), over a grey background."""
        return colours + self.transmittance[:, None] * np.float32(background)
