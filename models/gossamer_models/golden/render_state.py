"""What the render engine holds between instructions."""

from dataclasses import dataclass, field

import numpy as np

from gossamer_models.numerics.formats import Bool, Float32
from gossamer_models.recorded import SweepCounts
from gossamer_models.render.composite import Compositor
from gossamer_models.render.engine.job import ShadedJob, TileRays
from gossamer_models.render.engine.view import View
from gossamer_models.render.field import Factors

__all__ = ["RenderState", "TileState"]


@dataclass(slots=True, eq=False)
class TileState:
    """A tile's pixels.

    Members
    -------
    rays : TileRays
    compositor : their light
    colours : array of float32, shape (pixels, 3)
    sums : array of float32, shape (pixels, features): deferred, the weighted features of their samples
    seen : array of bool, shape (pixels,): deferred, which have any
    """

    rays: TileRays
    compositor: Compositor
    colours: Float32
    sums: Float32
    seen: Bool

    @classmethod
    def begin(cls, rays: TileRays, view: View) -> "TileState":
        """Return a tile whose light is all left."""
        pixels = len(rays.directions)
        compositor = Compositor(pixels, float(view.cut[0]), view.termination)
        colours, sums = (np.zeros((pixels, count), np.float32) for count in (3, view.shading[0]))
        return cls(rays, compositor, colours, sums, np.zeros(pixels, np.bool_))

    def restart(self, pixels: slice) -> None:
        """Let all light of some pixels be left, their colour be black, and nothing be seen in them."""
        self.compositor.restart(pixels)
        self.colours[pixels] = self.sums[pixels] = 0
        self.seen[pixels] = False


@dataclass(slots=True, eq=False)
class RenderState:
    """The render engine; None is what no instruction has loaded yet.

    Members
    -------
    view : View
    lines : density and appearance, whose planes are zero
    tile : TileState
    job : samples of the latest job that are shaded
    sweeps : counts of every job so far, by its number
    """

    view: View | None = None
    lines: tuple[Factors, Factors] | None = None
    tile: TileState | None = None
    job: ShadedJob | None = None
    sweeps: dict[int, SweepCounts] = field(default_factory=dict)
