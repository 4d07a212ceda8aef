"""Fit radiance fields to posed images, prune them, fine-tune. Needs the extra ``torch``.

The occupancy grid starts as the visual hull of the images' alpha (all cubes, where they have none) and is measured
again whenever the grid grows. Pruning keeps, over all planes of a quantity, the numbers whose magnitude times the
root mean square of their line is largest; they stay zero while the rest is fine-tuned.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gossamer.field_model import Shape, TorchField
from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Bool
from gossamer_models.render.field import Field
from gossamer_models.render.views import Views

__all__ = ["FitSettings", "fit", "hull"]

Tensor = Any

_DILATION = 3  # cubes: a measured occupancy grows by one cube in every direction
_RAMP = 0.65  # share of the fine-tuning in which more and more is pruned, by the cube of the time that is left
_PRUNING_INTERVAL = 8
_SPARSE_WEIGHT = 1e-4  # of the planes' mean magnitudes, against the squared error
_ALPHA_CUT = 1e-3  # of the light, per step, below which a cube counts as empty


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a field is fitted.

    Parameters
    ----------
    sides : texels per axis, one entry per phase
    iterations : of every phase
    fine_tuning : iterations behind pruning
    rays : per iteration
    cubes : occupancy cubes per axis
    sparsity : share of the planes' numbers that are pruned
    seed : of the parameters and of the choice of rays
    """

    sides: tuple[int, ...] = (32, 64, 96)
    iterations: tuple[int, ...] = (100, 130, 80)
    fine_tuning: int = 260
    rays: int = 768
    cubes: int = 64
    sparsity: float = 0.9
    seed: int = 0
    shape: Shape = field(default_factory=Shape)


def fit(
    views: Views,
    name: str,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    settings: FitSettings,
    note: Callable[[str], None],
) -> tuple[Field, Field]:
    """Return a field before and after pruning, both with float32 factors.

    Parameters
    ----------
    views : images with their cameras, put on white
    name : of the field
    low, high : corners of the box in world units
    settings : FitSettings
    note : called with what is being done

    Raises
    ------
    InputError
        The sparsity is out of range, or nothing in the box can be seen.
    """
    if not 0 <= settings.sparsity < 1:
        raise InputError(f"sparsity must lie between 0 and 1, not {settings.sparsity:g}")
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise InputError(f"the box must have low < high along every axis, not {low} and {high}")
    torch.manual_seed(settings.seed)
    model = TorchField(settings.shape, settings.sides[0], low, high)
    occupancy = torch.from_numpy(hull(views, settings.cubes, np.array(low), np.array(high)))
    if not occupancy.any():
        raise InputError(f"the alpha of the images leaves nothing of the box {low} to {high}")
    rays = _Rays(views, settings)
    for side, count in zip(settings.sides, settings.iterations, strict=True):
        if side != model.side:
            occupancy &= _measure(model, settings.cubes)
            model.resize(side)
        _train(model, rays, occupancy, count, 0, note)
    occupancy &= _measure(model, settings.cubes)
    whole = model.field(name, occupancy.numpy().copy())
    note(f"pruning to {settings.sparsity:.0%}; {int(occupancy.sum())} cubes are occupied")
    _train(model, rays, occupancy, settings.fine_tuning, settings.sparsity, note)
    return whole, model.field(name, occupancy.numpy().copy())


def hull(views: Views, cubes: int, low: Any, high: Any) -> Bool:
    """Return which cubes no image shows to be empty, shape (cubes, cubes, cubes).

    A cube is empty if in some image all pixels that its ball may cover lie in the image and have no alpha.
    """
    side = (high - low) / cubes
    radius = 0.5 * float(np.linalg.norm(side))
    centres = low + (np.argwhere(np.ones((cubes,) * 3)) + 0.5) * side
    kept = np.ones(len(centres), dtype=np.bool_)
    for number, image in enumerate(views.images):
        camera = views.camera(number)
        x, y, z = ((centres - camera.eye) @ camera.pose[:3, :3] * (1, -1, -1)).T
        ahead = z > 2 * radius
        depth = np.where(ahead, z, 1.0)
        reach = int(np.ceil((camera.focal * radius / np.where(ahead, z - radius, np.inf)).max(initial=0))) + 1
        covered = _spread(image[..., 3] > 0, reach)
        column = np.floor(camera.focal * x / depth + camera.width / 2).astype(np.int64)
        row = np.floor(camera.focal * y / depth + camera.height / 2).astype(np.int64)
        inside = ahead & (column >= reach) & (column < camera.width - reach)
        inside &= (row >= reach) & (row < camera.height - reach)
        kept[inside] &= covered[row[inside], column[inside]]
    return kept.reshape((cubes,) * 3)


