"""Operations of the render engine: a picture of a radiance field, job by job."""

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.render_state import TileState
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layouts import BLOCK, blocks_of, pack_blocks, unpack_blocks
from gossamer_models.numerics.formats import Float16, Float32, UInt8, canonical, to_fp16, to_fp32
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import MAX_SIDE
from gossamer_models.render.engine.job import RAY_WORDS, TILE_WORDS, TileRays, run_job
from gossamer_models.render.engine.patches import (
    JOB_HEADER_BYTES,
    JobRecord,
    Texels,
    read_lines,
    read_patches,
    texels_of,
)
from gossamer_models.render.engine.view import UNSIGNED, VIEW_WORDS, View
from gossamer_models.render.field import MOST_CUBES, MOST_FREQUENCIES, Factors, Shader
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.render.renderer import light_through
from gossamer_models.render.shade import network_inputs
from gossamer_models.render.tiles import Tile

__all__ = [
    "NO_PIXEL", "render_colours", "render_finish", "render_inputs", "render_lines", "render_pixels", "render_products",
    "render_sums", "render_sweep", "render_tile", "render_view",
]  # fmt: skip

NO_PIXEL: Final = 0xFFFFFFFF
"""Pixel of an entry of a list of samples that is none."""

_DENSITY, _APPEARANCE = range(2)
_MACHINE: Final = Arithmetic.MACHINE
_T = TypeVar("_T")


def render_view(machine: Machine, v: Vector) -> None:
    """Begin a picture.

    VIN[source0]: the view's record, 64 words (`gossamer_models.render.engine.view`). It stays, as do lines and tile,
    until the next one, from stage to stage. The engine must be built for its components, block, texels and features;
    there are 1 to 1024 cubes along an axis, and the eye's cell is at most one behind them; thickness, cut and threshold
    must be numbers from +0 on.
    """
    view = View.from_words(machine.read(v.engine, Buffer.VIN, np.uint32, v.source0, VIEW_WORDS))
    engine = machine.architecture.render
    if engine is None:
        raise ExecutionError(f"{machine.architecture.name} has no render engine")
    if not all(1 <= cubes <= MOST_CUBES for cubes in view.cubes):
        raise ExecutionError(f"a field must have 1..{MOST_CUBES} cubes along an axis, not {view.cubes}")
    if any(eye > cubes + 1 for eye, cubes in zip(view.eye, view.cubes, strict=True)):
        raise ExecutionError(f"the eye's cell must be at most one behind the {view.cubes} cubes, not {view.eye}")
    if min(view.grid) < 2 or sorted(view.axes) != [0, 1, 2]:
        raise ExecutionError("the view's record is none: a size in it is zero")
    if view.block != (engine.block,) or view.components != engine.components or max(view.grid) > engine.grid:
        raise ExecutionError(
            f"a field of {view.components} components, {view.grid} texels, blocks of {view.block[0]} cubes must have"
            f" {engine.components}, at most {engine.grid}, {engine.block}"
        )
    if not 1 <= view.shading[0] <= engine.features:
        raise ExecutionError(f"a field must have 1..{engine.features} features, not {view.shading[0]}")
    if max(view.shading[1:]) > MOST_FREQUENCIES:
        raise ExecutionError(f"an encoding must have at most {MOST_FREQUENCIES} frequencies, not {view.shading[1:]}")
    for name in UNSIGNED:
        (number,) = getattr(view, name)
        if np.signbit(number) or np.isnan(number):
            raise ExecutionError(f"a view's {name} must be a number from +0 on, not {number}")
    machine.render.view, machine.render.lines, machine.render.tile = view, None, None


def render_lines(machine: Machine, v: Vector) -> None:
    """Take the lines of all factors.

    VIN[source0]: `count` bytes, the encoded tables of density along z, y and x, then of appearance
    (`gossamer_models.render.engine.patches`). `width`, `height`, `channel_low`: texels along x, y and z. Tables
    that are none, that leave these bytes, or that have a number which is not finite, are an error.
    """
    view = _held(machine.render.view, "RENDER_VIEW")
    _check_counts(v, view.grid)
    data = machine.read(v.engine, Buffer.VIN, np.uint8, v.source0, v.count)
    machine.render.lines = read_lines(data, _grid(view), view.components)


