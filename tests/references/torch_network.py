"""Gradients of a network by PyTorch in float64: its own convolutions, normalisations, pooling and differentiation.

How N:M masks enter a bidirectionally pruned layer (BDWP): the forward product uses W_ff, the N largest of every M
weights along the *input* channels; the gradient of the layer's input uses W_bp, the N largest of every M along the
*output* channels; the gradient of the weights is that of a dense layer, dY times X, and goes to all weights (straight
through).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

__all__ = ["gradients", "mask"]

Tensor = Any  # PyTorch's own types are known only where it is installed


def mask(weights: Tensor, keep: int, of: int, axis: int) -> Tensor:
    """Return the weights with all but the ``keep`` of largest magnitude in every ``of`` along an axis set to zero."""
    moved = weights.movedim(axis, -1)
    padding = -moved.shape[-1] % of
    groups = functional.pad(moved, (0, padding)).unflatten(-1, (-1, of))
    kept = torch.zeros_like(groups).scatter(-1, groups.abs().topk(keep, dim=-1).indices, 1.0)
    masked = (groups * kept).flatten(-2)[..., : moved.shape[-1]]
    return masked.movedim(-1, axis)


class _Bidirectional(torch.autograd.Function):
    """Convolution with one set of weights forwards and another one backwards; the weights' gradient is dense."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, forward: Tensor, backward: Tensor, window: Any) -> Tensor:
        ctx.save_for_backward(x, weights, backward)
        ctx.window = window
        return functional.conv2d(x, forward, None, *window)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weights, backward = ctx.saved_tensors
        dx = torch.nn.grad.conv2d_input(x.shape, backward, dy, *ctx.window)
        dw = torch.nn.grad.conv2d_weight(x, weights.shape, dy, *ctx.window)
        return dx, dw, None, None, None


def gradients(
    layers: Sequence[Any],
    images: NDArray[Any],
    labels: NDArray[np.int64],
    parameters: Mapping[str, NDArray[Any]],
    pattern: tuple[int, int] | None,
    stored: Mapping[str, NDArray[Any]] | None = None,
) -> tuple[float, dict[str, NDArray[np.float64]]]:
    """Return a step's mean cross-entropy and its gradient by every parameter.

    Parameters
    ----------
    layers : in forward order, with ``name``, ``type``, ``inputs`` and their sizes.
    images : (batch, c, h, w).
    labels : (batch,).
    parameters : ``LAYER.weight``, ``LAYER.bias`` and ``LAYER.parameters`` (2, c): scales, shifts.
    pattern : (N, M) of BDWP, or None for dense weights. What reads the images stays dense.
    stored : outputs of layers, (batch, c, h, w), that take the place of the computed ones; derivatives are then taken
        there: the same rectifiers are open and the same elements win their windows.
    """
    learnt = {
        name: torch.tensor(values, dtype=torch.float64, requires_grad=True) for name, values in parameters.items()
    }
    values = {"input": torch.tensor(images, dtype=torch.float64)}
    flattened: dict[str, tuple[int, ...]] = {}
    for layer in layers[:-1]:
        inputs = [values[name] for name in layer.inputs]
        if layer.type == "flatten":
            flattened[layer.name] = tuple(inputs[0].shape[1:])
        shape = flattened.get(layer.inputs[0])
        value = _value(layer, inputs, learnt, None if layer.inputs[0] == "input" else pattern, shape)
        if stored is not None and layer.name in stored:
            replacement = torch.tensor(stored[layer.name], dtype=torch.float64).reshape(value.shape)
            value = value + (replacement - value).detach()
        values[layer.name] = value
    loss = functional.cross_entropy(values[layers[-1].inputs[0]], torch.tensor(labels))
    loss.backward()
    return float(loss.detach()), {
        name: tensor.grad.numpy() for name, tensor in learnt.items() if tensor.grad is not None
    }


def _value(
    layer: Any,
    inputs: Sequence[Tensor],
    learnt: Mapping[str, Tensor],
    pattern: tuple[int, int] | None,
    flattened: tuple[int, ...] | None,
) -> Tensor:
    x = inputs[0]
    match layer.type:
        case "conv2d":
            weights = learnt[f"{layer.name}.weight"]
            rows, columns = layer.paddings
            x = functional.pad(x, (*columns, *rows))
            return _convolve(x, weights, learnt.get(f"{layer.name}.bias"), (layer.stride, 0), pattern)
        case "linear":
            # Behind a flatten the groups lie along the channels of the map, so the layer is a convolution over it.
            size = flattened or (x.shape[1], 1, 1)
            weights = learnt[f"{layer.name}.weight"].unflatten(1, size)
            bias = learnt.get(f"{layer.name}.bias")
            return _convolve(x.unflatten(1, size), weights, bias, (1, 0), pattern).flatten(1)
        case "batchnorm":
            scale, shift = learnt[f"{layer.name}.parameters"]
            return functional.batch_norm(x, None, None, scale, shift, training=True, eps=layer.eps)
        case "relu":
            return functional.relu(x)
        case "relu6":
            return functional.relu6(x)
        case "add":
            return x + inputs[1]
        case "maxpool":
            return functional.max_pool2d(x, layer.kernel, layer.stride or layer.kernel, layer.padding)
        case "avgpool":
            kernel = layer.kernel or x.shape[2:]
            return functional.avg_pool2d(x, kernel, layer.stride or kernel, layer.padding)
        case "flatten":
            return x.flatten(1)
    raise ValueError(layer.type)


def _convolve(
    x: Tensor, weights: Tensor, bias: Tensor | None, window: tuple[Any, Any], pattern: tuple[int, int] | None
) -> Tensor:
    if pattern is None:
        return functional.conv2d(x, weights, bias, *window)
    used = weights.detach()
    y = _Bidirectional.apply(x, weights, mask(used, *pattern, 1), mask(used, *pattern, 0), window)
    result: Tensor = y if bias is None else y + bias[:, None, None]
    return result
