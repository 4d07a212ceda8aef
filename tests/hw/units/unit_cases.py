"""What stream units are given, and what must come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from amaranth.lib.data import StructLayout

from gossamer_hw.render.ball import Balls
from gossamer_hw.render.compositor import Item
from gossamer_hw.render.compositor_lanes import item_layout, result_layout
from gossamer_hw.render.encoded_lane import Encoded, EncodedLane
from gossamer_hw.render.interpolation import CORNERS
from gossamer_hw.render.projector import PIXEL_BITS, Picture
from gossamer_hw.render.sampler import CUBE_BITS, pair_layout
from gossamer_hw.render.texel_fetch import COORDINATE_BITS, Texels
from gossamer_hw.render.waves import WaveUnit
from gossamer_hw.units.catalogue import UNITS
from gossamer_hw.units.render_units import (
    ball_unit,
    compositor_lanes_unit,
    compositor_unit,
    encoded_unit,
    exponential_unit,
    factor_unit,
    projector_unit,
    sampler_unit,
    softplus_unit,
)
from gossamer_hw.units.stream_unit import Field, StreamUnit
from gossamer_models.architecture import Array
from gossamer_models.numerics.formats import Float32, bits32
from gossamer_models.numerics.sine import cosine, sine
from gossamer_models.numerics.special import exp, softplus
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.banks import line_banks, plane_banks
from gossamer_models.render.composite import Compositor, Shaded
from gossamer_models.render.encoding import encode
from gossamer_models.render.field import Factors
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.render_units import FETCH_CYCLES
from tests.hw.prune.prune_words import expected_entries, packed_words, random_words
from tests.hw.render.candidates import Candidates
from tests.hw.render.cubes import View
from tests.hw.render.rays import some_scene
from tests.hw.render.rows import canonical, numbers, packed, row_bytes, some_rows

__all__ = [
    "ARRAY", "Case", "ball_case", "compositor_case", "compositor_lanes_case", "element_case", "encoded_case",
    "exponential_case", "exponents", "factor_case", "projector_case", "prune_case", "sampler_case", "softplus_case",
    "sparse_case", "wave_case",
]  # fmt: skip

ARRAY = Array(rows=4, columns=4)
PATTERN = Pattern(2, 8)
PROJECTED = ("origin", "sides", "radius", "focal", "low", "high")


@dataclass(frozen=True, slots=True)
class Case:
    """A unit, its items as ``s_axis_tdata`` takes them, and its results as ``m_axis_tdata`` gives them."""

    unit: StreamUnit
    items: list[int]
    results: list[int]
    settings: dict[str, int]


def sparse_case(name: str, components: int, seed: int, each: int) -> Case:
    """Rows of every kind through the encoder or the decoder."""
    rows = some_rows(components, seed, each)
    table = encode(rows)
    unit = UNITS[name].build(ARRAY, components)
    texts = [row_bytes(table, n) for n in range(len(rows))]
    plain = [(packed(row), int(n == 0)) for n, row in enumerate(rows)]
    coded = [(int.from_bytes(text, "little"), len(text)) for text in texts]
    places = [(int(table.bases[n // 16]), int(table.ends[n])) for n in range(len(rows))]
    if name == "sparse-encoder":
        results = [(*one, *place) for one, place in zip(coded, places, strict=True)]
        return _case(unit, plain, results)
    return _case(unit, coded, [(numbers, 0) for numbers, _ in plain])


def prune_case(seed: int, count: int) -> Case:
    """Words with ties, infinities and NaN through the top-N network, 2:8."""
    words, real = random_words(np.random.default_rng(seed), count)
    entries = expected_entries(words, real, PATTERN).astype(object)
    results = [(sum(int(entry) << 20 * k for k, entry in enumerate(row)),) for row in entries]
    items = [(word, int(n)) for word, n in zip(packed_words(words), real, strict=True)]
    case = _case(UNITS["prune"].build(ARRAY, 1), items, results)
    case.settings.update(keep=PATTERN.n, of=PATTERN.m)
    return case


def element_case(seed: int, steps: int) -> Case:
    """Chunks of random lengths in four slots that take turns, steps and entries invalid now and then."""
    rng = np.random.default_rng(seed)
    items: list[tuple[int, ...]] = []
    results: list[tuple[int, ...]] = []
    sums, length = np.zeros(4, np.float32), np.zeros(4, int)
    for step in range(steps):
        slot = step % 4
        first, last = length[slot] == 0, bool(rng.random() < 0.3) or step >= steps - 4
        word, value = rng.standard_normal(8).astype(np.float16), np.float16(rng.standard_normal())
        index, valid = int(rng.integers(8)), rng.random(2) < 0.8
        product = np.float32(word[index]) * np.float32(value) if valid.all() else np.float32(0)
        sums[slot] = product + (np.float32(0) if first else sums[slot])
        length[slot] = 0 if last else length[slot] + 1
        if last:
            results.append((int(sums[slot].view(np.uint32)),))
        items.append((packed(word), int(value.view(np.uint16)), index, *map(int, valid), int(first), int(last)))
    # Sums leave behind further items.
    items += [(0,) * 7] * 12
    return _case(UNITS["pe"].build(ARRAY, 1), items, results)


def wave_case() -> Case:
    """Sine and cosine of every 17th fp16 number."""
    bits = np.arange(0, 1 << 16, 17, dtype=np.uint16)
    x = bits.view(np.float16)
    unit = StreamUnit(WaveUnit(), inputs=("x",), outputs=("sine", "cosine"))
    results = np.stack([sine(x), cosine(x)], axis=1).view(np.uint16).tolist()
    return _case(unit, [(number,) for number in bits.tolist()], results)


def exponents(seed: int, count: int) -> Float32:
    """Numbers to take the exponential of: around all of its steps and ends, tiny, of any bits, none."""
    rng = np.random.default_rng(seed)
    steps = (rng.integers(-4900, 4200, count // 4) / 2 + rng.normal(0, 1e-4, count // 4)) * (np.log(2) / 32)
    ends = np.array([0.0, -0.0, 89, 88.72284, -103.97208, -104, 1e30, -1e30, np.inf, -np.inf, np.nan, 1e-40, -1e-45])
    usual = [-rng.exponential(0.3, count // 4), rng.uniform(-104, 89, count // 4)]
    any_bits = rng.integers(0, 1 << 32, count // 4, dtype=np.uint64).astype(np.uint32).view(np.float32)
    parts = [ends, np.nextafter(ends[2:6].astype(np.float32), np.float32(0)), steps, *usual]
    return np.concatenate([*(part.astype(np.float32) for part in parts), any_bits])


def exponential_case(seed: int, count: int) -> Case:
    """Powers of e."""
    x = exponents(seed, count)
    results = [(int(bits),) for bits in bits32(exp(x))]
    return _case(exponential_unit(), [(int(bits),) for bits in bits32(x)], results)


def softplus_case(seed: int, count: int) -> Case:
    """Densities of a field: sums around zero and of every size, and what powers of e have special."""
    x = np.concatenate([exponents(seed, count // 2), np.random.default_rng(seed).normal(0, 8, count // 2)])
    x = x.astype(np.float32)
    results = [(int(bits),) for bits in bits32(softplus(x))]
    return _case(softplus_unit(), [(int(bits),) for bits in bits32(x)], results)


@dataclass(frozen=True, slots=True)
class _Composed:
    """An item of a compositor, and its result: shaded, ended, weight or colour."""

    kind: Item
    pixel: int
    amount: int
    colour: int
    result: tuple[int, int, int] | None = None


_CUT, _THRESHOLD, _BACKGROUND = np.float32(1e-3), np.float32(0.02), np.float32(0.75)


def _composed(pixels: int, seed: int, count: int) -> list[_Composed]:
    """Return samples of a tile's pixels in any order, colours of the shaded ones between later ones, and all pixels."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(pixels, size=count)
    left = np.exp(-rng.exponential(0.4, count) * (rng.random(count) < 0.8)).astype(np.float32)
    left[rng.integers(count, size=8)] = np.array([0, 1, 1e-40, 2e-45] * 2, np.float32)
    colour = rng.random((count, 3), dtype=np.float32)
    order = np.argsort(owner, kind="stable")
    # Without a cut golden gives the weights of all samples that count.
    golden = Compositor(pixels, -1.0, float(_THRESHOLD))
    golden.add(owner[order], order, left[order])
    weighed = golden.shaded()
    weights = dict(zip(weighed.k.tolist(), weighed.weights, strict=True))
    kept = weighed.weights > _CUT
    shaded = Shaded(weighed.pixels[kept], weighed.k[kept], weighed.weights[kept])
    sums = np.zeros((pixels, 3), np.float32)
    shaded.add_to(sums, colour[shaded.k])
    picture = golden.over(sums, float(_BACKGROUND))
    items = [_Composed(Item.BEGIN, p, 0, packed(colour[0])) for p in range(pixels)]
    waiting: list[_Composed] = []
    for n, pixel in enumerate(owner.tolist()):
        result = None
        if n in weights:
            is_shaded, weight = int(weights[n] > _CUT), int(bits32(weights[n]))
            result = is_shaded, int(golden.last[pixel] == n), weight
            if is_shaded:
                waiting.append(_Composed(Item.COLOUR, pixel, weight, packed(colour[n])))
        items.append(_Composed(Item.SAMPLE, pixel, int(bits32(left[n])), packed(colour[n]), result))
        while waiting and rng.random() < 0.4:
            items.append(waiting.pop(0))
    items += waiting
    for pixel in rng.permutation(pixels).tolist():
        result = 0, 0, packed(picture[pixel])
        items.append(_Composed(Item.FINISH, pixel, 0, packed(np.repeat(_BACKGROUND, 3)), result))
    return items


