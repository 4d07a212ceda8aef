"""Samples, colours and ends of a tile's pixels, for one compositor and for several side by side."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gossamer_hw.render.colour import ColourUnit
from gossamer_hw.render.compositor import Item
from gossamer_hw.render.compositor_lanes import item_layout, result_layout
from gossamer_hw.units.render_units import compositor_lanes_unit, compositor_unit
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.numerics.formats import Float32, bits32
from gossamer_models.render.composite import Compositor, Index, Shaded
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import COLOUR_CYCLES, COMPOSITOR_CYCLES
from tests.hw.render.rows import canonical, packed
from tests.hw.units.case import Case, behind, joined, laid, masks, stream_case

__all__ = ["colour_case", "compositor_case", "compositor_lanes_case"]


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
    """Return samples of a tile's pixels in any order, colours of the shaded ones between later ones, and all pixels.

    First come ten samples of the first pixel, then one each of the first and the last pixel by turns. From four pixels
    on the second one has no sample at all, the third one its only one at the end. Colours of three samples that count,
    none of the last pixel, have a number that is NaN, infinite, or negative and infinite.
    """
    rng = np.random.default_rng(seed)
    owner = rng.integers(pixels, size=count)
    owner[:30] = 0
    owner[10:30:2] = pixels - 1
    if pixels > 3:
        owner[(owner == 1) | (owner == 2)] = 3
        owner[-1] = 2
    left = np.exp(-rng.exponential(0.4, count) * (rng.random(count) < 0.8)).astype(np.float32)
    left[rng.integers(count, size=8)] = np.array([0, 1, 1e-40, 2e-45] * 2, np.float32)
    # From then on the last pixel's light is none: no sample of it is shaded, and none ends it.
    left[np.flatnonzero(owner == pixels - 1)[3]] = np.nan
    colour = rng.random((count, 3), dtype=np.float32)
    order = np.argsort(owner, kind="stable")
    golden = Compositor(pixels, float(_CUT), float(_THRESHOLD))
    weights = _weights(owner, left, np.flatnonzero(golden.add(owner[order], order, left[order])[np.argsort(order)]))
    shaded = golden.shaded()
    heavy = set(shaded.k.tolist())
    special = rng.choice(shaded.k[owner[shaded.k] != pixels - 1], 3, replace=False)
    colour[special, rng.permutation(3)] = [np.nan, np.inf, -np.inf]
    sums = np.zeros((pixels, 3), np.float32)
    with np.errstate(invalid="ignore"):
        shaded.add_to(sums, colour[shaded.k])
        picture = golden.over(sums, float(_BACKGROUND))
    items = [_Composed(Item.BEGIN, p, 0, packed(colour[0])) for p in range(pixels)]
    waiting: list[_Composed] = []
    for n, pixel in enumerate(owner.tolist()):
        result = None
        if n in weights:
            is_shaded, weight = int(n in heavy), weights[n]
            result = is_shaded, int(golden.last[pixel] == n), weight
            if is_shaded:
                waiting.append(_Composed(Item.COLOUR, pixel, weight, packed(colour[n])))
        items.append(_Composed(Item.SAMPLE, pixel, int(bits32(left[n])), packed(colour[n]), result))
        while waiting and rng.random() < 0.4:
            items.append(waiting.pop(0))
    items += waiting
    for pixel in rng.permutation(pixels).tolist():
        with np.errstate(invalid="ignore"):
            left_on = golden.transmittance[pixel] * colour[pixel % count]
        items.append(_Composed(Item.LIGHT, pixel, 0, packed(colour[pixel % count]), (0, 0, _colour(left_on))))
    for pixel in rng.permutation(pixels).tolist():
        result = 0, 0, _colour(picture[pixel])
        items.append(_Composed(Item.FINISH, pixel, 0, packed(np.repeat(_BACKGROUND, 3)), result))
    return items


def colour_case(pixels: int, channels: int, seed: int, count: int) -> Case:
    """Sums of pixels: all begin, then weighted values are added to any, now and then alone or without being kept.

    An item's pixel is none of those of the last ones. Of larger tiles nothing comes for the second pixel, one item for
    the third. At the end all sums are read.
    """
    rng = np.random.default_rng(seed)
    unit = StreamUnit(
        ColourUnit(pixels=pixels, channels=channels),
        inputs=("pixel", "weight", "values", "fresh", "restart", "stores"),
        outputs=("sums",),
        paced=True,
    )
    weights, values = rng.random(count, np.float32), rng.normal(0, 1, (count, channels)).astype(np.float32)
    values[rng.integers(count, size=6), rng.integers(channels, size=6)] = [np.nan, np.inf, -np.inf, 0, -0.0, 1e-40]
    weights[rng.integers(count, size=4)] = [0, 1, 1e-40, 3e38]
    sums = np.zeros((pixels, channels), np.float32)
    items: list[tuple[int, ...]] = []
    results: list[tuple[int, ...]] = []
    added: list[int] = []
    owner = _spaced(pixels, count, rng)
    nothing = np.zeros(1 + channels, np.float32)

    def give(pixel: int, part: Float32, result: int, *flags: int) -> None:
        items.append((pixel, packed(part[:1]), packed(part[1:]), *flags))
        results.append((result,))

    def begin_or_wait(chosen: Iterable[int], begins: int) -> None:
        for pixel in chosen:
            give(pixel, nothing, 0, 0, begins, 0)

    begin_or_wait(range(pixels), 1)
    begin_or_wait([0] * COMPOSE_CYCLES, 0)
    begun = len(items)
    with np.errstate(all="ignore"):
        for n, pixel in enumerate(owner):
            fresh, stores = rng.random(2) < (0.1, 0.9)
            total = weights[n] * values[n] + (np.float32(0) if fresh else sums[pixel])
            if stores:
                sums[pixel] = total
                added = [m for m in added if not fresh or owner[m] != pixel] + [n]
            give(pixel, np.append(weights[n], values[n]), _colour(total), int(fresh), 0, int(stores))
        order = np.array(sorted(added, key=lambda n: owner[n]), np.int64)
        again = np.zeros_like(sums)
        Shaded(np.array(owner)[order], order, weights[order]).add_to(again, values[order])
    assert np.array_equal(again, sums, equal_nan=True), f"seed {seed}: golden adds otherwise"
    ended = len(items)
    begin_or_wait([0] * COMPOSE_CYCLES, 0)
    for pixel in range(pixels):
        give(pixel, nothing, _colour(sums[pixel]), 0, 0, 0)
    chosen = range(len(items))
    items += [(0,) * len(items[0])] * (COLOUR_CYCLES - 1)
    case = stream_case(unit, items, results, behind(COLOUR_CYCLES, chosen))
    (whole,) = masks(unit).values()
    case.cares.extend(whole if begun <= n < ended or n >= ended + COMPOSE_CYCLES else 0 for n in chosen)
    return case


def _spaced(pixels: int, count: int, rng: np.random.Generator) -> list[int]:
    """Return pixels of which no two like ones are less than ``COMPOSE_CYCLES`` apart."""
    owner: list[int] = []
    often = [n for n in range(pixels) if pixels < 2 * COMPOSE_CYCLES or n not in (1, 2)]
    for _ in range(count):
        near = owner[len(owner) - COMPOSE_CYCLES + 1 :] if owner else []
        owner.append(int(rng.choice([n for n in often if n not in near])))
    if len(often) < pixels:
        owner[count // 2] = 2
    return owner


def _weights(owner: Index, left: Float32, used: Index) -> dict[int, int]:
    """Return the bits of the weights of the samples that count, in whatever order pixels come."""
    light = np.ones(owner.max() + 1, np.float32)
    weights = {}
    for n in used.tolist():
        weights[n] = canonical(light[owner[n], None] * (np.float32(1) - left[n]))[0]
        light[owner[n]] *= left[n]
    return weights


def _colour(numbers: Float32) -> int:
    return joined(canonical(numbers), 32)


def compositor_case(pixels: int, seed: int, count: int) -> Case:
    """Samples, colours and ends of a tile's pixels, one per cycle."""
    items = _composed(pixels, seed, count)
    results = [(one.pixel, int(one.kind in (Item.FINISH, Item.LIGHT)), *one.result) for one in items if one.result]
    entering = [(one.kind, one.pixel, one.amount, one.colour) for one in items]
    leaving = behind(COMPOSITOR_CYCLES, [n for n, one in enumerate(items) if one.result])
    case = stream_case(compositor_unit(pixels), entering, results, leaving, steady=False)
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
    given_by: list[int] = []
    for vector in vectors:
        entering, leaving = 0, 0
        for lane, chosen in enumerate(vector):
            if chosen is None:
                continue
            one, place = chosen, chosen.pixel // lanes
            values = {"valid": 1, "item": one.kind, "place": place, "amount": one.amount, "colour": one.colour}
            entering |= laid(layouts[0], values) << layouts[0].size * lane
            if one.result:
                names = ("found", "place", "finished", "shaded", "ended", "result")
                given = (1, place, int(one.kind in (Item.FINISH, Item.LIGHT)), *one.result)
                leaving |= laid(layouts[1], dict(zip(names, given, strict=True))) << layouts[1].size * lane
        items.append((entering,))
        if leaving:
            given_by.append(len(items) - 1)
            results.append((leaving,))
    unit, cycles = compositor_lanes_unit(pixels, lanes), behind(COMPOSITOR_CYCLES, given_by)
    case = stream_case(unit, items, results, cycles, steady=False)
    case.settings.update(cut=packed(np.array(_CUT)), threshold=packed(np.array(_THRESHOLD)))
    return case
