"""What stream units are given, and what must come out."""

from collections.abc import Sequence

import numpy as np

from gossamer_hw.render.ball import Balls
from gossamer_hw.render.projector import PIXEL_BITS, Picture
from gossamer_hw.render.sampler import CUBE_BITS, pair_layout
from gossamer_hw.units.catalogue import UNITS
from gossamer_hw.units.render_units import ball_unit, projector_unit, sampler_unit
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.architecture import Array
from gossamer_models.render.encoding import Layout, encode
from gossamer_models.timing.render_units import (
    LATTICE_CYCLES,
    PROJECTION_CYCLES,
    decoder_cycles,
    encoder_cycles,
    meeting_cycles,
    projector_cycles,
    sampler_turns,
)
from tests.hw.render.candidates import Candidates
from tests.hw.render.cubes import View
from tests.hw.render.rays import some_scene
from tests.hw.render.rows import canonical, decoded, numbers, packed, row_bytes, some_rows
from tests.hw.units.case import ARRAY, Case, behind, joined, laid, masks, stream_case

__all__ = ["ball_case", "element_case", "projector_case", "sampler_case", "sparse_case"]

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
    whole, flag = masks(unit).values()
    case.cares.extend([whole | flag] * len(plain))
    case.cares.extend(flag if one is None else whole | flag for one in found)
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
