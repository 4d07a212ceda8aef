"""Pruning of a radiance field while it is fine-tuned: planes by importance, basis and network N:M. Needs PyTorch."""

from typing import Any

import torch

from gossamer.field_model import TorchField
from gossamer_models.sparsity import Pattern, top_n_mask

__all__ = ["NetworkPruning", "Pruning"]

Tensor = Any

_RAMP = 0.65  # share of the fine-tuning in which more and more is pruned, by the cube of the time that is left
_INTERVAL = 8
_MOVING = 0.65  # share of a network's fine-tuning in which the choice of its weights changes
_FADE = 0.002  # of weights that take no part, per choice
_DENSITY = 2.0  # times as large a share of the density's numbers is kept as of all: outlines show more than colours


class Pruning:
    """What stays of a field's planes.

    Parameters
    ----------
    model : TorchField
    sparsity : share of the planes' numbers that are zero in the end
    steps : iterations of the fine-tuning
    """

    def __init__(self, model: TorchField, sparsity: float, steps: range) -> None:
        self._model, self._sparsity = model, sparsity
        self._ramp = max(1, int(_RAMP * len(steps)))
        self._masks: list[tuple[Tensor, Tensor]] = []

    def apply(self, iteration: int) -> None:
        """Set to zero what is pruned by now."""
        if iteration <= self._ramp and (iteration % _INTERVAL == 0 or iteration == self._ramp):
            share = 1 - (1 - iteration / self._ramp) ** 3
            self._masks = self._plane_masks(share)
        with torch.no_grad():
            for part, mask in self._masks:
                part.mul_(mask)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _plane_masks(self, share: float) -> list[tuple[Tensor, Tensor]]:
        kept = 1 - share * self._sparsity
        sizes = [sum(plane.numel() for plane in planes) for planes, _ in self._model.factors.values()]
        density = min(1.0, _DENSITY * kept)
        shares = density, (kept * sum(sizes) - density * sizes[0]) / sizes[1]
        masks = []
        for (planes, lines), part in zip(self._model.factors.values(), shares, strict=True):
            importance = [p.abs() * line.square().mean(0).sqrt() for p, line in zip(planes, lines, strict=True)]
            flat = torch.cat([values.reshape(-1) for values in importance])
            gone = round((1 - part) * len(flat))
            bound = flat.kthvalue(gone).values if gone else -1.0
            masks += [(plane, values > bound) for plane, values in zip(planes, importance, strict=True)]
        return masks


class NetworkPruning:
    """N:M basis and layers, along their inputs, while the network is fine-tuned.

    At first the N largest of M take part as they are now, and gradients go straight through to all weights, so that
    the choice changes; weights that take no part fade. Then the choice stays (after SR-STE, arXiv 2102.04010). Of
    planes that are trained, zeros stay.

    Parameters
    ----------
    model : TorchField
    pattern : N:M
    steps : iterations of the fine-tuning
    """

    def __init__(self, model: TorchField, pattern: Pattern, steps: range) -> None:
        self._model, self._pattern = model, pattern
        self._moving = int(_MOVING * len(steps))
        # Taken once: a step of the optimizer moves zeros until they are set to zero again.
        self._zeros = [(plane, plane != 0) for plane in model.planes() if plane.requires_grad]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def apply(self, iteration: int) -> None:
        """Choose anew, as long as that is due; the planes' zeros stay."""
        for plane, mask in self._zeros:
            plane.mul_(mask)
        if iteration > self._moving:
            return
        matrices, n, m = self._model.matrices(), self._pattern.n, self._pattern.m
        masks = [torch.as_tensor(top_n_mask(weights.numpy(force=True), n, m, 1)) for weights in matrices]
        for weights, mask in zip(matrices, masks, strict=True):
            weights.mul_(torch.where(mask, 1.0, 1 - _FADE))
        self._model.masks = masks
