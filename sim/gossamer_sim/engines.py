"""Engines in the order in which the simulator numbers them, and what it counts of them."""

from dataclasses import dataclass

from gossamer_models.isa.tokens import Engine

__all__ = ["ENGINES", "MAX_TOKENS", "Tally"]

ENGINES = (Engine.LOAD, Engine.STORE, Engine.GEMM, Engine.PRUNE, Engine.VECTOR)
MAX_TOKENS = 15
"""A semaphore counts in four bits."""


@dataclass(slots=True)
class Tally:
    """What a stage has spent so far.

    Members
    -------
    occupancy : cycles per set of busy engines; bit n of the index is engine n of ``ENGINES``.
    executed : executions per work.
    """

    occupancy: list[int]
    executed: list[int]
