"""What the weight-stationary dataflow would take for a GEMM instruction, at least.

R entries of a chunk stay in the rows of the array, one column of B per array column, while points of i stream past:
every point takes one cycle for each such set of entries that holds a word of its box. The chain of partial sums starts
from the accumulator, so both dataflows add in the same order. Left out, all in this dataflow's favour: changing the
weights, filling and emptying the array, sets that start in the middle of a box.
"""

import math

import numpy as np

from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.timing.gemm import boxes, chunk_entries

__all__ = ["least_cycles", "real_points"]


def least_cycles(array: Array, instruction: Gemm) -> int:
    """Cycles of a concrete instruction that no weight-stationary array of R x C can fall short of.

    Sum over tiles of Lj ceil(entries / R) per chunk, for each of the tile's Li R points of i that is real.

    Where all points are real this is never below the output-stationary Li Lj max(entries, R) of a chunk with entries
    and one drain port, because R ceil(e / R) >= max(e, R): only points that do not exist, and chunks without a valid
    word, can make a difference.
    """
    points = instruction.li * array.rows
    total = most = 0
    for box, tiles in boxes(instruction).items():
        sets = int(np.ceil(chunk_entries(instruction, box) / array.rows).sum())
        total += tiles * points * sets
        most = max(most, sets)
    missing = instruction.i2 * instruction.i1 * instruction.i0 * points - real_points(array, instruction)
    return instruction.j * instruction.lj * (total - missing * most)


def real_points(array: Array, instruction: Gemm) -> int:
    """Points of i that exist: slots of a ragged last tile and rows of a ragged last index left out."""
    g = instruction
    slots = g.i2 * g.i1 * ((g.i0 - 1) * g.li + g.li_last)
    if g.rows_level == NO_LEVEL:
        return slots * array.rows
    ragged = (math.prod((g.i2, g.i1)), slots // g.i1, slots // g.i2)[g.rows_level]
    return slots * array.rows - ragged * (array.rows - g.rows_last)
