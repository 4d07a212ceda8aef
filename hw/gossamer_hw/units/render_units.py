"""Units of the render engine between streams."""

from collections.abc import Mapping

from amaranth.lib import data

from gossamer_hw.render.ball import Balls, BallTest
from gossamer_hw.render.compositor import Compositor
from gossamer_hw.render.compositor_lanes import CompositorLanes, item_layout, result_layout
from gossamer_hw.render.encoded_lane import EncodedLane
from gossamer_hw.render.exponential import ExponentialUnit
from gossamer_hw.render.factor_lane import FactorLane
from gossamer_hw.render.logarithm import SoftplusUnit
from gossamer_hw.render.projector import PIXEL_BITS, Picture, Projector
from gossamer_hw.render.reciprocal import ReciprocalUnit
from gossamer_hw.render.sampler import CUBE_BITS, Sampler, pair_layout
from gossamer_hw.render.sigmoid import SigmoidUnit
from gossamer_hw.render.sweep import SweepLane
from gossamer_hw.render.texel_fetch import COORDINATE_BITS
from gossamer_hw.render.waves import WaveUnit
from gossamer_hw.units.kind import Kind
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.numerics.special import RECIPROCAL
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import (
    BALL_CYCLES,
    COMPOSITOR_CYCLES,
    EXPONENTIAL_CYCLES,
    LATTICE_CYCLES,
    PROJECTION_CYCLES,
    RECIPROCAL_CYCLES,
    SIGMOID_CYCLES,
    SOFTPLUS_CYCLES,
    WAVE_CYCLES,
    encoded_factor_cycles,
    factor_cycles,
)

__all__ = [
    "RENDER_UNITS", "ball_unit", "compositor_lanes_unit", "compositor_unit", "encoded_unit", "exponential_unit",
    "factor_unit", "projector_unit", "reciprocal_unit", "sampler_unit", "sigmoid_unit", "softplus_unit", "sweep_unit",
    "wave_unit",
]  # fmt: skip

_TILE_PIXELS = 80 * 80
_LANES = 4
_PATCH = (32, 32, 128)
_BANK_BYTES = 1 << 13


def exponential_unit() -> StreamUnit:
    """Return an exponential between streams."""
    return StreamUnit(ExponentialUnit(), inputs=("x",), outputs=("power",))


def softplus_unit() -> StreamUnit:
    """Return a softplus between streams."""
    return StreamUnit(SoftplusUnit(), inputs=("x",), outputs=("density",))


def reciprocal_unit() -> StreamUnit:
    """Return a reciprocal between streams."""
    return StreamUnit(ReciprocalUnit(), inputs=("x",), outputs=("inverse",))


def sigmoid_unit() -> StreamUnit:
    """Return a sigmoid between streams."""
    return StreamUnit(SigmoidUnit(), inputs=("x",), outputs=("share",))


def wave_unit() -> StreamUnit:
    """Return a sine and cosine between streams."""
    return StreamUnit(WaveUnit(), inputs=("x", "octave"), outputs=("sine", "cosine"))


def compositor_unit(pixels: int) -> StreamUnit:
    """Return a compositor of so many pixels between streams."""
    return StreamUnit(
        Compositor(pixels=pixels),
        inputs=("item", "pixel", "amount", "colour"),
        outputs=("found_pixel", "finished", "shaded", "ended", "result"),
        settings=("cut", "threshold"),
    )


def compositor_lanes_unit(pixels: int, lanes: int) -> StreamUnit:
    """Return a compositor of so many pixels, of which so many enter per cycle, between streams."""
    return StreamUnit(
        CompositorLanes(pixels=pixels, lanes=lanes),
        inputs=("items",),
        outputs=("results",),
        settings=("cut", "threshold"),
    )


def projector_unit() -> StreamUnit:
    """Return a projector between streams."""
    return StreamUnit(
        Projector(), inputs=("cube",), outputs=("candidate_cube", "pixel", "final"), settings=("picture",)
    )


