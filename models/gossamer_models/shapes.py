"""Shapes, multiply-adds and parameters of every layer of a network, by arithmetic on plain integers."""

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, NoReturn

from gossamer_models.errors import InputError
from gossamer_models.layers import (
    Add,
    Attention,
    AvgPool,
    BatchNorm,
    Conv2d,
    Flatten,
    Given,
    LayerNorm,
    Linear,
    MaxPool,
    NetworkLayer,
    RmsNorm,
    Rotary,
    SiluGate,
    SoftmaxCrossEntropy,
    Token,
    Tokens,
)
from gossamer_models.schema import MAX_SIZE

if TYPE_CHECKING:
    from gossamer_models.network import Network

__all__ = ["LayerShape", "Shape", "infer"]

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class LayerShape:
    """One layer in its place.

    Attributes
    ----------
    name, type : str
        Name and type of the layer.
    inputs : tuple of str
        Names of the layers it reads; ``input`` is the network's input.
    batch : int
        Samples that pass at once.
    in_shape, out_shape : tuple of int
        (channels, height, width) per sample; a vector is (features, 1, 1). All inputs of a layer have `in_shape`.
    params : NetworkLayer
        The validated layer.
    """

    name: str
    type: str
    inputs: tuple[str, ...]
    batch: int
    in_shape: Shape
    out_shape: Shape
    params: NetworkLayer

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weights: [c_out, c_in / groups, h, w], [out, in], or empty."""
        layer = self.params
        if isinstance(layer, Conv2d):
            return (layer.out_channels, self.in_shape[0] // layer.groups, *layer.kernel)
        if isinstance(layer, Linear):
            return (layer.out_features, self.in_shape[0])
        return ()

    @property
    def macs(self) -> int:
        """Multiply-adds of the forward pass for one sample; biases are free.

        Of an attention: the products of all queries with all keys, and of the probabilities with the values.
        """
        channels, height, width = self.out_shape
        if isinstance(self.params, Attention):
            return 2 * (height * width) ** 2 * channels
        return prod(self.weight_shape) * height * width if self.weight_shape else 0

    @property
    def parameters(self) -> int:
        """Number of learnt values: weights, biases, scales and shifts, positions and class token."""
        layer = self.params
        if isinstance(layer, BatchNorm | LayerNorm):
            return 2 * self.in_shape[0]
        if isinstance(layer, RmsNorm):
            return self.in_shape[0]
        if isinstance(layer, Tokens):
            return (prod(self.out_shape) if layer.positions else 0) + (self.out_shape[0] if layer.class_token else 0)
        if isinstance(layer, Conv2d | Linear):
            return prod(self.weight_shape) + (self.out_shape[0] if layer.bias else 0)
        return 0


def infer(network: "Network", batch: int = 1) -> tuple[LayerShape, ...]:
    """Return the shape of every layer of `network`, in order.

    Parameters
    ----------
    network : Network
        The network.
    batch : int
        Samples per iteration, at least 1.

    Raises
    ------
    InputError
        When shapes do not chain: names the layer, the shapes, and what would be right.
    """
    if not 1 <= batch <= MAX_SIZE:
        raise InputError(f"must be between 1 and {MAX_SIZE}, not {batch}", path="batch")
    outputs: dict[str, Shape] = {"input": network.input_shape}
    result = []
    for layer in network.layers:
        rule = _Rule(network, layer, [outputs[name] for name in layer.inputs])
        outputs[layer.name] = out_shape = rule.out_shape()
        result.append(LayerShape(layer.name, layer.type, layer.inputs, batch, rule.in_shape, out_shape, layer))
    return tuple(result)


class _Rule:
    """The output shape of one layer."""

    def __init__(self, network: "Network", layer: NetworkLayer, in_shapes: list[Shape]) -> None:
        self._network = network
        self._layer = layer
        self._in_shapes = in_shapes
        self.in_shape = (layer.channels, layer.height, layer.width) if isinstance(layer, Given) else in_shapes[0]

    def out_shape(self) -> Shape:
        channels, height, width = self.in_shape
        match self._layer:
            case Conv2d() as conv:
                if channels % conv.groups:
                    self._fail(f"groups {conv.groups} do not divide the {channels} input channels", "a divisor")
                return (conv.out_channels, *self._window(conv.kernel, conv.stride, conv.paddings))
            case MaxPool() | AvgPool() as pool:
                if pool.kernel is None:
                    return (channels, 1, 1)
                paddings = tuple((size, size) for size in pool.padding)
                return (channels, *self._window(pool.kernel, pool.stride or pool.kernel, paddings))
            case Linear() as linear:
                self._require_vector()
                return (linear.out_features, 1, 1)
            case Flatten():
                if (size := channels * height * width) > MAX_SIZE:
                    self._fail(f"flattens to {size} elements", f"at most {MAX_SIZE}")
                return (size, 1, 1)
            case Add() | SiluGate():
                self._require_equal()
            case Tokens() as tokens:
                return (channels, 1, height * width + tokens.class_token)
            case Token() as token:
                if token.index >= height * width:
                    self._fail(f"token {token.index} of {height * width}", "a token that there is")
                return (channels, 1, 1)
            case Rotary() as rotary:
                self._heads(rotary.heads, channels)
            case Attention() as attention:
                return self._attention(attention)
            case SoftmaxCrossEntropy():
                self._require_vector()
                if channels != self._network.classes:
                    self._fail(f"the input has {channels} features", f"one per class ({self._network.classes})")
        return self.in_shape

    def _require_equal(self) -> None:
        for name, shape in zip(self._layer.inputs[1:], self._in_shapes[1:], strict=True):
            if shape != self.in_shape:
                shapes = f"{list(self.in_shape)} from {self._layer.inputs[0]!r} and {list(shape)} from {name!r}"
                self._fail(f"the inputs have shapes {shapes}", "equal shapes")

    def _attention(self, attention: Attention) -> Shape:
        self._require_equal()
        channels, height, width = self.in_shape
        if len(self._in_shapes) == 1:
            if channels % 3:
                self._fail(f"the input has {channels} channels", "queries, keys and values of equal size in one map")
            channels //= 3
        self._heads(attention.heads, channels)
        return (channels, height, width)

    def _heads(self, heads: int, channels: int) -> None:
        if channels % heads or channels // heads % 8:
            self._fail(f"{heads} heads of {channels} channels", "heads of a whole multiple of 8 channels each")

    def _window(
        self, kernel: tuple[int, int], stride: tuple[int, int], paddings: tuple[tuple[int, int], ...]
    ) -> tuple[int, int]:
        """Return the number of window positions per axis, by the floor rule."""
        padded = tuple(size + sum(pads) for size, pads in zip(self.in_shape[1:], paddings, strict=True))
        if any(window > size for window, size in zip(kernel, padded, strict=True)):
            what = f"the kernel {list(kernel)} exceeds the padded input {list(padded)} of shape {list(self.in_shape)}"
            self._fail(what, "a smaller kernel, more padding or a larger input")
        height, width = ((size - window) // step + 1 for size, window, step in zip(padded, kernel, stride, strict=True))
        if max(height, width) > MAX_SIZE:
            self._fail(f"the output is {height} x {width}", f"at most {MAX_SIZE} per axis")
        return height, width

    def _require_vector(self) -> None:
        if self.in_shape[1:] != (1, 1):
            what = f"the input {self._layer.inputs[0]!r} is a feature map of shape {list(self.in_shape)}"
            self._fail(what, f"a vector [features, 1, 1]: put a flatten layer before {self._layer.type}")

    def _fail(self, what: str, expected: str) -> NoReturn:
        raise InputError(what, expected, self._network.source, f"layer {self._layer.name!r}")
