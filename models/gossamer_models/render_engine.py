"""Schema of the render engine: an optional part of an architecture."""

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from gossamer_models.schema import Schema

__all__ = ["MAX_ENGINE_COMPONENTS", "RenderEngine"]

Count = Annotated[int, Field(ge=1, le=1 << 12)]
MAX_ENGINE_COMPONENTS: Final = 64
"""Of a row that a machine decodes; more grow its trees beyond what can be built."""

Components = Annotated[int, Field(ge=2, le=MAX_ENGINE_COMPONENTS)]
Texels = Annotated[int, Field(ge=2, le=1024)]
_KEPT_BYTES: Final = 20
"""Of a sample that is kept: its pixel, its weight, its place."""

Bytes = Annotated[int, Field(ge=1 << 10, le=1 << 22)]


class RenderEngine(Schema):
    """How many of each unit render a field, and what they keep on chip.

    Members
    -------
    tile : pixels along either side of a tile, whose state is kept on chip.
    block : cubes along either side of a block, whose patches of the planes are loaded at once.
    occupancy_ports : words of 64 cubes that are read per cycle.
    candidate_lanes : pixels of a cube's rectangle that are tested against its ball per cycle.
    sampler_lanes : samples whose cube is computed per cycle.
    search_units : rows of at most 16 components that are found and expanded per cycle.
    interpolation_lanes : multiply-adds per cycle, fp16 by fp16 into fp32.
    exp_units, sine_units : table look-ups per cycle.
    compositor_lanes : samples that are accumulated per cycle.
    lag_cubes : cubes of one job under way at once; behind so many the projector sees that a ray has ended.
    patch_bytes : one half of the buffer of encoded patches, for density and appearance together: so much of what was
        loaded before a job is kept, and a job may load half as much.
    patch_table : words of 32 bits, one for each patch of the planes: where it lies in that buffer.
    line_bytes : the encoded lines of density and appearance, which stay for a picture.
    features : sums per pixel that deferred shading keeps for a tile.
    batch : samples or pixels that the array shades at once.
    components : of density and appearance of the fields that Programs render.
    grid, patch : texels along an axis of such a field, and of a block's part of it, at most.
    kept : samples of a job that are shaded, at most.
    """

    tile: Annotated[int, Field(ge=8, le=256)] = 80
    block: Literal[4, 8, 16, 32] = 16
    occupancy_ports: Count = 1
    candidate_lanes: Count
    sampler_lanes: Count
    search_units: Count
    interpolation_lanes: Count
    exp_units: Count
    sine_units: Count
    compositor_lanes: Count = 2
    lag_cubes: Annotated[int, Field(ge=1, le=1024)] = 64
    patch_bytes: Bytes = 1 << 17
    patch_table: Annotated[int, Field(ge=64, le=1 << 20)] = 1 << 12
    line_bytes: Bytes = 1 << 17
    features: Count = 27
    batch: Annotated[int, Field(ge=64, le=1 << 14)] = 1024
    components: tuple[Components, Components] = (16, 48)
    grid: Texels = 128
    patch: Texels = 16
    kept: Annotated[int, Field(ge=8, le=1 << 16)] = 4096

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.search_units % 2:
            raise ValueError(f"`search_units` must be even, two texels to a line, not {self.search_units}")
        return self

    @property
    def in_rtl(self) -> bool:
        """Whether it exists in RTL: one lane of each kind."""
        return self.candidate_lanes == self.sampler_lanes == self.compositor_lanes == 1

    @property
    def patch_banks(self) -> int:
        """Banks of one half of the patch buffer: even and odd texels along both axes, three planes, two quantities."""
        return 2 * 2 * 3 * 2

    @property
    def line_banks(self) -> int:
        """Banks of the lines: even and odd texels, three lines, two quantities."""
        return 2 * 3 * 2

    def on_chip_bytes(self) -> dict[str, int]:
        """Bytes of each memory: both halves of patches and of light and colour of a tile's pixels, all else once.

        ``kept`` is of engines that execute Programs: others hand shaded samples to the array in batches.
        """
        pixels = self.tile**2
        return {
            "patch": 2 * self.patch_bytes,
            "patch_table": 4 * self.patch_table,
            "line": self.line_bytes,
            "pixel": 2 * 4 * 4 * pixels,
            "feature": 4 * self.features * pixels,
            **({"kept": self.kept * _KEPT_BYTES} if self.in_rtl else {}),
        }