def render_tile(machine: Machine, v: Vector) -> None:
    """Begin a tile of pixels.

    VIN[source0]: 16 words, left, top, width and height of the tile; VIN[source1]: 6 words of fp32 for each of `count`
    pixels from number `parameter` on, row by row: direction of the ray in the box and in the world. All light of these
    pixels is left, their colour is black, their sums of features are +0. The first words count with `parameter` 0 only;
    the tile may be of the engine's size or smaller and ends within 8192 pixels, `count` at least 1.
    Pixels that none has given mean nothing: golden has rays of no direction there, the machine whatever was there.
    """
    view = _held(machine.render.view, "RENDER_VIEW")
    if not v.parameter:
        head = machine.read(v.engine, Buffer.VIN, np.uint32, v.source0, TILE_WORDS)
        left, top, width, height = (int(word) for word in head[:4])
        side = machine.architecture.render_engine.tile
        if not (1 <= width <= side and 1 <= height <= side):
            raise ExecutionError(f"a tile must have 1..{side} pixels along either axis, not {width} x {height}")
        if max(left + width, top + height) > MAX_SIDE:
            end = f"{left + width}, {top + height}"
            raise ExecutionError(f"a tile must end within {MAX_SIDE} pixels along both axes, not at {end}")
        empty = np.zeros((2, width * height, 3), np.float32)
        machine.render.tile = TileState.begin(TileRays(Tile(left, top, width, height), empty[0], empty[1]), view)
    tile = _held(machine.render.tile, "RENDER_TILE")
    rays, pixels = tile.rays, _pixels(v, tile)
    words = machine.read(v.engine, Buffer.VIN, np.float32, v.source1, v.count * RAY_WORDS).reshape(-1, RAY_WORDS)
    rays.directions[pixels], rays.views[pixels] = words[:, :3], words[:, 3:]
    tile.restart(pixels)


def render_sweep(machine: Machine, v: Vector) -> None:
    """Take the samples of a block of cubes.

    VIN[source0]: the block's record; VIN[source1]: its patches, encoded tables of three axis pairs, density before
    appearance; `width`, `height`, `channel_low`: their texels along x, y and z. Cubes, rays and samples come in the
    order of `gossamer_models.render.engine.job`; a ray that has ended gets no more samples from the next job on. Light:
    w = T (1 - e), T = T e with e = exp(-softplus(sum + shift) thickness). Samples of w > cut are kept for
    RENDER_PRODUCTS: at most `count`, one more is an error. `size`: number of the job, under which golden records what
    it took; the machine has no use for it. A cube that is occupied, the block's first one and its texels must lie in
    the field, the patches must have the texels of all samples. What is wrong with tables of density is an error as for
    RENDER_LINES; of those of appearance only where they end is looked at, which must be in VIN. Golden refuses jobs
    with more than 2^24 samples in the balls of cubes, which the machine looks at one per cycle.
    """
    view, tile = _held(machine.render.view, "RENDER_VIEW"), _held(machine.render.tile, "RENDER_TILE")
    record, factors = _patches(machine, v, view, _DENSITY)
    corner = np.array(record.place) * len(record.occupied)
    if (corner + np.argwhere(record.occupied).max(axis=0, initial=0) >= view.cubes).any():
        raise ExecutionError(f"cubes of block {record.place} lie outside of the field's {view.cubes}")
    kept = machine.architecture.render_engine.kept
    if v.count > kept:
        raise ExecutionError(f"`count` must be at most the {kept} samples that the engine keeps, not {v.count}")
    density = Interpolator(factors, _MACHINE)
    light = light_through(density, view.shift[0], view.thickness[0], _MACHINE)

    def evaluate(points: Float32) -> Float32:
        _check_texels(density, record.texels, points)
        return light(points)

    shaded, machine.render.sweeps[v.size] = run_job(view, tile.rays, tile.compositor, record.cubes(), evaluate)
    if len(shaded.pixels) > v.count:
        raise ExecutionError(
            f"`count` must be at least the {len(shaded.pixels)} samples that are shaded, not {v.count}"
        )
    machine.render.job = shaded


