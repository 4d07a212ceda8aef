"""Queries in bitmaps, and sums and queries that take turns in the tree for both."""

import numpy as np

from gossamer_hw.render.search import SearchUnit
from gossamer_hw.render.trees import DualTree
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.render.encoding import find, ranks
from gossamer_models.timing.render_units import SEARCH_CYCLES, tree_cycles
from tests.hw.render.test_trees import lists, queries, sums
from tests.hw.units.case import Case, behind, joined, stream_case

__all__ = ["search_case", "tree_case"]


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
    total, there, where = (((1 << field.bits) - 1) << field.offset for field in unit.output_fields)
    found = zip(summed, queries(*asked, bits), totals, *find(*asked), strict=True)
    for n, (one, other, value, present, place) in enumerate(found):
        search = n % 2 if n < len(summed) // 2 else int(rng.integers(2))
        items.append((search, one["terms"], other["coordinates"], other["count"], other["query"]))
        results.append((int(value), int(present), int(place)))
        cares.append(there | (where if present else 0) if search else total)
    case = stream_case(unit, items, results, behind(tree_cycles(terms)))
    case.cares.extend(cares)
    return case