def ball_unit(pixels: int) -> StreamUnit:
    """Return a test of rays at balls, of so many pixels, between streams."""
    return StreamUnit(
        BallTest(pixels=pixels),
        inputs=("cube", "pixel", "direction", "alive", "last"),
        outputs=("pair", "found_cube", "final"),
        settings=("balls",),
    )


def sampler_unit(pixels: int) -> StreamUnit:
    """Return a sampler of so many pixels between streams."""
    return StreamUnit(
        Sampler(pixels=pixels),
        inputs=("pair", "cube", "final"),
        outputs=("pixel", "index", "point"),
        settings=("step_length", "origin", "cubes"),
    )


def factor_unit(components: int, columns: int, rows: int, length: int) -> StreamUnit:
    """Return a lane of so many components between streams; sizes are those of what it holds."""
    return StreamUnit(
        FactorLane(components=components, columns=columns, rows=rows, length=length),
        inputs=("item", "point", "column", "row", "numbers"),
        outputs=("products", "outside"),
        settings=("spans", "highest", "bases", "lasts"),
    )


def encoded_unit(lane: EncodedLane) -> StreamUnit:
    """Return a lane out of encoded tables between streams."""
    return StreamUnit(
        lane,
        inputs=("item", "point", "bank", "place", "data"),
        outputs=("products", "malformed", "outside"),
        settings=("spans", "highest", "bases", "lasts"),
    )


def _encoded_lane(components: int) -> EncodedLane:
    columns, rows, length = _PATCH
    sizes = {"columns": columns, "rows": rows, "length": length}
    return EncodedLane(components=components, payload_bytes=_BANK_BYTES, **sizes)


def sweep_unit(pixels: int, components: int, patch: tuple[int, int, int], grid: tuple[int, int, int]) -> StreamUnit:
    """Return a sweep lane of so many pixels and components between streams; sizes are those of what it holds."""
    return StreamUnit(
        SweepLane(pixels=pixels, components=components, patch=patch, grid=grid),
        inputs=(
            "task", "pair", "cube", "final", "axes", "column", "row", "numbers", "item", "pixel", "amount", "colour",
        ),
        outputs=("found_pixel", "finished", "shaded", "ended", "result", "index", "point"),
        settings=(
            "step_length", "origin", "cubes", "spans", "highest", "bases", "lasts", "shift", "thickness", "cut",
            "threshold",
        ),
    )  # fmt: skip


def _fields(layout: data.StructLayout) -> str:
    return ", ".join(f"{field.width} bits of {name}" for name, field in layout)


_LIGHT = {
    "cut": "samples that weigh no more are not shaded, fp32 from +0 on",
    "threshold": "a pixel ends behind the first sample that leaves less light, fp32 from +0 on; 0 never ends one",
}
_HELD = {
    "spans": "texels of the whole plane and line less 1, three of fp32",
    "highest": f"texels of the whole plane and line less 2, three of {COORDINATE_BITS} bits",
    "bases": f"the first texels that are held, three of {COORDINATE_BITS} bits",
    "lasts": f"the last texels that are held, three of {COORDINATE_BITS} bits",
}


