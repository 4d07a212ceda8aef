"""Counts that golden records of a Program and that its time depends on."""

from dataclasses import dataclass

__all__ = ["SweepCounts"]


@dataclass(frozen=True, slots=True)
class SweepCounts:
    """What one RENDER_SWEEP has to do.

    Members
    -------
    components : of density
    passed : occupied cubes that no pixel of the tile may see
    scanned, tests, samples : of every other cube: pixels of its rectangle in the tile, samples whose cube is computed,
        samples whose density is computed
    row_cube, row_samples : of every row, the samples that follow each other in one turn of a cube's rays: cube, samples
    """

    components: int
    passed: int = 0
    scanned: tuple[int, ...] = ()
    tests: tuple[int, ...] = ()
    samples: tuple[int, ...] = ()
    row_cube: tuple[int, ...] = ()
    row_samples: tuple[int, ...] = ()