def render_products(machine: Machine, v: Vector) -> None:
    """Interpolate the appearance of samples that the latest RENDER_SWEEP has kept.

    Samples `parameter` .. `parameter` + `count` - 1, in their order; VIN as for RENDER_SWEEP, but of the block's record
    only the texels count; the patches must have those of all these samples, and tables of appearance and of density
    change places in what is an error. VOUT[target0] = fp16 of all products, in
    blocks [`count` / 8][`channels` / 8][8 samples][8 products]; VOUT[target1] = list of pixel in the tile (uint32) and
    weight (fp32). Behind the last sample products and weights are +0 and pixels 0xFFFFFFFF. `size`: components of a
    plane; `channels`: the products, padded to a block.
    """
    view, job = _held(machine.render.view, "RENDER_VIEW"), _held(machine.render.job, "RENDER_SWEEP")
    record, factors = _patches(machine, v, view, _APPEARANCE)
    width = 3 * view.components[1]
    _check_widths(v, view.components[1], width)
    _check_room(machine, v)
    part = slice(v.parameter, v.parameter + v.count)
    appearance = Interpolator(factors, _MACHINE)
    _check_texels(appearance, record.texels, job.points[part])
    products = appearance.products(job.points[part])
    rows = np.zeros((v.count, width), np.float16)
    rows[: len(products)] = to_fp16(products + np.float32(0))  # a product that is -0 becomes +0
    _write_list(machine, v, rows, job.pixels[part], job.weights[part])


def render_inputs(machine: Machine, v: Vector) -> None:
    """Make the network's inputs of samples' features.

    VIN[source0]: fp16 features of `count` samples in blocks; VIN[source1]: their list. VOUT[target0] = fp16 of the
    features, the direction, sines and cosines of 2^k features, then of 2^k direction, in blocks of `channels`. Sine and
    cosine: `gossamer_models.numerics.sine`. `size`: the features, padded to a block. A pixel beyond the tile is an
    error.
    """
    view, tile = _held(machine.render.view, "RENDER_VIEW"), _held(machine.render.tile, "RENDER_TILE")
    features, of_features, of_directions = view.shading
    _check_widths(v, blocks_of(features) * BLOCK, Shader.inputs(*view.shading))
    _check_room(machine, v)
    if not v.count:
        return
    half = machine.read(v.engine, Buffer.VIN, np.float16, v.source0, v.count * blocks_of(features) * BLOCK)
    values = to_fp32(unpack_blocks(half, (v.count, features, 1, 1))[:, :, 0, 0])
    pixels, _ = _list(machine, v, tile)
    directions = _MACHINE.half(tile.rays.views[np.where(pixels == NO_PIXEL, 0, pixels)])
    found = network_inputs(_MACHINE, values, directions, of_features, of_directions)
    machine.write(v.engine, Buffer.VOUT, v.target0, pack_blocks(to_fp16(found)[:, :, None, None], BLOCK))


def render_colours(machine: Machine, v: Vector) -> None:
    """Add samples' colours to those of their pixels.

    VIN[source0]: fp32 results of the network's last layer for `count` samples, in blocks [`count` / 8][8 samples][8];
    VIN[source1]: their list. colour = colour + w c, c = 1 / (1 + exp(-x)), in the list's order; entries without a pixel
    do nothing, a pixel beyond the tile is an error.
    """
    tile = _held(machine.render.tile, "RENDER_TILE")
    results = machine.read(v.engine, Buffer.VIN, np.float32, v.source0, v.count * BLOCK).reshape(-1, BLOCK)[:, :3]
    pixels, weights = _list(machine, v, tile)
    real = pixels != NO_PIXEL
    with np.errstate(invalid="ignore"):
        np.add.at(tile.colours, pixels[real], weights[real, None] * _MACHINE.sigmoid(results[real]))
    tile.colours = canonical(tile.colours)


