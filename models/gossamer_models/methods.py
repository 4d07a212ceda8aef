"""N:M training methods: which operand is pruned in which stage, and what else the method costs.

A method is one row of :data:`METHODS`; adding a row adds the method everywhere. Shapes and numerics of pruning are
in :mod:`gossamer_models.sparsity`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gossamer_models.sparsity import Pattern

__all__ = ["METHODS", "SR_STE_LAMBDA", "Method"]

SR_STE_LAMBDA = 2e-4
"""Decay of pruned weights in SR-STE (arXiv 2102.04010)."""


@dataclass(frozen=True, slots=True)
class Method:
    """One way to train with N:M sparsity.

    Members
    -------
    prunes_forward : weights are pruned along input channels in FF.
    prunes_backward : weights are pruned along output channels in BP.
    decay : lambda of SR-STE's term ``lambda (1 - m) w`` in the update; 0 for none.
    source : where the rule is published.
    samples_gradient : the output's gradient is pruned along the batch for WU, without bias.
    """

    name: str
    title: str
    prunes_forward: bool
    prunes_backward: bool
    decay: float
    source: str
    samples_gradient: bool = False

    def stage_ceiling(self, pattern: Pattern) -> float:
        """Speed-up over dense when FF, BP and WU take equal time dense: 3 / sum of the stages' densities."""
        pruned = int(self.prunes_forward) + int(self.prunes_backward) + int(self.samples_gradient)
        return 3 / (3 - pruned + pruned * pattern.density)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        method.name: method
        for method in (
            Method("dense", "dense training", False, False, 0.0, "baseline"),
            Method("sr-ste", "SR-STE", True, False, SR_STE_LAMBDA, "arXiv 2102.04010"),
            Method("sdwp", "SDWP", False, True, 0.0, "SAT, arXiv 2309.13015"),
            Method("bdwp", "BDWP", True, True, 0.0, "SAT, arXiv 2309.13015"),
            Method(
                "bdwp-mvue",
                "BDWP + MVUE",
                True,
                True,
                0.0,
                "weights as SAT, arXiv 2309.13015; gradients as arXiv 2203.10991, for any N:M",
                samples_gradient=True,
            ),
        )
    }
)
