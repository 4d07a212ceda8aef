"""Schemas of the layers that a network is made of."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from gossamer_models.schema import MAX_SIZE, Count, Schema

__all__ = [
    "Add",
    "Attention",
    "AvgPool",
    "BatchNorm",
    "Boundary",
    "Conv2d",
    "Flatten",
    "Gelu",
    "Given",
    "Layer",
    "LayerName",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "NetworkLayer",
    "OneName",
    "ReLU",
    "RmsNorm",
    "Rotary",
    "SiluGate",
    "SoftmaxCrossEntropy",
    "Token",
    "Tokens",
]


def _pair(value: object) -> object:
    """Write an integer as an equal pair, and a list of two as a pair."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value, value)
    if isinstance(value, list | tuple) and len(value) == 2:
        return tuple(value)
    raise ValueError(f"must be an integer or a list [height, width], not {value!r:.40}")


def _names(value: object) -> object:
    """Write a single name as a list of one."""
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Pair = Annotated[tuple[Count, Count], BeforeValidator(_pair)]
PaddingSize = Annotated[int, Field(ge=0, le=MAX_SIZE)]
Padding = Annotated[tuple[PaddingSize, PaddingSize], BeforeValidator(_pair)]
LayerName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_.-]{0,99}$")]
OneName = Annotated[tuple[str, ...], Field(max_length=1), BeforeValidator(_names)]
TwoNames = Annotated[tuple[str, ...], Field(min_length=2, max_length=2), BeforeValidator(_names)]


class _Layer(Schema):
    """What all layers have: a name, and the layers they read (the previous one when empty)."""

    name: LayerName
    inputs: OneName = ()