def compositor_case(pixels: int, seed: int, count: int) -> Case:
    """Samples, colours and ends of a tile's pixels, one per cycle."""
    items = _composed(pixels, seed, count)
    results = [(one.pixel, int(one.kind == Item.FINISH), *one.result) for one in items if one.result]
    entering = [(one.kind, one.pixel, one.amount, one.colour) for one in items]
    case = _case(compositor_unit(pixels), entering, results)
    case.settings.update(cut=packed(np.array(_CUT)), threshold=packed(np.array(_THRESHOLD)))
    return case


def compositor_lanes_case(pixels: int, lanes: int, seed: int, count: int) -> Case:
    """The same for several pixels per cycle: each item with those before it as long as its lane has none yet."""
    places = -(-pixels // lanes)
    layouts = item_layout(places), result_layout(places)
    vectors: list[list[_Composed | None]] = [[None] * lanes]
    rng = np.random.default_rng(seed)
    for one in _composed(pixels, seed, count):
        if vectors[-1][one.pixel % lanes] or rng.random() < 0.1:
            vectors.append([None] * lanes)
        vectors[-1][one.pixel % lanes] = one
    items, results = [], []
    for vector in vectors:
        entering, leaving = 0, 0
        for lane, chosen in enumerate(vector):
            if chosen is None:
                continue
            one, place = chosen, chosen.pixel // lanes
            values = {"valid": 1, "item": one.kind, "place": place, "amount": one.amount, "colour": one.colour}
            entering |= _laid(layouts[0], values) << layouts[0].size * lane
            if one.result:
                names = ("found", "place", "finished", "shaded", "ended", "result")
                given = (1, place, int(one.kind == Item.FINISH), *one.result)
                leaving |= _laid(layouts[1], dict(zip(names, given, strict=True))) << layouts[1].size * lane
        items.append((entering,))
        if leaving:
            results.append((leaving,))
    case = _case(compositor_lanes_unit(pixels, lanes), items, results)
    case.settings.update(cut=packed(np.array(_CUT)), threshold=packed(np.array(_THRESHOLD)))
    return case


def projector_case(view: View, unit: StreamUnit | None = None) -> Case:
    """Candidate pixels of cubes; a projector that is elaborated already may be used again."""
    projection = view.projection
    values = {name: packed(np.array(getattr(projection, name))) for name in PROJECTED}
    values |= {"first": _joined(view.first, PIXEL_BITS), "last": _joined(view.last, PIXEL_BITS)}
    layout = Picture.as_shape()
    items = [_joined(cube, CUBE_BITS) for cube in view.cubes.tolist()]
    results = []
    for cube, pixels in zip(items, view.pixels(), strict=True):
        results += [(cube, _joined(pixel, PIXEL_BITS), int(pixel == pixels[-1])) for pixel in pixels]
    case = _case(unit or projector_unit(), [(cube,) for cube in items], results)
    case.settings["picture"] = sum(value << layout[name].offset for name, value in values.items())
    return case


def ball_case(candidates: Candidates, unit: StreamUnit | None = None) -> Case:
    """Candidates of cubes at their balls; a test that is elaborated already may be used again."""
    layout = pair_layout(candidates.pixels)
    ball = candidates.ball
    items, results = [], []
    for cube, rays in zip(candidates.cubes.tolist(), candidates.rays, strict=True):
        cell = _joined(cube, CUBE_BITS)
        items += [
            (cell, ray.pixel, packed(ray.direction), int(ray.alive), int(ray is rays[-1])) for ray in rays
        ]  # fmt: skip
        met = [ray for ray in rays if ray.met]
        for ray in met:
            values = {"pixel": ray.pixel, "direction": packed(ray.direction), "first": ray.first, "last": ray.last}
            results.append((_laid(layout, values), cell, int(ray is met[-1])))
    case = _case(unit or ball_unit(candidates.pixels), items, results)
    fields = Balls.as_shape()
    case.settings["balls"] = sum(packed(np.array(getattr(ball, name))) << fields[name].offset for name, _ in fields)
    return case


def sampler_case(pixels: int, seed: int, cubes: int) -> Case:
    """Samples of rays in cubes; :func:`tests.hw.render.rays.some_scene` has what is special."""
    scene = some_scene(pixels, seed, cubes)
    unit = sampler_unit(pixels)
    layout = pair_layout(pixels)
    items, results = [], []
    for cube in scene.cubes:
        cell = _joined(cube.cell, CUBE_BITS)
        for pixel, first, last in zip(cube.pixels, cube.first, cube.last, strict=True):
            values = {"pixel": pixel, "direction": packed(scene.rays.directions[pixel]), "first": first, "last": last}
            items.append((_laid(layout, values), cell, int(pixel == cube.pixels[-1])))
        results += [(pixel, k, packed(point)) for pixel, k, point in scene.samples(cube)]
    case = _case(unit, items, results)
    rays = scene.rays
    case.settings.update(
        step_length=packed(np.array(rays.step)),
        origin=packed(rays.origin),
        cubes=packed(np.array(rays.cubes, np.float32)),
    )
    return case


def _points(rng: np.random.Generator, spans: Float32, count: int) -> Float32:
    """Return points anywhere, on texels, and on corners and faces of the whole."""
    anywhere = rng.random((count, 3), dtype=np.float32)
    kinds = rng.integers(3, size=(count, 1))
    return np.select([kinds == 0, kinds == 1], [anywhere, np.rint(anywhere * spans) / spans], np.rint(anywhere))


def encoded_case(components: int, grid: tuple[int, int, int], seed: int, count: int) -> Case:
    """Points of the held part of a plane and a line in encoded banks, largest and tiny numbers among the texels."""
    rng = np.random.default_rng(seed)
    x, y, z = grid
    shapes = (y, x), (z, x), (z, y), (z,), (y,), (x,)
    texels = [numbers(rng, *shape, components) for shape in shapes]
    for part in texels:
        part[~np.isfinite(part)] = np.finfo(np.float16).max
        part[rng.random(part.shape) < 0.6] = 0
        part[rng.random(part.shape[:-1]) < 0.2] = 0
    xy, xz, yz, p, q, r = texels
    golden = Interpolator(Factors((xy, xz, yz), (p, q, r)), Arithmetic.MACHINE)
    spans, bases = np.array(grid, np.float32) - np.float32(1), np.array(grid) // 3
    points = _points(rng, spans, 9 * count)
    below = np.clip((points * spans).astype(np.int64), 0, spans - 1)
    points = points[(below >= bases).all(axis=1)][:count]
    with np.errstate(all="ignore"):
        products = golden.products(points)[:, :components]
    a, b, c = bases.tolist()
    tables = [*plane_banks(xy[b:, a:]), *line_banks(p[c:])]
    size = max(len(table.payload) for table in tables)
    lane = EncodedLane(components=components, columns=x - a, rows=y - b, length=z - c, payload_bytes=size)
    items: list[tuple[int, ...]] = []
    for bank, table in enumerate(tables):
        text, word_bytes = table.to_bytes(), lane.sizes[bank >= CORNERS].word_bytes
        headers, each = table.layout.headers_bytes(table.rows), table.layout.header_bytes
        for kind, written, width in (
            (Encoded.HEADER, text[:headers], each),
            (Encoded.PAYLOAD, text[headers:], word_bytes),
        ):
            cuts = [written[place : place + width] for place in range(0, len(written), width)]
            items += [(kind, 0, bank, n, int.from_bytes(cut, "little")) for n, cut in enumerate(cuts)]
    items += [(Encoded.POINT, packed(point), 0, 0, 0) for point in points]
    results = [(_joined(canonical(product), 32), 0) for product in products]
    case = _case(encoded_unit(lane), items, results)
    case.settings.update(
        spans=packed(spans),
        highest=_joined([n - 2 for n in grid], COORDINATE_BITS),
        bases=_joined([a, b, c], COORDINATE_BITS),
    )
    return case


def factor_case(components: int, grid: tuple[int, int, int], seed: int, count: int) -> Case:
    """Points of the held part of a plane and a line: anywhere, on texels, on corners and faces of the whole.

    Texels are written before the points, and some of the plane's again between points.
    """
    rng = np.random.default_rng(seed)
    x, y, z = grid
    scale = np.arange(1, components + 1, dtype=np.float16)
    xy, xz, yz = (rng.standard_normal((*shape, 1)).astype(np.float16) * scale for shape in ((y, x), (z, x), (z, y)))
    p, q, r = (rng.standard_normal((size, components)).astype(np.float16) for size in (z, y, x))
    golden = Interpolator(Factors((xy, xz, yz), (p, q, r)), Arithmetic.MACHINE)
    spans, bases = np.array(grid, np.float32) - np.float32(1), np.array(grid) // 3
    points = _points(rng, spans, 9 * count)
    below = np.clip((points * spans).astype(np.int64), 0, spans - 1)
    points = points[(below >= bases).all(axis=1)][:count]
    products = golden.products(points)[:, :components] + np.float32(0)
    a, b, c = bases.tolist()
    texels = [(Texels.PLANE, 0, n - a, k - b, packed(xy[k, n])) for k in range(b, y) for n in range(a, x)]
    texels += [(Texels.LINE, 0, n - c, 0, packed(p[n])) for n in range(c, z)]
    items, results = list(texels), []
    needed = golden.cells(points)[0][:, None] + np.array([0, 1, x, x + 1])
    for n, (point, product) in enumerate(zip(points, products, strict=True)):
        _, _, column, row, _ = again = texels[rng.integers((x - a) * (y - b))]
        # What a point on its way reads must not be written.
        if (row + b) * x + column + a not in needed[max(n - FETCH_CYCLES, 0) : n]:
            items.append(again)
        items.append((Texels.POINT, packed(point), 0, 0, 0))
        results.append((packed(product),))
    case = _case(factor_unit(components, x - a, y - b, z - c), items, results)
    case.settings.update(
        spans=packed(spans),
        highest=_joined([n - 2 for n in grid], COORDINATE_BITS),
        bases=_joined([a, b, c], COORDINATE_BITS),
    )
    return case


def _laid(layout: StructLayout, values: Mapping[str, int]) -> int:
    return sum(value << layout[name].offset for name, value in values.items())


def _joined(values: Sequence[int], bits: int) -> int:
    return sum(value << bits * place for place, value in enumerate(values))


def _case(unit: StreamUnit, items: Sequence[Sequence[int]], results: Sequence[Sequence[int]]) -> Case:
    return Case(
        unit,
        [_whole(unit.input_fields, item) for item in items],
        [_whole(unit.output_fields, result) for result in results],
        {},
    )


def _whole(fields: Sequence[Field], values: Sequence[int]) -> int:
    return sum(value << field.offset for field, value in zip(fields, values, strict=True))