def render_sums(machine: Machine, v: Vector) -> None:
    """Add samples' features to those of their pixels, for deferred shading.

    VIN[source0]: fp32 features of `count` samples as the basis drains them, in blocks of `size`; VIN[source1]: their
    list. sum = sum + w f, in the list's order; entries without a pixel do nothing, a pixel beyond the tile is an error.
    `size`: the features, padded to a block.
    """
    view, tile = _held(machine.render.view, "RENDER_VIEW"), _held(machine.render.tile, "RENDER_TILE")
    features = view.shading[0]
    _check_widths(v, blocks_of(features) * BLOCK, v.channels)
    single = machine.read(v.engine, Buffer.VIN, np.float32, v.source0, v.count * v.size)
    values = single.reshape(-1, v.size // BLOCK, BLOCK, BLOCK).transpose(0, 2, 1, 3).reshape(-1, v.size)[:, :features]
    pixels, weights = _list(machine, v, tile)
    real = pixels != NO_PIXEL
    with np.errstate(invalid="ignore", over="ignore"):
        np.add.at(tile.sums, pixels[real], weights[real, None] * values[real])
    tile.sums = canonical(tile.sums)
    tile.seen[pixels[real]] = True


def render_pixels(machine: Machine, v: Vector) -> None:
    """Give the sums of the pixels that have any, as if they were samples.

    Those pixels, ascending, are numbered; numbers `parameter` .. `parameter` + `count` - 1 are given. VOUT[target0] =
    fp16 of their sums in blocks of `channels`; VOUT[target1] = list of pixel in the tile and weight 1 - T. Behind the
    last pixel sums and weights are +0 and pixels 0xFFFFFFFF. `size`: pixels of the tile.
    """
    view, tile = _held(machine.render.view, "RENDER_VIEW"), _held(machine.render.tile, "RENDER_TILE")
    _check_widths(v, len(tile.seen), view.shading[0])
    _check_room(machine, v)
    pixels = np.flatnonzero(tile.seen)[v.parameter : v.parameter + v.count]
    rows = np.zeros((v.count, view.shading[0]), np.float16)
    rows[: len(pixels)] = to_fp16(tile.sums[pixels])
    _write_list(machine, v, rows, pixels, tile.compositor.covered(pixels))


def render_finish(machine: Machine, v: Vector) -> None:
    """Give pixels' colours over the background.

    VOUT[target0] = colour + T background, fp32, three for each of `count` pixels, at least one, from `parameter` on.
    """
    view, tile = _held(machine.render.view, "RENDER_VIEW"), _held(machine.render.tile, "RENDER_TILE")
    pixels = _pixels(v, tile)
    colours = tile.compositor.over(tile.colours, float(view.background[0]))
    machine.write(v.engine, Buffer.VOUT, v.target0, colours[pixels])


def _held(part: _T | None, operation: str) -> _T:
    if part is None:
        raise ExecutionError(f"needs what {operation} takes, and none has run")
    return part


def _pixels(v: Vector, tile: TileState) -> slice:
    """Return the pixels `parameter` .. `parameter` + `count` - 1 of a tile."""
    pixels = slice(v.parameter, v.parameter + v.count)
    if not v.count:
        raise ExecutionError("`count` must be at least 1 pixel, not 0")
    if pixels.stop > len(tile.colours):
        raise ExecutionError(f"pixels up to {pixels.stop} must lie in a tile of {len(tile.colours)}")
    return pixels


def _grid(view: View) -> tuple[int, int, int]:
    x, y, z = view.grid
    return x, y, z


def _check_widths(v: Vector, size: int, channels: int) -> None:
    padded = blocks_of(channels) * BLOCK
    for name, found, wanted in (("size", v.size, size), ("channels", v.channels, padded)):
        if found != wanted:
            raise ExecutionError(f"`{name}` must be {wanted}, not {found}")
    if v.count % BLOCK:
        raise ExecutionError(f"`count` must be a multiple of {BLOCK}, not {v.count}")


def _check_room(machine: Machine, v: Vector) -> None:
    """Refuse rows that VOUT cannot hold, before they are made."""
    rows, room = 2 * v.count * v.channels, machine.architecture.buffers.vector_out_bytes
    if rows > room:
        raise ExecutionError(f"{v.count} rows of {v.channels} fp16 numbers must fit VOUT, which has {room} bytes")


def _patches(machine: Machine, v: Vector, view: View, quantity: int) -> tuple[JobRecord, Factors]:
    """Return the block's record, and density or appearance with its patches in place."""
    lines, block = _held(machine.render.lines, "RENDER_LINES"), view.block[0]
    head = machine.read(v.engine, Buffer.VIN, np.uint8, v.source0, JOB_HEADER_BYTES + block**3 // 8)
    record = JobRecord.from_bytes(head, block)
    texels = record.texels
    if any(not 0 <= a < b < n for a, b, n in zip(texels.first, texels.last, view.grid, strict=True)):
        raise ExecutionError("a block's texels lie outside of the field")
    _check_counts(v, texels.counts)
    engine = machine.architecture.render_engine
    if max(texels.counts) > engine.patch:
        raise ExecutionError(f"patches must have at most {engine.patch} texels along an axis, not {texels.counts}")
    return record, read_patches(_Patches(machine, v), texels, _grid(view), lines, quantity)


class _Patches:
    """The bytes of VIN from source1 on; what is taken of them is read."""

    def __init__(self, machine: Machine, v: Vector) -> None:
        self._machine, self._engine, self._start = machine, v.engine, v.source1
        self.size = max(machine.architecture.buffers.vector_in_bytes - v.source1, 0)

    def __getitem__(self, part: slice, /) -> UInt8:
        first, end, _ = part.indices(self.size)
        return self._machine.read(self._engine, Buffer.VIN, np.uint8, self._start + first, max(end - first, 0))


def _check_counts(v: Vector, texels: tuple[int, ...]) -> None:
    """Refuse an instruction that reads tables of other texels."""
    if texels_of(v) != texels:
        raise ExecutionError(f"`width`, `height`, `channel_low` must be the {texels} texels, not {texels_of(v)}")


def _check_texels(factors: Interpolator, texels: Texels, points: Float32) -> None:
    """Refuse samples whose texels are not in the block's patches."""
    *_, z, y, x = factors.cells(points)
    for axis, found in enumerate((x, y, z)):
        low, high = texels.first[axis], texels.last[axis] - 1
        if found.size and not low <= found.min() <= found.max() <= high:
            raise ExecutionError(f"texels {found.min()}..{found.max() + 1} must lie in the patches' {low}..{high + 1}")


def _write_list(machine: Machine, v: Vector, rows: Float16, pixels: NDArray[np.int64], weights: Float32) -> None:
    """Write rows in blocks, and the list of the first ones."""
    listed = np.zeros((v.count, 2), np.uint32)
    listed[:, 0] = NO_PIXEL
    listed[: len(pixels), 0], listed[: len(pixels), 1] = pixels, weights.view(np.uint32)
    machine.write(v.engine, Buffer.VOUT, v.target0, pack_blocks(rows[:, :, None, None], BLOCK))
    machine.write(v.engine, Buffer.VOUT, v.target1, listed)


def _list(machine: Machine, v: Vector, tile: TileState) -> tuple[NDArray[np.int64], Float32]:
    """Return pixels and weights of a list of samples."""
    words = machine.read(v.engine, Buffer.VIN, np.uint32, v.source1, 2 * v.count).reshape(-1, 2)
    pixels = words[:, 0].astype(np.int64)
    real = pixels[pixels != NO_PIXEL]
    if real.size and real.max() >= len(tile.colours):
        raise ExecutionError(f"pixel {real.max()} of a list must lie in a tile of {len(tile.colours)}")
    return pixels, np.ascontiguousarray(words[:, 1]).view(np.float32)
