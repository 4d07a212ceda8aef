"""What stream units are given, and what must come out."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from gossamer_hw.prune.topn import TopN
from gossamer_hw.render.ball import Balls
from gossamer_hw.render.encoded_lane import Encoded, EncodedLane
from gossamer_hw.render.interpolation import CORNERS
from gossamer_hw.render.projector import PIXEL_BITS, Picture
from gossamer_hw.render.sampler import CUBE_BITS, pair_layout
from gossamer_hw.render.texel_fetch import COORDINATE_BITS, Texels
from gossamer_hw.render.waves import WaveUnit
from gossamer_hw.units.catalogue import UNITS
from gossamer_hw.units.render_units import (
    ball_unit,
    encoded_unit,
    exponential_unit,
    factor_unit,
    projector_unit,
    sampler_unit,
    softplus_unit,
)
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.architecture import Array
from gossamer_models.numerics.formats import Float16, Float32, bits32, to_fp16
from gossamer_models.numerics.sine import cosine, sine
from gossamer_models.numerics.special import exp, softplus
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.banks import line_banks, plane_banks
from gossamer_models.render.encoding import Layout, encode
from gossamer_models.render.interpolate import Interpolator
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.render_units import (
    EXPONENTIAL_CYCLES,
    FETCH_CYCLES,
    LATTICE_CYCLES,
    PROJECTION_CYCLES,
    SOFTPLUS_CYCLES,
    WAVE_CYCLES,
    decoder_cycles,
    encoded_factor_cycles,
    encoder_cycles,
    factor_cycles,
    meeting_cycles,
    projector_cycles,
    sampler_turns,
)
from tests.hw.prune.prune_words import expected_entries, packed_words, random_words
from tests.hw.render.candidates import Candidates
from tests.hw.render.cubes import View
from tests.hw.render.rays import some_scene
from tests.hw.render.rows import canonical, decoded, numbers, packed, row_bytes, some_rows
from tests.hw.units.case import Case, behind, joined, laid, stream_case

__all__ = [
    "ARRAY", "Case", "ball_case", "element_case", "encoded_case",
    "exponential_case", "exponents", "factor_case", "projector_case", "prune_case", "sampler_case", "softplus_case",
    "sparse_case", "wave_case",
]  # fmt: skip

ARRAY = Array(rows=4, columns=4)
PATTERN = Pattern(2, 8)
PROJECTED = ("origin", "sides", "radius", "focal", "low", "high")


def sparse_case(name: str, components: int, seed: int, each: int) -> Case:
    """Rows of every kind through the encoder or the decoder, which gets bytes that are no row, too."""
    rows = some_rows(components, seed, each)
    table = encode(rows)
    unit = UNITS[name].build(ARRAY, components)
    texts = [row_bytes(table, n) for n in range(len(rows))]
    plain = [(packed(row), int(n == 0)) for n, row in enumerate(rows)]
    coded = [(int.from_bytes(text, "little"), len(text)) for text in texts]
    places = [(int(table.bases[n // 16]), int(table.ends[n])) for n in range(len(rows))]
    if name == "sparse-encoder":
        results = [(*one, *place) for one, place in zip(coded, places, strict=True)]
        return stream_case(unit, plain, results, behind(encoder_cycles(components)))
    rng, layout = np.random.default_rng(seed), Layout(components)
    longest = max(map(len, texts))
    spoilt = [text[:-1] for text in texts] + [rng.bytes(int(rng.integers(longest + 1))) for _ in texts]
    found = [decoded(layout, text) for text in spoilt]
    coded += [(int.from_bytes(text, "little"), len(text)) for text in spoilt]
    wanted = [(numbers, 0) for numbers, _ in plain] + [(numbers or 0, int(numbers is None)) for numbers in found]
    case = stream_case(unit, coded, wanted, behind(decoder_cycles(components)))
    # Of what is malformed nothing else means anything.
    whole, flag = (((1 << field.bits) - 1) << field.offset for field in unit.output_fields)
    case.cares.extend([whole | flag] * len(plain))
    case.cares.extend(flag if one is None else whole | flag for one in found)
    return case


def prune_case(seed: int, count: int, pattern: Pattern = PATTERN) -> Case:
    """Words with ties, infinities and NaN through the top-N network.

    The first ones have nothing, the same everywhere, one number at either end, every other one; of as many real ones
    as a word has, one, and none.
    """
    words, real = random_words(np.random.default_rng(seed), count)
    words[:15], real[:15] = 0, np.repeat([len(words[0]), 1, 0], 5)
    for first in (0, 5, 10):
        words[first + 1], words[first + 2, 0], words[first + 3, -1], words[first + 4, ::2] = 0xBC00, 1, 1, 0x3C00
    entries = expected_entries(words, real, pattern).astype(object)
    results = [(sum(int(entry) << 20 * k for k, entry in enumerate(row)),) for row in entries]
    items = [(word, int(n)) for word, n in zip(packed_words(words), real, strict=True)]
    case = stream_case(UNITS["prune"].build(ARRAY, 1), items, results, behind(TopN.latency))
    case.settings.update(keep=pattern.n, of=pattern.m)
    return case


def element_case(seed: int, steps: int, array: Array = ARRAY) -> Case:
    """Chunks of random lengths in slots that take turns, special numbers and invalid steps and entries now and then."""
    slots = 1 << (array.add_latency_cycles - 1).bit_length()
    latency = array.multiply_latency_cycles + array.add_latency_cycles + 1 + slots
    rng = np.random.default_rng(seed)
    items: list[tuple[int, ...]] = []
    results: list[tuple[int, ...]] = []
    lasts: list[int] = []
    sums, length = np.zeros(slots, np.float32), np.zeros(slots, int)
    for step in range(steps):
        slot = step % slots
        first, last = length[slot] == 0, bool(rng.random() < 0.3) or step >= steps - slots
        word, value = rng.standard_normal(8).astype(np.float16), np.float16(rng.standard_normal())
        if rng.random() < 0.05:
            word = numbers(rng, 8)
        index, valid = int(rng.integers(8)), rng.random(2) < 0.8
        with np.errstate(invalid="ignore"):
            product = np.float32(word[index]) * np.float32(value) if valid.all() else np.float32(0)
            sums[slot] = product + (np.float32(0) if first else sums[slot])
        length[slot] = 0 if last else length[slot] + 1
        if last:
            lasts.append(step)
            results.append((canonical(sums[[slot]])[0],))
        items.append((packed(word), int(value.view(np.uint16)), index, *map(int, valid), int(first), int(last)))
    # Sums leave with further items.
    items += [(0,) * 7] * latency
    return stream_case(UNITS["pe"].build(array, 1), items, results, behind(latency, lasts))


def wave_case(seed: int) -> Case:
    """Sine and cosine of every 67th fp16 number, then of others in any octave; both infinities are among them."""
    rng = np.random.default_rng(seed)
    special = np.array([0, 0x8000, 1, 0x8001, 0x3E48, 0x4248, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00, 0xFE01])
    bits = np.concatenate([np.arange(0, 1 << 16, 67), special, special, rng.integers(0, 1 << 16, 300)])
    bits = bits.astype(np.uint16)
    octaves = rng.integers(0, 16, bits.size)
    octaves[: -300 - special.size] = 0
    with np.errstate(over="ignore", invalid="ignore"):
        x = to_fp16(bits.view(np.float16).astype(np.float32) * np.exp2(octaves, dtype=np.float32))
    unit = StreamUnit(WaveUnit(), inputs=("x", "octave"), outputs=("sine", "cosine"))
    results = np.stack([sine(x), cosine(x)], axis=1).view(np.uint16).tolist()
    items = np.stack([bits, octaves], axis=1).tolist()
    return stream_case(unit, items, results, behind(WAVE_CYCLES))


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
    return stream_case(exponential_unit(), [(int(bits),) for bits in bits32(x)], results, behind(EXPONENTIAL_CYCLES))


def softplus_case(seed: int, count: int) -> Case:
    """Densities of a field: sums around zero and of every size, and what powers of e have special."""
    x = np.concatenate([exponents(seed, count // 2), np.random.default_rng(seed).normal(0, 8, count // 2)])
    x = x.astype(np.float32)
    results = [(int(bits),) for bits in bits32(softplus(x))]
    return stream_case(softplus_unit(), [(int(bits),) for bits in bits32(x)], results, behind(SOFTPLUS_CYCLES))


def projector_case(view: View, unit: StreamUnit | None = None) -> Case:
    """Candidate pixels of cubes; a projector that is elaborated already may be used again."""
    projection = view.projection
    values = {name: packed(np.array(getattr(projection, name))) for name in PROJECTED}
    values |= {"first": joined(view.first, PIXEL_BITS), "last": joined(view.last, PIXEL_BITS)}
    layout = Picture.as_shape()
    items = [joined(cube, CUBE_BITS) for cube in view.cubes.tolist()]
    results, counts = [], [len(pixels) for pixels in view.pixels()]
    for cube, pixels in zip(items, view.pixels(), strict=True):
        results += [(cube, joined(pixel, PIXEL_BITS), int(pixel == pixels[-1])) for pixel in pixels]

    def leaving(entered: Sequence[int]) -> list[int]:
        # A cube waits inside until those ahead of it are through.
        begins = [entered[0] + PROJECTION_CYCLES + projector_cycles(counts[:n]) for n in range(len(counts))]
        return [begin + n for begin, count in zip(begins, counts, strict=True) for n in range(count)]

    case = stream_case(unit or projector_unit(), [(cube,) for cube in items], results, leaving, steady=False)
    case.settings["picture"] = sum(value << layout[name].offset for name, value in values.items())
    return case


def ball_case(candidates: Candidates, unit: StreamUnit | None = None) -> Case:
    """Candidates of cubes at their balls; a test that is elaborated already may be used again."""
    layout = pair_layout(candidates.pixels)
    ball = candidates.ball
    items, results = [], []
    for cube, rays in zip(candidates.cubes.tolist(), candidates.rays, strict=True):
        cell = joined(cube, CUBE_BITS)
        items += [
            (cell, ray.pixel, packed(ray.direction), int(ray.alive), int(ray is rays[-1])) for ray in rays
        ]  # fmt: skip
        met = [ray for ray in rays if ray.met]
        for ray in met:
            values = {"pixel": ray.pixel, "direction": packed(ray.direction), "first": ray.first, "last": ray.last}
            results.append((laid(layout, values), cell, int(ray is met[-1])))
    meets = [[ray.met for ray in rays] for rays in candidates.rays]
    firsts = [sum(map(len, meets[:cube])) for cube in range(len(meets))]

    def leaving(entered: Sequence[int]) -> list[int]:
        cubes = zip(firsts, meets, strict=True)
        return [entered[first] + cycle for first, met in cubes for cycle in meeting_cycles(met)]

    case = stream_case(unit or ball_unit(candidates.pixels), items, results, leaving)
    fields = Balls.as_shape()
    case.settings["balls"] = sum(packed(np.array(getattr(ball, name))) << fields[name].offset for name, _ in fields)
    return case


def sampler_case(pixels: int, seed: int, cubes: int) -> Case:
    """Samples of rays in cubes; :func:`tests.hw.render.rays.some_scene` has what is special."""
    scene = some_scene(pixels, seed, cubes)
    unit = sampler_unit(pixels)
    layout = pair_layout(pixels)
    items: list[tuple[int, int, int]] = []
    results: list[tuple[int, int, int]] = []
    taken: list[tuple[int, int]] = []
    for cube in scene.cubes:
        cell = joined(cube.cell, CUBE_BITS)
        inside = {(pixel, k) for pixel, k, _ in scene.samples(cube)}
        lengths = [last - first + 1 for first, last in zip(cube.first, cube.last, strict=True)]
        taken += [
            (len(items), cycle) for cycle, ray, turn in sampler_turns(lengths)
            if (cube.pixels[ray], cube.first[ray] + turn) in inside
        ]  # fmt: skip
        for pixel, first, last in zip(cube.pixels, cube.first, cube.last, strict=True):
            values = {"pixel": pixel, "direction": packed(scene.rays.directions[pixel]), "first": first, "last": last}
            items.append((laid(layout, values), cell, int(pixel == cube.pixels[-1])))
        results += [(pixel, k, packed(point)) for pixel, k, point in scene.samples(cube)]
    case = stream_case(
        unit, items, results, lambda entered: [entered[first] + cycle + LATTICE_CYCLES for first, cycle in taken],
        steady=False,
    )  # fmt: skip
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


def _golden(planes: Sequence[Float16], lines: Sequence[Float16], grid: tuple[int, int, int]) -> Interpolator:
    """Return what interpolates any numbers; those of a field are finite."""
    factors: Any = SimpleNamespace(planes=planes, lines=lines, grid=grid, components=lines[0].shape[-1])
    return Interpolator(factors, Arithmetic.MACHINE)


def encoded_case(components: int, grid: tuple[int, int, int], seed: int, count: int) -> Case:
    """Points of the held part of a plane and a line in encoded banks, special numbers among the texels."""
    rng = np.random.default_rng(seed)
    x, y, z = grid
    shapes = (y, x), (z, x), (z, y), (z,), (y,), (x,)
    texels = [numbers(rng, *shape, components) for shape in shapes]
    for part in texels:
        part[rng.random(part.shape) < 0.6] = 0
        part[rng.random(part.shape[:-1]) < 0.2] = 0
    xy, xz, yz, p, q, r = texels
    golden = _golden((xy, xz, yz), (p, q, r), grid)
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
    results = [(joined(canonical(product), 32), 0, 0) for product in products]
    points_at = range(len(items) - len(points), len(items))
    case = stream_case(encoded_unit(lane), items, results, behind(encoded_factor_cycles(components), points_at))
    case.settings.update(
        spans=packed(spans),
        highest=joined([n - 2 for n in grid], COORDINATE_BITS),
        bases=joined([a, b, c], COORDINATE_BITS),
        lasts=joined([n - 1 for n in grid], COORDINATE_BITS),
    )
    return case


def factor_case(components: int, grid: tuple[int, int, int], seed: int, count: int) -> Case:
    """Points of the held part of a plane and a line: anywhere, on texels, on corners and faces of the whole.

    Special numbers are among the texels. These are written before the points, and some of the plane's again between
    points.
    """
    rng = np.random.default_rng(seed)
    x, y, z = grid
    scale = np.arange(1, components + 1, dtype=np.float16)
    xy, xz, yz = (rng.standard_normal((*shape, 1)).astype(np.float16) * scale for shape in ((y, x), (z, x), (z, y)))
    p, q, r = (rng.standard_normal((size, components)).astype(np.float16) for size in (z, y, x))
    for part in (xy, p):
        odd = rng.random(part.shape) < 0.03
        part[odd] = numbers(rng, odd.sum())
    golden = _golden((xy, xz, yz), (p, q, r), grid)
    spans, bases = np.array(grid, np.float32) - np.float32(1), np.array(grid) // 3
    points = _points(rng, spans, 9 * count)
    below = np.clip((points * spans).astype(np.int64), 0, spans - 1)
    points = points[(below >= bases).all(axis=1)][:count]
    with np.errstate(all="ignore"):
        products = golden.products(points)[:, :components]
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
        results.append((joined(canonical(product), 32), 0))
    points_at = [n for n, item in enumerate(items) if item[0] == Texels.POINT]
    unit = factor_unit(components, x - a, y - b, z - c)
    case = stream_case(unit, items, results, behind(factor_cycles(), points_at))
    case.settings.update(
        spans=packed(spans),
        highest=joined([n - 2 for n in grid], COORDINATE_BITS),
        bases=joined([a, b, c], COORDINATE_BITS),
        lasts=joined([n - 1 for n in grid], COORDINATE_BITS),
    )
    return case
