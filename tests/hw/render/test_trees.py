"""Searches in lists of coordinates, and the tree for both, against numpy; sums alone pass in Verilator."""

import numpy as np
import pytest

from gossamer_hw.render.trees import DualTree, ListSearch, SumTree
from gossamer_models.render.encoding import Counts, find
from gossamer_models.render.interpolate import tree_sum
from gossamer_models.timing.render_units import list_search_cycles, tree_cycles
from tests.hw.render.rows import canonical, numbers, packed, pipelined

SEED = 21
ITEMS = 120
SIZES = [(2, 1), (4, 3), (16, 6)]


def sums(rng: np.random.Generator, terms: int) -> tuple[list[dict[str, int]], list[int]]:
    """Return items of products of fp16 numbers, and their sums.

    Of the first ones none is anything, all are, the first or the last one is, every other one is; then infinite ones
    and NaN.
    """
    with np.errstate(all="ignore"):
        products = numbers(rng, ITEMS, terms).astype(np.float32) * numbers(rng, ITEMS, terms).astype(np.float32)
        products[:10] = 0
        products[2:4], products[4:6, 0], products[6:8, -1], products[8:10, ::2] = 1.5, 1.5, 1.5, 1.5
        products[10:12, 0], products[12:14, -1], products[14:16] = np.inf, np.nan, -np.inf
        products[16:18, 0], products[16:18, -1] = np.inf, -np.inf
        products = np.array([canonical(row) for row in products], np.uint32).view(np.float32)
        return [{"terms": packed(row)} for row in products], canonical(tree_sum(products))


def lists(rng: np.random.Generator, slots: int, bits: int) -> tuple[Counts, Counts, Counts]:
    """Return ascending lists, rubbish behind their ends, how long they are, and queries that half of them hold.

    The first ones are empty, of one coordinate, full, and of every other one that there is, each with queries for what
    they hold first and last and for what they lack.
    """
    most, places = min(slots, 1 << bits), 1 << bits
    counts = rng.integers(0, most + 1, ITEMS)
    other = min(slots, places // 2)
    counts[:24] = np.repeat([0, 1, most, other], 6)
    coordinates = rng.integers(0, 1 << bits, (ITEMS, slots))
    for row, count in zip(coordinates, counts, strict=True):
        row[:count] = np.sort(rng.permutation(places)[:count])
    coordinates[18:24, :other] = 2 * np.arange(other)
    held = coordinates[np.arange(ITEMS), rng.integers(0, np.maximum(counts, 1))]
    asked = np.where(rng.random(ITEMS) < 0.5, held, rng.integers(0, places, ITEMS))
    ends = [coordinates[:24, 0], coordinates[np.arange(24), np.maximum(counts[:24], 1) - 1]]
    lacking = (ends[1] + 1) % places
    asked[:24] = np.select([np.arange(24) // 2 % 3 == n for n in range(3)], [*ends, lacking])
    return coordinates, counts, asked


def queries(coordinates: Counts, counts: Counts, asked: Counts, bits: int) -> list[dict[str, int]]:
    return [
        {"coordinates": sum(int(c) << bits * n for n, c in enumerate(row)), "count": int(count), "query": int(query)}
        for row, count, query in zip(coordinates, counts, asked, strict=True)
    ]


@pytest.mark.parametrize(("slots", "bits"), SIZES)
def test_searches(slots: int, bits: int) -> None:
    asked = lists(np.random.default_rng(SEED), slots, bits)
    unit = ListSearch(slots=slots, bits=bits)
    assert unit.latency == list_search_cycles(slots)
    found = pipelined(unit, queries(*asked, bits), ("present", "place"), unit.latency)
    for n, (present, place, got) in enumerate(zip(*find(*asked), found, strict=True)):
        assert got[0] == present, f"seed {SEED}, item {n}"
        assert not present or got[1] == place, f"seed {SEED}, item {n}"


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(("terms", "bits"), SIZES)
def test_sums_and_searches_change_places_every_cycle(terms: int, bits: int) -> None:
    rng = np.random.default_rng(SEED)
    summed, wanted = sums(rng, terms)
    asked = lists(rng, terms, bits)
    searches = rng.random(ITEMS) < 0.5
    items = [
        {"search": int(search), **one, **other}
        for search, one, other in zip(searches, summed, queries(*asked, bits), strict=True)
    ]
    unit = DualTree(terms=terms, bits=bits)
    assert unit.latency == tree_cycles(terms)
    found = pipelined(unit, items, ("sum", "present", "place"), unit.latency)
    presents, places = find(*asked)
    for n, (total, present, place) in enumerate(found):
        if searches[n]:
            assert present == presents[n], f"seed {SEED}, item {n}"
            assert not present or place == places[n], f"seed {SEED}, item {n}"
        else:
            assert total == wanted[n], f"seed {SEED}, item {n}"


def test_sizes_out_of_range() -> None:
    with pytest.raises(ValueError, match="`terms` must be at least 2, not 1"):
        SumTree(terms=1)
    with pytest.raises(ValueError, match="power of two of slots, not 6"):
        ListSearch(slots=6, bits=3)
    with pytest.raises(ValueError, match="`bits` must be at least 1 and at most 22, not 23"):
        DualTree(terms=4, bits=23)
