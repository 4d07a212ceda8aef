"""Fit radiance fields to posed images, prune them, fine-tune. Needs the extra ``torch``.

The occupancy grid starts as the visual hull of the images' alpha (all cubes, where they have none) and is measured
again before every phase but the first. Pruning keeps, over all planes of a quantity, the numbers whose magnitude times
the root mean square of their line is largest; more and more is pruned, and the last choice stays while the rest is
fine-tuned. Networks are tuned behind it, N:M straight through; all of them share the factors of the first.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from gossamer.field_model import Shape, TorchField
from gossamer.field_pruning import NetworkPruning, Pruning
from gossamer_models.errors import InputError
from gossamer_models.layouts import BLOCK
from gossamer_models.numerics.formats import Bool
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field, Shading
from gossamer_models.render.matrix_file import pattern_name
from gossamer_models.render.views import Views
from gossamer_models.sparsity import Pattern

__all__ = ["FitSettings", "Fitted", "computing_on", "fit", "hull"]

Tensor = Any

_LEARNING_RATES = (0.02, 2e-3)  # of grids and network
_DECAY = 0.1  # of the learning rates, over a training and again over the fine-tuning
_THRIFT = 0.02  # share of the light below which samples are shaded by chance
_MARGIN = 6  # pixels around what has alpha
_FAR = 8  # one ray in so many is drawn from whole pictures
_DILATION = 3  # cubes: a measured occupancy grows by one cube in every direction
_SHORTER = 3  # times fewer iterations tune a network alone
_NOTED = 50  # iterations whose mean error is told
_SPARSE_WEIGHT = 5e-5  # of the planes' mean magnitudes, against the squared error
_ALPHA_CUT = 1e-3  # of the light, per step, below which a cube counts as empty


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How a field is fitted.

    Parameters
    ----------
    sides : texels per axis, one entry per phase
    iterations : of every phase
    fine_tuning : iterations in and behind the pruning of planes
    rays : per iteration
    cubes : occupancy cubes per axis
    sparsity : share of the planes' numbers that are pruned
    networks : fine-tuned behind the pruning: each its shading, and N:M of basis and layers along their inputs; the
        factors are tuned with the first and are those of all
    network_tuning : iterations of the first one; the others take a third
    seed : of the parameters and of the choice of rays

    Raises
    ------
    InputError
        A sparsity is out of range, or a pattern does not fit a word.
    """

    sides: tuple[int, ...] = (32, 64, 96, 96)
    iterations: tuple[int, ...] = (300, 300, 350, 450)
    fine_tuning: int = 1170
    rays: int = 768
    cubes: int = 64
    sparsity: float = 0.9
    networks: tuple[tuple[Shading, Pattern], ...] = ()
    network_tuning: int = 1100
    seed: int = 0
    shape: Shape = field(default_factory=Shape)

    def __post_init__(self) -> None:
        if not 0 <= self.sparsity < 1:
            raise InputError(f"sparsity must lie between 0 and 1, not {self.sparsity:g}")
        for _, pattern in self.networks:
            pattern.entries_per_word(BLOCK)


@dataclass(frozen=True, slots=True)
class Fitted:
    """One field at several times of its training.

    Members
    -------
    unpruned : dense, trained to the end
    pruned : its planes pruned while it was fine-tuned
    tuned : with every network of `FitSettings.networks`, all on the same factors
    """

    unpruned: Field
    pruned: Field
    tuned: tuple[Field, ...]


def fit(
    views: Views,
    name: str,
    low: tuple[float, float, float],
    high: tuple[float, float, float],
    settings: FitSettings,
    note: Callable[[str], None],
) -> Fitted:
    """Return a field before and after pruning, all with float32 factors.

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
        The box is empty, no camera looks at it, or nothing in it can be seen.
    """
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise InputError(f"the box must have low < high along every axis, not {low} and {high}")
    cameras = (views.camera(number) for number in range(len(views.images)))
    if not any(_looks_at(camera, np.array(low), np.array(high)) for camera in cameras):
        raise InputError(
            f"no ray of the images meets the box {low} to {high}", "poses of cameras that look along -z at it"
        )
    torch.manual_seed(settings.seed)
    model = TorchField(settings.shape, settings.sides[0], low, high)
    occupancy = torch.as_tensor(hull(views, settings.cubes, np.array(low), np.array(high)))
    if not occupancy.any():
        raise InputError(f"the alpha of the images leaves nothing of the box {low} to {high}")
    rays = _Rays(views, settings)
    done, total = 0, sum(settings.iterations)
    for side, count in zip(settings.sides, settings.iterations, strict=True):
        if done:
            occupancy &= _measure(model, settings.cubes)
        if side != model.side:
            model.resize(side)
        _train(model, rays, occupancy, range(done, done + count), total, note)
        done += count
    occupancy &= _measure(model, settings.cubes)
    unpruned = model.field(name, occupancy.numpy(force=True).copy())
    note(f"pruning to {settings.sparsity:.0%}; {int(occupancy.sum())} cubes are occupied")
    steps = range(settings.fine_tuning)
    _train(model, rays, occupancy, steps, len(steps), note, Pruning(model, settings.sparsity, steps))
    occupancy &= _measure(model, settings.cubes)
    pruned = model.field(name, occupancy.numpy(force=True).copy())
    shared, tuned = pruned, list[Field]()
    for shading, pattern in settings.networks:
        note(f"network {shading}, {pattern_name(pattern)}")
        start = next((field for field in tuned if pattern in field.shader.patterns), pruned)
        start = replace(shared, name=name, shader=start.shader, shading=shading)
        tuned.append(_tune(start, pattern, rays, settings, note, factors=not tuned))
        shared = tuned[0]
    return Fitted(unpruned, pruned, tuple(tuned))