def _spread(mask: Bool, reach: int) -> Bool:
    """Return which pixels have one of a mask in the square of 2 reach + 1 around them."""
    wide = functional.max_pool2d(torch.from_numpy(mask)[None, None].float(), 2 * reach + 1, 1, reach)
    return (wide[0, 0] > 0).numpy()  # type: ignore[no-any-return]


class _Rays:
    """Random rays of all images with their colours on white."""

    def __init__(self, views: Views, settings: FitSettings) -> None:
        self._colours = torch.from_numpy(np.ascontiguousarray(views.over(1.0).reshape(-1, 3)))
        cameras = [views.camera(number) for number in range(len(views.images))]
        self._views = torch.from_numpy(np.concatenate([c.directions().astype(np.float32) for c in cameras]))
        self._eyes = torch.from_numpy(np.stack([c.eye for c in cameras]).astype(np.float32))
        self._pixels = len(self._views) // len(cameras)
        self._count = settings.rays
        # Half of the rays go where there is something: most of a picture is empty.
        self._full = torch.from_numpy(np.flatnonzero(views.images[..., 3].reshape(-1) > 0))

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return eyes, directions and colours of some rays."""
        some = torch.randint(len(self._views), (self._count,))
        if len(self._full):
            half = self._count // 2
            some[:half] = self._full[torch.randint(len(self._full), (half,))]
        return self._eyes[some // self._pixels], self._views[some], self._colours[some]


def _train(
    model: TorchField, rays: _Rays, occupancy: Tensor, count: int, sparsity: float, note: Callable[[str], None]
) -> None:
    """Train for `count` iterations, pruning more and more on the way if there is a sparsity."""
    groups = [{"params": model.grids(), "lr": 0.02}, {"params": model.network(), "lr": 2e-3}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: 0.1 ** (i / max(1, count)))
    ramp = max(1, int(_RAMP * count))
    masks: list[Tensor] = []
    for iteration in range(count):
        if sparsity and iteration <= ramp and (iteration % _PRUNING_INTERVAL == 0 or iteration == ramp):
            masks = _masks(model, sparsity * (1 - (1 - iteration / ramp) ** 3))
        _prune(model, masks)
        eyes, views, colours = rays.draw()
        loss = ((model.render(eyes, views, occupancy) - colours) ** 2).mean()
        sparse = sum(part.abs().mean() for part in _planes(model))
        optimizer.zero_grad()
        (loss + _SPARSE_WEIGHT * sparse).backward()
        optimizer.step()
        schedule.step()
        if iteration % 25 == 24:
            note(f"side {model.side}, iteration {iteration + 1}: {-10 * np.log10(float(loss.detach())):.2f} dB")
    _prune(model, masks)


def _prune(model: TorchField, masks: list[Tensor]) -> None:
    """Set all numbers of planes to zero that the masks, if there are any, do not keep."""
    with torch.no_grad():
        for plane, mask in zip(_planes(model)[: len(masks)], masks, strict=True):
            plane[~mask] = 0


def _planes(model: TorchField) -> list[Tensor]:
    return [plane for planes, _ in model.factors.values() for plane in planes]


def _masks(model: TorchField, sparsity: float) -> list[Tensor]:
    """Return which numbers of each plane are kept."""
    masks = []
    with torch.no_grad():
        for planes, lines in model.factors.values():
            importance = [
                p.abs() * line.square().mean(2, keepdim=True).sqrt() for p, line in zip(planes, lines, strict=True)
            ]
            flat = torch.cat([part.reshape(-1) for part in importance])
            bound = flat.kthvalue(max(1, int(sparsity * len(flat)))).values if sparsity else flat.min() - 1
            masks += [part > bound for part in importance]
    return masks


def _measure(model: TorchField, cubes: int) -> Tensor:
    """Return which cubes hold something, from the density at 3^3 points of each, grown by a cube."""
    fine = 3 * cubes
    line = (torch.arange(fine) + 0.5) / fine
    found = torch.zeros(fine, fine, fine)
    with torch.no_grad():
        for number in range(fine):
            y, z = torch.meshgrid(line, line, indexing="ij")
            u = torch.stack([line[number].expand_as(y), y, z], dim=-1).reshape(-1, 3)
            found[number] = 1 - torch.exp(-model.density(u).reshape(fine, fine))
    cubic = functional.max_pool3d(found[None, None], 3, 3)
    return functional.max_pool3d(cubic, _DILATION, 1, _DILATION // 2)[0, 0] > _ALPHA_CUT
