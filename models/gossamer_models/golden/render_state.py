"""What the render engine holds between instructions."""

from dataclasses import dataclass, field

import numpy as np

from gossamer_models.numerics.formats import Float32
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
    """

    rays: TileRays
    compositor: Compositor
    colours: Float32

    @classmethod
    def begin(cls, rays: TileRays, view: View) -> "TileState":
        """Return a tile whose light is all left."""
        pixels = len(rays.directions)
        compositor = Compositor(pixels, float(view.cut[0]), view.termination)
        return cls(rays, compositor, np.zeros((pixels, 3), np.float32))

    def restart(self, pixels: slice) -> None:
        """Let all light of some pixels be left, and their colour be black."""
        self.compositor.restart(pixels)
        self.colours[pixels] = 0


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