class Conv2d(_Layer):
    """Two-dimensional cross-correlation over zero-padded input, weights [out_channels, c_in / groups, h, w].

    Output size per axis: floor((size + padding + padding_end - kernel) / stride) + 1.

    Members
    -------
    padding : zeros before the first row and column.
    padding_end : zeros behind the last ones; as many as before the first by default, else below the kernel.
    """

    type: Literal["conv2d"]
    out_channels: Count
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Padding = (0, 0)
    padding_end: Padding | None = None
    groups: Count = 1
    bias: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.out_channels % self.groups:
            raise ValueError(f"`groups` must divide `out_channels` ({self.out_channels}), not {self.groups}")
        # From the kernel on a window could lie in the padding alone.
        if self.padding_end and any(pad >= size for pad, size in zip(self.padding_end, self.kernel, strict=True)):
            raise ValueError(
                f"`padding_end` must be below the kernel {list(self.kernel)}, not {list(self.padding_end)}"
            )
        return self

    @property
    def paddings(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Zeros before and behind: of rows, of columns."""
        end = self.padding if self.padding_end is None else self.padding_end
        return (self.padding[0], end[0]), (self.padding[1], end[1])


class Linear(_Layer):
    """Matrix product with weights [out_features, in_features]; needs a flat input."""

    type: Literal["linear"]
    out_features: Count
    bias: bool = True


class ReLU(_Layer):
    """Element-wise max(x, 0), as "relu6" at most 6; a gradient passes where the result is above 0 and below 6."""

    type: Literal["relu", "relu6"]


class BatchNorm(_Layer):
    """Batch normalisation per channel with learnt scale and shift.

    Statistics are those of the batch: a training step needs no running ones, and the machine keeps none.
    """

    type: Literal["batchnorm"]
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5


class _Pool(_Layer):
    """A window that moves over the feature map; `stride` defaults to `kernel`."""

    stride: Pair | None = None
    padding: Padding = (0, 0)


def _check_padding(kernel: tuple[int, int], padding: tuple[int, int]) -> None:
    # Beyond half the kernel a window could lie in the padding alone.
    if any(2 * pad > size for pad, size in zip(padding, kernel, strict=True)):
        raise ValueError(f"`padding` must be at most half the kernel {list(kernel)}, not {list(padding)}")


class MaxPool(_Pool):
    """Largest value per window; padding never wins."""

    type: Literal["maxpool"]
    kernel: Pair

    @model_validator(mode="after")
    def _check(self) -> Self:
        _check_padding(self.kernel, self.padding)
        return self


class AvgPool(_Pool):
    """Mean per window, padding counted as zeros; ``global: true`` takes the whole feature map as the window."""

    type: Literal["avgpool"]
    kernel: Pair | None = None
    whole_map: Annotated[bool, Field(alias="global")] = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.whole_map == (self.kernel is not None):
            raise ValueError("must have either `kernel` or `global: true`")
        if self.kernel is not None:
            _check_padding(self.kernel, self.padding)
        elif self.stride is not None or self.padding != (0, 0):
            raise ValueError("`global: true` allows neither `stride` nor `padding`")
        return self


class Add(_Layer):
    """Element-wise sum of two tensors of equal shape."""

    type: Literal["add"]
    inputs: TwoNames


class Flatten(_Layer):
    """All elements of a sample as one vector: channel outermost, then row, then column."""

    type: Literal["flatten"]


class SoftmaxCrossEntropy(_Layer):
    """Mean over the batch of the cross-entropy of the softmax against the labels; the last layer of a network."""

    type: Literal["softmax_cross_entropy"]


class Tokens(_Layer):
    """A feature map as tokens in a row: [channels, 1, height x width], row by row.

    With `class_token` a learnt token comes first; with `positions` a learnt vector is added to each token.
    """

    type: Literal["tokens"]
    class_token: bool = False
    positions: bool = False


class Token(_Layer):
    """One token of the row, as a vector; the first one by default."""

    type: Literal["token"]
    index: Annotated[int, Field(ge=0, le=MAX_SIZE)] = 0


class LayerNorm(_Layer):
    """Normalisation over the channels of each token, with learnt scale and shift."""

    type: Literal["layernorm"]
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5


class RmsNorm(_Layer):
    """Division by the root of the mean square over the channels of each token, with a learnt scale."""

    type: Literal["rmsnorm"]
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-5


class Gelu(_Layer):
    """Element-wise x Phi(x), the distribution function of the normal distribution."""

    type: Literal["gelu"]


class SiluGate(_Layer):
    """Element-wise silu(first) x second."""

    type: Literal["silu_gate"]
    inputs: TwoNames


class Rotary(_Layer):
    """Rotary position embedding: channels 2 i and 2 i + 1 of each head of d turn by token x base^(-2 i / d).

    Pairs are neighbours, as in the paper (arXiv 2104.09864, section 3.4.2).
    """

    type: Literal["rotary"]
    heads: Count
    base: Annotated[float, Field(gt=1)] = 10000.0


class Attention(_Layer):
    """Softmax over the keys of the scaled products of queries and keys, times the values, per head.

    `inputs` are queries, keys and values of equal shape, or one map that holds the three behind each other. With
    `causal` no query sees a later key.
    """

    type: Literal["attention"]
    inputs: Annotated[tuple[str, ...], Field(max_length=3), BeforeValidator(_names)] = ()
    heads: Count
    causal: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.inputs) == 2:
            raise ValueError("`inputs` must name queries, keys and values, or one map of the three, not two maps")
        return self


class Boundary(_Layer):
    """Where a part of a larger network ends: the gradient of its input is given."""

    type: Literal["boundary"]


class Given(_Layer):
    """Where a part begins that reads nothing of the network: a feature map that is given. Importers make it."""

    type: Literal["given"]
    channels: Count
    height: Count
    width: Count


Layer = (
    Conv2d | Linear | ReLU | BatchNorm | MaxPool | AvgPool | Add | Flatten | SoftmaxCrossEntropy | Tokens | Token
    | LayerNorm | RmsNorm | Gelu | SiluGate | Rotary | Attention | Boundary
)  # fmt: skip

NetworkLayer = Layer | Given
"""A layer of a network, however the network came about; those of a YAML file are `Layer`."""