RENDER_UNITS: Mapping[str, Kind] = {
    "exponential": Kind(
        lambda array, components: exponential_unit(),
        "Raises e to a power: a table of 32 powers of two and a polynomial, in fp32 operations that are rounded one by"
        " one, within 0.55 ulp; within 1 ulp where the result is subnormal.",
        lambda array, components: f"{EXPONENTIAL_CYCLES} cycles",
        {"x": "fp32", "power": "e to x, fp32; NaN of NaN"},
    ),
    "softplus": Kind(
        lambda array, components: softplus_unit(),
        "Takes log(1 + e to x), a field's density: an exponential, a sum and a logarithm from 128 cells and a"
        " polynomial, in fp32 operations that are rounded one by one.",
        lambda array, components: f"{SOFTPLUS_CYCLES} cycles",
        {"x": "fp32", "density": "log(1 + e to x), fp32; x itself from 17 on; NaN of NaN"},
    ),
    "reciprocal": Kind(
        lambda array, components: reciprocal_unit(),
        f"Takes 1 / x: a table of {len(RECIPROCAL)} numbers and a polynomial, in fp32 operations that are rounded one"
        " by one, within 0.52 ulp; within 1 ulp where the result is subnormal.",
        lambda array, components: f"{RECIPROCAL_CYCLES} cycles",
        {"x": "fp32", "inverse": "1 / x, fp32; infinite of zeros, NaN of NaN"},
    ),
    "sigmoid": Kind(
        lambda array, components: sigmoid_unit(),
        "Takes 1 / (1 + e to -x), a colour: an exponential, a sum and a reciprocal, in fp32 operations that are rounded"
        " one by one.",
        lambda array, components: f"{SIGMOID_CYCLES} cycles",
        {"x": "fp32", "share": "1 / (1 + e to -x), fp32; NaN of NaN"},
    ),
    "waves": Kind(
        lambda array, components: wave_unit(),
        "Takes sine and cosine, for encoded positions: exact phase, one table for both, each rounded once, within"
        " 2**-11.9.",
        lambda array, components: f"{WAVE_CYCLES} cycles",
        {
            "x": "fp16, in radians",
            "octave": "the waves are those of 2**octave x, which is infinite as fp16 has it",
            "sine": "fp16; NaN of what is infinite and of NaN",
            "cosine": "fp16; NaN of what is infinite and of NaN",
        },
    ),
    "compositor": Kind(
        lambda array, components: compositor_unit(_TILE_PIXELS),
        "Composes the samples of a tile's pixels front to back: weights, the light that is left, where a pixel ends,"
        " and colours. Only samples of pixels that have not ended and finished pixels give a result.",
        lambda array, components: f"{COMPOSITOR_CYCLES} cycles; items of one pixel enter {COMPOSE_CYCLES} cycles apart",
        {
            "item": "0: the pixel begins; 1: a sample; 2: the colour of a shaded sample; 3: the pixel is finished;"
            " 4: the light that is left falls on `colour`, without what has been added",
            "pixel": f"whose, below {_TILE_PIXELS}",
            "amount": "fp32: of a sample the share of the light that it leaves, 0 to 1 or NaN; of its colour its"
            " weight",
            "colour": "three of fp32: of a shaded sample, or of the background behind a finished pixel",
            "found_pixel": "the sample's, or the one that is finished",
            "finished": "a colour, of a finished pixel or of light, not a sample's weight",
            "shaded": "the sample weighs more than the cut; NaN does not",
            "ended": "the sample has ended its pixel: all later ones are dropped",
            "result": "fp32: the sample's weight, or three of a finished pixel's colour",
            **_LIGHT,
        },
    ),
    "compositor-lanes": Kind(
        lambda array, components: compositor_lanes_unit(_TILE_PIXELS, _LANES),
        f"{_LANES} compositors, one for every pixel of {_LANES} neighbours. The items of a cycle enter together, when"
        " every lane that gets one may take it.",
        lambda array, components: f"{COMPOSITOR_CYCLES} cycles; items of one pixel enter {COMPOSE_CYCLES} cycles apart",
        {
            "items": "of every lane, lane 0 lowest, each lowest first:"
            f" {_fields(item_layout(_TILE_PIXELS // _LANES))}; pixel p is at place p // {_LANES} of lane p % {_LANES};"
            " else as for the compositor",
            "results": f"likewise: {_fields(result_layout(_TILE_PIXELS // _LANES))}",
            **_LIGHT,
        },
    ),
    "projector": Kind(
        lambda array, components: projector_unit(),
        "Finds the pixels of a tile that may see a cube: those in a rectangle around its ball, rounded outwards. They"
        " come one per cycle, row by row; a cube that no pixel of the tile sees gives none, and takes a cycle.",
        lambda array, components: f"{PROJECTION_CYCLES} cycles from a cube to its first pixel",
        {
            "cube": f"{CUBE_BITS} bits of each of x, y and z, lowest first",
            "candidate_cube": "the pixel's cube",
            "pixel": f"{PIXEL_BITS} bits of each of x and y in the tile, lowest first",
            "final": "the pixel is the cube's last one",
            "picture": f"lowest first: {_fields(Picture.as_shape())}; numbers are fp32, pixels integers:"
            " models/gossamer_models/render/projection.py",
        },
    ),
    "ball-test": Kind(
        lambda array, components: ball_unit(_TILE_PIXELS),
        "Finds which of the rays that may see a cube meet its ball, rounded outwards, and the samples that may lie in"
        " it; its results are what the sampler takes.",
        lambda array, components: f"{BALL_CYCLES} cycles from what says whether a ray is the cube's final one",
        {
            "cube": f"{CUBE_BITS} bits of each of x, y and z, lowest first; the same up to the last candidate",
            "pixel": f"the ray's, below {_TILE_PIXELS}",
            "direction": "in coordinates of the box per unit of length, three of fp32",
            "alive": "the pixel has not ended",
            "last": "the candidate is the cube's last one",
            "pair": f"a ray, lowest first: {_fields(pair_layout(_TILE_PIXELS))}",
            "found_cube": "its cube",
            "final": "the ray is the cube's last one",
            "balls": f"lowest first: {_fields(Balls.as_shape())}; all fp32: models/gossamer_models/render/ball.py",
        },
    ),
    "sampler": Kind(
        lambda array, components: sampler_unit(_TILE_PIXELS),
        "Finds the samples of rays that lie in a cube. Rays of a cube enter up to its final one, each pixel at most"
        " once; then they take turns, a sample per cycle, and those in the cube are results.",
        lambda array, components: f"{LATTICE_CYCLES} cycles from a ray to its first sample",
        {
            "pair": f"a ray, lowest first: {_fields(pair_layout(_TILE_PIXELS))}; last is not before first",
            "cube": f"{CUBE_BITS} bits of each of x, y and z, lowest first; the same for all rays up to the final one",
            "final": "the ray is the cube's last one",
            "pixel": "the sample's",
            "index": "the sample's place on its ray: k of t = (k + 1/2) step",
            "point": "where it lies in the box, three of fp32",
            "step_length": "distance of two samples, fp32",
            "origin": "the eye in coordinates of the box, three of fp32",
            "cubes": "cubes along each axis, three of fp32",
        },
    ),
    "factor-lane": Kind(
        lambda array, components: factor_unit(1, *_PATCH),
        f"Multiplies a plane and a line of a field at points, one component of them. It holds {_PATCH[0]} x {_PATCH[1]}"
        f" texels of the plane and {_PATCH[2]} of the line in banks, so that no fetch waits. Only points give results.",
        lambda array, components: f"{factor_cycles()} cycles",
        {
            "item": "0: a point; 1: a texel of the plane; 2: a texel of the line; none that a point inside needs",
            "point": "from 0 to 1 along columns, rows and the line, three of fp32",
            "column": "of a texel, counted from the first one that is held; so are texels of the line",
            "row": "of the plane's texel",
            "numbers": "of the texel, fp16",
            "products": "fp32; meaningless outside",
            "outside": "texels that the point needs are not held",
            **_HELD,
        },
    ),
    "encoded-lane": Kind(
        lambda array, components: encoded_unit(_encoded_lane(components)),
        f"Multiplies a plane and a line of a field at points, all components, out of encoded tables: {_PATCH[0]} x"
        f" {_PATCH[1]} texels of the plane and {_PATCH[2]} of the line in banks of {_BANK_BYTES} bytes of encoded rows,"
        " of which each gives a row per cycle. Only points give results.",
        lambda array, components: f"{encoded_factor_cycles(components)} cycles",
        {
            "item": "0: a point; 1: a header; 2: a word of a payload; nothing is written while a point is inside",
            "point": "from 0 to 1 along columns, rows and the line, three of fp32",
            "bank": "of what is written: of the plane x mod 2 + 2 (y mod 2), of the line 4 + x mod 2:"
            " models/gossamer_models/render/banks.py",
            "place": "which block of 16 rows, or which word",
            "data": "the header as docs/fields.md has it, or the word, its first byte lowest",
            "products": "of all components, fp32; meaningless if malformed or outside",
            "malformed": "a row that the point needs is no encoding",
            "outside": "rows that the point needs are not held",
            **_HELD,
        },
    ),
}
