"""Pruning of a radiance field while it is fine-tuned: planes by importance, basis and network N:M. Needs PyTorch."""

from typing import Any

import torch

from gossamer.field_model import TorchField
from gossamer_models.sparsity import Pattern, top_n_mask

__all__ = ["Pruning"]

Tensor = Any

_RAMP = 0.65  # share of the fine-tuning in which more and more is pruned, by the cube of the time that is left
_INTERVAL = 8
_DENSITY = 2.0  # times as large a share of the density's numbers is kept as of all: outlines show more than colours


class Pruning:
    """What stays of a field's planes and of its network's weights.

    Parameters
    ----------
    model : TorchField
    sparsity : share of the planes' numbers that are zero in the end; None: those that are zero already
    network : N:M of basis and layers along their inputs, or None
    steps : iterations of the fine-tuning
    """

    def __init__(self, model: TorchField, sparsity: float | None, network: Pattern | None, steps: range) -> None:
        self._model, self._sparsity, self._network = model, sparsity, network
        self._ramp = max(1, int(_RAMP * len(steps)))
        # Taken once: a step of the optimizer moves zeros until they are set to zero again.
        self._zeros = [(plane, plane != 0) for plane in model.planes()]
        self._masks: list[tuple[Tensor, Tensor]] = []

    def apply(self, iteration: int) -> None:
        """Set to zero what is pruned by now."""
        if iteration <= self._ramp and (iteration % _INTERVAL == 0 or iteration == self._ramp):
            share = 1 - (1 - iteration / self._ramp) ** 3
            self._masks = [*self._plane_masks(share), *self._network_masks(share)]
        with torch.no_grad():
            for part, mask in self._masks:
                part.mul_(mask)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _plane_masks(self, share: float) -> list[tuple[Tensor, Tensor]]:
        if self._sparsity is None:
            return self._zeros
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

    def _network_masks(self, share: float) -> list[tuple[Tensor, Tensor]]:
        """Keep fewer and fewer of M inputs: all at the start, N in the end."""
        if self._network is None:
            return []
        n, m = self._network.n, self._network.m
        kept = m - int(share * (m - n))
        return [
            (weights, torch.from_numpy(top_n_mask(weights.detach().numpy(), kept, m, 1)))
            for weights in self._model.matrices()
        ]
