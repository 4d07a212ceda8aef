"""N:M training methods: which operand is pruned in which stage, and what else the method costs.

A method is one row of :data:`METHODS`; adding a row adds the method everywhere. Shapes and numerics of pruning are
in :mod:`gossamer_models.sparsity`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from types import MappingProxyType

from gossamer_models.sparsity import Pattern

__all__ = ["METHODS", "SR_STE_LAMBDA", "Masks", "Method", "Phase", "Schedule"]

SR_STE_LAMBDA = 2e-4
"""Decay of pruned weights in SR-STE (arXiv 2102.04010)."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of a run in which the machine does the same in every step.

    Members
    -------
    share : of the run's steps.
    pattern : N:M of the method's pruned operands.
    factor : what FF multiplies the weights by that `pattern` does not keep: above 0 they stay, and FF is dense.
    """

    share: Fraction
    pattern: Pattern
    factor: float = 0.0


class Schedule(Enum):
    """How pruning sets in over a run."""

    CONSTANT = "N:M from the first step on"
    MASK_DECAY = "what N:M does not keep decays to nothing over the first half of the run, then N:M"
    STRUCTURE_DECAY = "equal frames of M-1:M, M/2:M, M/4:M, ... down to N:M"


class Masks(Enum):
    """How the masks of FF and BP belong together."""

    APART = "each way has its own"
    TRANSPOSABLE = "one of 2:4 serves both ways"
    NESTED = "BP's is part of FF's, after the best permutation of the output channels of a word"


@dataclass(frozen=True, slots=True)
class Method:
    """One way to train with N:M sparsity.

    Members
    -------
    prunes_forward : weights are pruned along input channels in FF.
    prunes_backward : weights are pruned along output channels in BP.
    decay : lambda of SR-STE's term ``lambda (1 - m) w`` in the update; 0 for none.
    source : where the rule is published.
    differs : in what the rule that is simulated is another than the published one; empty where it is that.
    samples_gradient : the output's gradient is pruned along the batch for WU, without bias.
    masks : of the weights in FF and BP.
    prunes_gradient : the output's gradient is pruned along its channels for BP, in place of weights.
    schedule : how pruning sets in.
    trains : False for FF alone, with statistics of normalisations given.
    """

    def phases(self, pattern: Pattern) -> tuple[Phase, ...]:
        """Phases of a run, in order; their shares add up to 1.

        A decaying factor runs from 1 to 0; its phase has the mean, which takes the same cycles as any other.
        """
        if self.schedule is Schedule.MASK_DECAY:
            return Phase(Fraction(1, 2), pattern, 0.5), Phase(Fraction(1, 2), pattern)
        if self.schedule is Schedule.CONSTANT:
            return (Phase(Fraction(1), pattern),)
        halves = [pattern.m >> n for n in range(1, pattern.m.bit_length()) if pattern.m >> n > pattern.n]
        kept = dict.fromkeys((max(pattern.m - 1, pattern.n), *halves, pattern.n))
        return tuple(Phase(Fraction(1, len(kept)), Pattern(n, pattern.m)) for n in kept)

    name: str
    title: str
    prunes_forward: bool
    prunes_backward: bool
    decay: float
    source: str
    samples_gradient: bool = False
    masks: Masks = Masks.APART
    prunes_gradient: bool = False
    schedule: Schedule = Schedule.CONSTANT
    trains: bool = True
    differs: str = ""

    def stage_ceiling(self, pattern: Pattern) -> float:
        """Speed-up over dense when FF, BP and WU take equal time dense: 3 / sum of the stages' densities over a run."""
        if not self.trains:
            return 1 / pattern.density
        pruned = sum((self.prunes_forward, self.prunes_backward or self.prunes_gradient, self.samples_gradient))
        densities = [(phase.share, 1.0 if phase.factor else phase.pattern.density) for phase in self.phases(pattern)]
        return 3 / float(sum(share * (3 - pruned + pruned * density) for share, density in densities))

    def takes(self, pattern: Pattern) -> bool:
        """Whether the method is defined for a pattern."""
        return self.masks is not Masks.TRANSPOSABLE or (pattern.n, pattern.m) == (2, 4)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("dense", "dense training", False, False, 0.0, "baseline"),
            Method("sr-ste", "SR-STE", True, False, SR_STE_LAMBDA, "arXiv 2102.04010"),
            Method(
                "sdgp",
                "SDGP",
                False,
                False,
                0.0,
                "arXiv 2202.00774; BradMcDanel/sdgp sdgp.py",
                prunes_gradient=True,
                differs="prune function max; maxnorm's rescaling, a second pass over every gradient, is left out and "
                "not in the cycles",
            ),
            Method("sdwp", "SDWP", False, True, 0.0, "SAT, arXiv 2309.13015"),
            Method("bdwp", "BDWP", True, True, 0.0, "SAT, arXiv 2309.13015"),
            Method(
                "bdwp-mvue",
                "BDWP + MVUE",
                True,
                True,
                0.0,
                "weights as SAT, arXiv 2309.13015; gradients as arXiv 2203.10991",
                samples_gradient=True,
                differs="sampling that is unbiased for any N:M is ours; "
                "published is one for 1:2, and a biased one for 2:4",
            ),
            Method(
                "inference",
                "inference",
                True,
                False,
                0.0,
                "weights trained by any of the others, arXiv 2102.04010",
                trains=False,
            ),
            Method("transposable", "transposable", True, True, 0.0, "arXiv 2102.08124", masks=Masks.TRANSPOSABLE),
            Method(
                "bi-mask",
                "Bi-Mask",
                True,
                True,
                SR_STE_LAMBDA,
                "zyxxmu/Bi-Mask CnnModels/utils/conv_type.py",
                masks=Masks.NESTED,
                differs="one permutation within each word, the best of all; published is one of all output channels, "
                "the best of some, whose search and gathers are not in the cycles",
            ),
            Method(
                "mdgf",
                "MDGF",
                True,
                False,
                0.0,
                "abhibambhaniya/progressive_gradient_flow_nm_sparsity",
                schedule=Schedule.MASK_DECAY,
                differs="how long the decay lasts is free there; half of the run is our choice",
            ),
            Method(
                "sdgf",
                "SDGF",
                True,
                False,
                0.0,
                "abhibambhaniya/progressive_gradient_flow_nm_sparsity",
                schedule=Schedule.STRUCTURE_DECAY,
            ),
        )
    }
)
