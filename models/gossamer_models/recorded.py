"""Counts that golden records of a Program and that its time depends on."""

from dataclasses import dataclass

__all__ = ["SweepCounts"]


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What one RENDER_SWEEP takes.

    Members
    -------
    cubes : occupied ones that some pixel of the tile may see
    samples : whose density is computed
    cycles : :func:`gossamer_models.timing.render_sweep.flow_cycles`
    """

    cubes: int
    samples: int
    cycles: int
