"""Cycles of a GEMM instruction, of either dataflow.

An output-stationary tile takes ``Li Lj sum over chunks of max(entries in the chunk, R / drain_ports)`` cycles (design:
the array issues one entry step per cycle and drains a chunk's results through shadow registers while the next chunk
computes); with Lr chunks side by side it takes ``Li Lj Lr`` times the sum over those that the r loops walk;
an instruction adds the constants of :func:`gemm_overhead_cycles`. Weight-stationary tiles are those of
:mod:`gossamer_models.timing.weight_stationary`.
"""

from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter

import numpy as np

from gossamer_models.architecture import Array
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Dataflow, Gemm
from gossamer_models.timing.boxes import Box, Reduction, boxes, chunk_entries
from gossamer_models.timing.pipeline import gemm_overhead_cycles, stationary_overhead_cycles
from gossamer_models.timing.weight_stationary import stationary_work

__all__ = ["GemmCycles", "gemm_cycles", "without_places"]

_PLACES = dict.fromkeys(("acc_base", "a_base", "b_base", "wait", "signal", "advance", "accumulate"), 0)
_places = attrgetter(*_PLACES)


@dataclass(frozen=True, slots=True)
class GemmCycles:
    """Where the cycles of a GEMM instruction go.

    Members
    -------
    issue : entry steps that the array computes; weight-stationary, cycles in which a point enters.
    drain : bubbles at the end of chunks shorter than their drain; weight-stationary, cycles in which none enters.
    overhead : start of the pipeline and its emptying after the last tile.
    """

    issue: int
    drain: int
    overhead: int

    @property
    def total(self) -> int:
        """Cycles from start to end."""
        return self.issue + self.drain + self.overhead


def gemm_cycles(array: Array, instruction: Gemm) -> GemmCycles:
    """Cycles of a concrete instruction (no modifiers), independent of data.

    Parameters
    ----------
    array : the array it runs on.
    instruction : loop bounds, interleave, chunks and coordinate bounds count; addresses do not.
    """
    return _cycles(array, without_places(instruction))


def without_places(instruction: Gemm) -> Gemm:
    """The instruction without modifiers, addresses and tokens: what its cycles and its actions depend on."""
    if instruction.modifiers or any(_places(instruction)):
        return changed(instruction, modifiers=(), **_PLACES)
    return instruction


@lru_cache(maxsize=4096)
def _cycles(array: Array, instruction: Gemm) -> GemmCycles:
    slots = instruction.turns
    if instruction.dataflow == Dataflow.WS:
        work = stationary_work(array, instruction)
        return GemmCycles(work.points, work.cycles - work.points, stationary_overhead_cycles(array, slots))
    drain_steps = array.rows // array.drain_ports
    issue = drain = 0
    reduction = Reduction.of(instruction)
    for box, tiles in boxes(instruction).items():
        steps, bubbles = _tile_cycles(reduction, box, drain_steps)
        tiles *= instruction.j * slots
        issue += tiles * steps
        drain += tiles * bubbles
    return GemmCycles(issue, drain, gemm_overhead_cycles(array, slots, instruction.lr))


@lru_cache(maxsize=4096)
def _tile_cycles(reduction: Reduction, box: Box, drain_steps: int) -> tuple[int, int]:
    """Entry steps of a tile, and bubbles of its short chunks, per slot."""
    entries = chunk_entries(reduction, box)
    return int(entries.sum()), int(np.maximum(drain_steps - entries, 0).sum())
