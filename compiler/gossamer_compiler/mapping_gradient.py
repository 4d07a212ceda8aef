"""Schedules of WU: every interleave and tile size that fits, and the best of them by an objective."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from typing import Any

import numpy as np

from gossamer_compiler.burdens import Burden
from gossamer_compiler.families import cheapest, crossed, joined, limited, members, size_of
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_sources import patchable
from gossamer_compiler.gradient_tiles import GradientMapping, Loops, loops_of, store_dims, unit_of
from gossamer_compiler.gradient_volumes import Volumes, cost_of, demands_of, product_of, volumes_of
from gossamer_compiler.gradient_walk import walkable
from gossamer_compiler.objective import CYCLES, Choice, Keys, Objective, schedule_of
from gossamer_compiler.predicted_actions import gradient_actions
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.copies import copied
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import MAX_DIMS, Dataflow

__all__ = ["choose_gradient", "given_gradient", "gradient_beside", "keys_beside", "map_gradient", "unplaced_gradient"]


def map_gradient(gemm: GradientGemm, architecture: Architecture, layer: str) -> GradientMapping:
    """Schedule of the fewest predicted cycles; raises as :func:`choose_gradient` does."""
    return choose_gradient(gemm, architecture, layer, CYCLES).mapping


def choose_gradient(
    gemm: GradientGemm, architecture: Architecture, layer: str, objective: Objective
) -> Choice[GradientMapping]:
    """Best schedule that fits.

    Raises
    ------
    DoesNotFitError
        No schedule fits; names a buffer, what the least demanding schedule asks of it, and a remedy.
    UnsupportedError
        Groups of channels straddle the array's rows or columns.
    """
    shape = unplaced_gradient(gemm)
    best = _best_gradient(shape, architecture, objective)
    if best is None:
        _require_storable(gemm, architecture.array, layer)
        candidates = _gradient_candidates(shape, architecture)
        raise does_not_fit(layer, (_gradient_demands(shape, m, architecture) for m in candidates), architecture.buffers)
    return best


def _require_storable(gemm: GradientGemm, array: Array, layer: str) -> None:
    unit = unit_of(gemm, array)
    blocks = block_options(unit.inputs, array.rows)[-1]
    cuts = [(li, lj, unit.columns(array, lj)) for _, li, lj in array.schedules]
    seeds = [
        GradientMapping(li, lj, taps, blocks, cut.tiles, 1, 1, 1) for li, lj, cut in cuts for taps in (False, li > 1)
    ]
    if not any(_storable(gemm, seed, array) for seed in seeds):
        outputs = gemm.gradient.channels // gemm.grouping.groups
        raise UnsupportedError(
            f"layer {layer!r}: groups of {outputs} output channels do not tile the array's {array.columns} columns",
            "groups whose outputs divide the columns or are a multiple of them",
        )


@dataclass(frozen=True, slots=True)
class _Searched:
    """All schedules that a search looks at, side by side.

    Members
    -------
    fitting : which of them the buffers can hold.
    examined : how many they are.
    """

    families: list[GradientMapping]
    sizes: list[int]
    volumes: Volumes
    fitting: Any
    examined: int


@lru_cache(maxsize=64)
def _searched(gemm: GradientGemm, architecture: Architecture, candidates: int) -> _Searched | None:
    def demand(family: GradientMapping) -> int:
        return sum(_gradient_demands(gemm, family, architecture).values())

    families, examined = limited(_gradient_families(gemm, architecture), demand, candidates)
    if not families:
        return None
    sizes = [size_of(family) for family in families]
    volumes = joined([volumes_of(gemm, family, architecture) for family in families], sizes)
    fitting = fits(demands_of(volumes, architecture.array), architecture.buffers)
    return _Searched(families, sizes, volumes, fitting, examined)


def _actions(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Actions:
    return gradient_actions(gemm, mapping, product_of(gemm, mapping, architecture), architecture)


@lru_cache(maxsize=16)
def _searched_actions(gemm: GradientGemm, architecture: Architecture, candidates: int) -> Actions:
    found = _searched(gemm, architecture, candidates)
    families, sizes = ([], []) if found is None else (found.families, found.sizes)
    return joined([_actions(gemm, family, architecture) for family in families], sizes)


@cache
def _best_gradient(
    gemm: GradientGemm, architecture: Architecture, objective: Objective
) -> Choice[GradientMapping] | None:
    found = _searched(gemm, architecture, objective.candidates)
    if found is None:
        return None
    cost = cost_of(gemm, found.volumes, architecture)
    keys = objective.keys(cost, lambda: _searched_actions(gemm, architecture, objective.candidates))
    for mapping, ranks in cheapest(found.families, found.sizes, found.fitting, keys):
        if _storable(gemm, mapping, architecture.array):
            actions = partial(_actions, gemm, mapping, architecture)
            return Choice(mapping, schedule_of(mapping, objective, ranks, actions, found.examined))
    return None


def gradient_beside(
    gemm: GradientGemm,
    architecture: Architecture,
    objective: Objective,
    burdens: Sequence[Burden],
    behind: Sequence[Burden],
    wanted: Callable[[Loops], bool],
    bound: Keys,
) -> tuple[Choice[GradientMapping], Keys] | None:
    """Best schedule with passes beside and behind it, and what it is ordered by; None if none is better than a bound.

    Parameters
    ----------
    gemm : without its places.
    wanted : which loops will do.
    """
    found = _searched(gemm, architecture, objective.candidates)
    if found is None:
        return None
    keys = _keys_beside(
        gemm, found.volumes, architecture, objective, burdens, behind,
        lambda: _searched_actions(gemm, architecture, objective.candidates),
    )  # fmt: skip
    fitting = found.fitting & (keys[0] <= bound[0])
    loops = [loops_of(gemm, family, architecture.array) for family in found.families]
    every = list(zip(*(np.concatenate(level).tolist() for level in zip(*loops, strict=True)), strict=True))
    wanted = cache(wanted)
    for mapping, ranks in cheapest(found.families, found.sizes, fitting, keys, lambda place: wanted(every[place])):
        if ranks >= bound:
            return None
        if _storable(gemm, mapping, architecture.array):
            return _recorded(gemm, mapping, architecture, objective, found.examined), ranks
    return None


def keys_beside(
    gemm: GradientGemm,
    mapping: GradientMapping,
    architecture: Architecture,
    objective: Objective,
    burdens: Sequence[Burden],
    behind: Sequence[Burden],
) -> Keys:
    """What a schedule together with passes is ordered by."""
    volumes, actions = volumes_of(gemm, mapping, architecture), partial(_actions, gemm, mapping, architecture)
    return _keys_beside(gemm, volumes, architecture, objective, burdens, behind, actions)


def _keys_beside(
    gemm: GradientGemm,
    volumes: Volumes,
    architecture: Architecture,
    objective: Objective,
    burdens: Sequence[Burden],
    behind: Sequence[Burden],
    actions: Callable[[], Actions],
) -> Keys:
    cycles, instances = cost_of(gemm, volumes, architecture, burdens)
    passes = [(burden.actions, 1) for burden in (*burdens, *behind)]
    cost = cycles + sum(burden.apart for burden in behind), instances
    return objective.keys(cost, lambda: Actions.total([(actions(), 1), *passes]))


def given_gradient(
    gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture, objective: Objective
) -> Choice[GradientMapping] | None:
    """A schedule of a product of these sizes as one of this product; None if it does not fit.

    It is one of those that the search examined, whatever it predicted of it.
    """
    best = _best_gradient(unplaced_gradient(gemm), architecture, objective)
    fitting = fits(_gradient_demands(gemm, mapping, architecture), architecture.buffers)
    walked = walkable(mapping.walked(gemm), mapping.batch_words, mapping.rows, mapping.lr)
    if best is None or not fitting or not walked or not _storable(gemm, mapping, architecture.array):
        return None
    return _recorded(gemm, mapping, architecture, objective, best.schedule.examined)


def _recorded(
    gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture, objective: Objective, examined: int
) -> Choice[GradientMapping]:
    """A schedule with what is predicted of the product alone."""
    actions = partial(_actions, gemm, mapping, architecture)
    keys = objective.keys(_gradient_cost(gemm, mapping, architecture), actions)
    return Choice(mapping, schedule_of(mapping, objective, keys, actions, examined))


def unplaced_gradient(gemm: GradientGemm) -> GradientGemm:
    """The product without its places and seed, so that equal ones compare equal."""
    return copied(
        gemm, source=gemm.source.unplaced(), gradient=gemm.gradient.unplaced(),
        target=copied(gemm.target, name="", address=0), sampled=gemm.sampled and gemm.sampled.unplaced(),
    )  # fmt: skip


def _strips(gemm: GradientGemm) -> list[tuple[int, int]]:
    """Legal (batch words, rows) per GEMM: cuts of r fall between chunks; largest first."""
    chunk = gemm.chunk_words
    height, width, pixels = gemm.gradient.height, gemm.gradient.width, gemm.gradient.pixels
    words = gemm.gradient.batch_words
    images = [n for n in _doublings(1, words) if n >= words or n * pixels % chunk == 0]
    return [(n, height) for n in reversed(images)] + [
        (1, rows) for rows in reversed(divisors(height)[:-1]) if rows * width % chunk == 0
    ]


def _gradient_candidates(gemm: GradientGemm, architecture: Architecture) -> Iterator[GradientMapping]:
    """Every schedule, also those that exceed a buffer."""
    for family in _gradient_families(gemm, architecture):
        yield from (m for m in members(family) if _storable(gemm, m, architecture.array))


def _gradient_families(gemm: GradientGemm, architecture: Architecture) -> Iterator[GradientMapping]:
    """Every schedule, also those that exceed a buffer or cannot be stored at once.

    A family has its interleave in common; all else is arrays with one element per schedule.
    """
    yield from _families(gemm, architecture.array, patches=False)
    if patchable(gemm, architecture):
        yield from _families(gemm.patched(), architecture.array, patches=True)


def _families(gemm: GradientGemm, array: Array, *, patches: bool) -> Iterator[GradientMapping]:
    unit = unit_of(gemm, array)
    blocks_options = block_options(unit.inputs, array.rows)
    # The diagonal of a unit is stored at once, and taps of patches are no loop of blocks.
    blocks_used = blocks_options if unit.groups == 1 and not patches else blocks_options[-1:]
    strips = _strips(gemm)
    schedules = [(*schedule, 1) for schedule in array.schedules]
    schedules += [(Dataflow.OS, *beside) for beside in array.chunk_interleaves if "os" in array.dataflows]
    for dataflow, li, lj, lr in schedules:
        cut = unit.columns(array, lj)
        walked = [strip for strip in strips if walkable(gemm, *strip, lr)]
        if not walked:
            continue
        j_options = cut.options() if unit.groups == 1 or cut.shared else [cut.tiles]
        for over_taps in (False, True) if li > 1 and not patches else (False,):
            usable = [n for n in blocks_used if over_taps or not n % li or n == blocks_options[-1]]
            blocks, j_tiles, places = crossed(usable, j_options, range(len(walked)))
            words, rows = np.array(walked)[places].T
            units = cut.units_of(j_tiles)
            yield GradientMapping(li, lj, over_taps, blocks, j_tiles, units, words, rows, dataflow, lr, patches)


def _storable(gemm: GradientGemm, mapping: GradientMapping, array: Array) -> bool:
    """Whether one store can take what an instruction computes to its place."""
    try:
        return len(store_dims(gemm, mapping, array)) <= MAX_DIMS
    except ValueError:
        return False


def _gradient_demands(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> Mapping[str, int]:
    """What a schedule, or each of a family, asks of each buffer."""
    return demands_of(volumes_of(gemm, mapping, architecture), architecture.array)


def _gradient_cost(gemm: GradientGemm, mapping: GradientMapping, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles and instructions of a schedule, or of each of a family."""
    return cost_of(gemm, volumes_of(gemm, mapping, architecture), architecture)


def _doublings(start: int, limit: int) -> Iterable[int]:
    """start, 2 start, ... up to the first that reaches ``limit``."""
    values = [start]
    while values[-1] < limit:
        values.append(values[-1] * 2)
    return values
