"""A small machine that renders the fields of tests."""

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.architecture import Vector as VectorLanes
from gossamer_models.render_engine import RenderEngine

__all__ = ["machine_of"]


def machine_of(lanes: int = 8, components: tuple[int, int] = (4, 6)) -> Architecture:
    """A 4x4 array and an engine of one lane of each kind, for fields of so many components, blocks of 4 cubes."""
    engine = RenderEngine(
        tile=8, block=4, candidate_lanes=1, sampler_lanes=1, search_units=18, interpolation_lanes=84, exp_units=3,
        sine_units=1, compositor_lanes=1, components=components, grid=16, patch=12, kept=64,
    )  # fmt: skip
    tiny = load_architecture("wide-4x4")
    vector = VectorLanes(lanes=lanes, prune_lanes=4)
    return tiny.model_copy(update={"name": "render-4x4", "vector": vector, "render": engine})
