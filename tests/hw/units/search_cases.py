"""Queries in bitmaps and in lists, sums, and both by turns in the tree for both."""

import numpy as np

from gossamer_hw.render.search import SearchUnit
from gossamer_hw.render.trees import DualTree, ListSearch, SumTree
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.render.encoding import find, ranks
from gossamer_models.timing.render_units import SEARCH_CYCLES, list_search_cycles, tree_cycles
from tests.hw.render.test_trees import lists, queries, sums
from tests.hw.units.case import Case, behind, joined, masks, stream_case

__all__ = ["list_case", "search_case", "sum_case", "tree_case"]


def search_case(width: int, seed: int, count: int) -> Case:
    """Bitmaps of all densities, empty and full ones, one bit, the last bit, every other bit."""
    rng = np.random.default_rng(seed)
    bits = rng.random((count, width)) < rng.random((count, 1))
    bits[:5] = False
    bits[1], bits[2, 0], bits[3, -1], bits[4, ::2] = True, True, True, True
    each = max(1, (width - 1).bit_length())
    unit = StreamUnit(SearchUnit(width=width), inputs=("bitmap",), outputs=("present", "ranks", "count"))
    items = [joined(row.astype(int).tolist(), 1) for row in bits]
    results = [
        (item, joined(below.tolist(), each), int(row.sum()))
        for item, below, row in zip(items, ranks(bits), bits, strict=True)
    ]
    return stream_case(unit, [(item,) for item in items], results, behind(SEARCH_CYCLES))


def sum_case(terms: int, seed: int) -> Case:
    """Sums of products of fp16 numbers; :func:`tests.hw.render.test_trees.sums` has what is special."""
    items, totals = sums(np.random.default_rng(seed), terms)
    unit = StreamUnit(SumTree(terms=terms), inputs=("terms",), outputs=("sum",))
    return stream_case(
        unit, [(item["terms"],) for item in items], [(total,) for total in totals], behind(tree_cycles(terms))
    )


def list_case(slots: int, bits: int, seed: int) -> Case:
    """Queries in lists; :func:`tests.hw.render.test_trees.lists` has what is special."""
    asked = lists(np.random.default_rng(seed), slots, bits)
    names = ("coordinates", "count", "query")
    unit = StreamUnit(ListSearch(slots=slots, bits=bits), inputs=names, outputs=("present", "place"))
    items = [tuple(item[name] for name in names) for item in queries(*asked, bits)]
    presents, places = find(*asked)
    results = [(int(present), int(place)) for present, place in zip(presents, places, strict=True)]
    case = stream_case(unit, items, results, behind(list_search_cycles(slots)))
    there, where = masks(unit).values()
    case.cares.extend(there | (where if present else 0) for present in presents)
    return case


def tree_case(terms: int, bits: int, seed: int) -> Case:
    """Sums and searches by turns, then in random order; a sum has no place, nor has what the list does not hold."""
    rng = np.random.default_rng(seed)
    summed, totals = sums(rng, terms)
    asked = lists(rng, terms, bits)
    unit = StreamUnit(
        DualTree(terms=terms, bits=bits),
        inputs=("search", "terms", "coordinates", "count", "query"),
        outputs=("sum", "present", "place"),
    )
    items, results, cares = [], [], []
    total, there, where = masks(unit).values()
    found = zip(summed, queries(*asked, bits), totals, *find(*asked), strict=True)
    for n, (one, other, value, present, place) in enumerate(found):
        search = n % 2 if n < len(summed) // 2 else int(rng.integers(2))
        items.append((search, one["terms"], other["coordinates"], other["count"], other["query"]))
        results.append((int(value), int(present), int(place)))
        cares.append(there | (where if present else 0) if search else total)
    case = stream_case(unit, items, results, behind(tree_cycles(terms)))
    case.cares.extend(cares)
    return case
