"""Schedules of FF and BP: every interleave and tile size that fits, and the best of them by an objective."""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache, partial

import numpy as np

from gossamer_compiler.applied import Offer
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping, channel_columns, store_dims
from gossamer_compiler.channel_volumes import (
    BOTH,
    Edges,
    Volumes,
    cost_of,
    demands_of,
    product_of,
    volumes_of,
    weights_of,
)
from gossamer_compiler.families import again, cheapest, crossed, joined, limited, members, size_of
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.objective import CYCLES, Choice, Objective, schedule_of
from gossamer_compiler.predicted_actions import channel_actions, offered_actions
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture, Array
from gossamer_models.copies import copied
from gossamer_models.grouping import DENSE
from gossamer_models.isa.instructions import MAX_DIMS, Dataflow

__all__ = ["BOTH", "Edges", "choose_channels", "given_channels", "map_channels", "unplaced_channels"]


def map_channels(gemm: ChannelGemm, architecture: Architecture, layer: str) -> ChannelMapping:
    """Schedule of the fewest predicted cycles; raises as :func:`choose_channels` does."""
    return choose_channels(gemm, architecture, layer, CYCLES).mapping


def choose_channels(
    gemm: ChannelGemm,
    architecture: Architecture,
    layer: str,
    objective: Objective,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> Choice[ChannelMapping]:
    """Best schedule that fits.

    Parameters
    ----------
    offer : a pass that the product may take over: one that does not is charged for it.
    edges : whether its stage begins and ends with the product; between two phases of a strided BP the first load and
        the last store hide behind the other phases.

    Raises
    ------
    DoesNotFitError
        No schedule fits; names a buffer, what the least demanding schedule asks of it, and a remedy.
    """
    shape = unplaced_channels(gemm)
    best = _best_channels(shape, architecture, objective, edges, offer)
    if best is None:
        candidates = _channel_candidates(shape, architecture)
        raise does_not_fit(layer, (_channel_demands(shape, m, architecture) for m in candidates), architecture.buffers)
    return best


@dataclass(frozen=True, slots=True)
class _Laid:
    """Families side by side: what no pattern changes, an element per schedule.

    Members
    -------
    sizes : schedules of each family.
    """

    families: list[ChannelMapping]
    sizes: list[int]
    volumes: Volumes


@lru_cache(maxsize=256)
def _laid(gemm: ChannelGemm, architecture: Architecture, *, offered: bool) -> _Laid:
    """Every schedule of a product without a pattern, also those that exceed a buffer."""
    return _lay(gemm, list(_channel_families(gemm, architecture, offered=offered)), architecture.array)


def _lay(gemm: ChannelGemm, families: list[ChannelMapping], array: Array) -> _Laid:
    sizes = [size_of(family) for family in families]
    return _Laid(families, sizes, joined([volumes_of(gemm, family, array) for family in families], sizes))


@cache
def _best_channels(
    gemm: ChannelGemm, architecture: Architecture, objective: Objective, edges: Edges, offer: Offer | None
) -> Choice[ChannelMapping] | None:
    def actions(mapping: ChannelMapping) -> Actions:
        return _all_actions(gemm, mapping, architecture, offer)

    def demand(family: ChannelMapping) -> int:
        return sum(_channel_demands(gemm, family, architecture, offer).values())

    laid = _laid(copied(gemm, pattern=DENSE), architecture, offered=offer is not None)
    examined = sum(laid.sizes)
    if examined > objective.candidates:
        families, examined = limited(laid.families, demand, objective.candidates)
        laid = _lay(gemm, families, architecture.array)
    if not laid.families:
        return None
    weights = joined(list(weights_of(gemm, laid.families, architecture)), laid.sizes)
    fitting = fits(demands_of(gemm, laid.volumes, weights, architecture, offer), architecture.buffers)
    cost = cost_of(gemm, laid.volumes, weights, architecture, edges, offer)
    keys = objective.keys(cost, lambda: joined([actions(family) for family in laid.families], laid.sizes))
    # Of equals one whose weights stay.
    for mapping, (*ranks, _) in cheapest(laid.families, laid.sizes, fitting, (*keys, laid.volumes.inputs_stay)):
        if len(store_dims(gemm, mapping, architecture.array)) <= MAX_DIMS:
            return Choice(mapping, schedule_of(mapping, objective, tuple(ranks), partial(actions, mapping), examined))
    return None


def given_channels(
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    architecture: Architecture,
    objective: Objective,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> Choice[ChannelMapping] | None:
    """A schedule of a product of these sizes as one of this product; None if it does not fit.

    It is one of those that the search examined, whatever it predicted of it.
    """
    best = _best_channels(unplaced_channels(gemm), architecture, objective, edges, offer)
    fitting = fits(_channel_demands(gemm, mapping, architecture, offer), architecture.buffers)
    if (
        best is None
        or not fitting
        or (mapping.applies and (offer is None or not _appliable(gemm, mapping)))
        or len(store_dims(gemm, mapping, architecture.array)) > MAX_DIMS
    ):
        return None

    def actions() -> Actions:
        return _all_actions(gemm, mapping, architecture, offer)

    keys = objective.keys(_channel_cost(gemm, mapping, architecture, edges, offer), actions)
    return Choice(mapping, schedule_of(mapping, objective, keys, actions, best.schedule.examined))


def _appliable(gemm: ChannelGemm, mapping: ChannelMapping) -> bool:
    """Whether a schedule, which may be another run's, is one of those whose inputs can be made on their way."""
    whole_rows = mapping.columns == gemm.x.outputs and mapping.strips == WHOLE
    return whole_rows and mapping.dataflow == Dataflow.OS and not mapping.inputs_stay


def _all_actions(
    gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture, offer: Offer | None
) -> Actions:
    """Actions of a product, and of the pass that it is offered."""
    product = channel_actions(gemm, mapping, product_of(gemm, mapping, architecture), architecture)
    if offer is None:
        return product
    return Actions.total([(product, 1), (offered_actions(gemm, mapping, offer, architecture.array), 1)])


def unplaced_channels(gemm: ChannelGemm) -> ChannelGemm:
    """The product without its places, so that equal ones compare equal."""
    return copied(gemm, source=gemm.source.unplaced(), target=gemm.target.unplaced())


def _channel_candidates(gemm: ChannelGemm, architecture: Architecture) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer."""
    for family in _channel_families(gemm, architecture):
        yield from members(family)


def _channel_families(
    gemm: ChannelGemm, architecture: Architecture, *, offered: bool = False
) -> Iterator[ChannelMapping]:
    """Every schedule, also those that exceed a buffer: tiles of whole rows, and parts of one row.

    A family has its interleave in common; all else is arrays with one element per schedule. Inputs may stay where
    several blocks of columns read the same ones.
    """
    array = architecture.array
    blocks_options = block_options(gemm.source.batch, array.rows)
    for strips, (dataflow, li, lj) in itertools.product(_cuts(gemm, array), array.schedules):
        part, cut = gemm.strip(strips), channel_columns(gemm, array, lj)
        for over_pixels in (False, True) if li > 1 else (False,):
            # Pixels of Li beyond a strip would be those of the next one.
            width = li if over_pixels and strips[1] > 1 else 1
            tiles = [(rows, part.x.outputs) for rows in divisors(part.y.outputs)]
            tiles += [(1, columns) for columns in divisors(part.x.outputs)[:-1]]
            tiles = [tile for tile in tiles if tile[1] % width == 0]
            usable = [n for n in blocks_options if over_pixels or not n % li or n == blocks_options[-1]]
            if not tiles:
                continue
            options = cut.options()
            crossing = crossed(options, usable, range(len(tiles)))
            # The last option has all columns at once.
            several = 0 if gemm.summed or cut.units > 1 else len(crossing[0]) // len(options) * (len(options) - 1)
            j_tiles, blocks, places, stays = again(crossing, several)
            rows, columns = np.array(tiles)[places].T
            units = cut.units_of(j_tiles)
            yield ChannelMapping(
                li, lj, over_pixels, j_tiles, units, blocks, rows, columns, *strips, dataflow, inputs_stay=stays
            )
            if offered and strips == WHOLE and dataflow == Dataflow.OS:
                whole = [n for n, (_, columns) in enumerate(tiles) if columns == part.x.outputs]
                j_tiles, blocks, places = crossed(cut.options(), usable, whole)
                rows, columns = np.array(tiles)[places].T
                yield ChannelMapping(li, lj, over_pixels, j_tiles, 1, blocks, rows, columns, applies=1)


def _cuts(gemm: ChannelGemm, array: Array) -> Iterator[tuple[int, int]]:
    """Ways to give every row bank a part of the image: none, and where samples leave banks idle, strips.

    Of these the ones with the fewest pixels in a strip. The batch must be a power of two: the store of strips has no
    axis left that would tell samples from idle banks.
    """
    yield WHOLE
    batch = gemm.source.batch
    if batch >= array.rows or batch & (batch - 1):
        return
    cuts = [(down, array.rows // batch // down) for down in reversed(divisors(array.rows // batch))]

    def pixels(strips: tuple[int, int]) -> int:
        part = gemm.strip(strips)
        return part.y.outputs * part.x.outputs

    fewest = min(map(pixels, cuts))
    if fewest < gemm.y.outputs * gemm.x.outputs:
        yield from (strips for strips in cuts if pixels(strips) == fewest)


def _channel_demands(
    gemm: ChannelGemm, mapping: ChannelMapping, architecture: Architecture, offer: Offer | None = None
) -> Mapping[str, int]:
    """What a schedule, or each of a family, asks of each buffer."""
    volumes, (weights,) = volumes_of(gemm, mapping, architecture.array), weights_of(gemm, [mapping], architecture)
    return demands_of(gemm, volumes, weights, architecture, offer)


def _channel_cost(
    gemm: ChannelGemm,
    mapping: ChannelMapping,
    architecture: Architecture,
    edges: Edges = BOTH,
    offer: Offer | None = None,
) -> tuple[int, int]:
    """Predicted cycles and instructions of a schedule, or of each of a family."""
    volumes, (weights,) = volumes_of(gemm, mapping, architecture.array), weights_of(gemm, [mapping], architecture)
    return cost_of(gemm, volumes, weights, architecture, edges, offer)