def _tune(
    field: Field, pattern: Pattern, rays: "_Rays", settings: FitSettings, note: Callable[[str], None], *, factors: bool
) -> Field:
    """Return a field with its network tuned as N:M, and perhaps its factors, whose zeros stay."""
    model = TorchField.of(field)
    for part in model.grids():
        part.requires_grad_(factors)
    steps = range(settings.network_tuning if factors else -(-settings.network_tuning // _SHORTER))
    pruning = NetworkPruning(model, pattern, steps)
    _train(model, rays, torch.as_tensor(field.occupancy), steps, len(steps), note, pruning)
    found = model.field(f"{field.name}, {field.shading}, {pattern_name(pattern)}", field.occupancy)
    return replace(found, shader=found.shader.pruned(pattern))


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """Create tensors on a device, and so compute there, until the context ends.

    Raises
    ------
    InputError
        PyTorch knows no such device, or finds none.
    """
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            f"PyTorch cannot compute on {device!r:.60}", "cpu, or cuda with a GPU and PyTorch for it"
        ) from None
    with chosen:
        yield


def _looks_at(camera: Camera, low: Any, high: Any) -> bool:
    """Whether the ray of a pixel meets a box."""
    with np.errstate(divide="ignore", invalid="ignore"):
        walls = (np.stack([low, high])[:, None] - camera.eye) / camera.directions()
    # Along a wall that the eye lies in there is no number, and no bound.
    begin, end = np.fmax.reduce(walls.min(0), 1), np.fmin.reduce(walls.max(0), 1)
    return bool((np.maximum(begin, 0) < end).any())


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
    wide = functional.max_pool2d(torch.as_tensor(mask)[None, None].float(), 2 * reach + 1, 1, reach)
    return (wide[0, 0] > 0).numpy(force=True)  # type: ignore[no-any-return]


class _Rays:
    """Random rays of all images with their colours on white."""

    def __init__(self, views: Views, settings: FitSettings) -> None:
        self._colours = torch.as_tensor(np.ascontiguousarray(views.over(1.0).reshape(-1, 3)))
        cameras = [views.camera(number) for number in range(len(views.images))]
        self._views = torch.as_tensor(np.concatenate([c.directions().astype(np.float32) for c in cameras]))
        self._eyes = torch.as_tensor(np.stack([c.eye for c in cameras]).astype(np.float32))
        self._pixels = len(self._views) // len(cameras)
        self._count = settings.rays
        # Most of a picture is far from anything: rays there are exact anyway, and a few find what should not be there.
        near = [_spread(image[..., 3] > 0, _MARGIN) for image in views.images]
        self._near = torch.as_tensor(np.flatnonzero(np.stack(near)))

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return eyes, directions and colours of some rays."""
        some = torch.randint(len(self._views), (self._count,))
        if len(self._near):
            most = self._count - self._count // _FAR
            some[:most] = self._near[torch.randint(len(self._near), (most,))]
        return self._eyes[some // self._pixels], self._views[some], self._colours[some]


def _train(
    model: TorchField,
    rays: _Rays,
    occupancy: Tensor,
    steps: range,
    total: int,
    note: Callable[[str], None],
    pruning: Pruning | NetworkPruning | None = None,
) -> None:
    """Train for some of `total` iterations, pruning on the way if that is wanted."""
    parts = (model.grids(), model.network())
    groups = [{"params": part, "lr": rate} for part, rate in zip(parts, _LEARNING_RATES, strict=True)]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda i: _DECAY ** ((steps.start + i) / total))
    error = 0.0
    for iteration in steps:
        if pruning:
            pruning.apply(iteration)
        eyes, views, colours = rays.draw()
        loss = ((model.render(eyes, views, occupancy, thrift=_THRIFT) - colours) ** 2).mean()
        sparse = sum(part.abs().mean() for part in model.planes() if part.requires_grad)
        optimizer.zero_grad()
        (loss + _SPARSE_WEIGHT * sparse).backward()
        optimizer.step()
        schedule.step()
        error += float(loss.detach()) / _NOTED
        if iteration % _NOTED == _NOTED - 1:
            note(f"side {model.side}, iteration {iteration + 1} of {total}: {-10 * np.log10(error):.2f} dB")
            error = 0.0
    if pruning:
        pruning.apply(steps.stop)


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
