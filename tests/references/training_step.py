"""One training step in float64, layer by layer, rounded only where a program stores a tensor.

Each layer is computed from the tensors that the program under test stored in front of it, so that an error shows where
it is made and rounding does not pile up. Only the textbook formulas of ``naive`` are used.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.references import naive

Array = NDArray[Any]


@dataclass(frozen=True)
class Step:
    """What a step starts from: weights, (gamma, beta) of shape (2, c) and biases by layer, labels, scale, tokens."""

    weights: Mapping[str, Array]
    forward_weights: Mapping[str, Array]
    backward_weights: Mapping[str, Array]
    norms: Mapping[str, Array]
    biases: Mapping[str, Array]
    labels: NDArray[np.int64]
    loss_scale: float
    learnt: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)


@dataclass
class Replay:
    """Follows a program's tensors through a network.

    Members
    -------
    stored : gives a stored feature map by name, or None where the program keeps none.
    stored_gradient : the same for the complete gradient of a feature map.
    check : called with (what, reference, stored, noise); noise bounds what fp32 rounding of large terms that cancel
        adds.
    sampled : gives the gradient that a layer's weight gradient is made of, from its name and the complete gradient.
    pruned : gives the gradient that its data gradient is made of.
    """

    layers: tuple[Any, ...]
    step: Step
    stored: Callable[[str], Array | None]
    stored_gradient: Callable[[str], Array | None]
    check: Callable[[str, Array, Array, float], None]
    sampled: Callable[[str, Array], Array]
    pruned: Callable[[str, Array], Array] = lambda _, dy: dy
    values: dict[str, Array] = field(default_factory=dict)
    gradients: dict[str, Array] = field(default_factory=dict)
    noise: dict[str, float] = field(default_factory=dict)

    def forward(self, images: Array) -> None:
        """Check every stored feature map."""
        self.values["input"] = images.astype(np.float64)
        for layer in self.layers:
            inputs = [self.values[name] for name in layer.inputs]
            noise = sum(self.noise.get(name, 0.0) for name in layer.inputs)
            if layer.type in ("softmax_cross_entropy", "boundary"):
                continue
            value = self._value(layer, inputs)
            found = self.stored(layer.name)
            if found is not None:
                self.check(f"{layer.name} forward", value, found, noise + self._noise(layer, inputs[0], inputs[0]))
                value = found.astype(np.float64)
            else:
                self.noise[layer.name] = noise + self._noise(layer, inputs[0], inputs[0])
            self.values[layer.name] = value

    def _noise(self, layer: Any, x: Array, terms: Array) -> float:
        """Rounding of scale * x + shift, or of its gradient, where a channel's spread is small against its mean."""
        if layer.type != "batchnorm":
            return 0.0
        deviation = np.sqrt(x.var(axis=(0, 2, 3)) + layer.eps)
        spread = np.abs(x).max(axis=(0, 2, 3)) / deviation + 1
        return float(2.0**-21 * (np.abs(terms).max(axis=(0, 2, 3)) / deviation * spread).max() * 2)

    def _value(self, layer: Any, inputs: list[Array]) -> Array:
        x = inputs[0]
        match layer.type:
            case "conv2d":
                framed, window = _framed(x, layer), (layer.stride, (0, 0), layer.groups)
                y = naive.conv2d(framed, self.step.forward_weights[layer.name], *window)
                return y + self._bias(layer)
            case "linear":
                w = self.step.forward_weights[layer.name]
                return naive.linear(x[:, :, 0, 0], w)[:, :, None, None] + self._bias(layer)
            case "batchnorm":
                gamma, beta = self.step.norms[layer.name]
                return naive.batch_norm(x, gamma, beta, layer.eps)[0]
            case "relu":
                return np.maximum(x, 0)
            case "relu6":
                return np.clip(x, 0, 6)
            case "add":
                return x + inputs[1]
            case "maxpool":
                return naive.max_pool(x, layer.kernel, layer.stride or layer.kernel, layer.padding)
            case "avgpool":
                kernel = layer.kernel or x.shape[2:]
                return naive.avg_pool(x, kernel, layer.stride or kernel, layer.padding)
            case "flatten":
                return x.reshape(len(x), -1, 1, 1)
        raise ValueError(layer.type)

    def _bias(self, layer: Any) -> Array:
        return self.step.biases[layer.name][None, :, None, None] if layer.bias else np.zeros((1, 1, 1, 1))

    def backward(
        self,
        on_weights: Callable[[str, Array, Array | None, float], None],
        on_norm: Callable[[str, Array, Array, float], None],
    ) -> None:
        """Check every stored gradient; hand gradients of weights and bias, and of scale and shift, to the callbacks.

        The last argument is the sum of the magnitudes that a gradient adds up.
        """
        self.noise.clear()
        for layer in reversed(self.layers):
            x = self.values[layer.inputs[0]]
            if layer.type == "softmax_cross_entropy":
                _, gradient = naive.softmax_cross_entropy(x[:, :, 0, 0], self.step.labels)
                self._give(layer.inputs[0], gradient[:, :, None, None] * self.step.loss_scale)
                continue
            if layer.type == "boundary":
                given = self.stored_gradient(layer.inputs[0])
                if given is None:
                    raise ValueError(f"the gradient at {layer.name} must be stored")
                self._give(layer.inputs[0], given.astype(np.float64))
                continue
            dy = self.gradients[layer.name]
            found = self.stored_gradient(layer.name)
            if found is not None:
                self.check(f"{layer.name} gradient", dy, found, self.noise.get(layer.name, 0.0))
                dy = found.astype(np.float64)
            self._back(layer, x, dy, on_weights, on_norm)

    def _back(self, layer: Any, x: Array, dy: Array, on_weights: Any, on_norm: Any) -> None:
        match layer.type:
            case "conv2d":
                shape, window = self.step.weights[layer.name].shape, (layer.stride, (0, 0), layer.groups)
                kept, framed = self.sampled(layer.name, dy), _framed(x, layer)
                dw = naive.conv2d_weight_gradient(framed, kept, shape, *window)
                size = naive.conv2d_weight_gradient(abs(framed), abs(kept), shape, *window).max()
                on_weights(layer.name, dw, dy.sum(axis=(0, 2, 3)) if layer.bias else None, float(size))
                if layer.inputs[0] != "input":
                    w = self.step.backward_weights[layer.name]
                    dx = naive.conv2d_data_gradient(self.pruned(layer.name, dy), w, framed.shape, *window)
                    (top, _), (left, _) = layer.paddings
                    self._give(layer.inputs[0], dx[:, :, top : top + x.shape[2], left : left + x.shape[3]])
            case "linear":
                w = self.step.backward_weights[layer.name]
                dx, _, _ = naive.linear_gradients(x[:, :, 0, 0], w, self.pruned(layer.name, dy)[:, :, 0, 0])
                bias = dy[:, :, 0, 0].sum(axis=0)
                kept = self.sampled(layer.name, dy)[:, :, 0, 0]
                dw = naive.gemm_float64(kept.T, x[:, :, 0, 0])
                size = (abs(kept).T @ abs(x[:, :, 0, 0])).max()
                on_weights(layer.name, dw, bias if layer.bias else None, float(size))
                self._give(layer.inputs[0], dx[:, :, None, None])
            case "batchnorm":
                dx, dgamma, dbeta = naive.batch_norm_gradients(x, self.step.norms[layer.name][0], dy, layer.eps)
                deviation = np.sqrt(x.var(axis=(0, 2, 3)) + layer.eps)
                on_norm(layer.name, dgamma, dbeta, float((abs(dy * x).sum(axis=(0, 2, 3)) / deviation).max()))
                held = self.noise.get(layer.inputs[0], 0.0)
                self.noise[layer.inputs[0]] = held + self._noise(layer, x, dy)
                self._give(layer.inputs[0], dx)
            case "relu":
                self._give(layer.inputs[0], np.where(self.values[layer.name] > 0, dy, 0))
            case "relu6":
                y = self.values[layer.name]
                self._give(layer.inputs[0], np.where((y > 0) & (y < 6), dy, 0))
            case "add":
                for name in layer.inputs:
                    self._give(name, dy)
            case "maxpool":
                dx = naive.max_pool_gradient(x, dy, layer.kernel, layer.stride or layer.kernel, layer.padding)
                self._give(layer.inputs[0], dx)
            case "avgpool":
                kernel = layer.kernel or x.shape[2:]
                self._give(
                    layer.inputs[0], naive.avg_pool_gradient(x.shape, dy, kernel, layer.stride or kernel, layer.padding)
                )
            case "flatten":
                self._give(layer.inputs[0], dy.reshape(x.shape))

    def _give(self, name: str, gradient: Array) -> None:
        self.gradients[name] = self.gradients[name] + gradient if name in self.gradients else gradient


def _framed(x: Array, layer: Any) -> Array:
    """A map (n, c, h, w) with the zeros around it that a convolution reads."""
    return np.pad(x, ((0, 0), (0, 0), *layer.paddings))
