"""Schedules of an attention's products: interleave, rows and matrices per tile, the best of them by an objective."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from functools import cache, partial
from math import prod
from typing import Any, TypeVar

from gossamer_compiler.emit_token_products import Epilogue, ProductEmitter
from gossamer_compiler.families import sampled_places
from gossamer_compiler.objective import Choice, Objective, schedule_of
from gossamer_compiler.tiling import block_options, divisors, does_not_fit, fits
from gossamer_compiler.token_products import Product, ProductMapping, store_dims
from gossamer_models.actions import Actions, instruction_actions
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import LOOP_LEVELS, MAX_DIMS, Format, Instruction, Load
from gossamer_models.isa.loops import resolve
from gossamer_models.layouts import BLOCK
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.vector import vector_cycles

__all__ = ["choose_product", "product_actions"]

_I = TypeVar("_I", bound=Instruction)


def choose_product(
    product: Product, epilogue: Epilogue, architecture: Architecture, layer: str, objective: Objective
) -> Choice[ProductMapping]:
    """Best schedule that fits.

    Raises
    ------
    DoesNotFitError
        No schedule fits; names a buffer, what the least demanding schedule asks of it, and a remedy.
    """
    shape = dataclasses.replace(product, a=product.a.unplaced(), b=product.b.unplaced(), out=product.out.unplaced())
    probabilities = epilogue.probabilities.unplaced() if epilogue.probabilities else None
    best = _best(shape, dataclasses.replace(epilogue, probabilities=probabilities), architecture, objective)
    if best is None:
        candidates = _candidates(shape, architecture)
        raise does_not_fit(
            layer, (_demands(shape, mapping, epilogue, architecture) for mapping in candidates), architecture.buffers
        )
    return best


@cache
def _best(
    product: Product, epilogue: Epilogue, architecture: Architecture, objective: Objective
) -> Choice[ProductMapping] | None:
    candidates = list(_candidates(product, architecture))
    demands = [_demands(product, mapping, epilogue, architecture) for mapping in candidates]
    places = sampled_places(len(candidates), [sum(demand.values()) for demand in demands], objective.candidates)

    def keys(mapping: ProductMapping) -> tuple[Any, ...]:
        cost = _cost(product, mapping, epilogue, architecture)
        return objective.keys(cost, partial(product_actions, product, mapping, epilogue, architecture))

    ranked = [
        (keys(candidates[place]), place)
        for place in places
        if fits(demands[place], architecture.buffers)
        and _expressible(product, candidates[place], epilogue, architecture)
    ]
    if not ranked:
        return None
    rank, place = min(ranked)
    actions = partial(product_actions, product, candidates[place], epilogue, architecture)
    return Choice(candidates[place], schedule_of(candidates[place], objective, rank, actions, len(places)))


def _candidates(product: Product, architecture: Architecture) -> Iterator[ProductMapping]:
    """Every schedule, also those that exceed a buffer: whole blocks of eight samples, or a part of one head's."""
    array = architecture.array
    options = block_options(product.rows, array.rows)
    matrices = [(BLOCK, heads) for heads in divisors(product.heads)] + [(samples, 1) for samples in (4, 2, 1)]
    for (dataflow, li, lj), blocks, (samples, heads) in itertools.product(array.schedules, options, matrices):
        if blocks % li == 0 or blocks == options[-1]:
            yield ProductMapping(li, lj, blocks, samples, heads, dataflow)


def _demands(
    product: Product, mapping: ProductMapping, epilogue: Epilogue, architecture: Architecture
) -> Mapping[str, int]:
    """What a schedule asks of each buffer."""
    array = architecture.array
    results = mapping.results(product, array)
    tiles = mapping.column_tiles(product, array)
    demands = {
        "a_words": mapping.matrices * mapping.row_blocks * product.words,
        "b_entries": tiles * mapping.matrices * product.words * product.word * mapping.lj,
        "accumulator_words": results,
        "vector_out_bytes": results * array.columns * 2,
    }
    if epilogue.probabilities is not None:
        demands["vector_in_bytes"] = demands["vector_out_bytes"]
    return demands


def _expressible(product: Product, mapping: ProductMapping, epilogue: Epilogue, architecture: Architecture) -> bool:
    try:
        emitter = ProductEmitter(product, mapping, epilogue, architecture)
        longest = max(len(load.dims) for load in (emitter.load_a(0, 1, 2, 3), emitter.load_b(0, 1, 2)))
        return max(longest, len(store_dims(product, mapping, architecture.array, product.out))) <= MAX_DIMS
    except ValueError:
        return False


def _cost(product: Product, mapping: ProductMapping, epilogue: Epilogue, architecture: Architecture) -> tuple[int, int]:
    """Predicted cycles: the slowest engine, and what does not overlap at the ends; then instructions dealt."""
    emitter = ProductEmitter(product, mapping, epilogue, architecture)
    groups = product.out.map.batch_blocks * (product.heads // mapping.heads) * (BLOCK // mapping.samples)
    tiles = groups * emitter.row_loops
    gemms = emitter.gemms(3)
    array_cycles = len(gemms) * gemm_cycles(architecture.array, gemms[0]).total
    vector = dataclasses.replace(emitter.vector(3), modifiers=())
    outside = vector_cycles(architecture, vector)
    bus = architecture.memory.bytes_per_cycle
    load_a, load_b = _size_bytes(emitter.load_a(0, 1, 2, 3)) // bus, _size_bytes(emitter.load_b(0, 1, 2)) // bus
    loads = load_a + load_b // emitter.row_loops
    slowest = max(array_cycles, outside, loads)
    return tiles * slowest + array_cycles + outside + load_a + load_b - slowest, tiles * len(gemms)


def product_actions(
    product: Product, mapping: ProductMapping, epilogue: Epilogue, architecture: Architecture
) -> Actions:
    """Actions of one product, counted before its instructions exist: those that its tiles take.

    Of the tiles along the rows only the last one reaches beyond the matrix.
    """
    array, emitter = architecture.array, ProductEmitter(product, mapping, epilogue, architecture)
    groups = product.out.map.batch_blocks * (product.heads // mapping.heads) * (BLOCK // mapping.samples)
    tiles = groups * emitter.row_loops
    whole, last = (_at(emitter.load_a(0, 1, 2, 3), row) for row in (0, emitter.row_loops - 1))
    counted = [
        (instruction_actions(array, _at(emitter.load_b(0, 1, 2), 0)), groups),
        (instruction_actions(array, whole), groups * (emitter.row_loops - 1)),
        (instruction_actions(array, last), groups),
        (instruction_actions(array, _at(emitter.vector(3), 0)), tiles),
        *((instruction_actions(array, _at(gemm, 0)), tiles) for gemm in emitter.gemms(3)),
    ]
    results = 16 * product.result_elements(array, mapping.lj)
    counted.append((Actions(vector_out_read_bits=results, dram_write_bits=results), 1))
    if epilogue.probabilities is not None:
        written = 16 * tiles * mapping.results(product, array) * array.columns
        counted.append((Actions(dram_read_bits=results, vector_in_write_bits=written), 1))
    return Actions.total(counted)


def _at(instruction: _I, row: int) -> _I:
    """The instruction of one tile along the rows."""
    levels = range(LOOP_LEVELS)
    return resolve(instruction, {**dict.fromkeys(levels, 0), 3: row}, dict.fromkeys(levels, row + 2))


def _size_bytes(load: Load) -> int:
    return prod(dim.count for dim in load.dims if dim.count) * Format(load.format).bytes
