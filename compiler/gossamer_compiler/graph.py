"""The training graph: layers joined into nodes that each make one pass over their data.

A normalisation takes the add and the ReLU behind it along, an add its ReLU, so that a chain costs one pass per
direction. A flatten is a new name for its input: the linear layer behind it is a convolution whose kernel covers the
feature map, which reads (channel, row, column) in the order that flattening gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from gossamer_compiler.geometry import Window
from gossamer_models.errors import UnsupportedError
from gossamer_models.grouping import UNGROUPED, Grouping, grouping_of
from gossamer_models.layers import (
    Add,
    Attention,
    AvgPool,
    BatchNorm,
    Boundary,
    Conv2d,
    Flatten,
    Gelu,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    ReLU,
    RmsNorm,
    Rotary,
    SiluGate,
    SoftmaxCrossEntropy,
    Token,
    Tokens,
)
from gossamer_models.network import Network
from gossamer_models.shapes import LayerShape, Shape, infer

__all__ = ["Chain", "Graph", "Loss", "Multiply", "Node", "Pool", "TokenStep", "build_graph"]

_TOKEN_LAYERS = (Attention, Gelu, LayerNorm, RmsNorm, Rotary, SiluGate, Token, Tokens)


@dataclass(frozen=True, slots=True)
class Multiply:
    """Convolution or linear layer.

    Members
    -------
    name, source, output : layer and the tensors it reads and writes.
    channels, out_channels : of the convolution as it is computed.
    window : of the convolution as it is computed: 1x1 over explicit patches where ``patches`` is set.
    grouping : groups of the convolution as it is computed.
    patches : window whose patches of the network's input the layer reads, from the host or a stage of their own; None
        for others.
    first : reads the network's input, so it stays dense and has no BP.
    """

    name: str
    source: str
    output: str
    in_shape: Shape
    out_shape: Shape
    window: Window
    patches: Window | None
    grouping: Grouping
    bias: bool
    first: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """Normalisation and/or add and/or ReLU in one pass.

    Members
    -------
    normalise : eps of the batch normalisation, or None.
    residual : second input of the add, or None.
    six : the ReLU gives 6 at most.
    """

    name: str
    source: str
    output: str
    shape: Shape
    normalise: float | None
    residual: str | None
    relu: bool
    six: bool

    @property
    def plain(self) -> bool:
        """Whether it is a sum and nothing else."""
        return self.normalise is None and self.residual is not None and not self.relu


@dataclass(frozen=True, slots=True)
class Pool:
    """Maximum or average pooling."""

    name: str
    source: str
    output: str
    in_shape: Shape
    out_shape: Shape
    window: Window
    average: bool


@dataclass(frozen=True, slots=True)
class TokenStep:
    """A layer of a transformer, on its own: what it does stands in its parameters."""

    name: str
    sources: tuple[str, ...]
    output: str
    params: Layer


@dataclass(frozen=True, slots=True)
class Loss:
    """Softmax cross-entropy; without classes, the boundary of a part whose gradient is given."""

    name: str
    source: str
    classes: int


Node = Multiply | Chain | Pool | TokenStep | Loss


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in forward order, and the shape of every tensor by name."""

    nodes: tuple[Node, ...]
    shapes: dict[str, Shape]

    def normalisation_of(self, output: str) -> Chain | None:
        """The batch normalisation that reads a layer's output; None without one, or with several."""
        chains = [node for node in self.nodes if isinstance(node, Chain) and node.source == output]
        found = [chain for chain in chains if chain.normalise is not None]
        return found[0] if len(found) == 1 else None


@dataclass(slots=True)
class _Links:
    """Who reads whom, with flattened tensors under their first name."""

    alias: dict[str, str] = field(default_factory=dict)
    readers: dict[str, list[LayerShape]] = field(default_factory=dict)

    def name(self, tensor: str) -> str:
        return self.alias.get(tensor, tensor)

    def only_reader(self, tensor: str, kind: type) -> LayerShape | None:
        readers = self.readers.get(tensor, [])
        return readers[0] if len(readers) == 1 and isinstance(readers[0].params, kind) else None


@lru_cache(maxsize=8)
def build_graph(network: Network, batch: int, word: int) -> Graph:
    """Join a network's layers into nodes, for a machine with words of ``word`` elements.

    Raises
    ------
    UnsupportedError
        A layer is outside the operand-role table, or there is none but a boundary.
    """
    layers = infer(network, batch)
    links = _links(layers)
    _require_linear_behind_flatten(network, layers, links)
    chains = _chains(layers, links)
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {"input": network.input_shape}
    for layer in layers:
        if layer.name in chains:
            nodes.append(chains[layer.name])
        elif isinstance(layer.params, Conv2d | Linear):
            nodes.append(_multiply(layer, layer.params, shapes[links.name(layer.inputs[0])], links, word))
        elif isinstance(layer.params, MaxPool | AvgPool):
            nodes.append(_pool(layer, links))
        elif isinstance(layer.params, _TOKEN_LAYERS):
            sources = tuple(links.name(source) for source in layer.inputs)
            nodes.append(TokenStep(layer.name, sources, layer.name, layer.params))
        elif isinstance(layer.params, SoftmaxCrossEntropy | Boundary):
            classes = 0 if isinstance(layer.params, Boundary) else layer.in_shape[0]
            nodes.append(Loss(layer.name, links.name(layer.inputs[0]), classes))
        if not isinstance(layer.params, Flatten):
            shapes[layer.name] = layer.out_shape
    if all(isinstance(node, Loss) and not node.classes for node in nodes):
        raise UnsupportedError(f"network {network.name!r} computes nothing", "a layer in front of its boundary")
    return Graph(tuple(nodes), shapes)


def _links(layers: Sequence[LayerShape]) -> _Links:
    links = _Links()
    for layer in layers:
        if isinstance(layer.params, Flatten):
            links.alias[layer.name] = links.name(layer.inputs[0])
            continue
        for source in layer.inputs:
            links.readers.setdefault(links.name(source), []).append(layer)
    return links


def _chains(layers: Sequence[LayerShape], links: _Links) -> dict[str, Chain]:
    """Chains by the name of their last layer."""
    taken: set[str] = set()
    chains: dict[str, Chain] = {}
    for layer in layers:
        if layer.name in taken or not isinstance(layer.params, BatchNorm | Add | ReLU):
            continue
        parts, residual = [layer], None
        if isinstance(layer.params, BatchNorm):
            add = links.only_reader(layer.name, Add)
            if add is not None and add.name not in taken:
                parts.append(add)
        if isinstance(parts[-1].params, Add):
            first, second = (links.name(name) for name in parts[-1].inputs)
            residual = second if len(parts) == 1 or first == layer.name else first
        relu = None if isinstance(layer.params, ReLU) else links.only_reader(parts[-1].name, ReLU)
        if relu is not None:
            parts.append(relu)
        taken.update(part.name for part in parts)
        chains[parts[-1].name] = Chain(
            layer.name, links.name(layer.inputs[0]), parts[-1].name, layer.in_shape,
            layer.params.eps if isinstance(layer.params, BatchNorm) else None, residual,
            isinstance(parts[-1].params, ReLU), parts[-1].type == "relu6",
        )  # fmt: skip
    return chains


def _require_linear_behind_flatten(network: Network, layers: Sequence[LayerShape], links: _Links) -> None:
    """Only a linear layer knows how to read a feature map as a vector."""
    shapes = {"input": network.input_shape} | {layer.name: layer.out_shape for layer in layers}
    for layer in layers:
        if isinstance(layer.params, Linear | Flatten):
            continue
        for source in layer.inputs:
            if shapes[links.name(source)] != shapes[source]:
                raise UnsupportedError(
                    f"layer {layer.name!r} ({layer.type}) reads the flattened feature map {source!r}",
                    "a linear layer behind a flatten",
                )


def _multiply(layer: LayerShape, params: Conv2d | Linear, source_shape: Shape, links: _Links, word: int) -> Multiply:
    source = links.name(layer.inputs[0])
    if isinstance(params, Conv2d):
        window = Window(params.kernel, params.stride, params.padding)
        grouping = grouping_of(layer.name, params.groups, source_shape[0], params.out_channels, word)
    else:
        window, grouping = Window(source_shape[1:], (1, 1), (0, 0)), UNGROUPED
    if any(stride & (stride - 1) for stride in window.stride):
        raise UnsupportedError(f"layer {layer.name!r} has stride {list(window.stride)}", "powers of two")
    channels, out_shape = source_shape[0], layer.out_shape
    patches = window if source == "input" and channels < word and grouping == UNGROUPED else None
    in_shape = source_shape
    if patches:
        in_shape = (channels * window.kernel[0] * window.kernel[1], *out_shape[1:])
        window = Window((1, 1), (1, 1), (0, 0))
    return Multiply(
        layer.name, source, layer.name, in_shape, out_shape, window, patches, grouping, params.bias, source == "input"
    )


def _pool(layer: LayerShape, links: _Links) -> Pool:
    params = layer.params
    if not isinstance(params, MaxPool | AvgPool):
        raise TypeError(f"not a pooling layer: {layer.name}")
    kernel = params.kernel or layer.in_shape[1:]
    stride = params.stride or kernel
    if params.kernel is None:
        stride = (1, 1)
    if stride[0] != stride[1] or params.padding[0] != params.padding[1]:
        raise UnsupportedError(
            f"layer {layer.name!r} has stride {list(stride)} and padding {list(params.padding)}",
            "the same in both directions",
        )
    window = Window(kernel, stride, params.padding)
    source = links.name(layer.inputs[0])
    return Pool(layer.name, source, layer.name, layer.in_shape, layer.out_shape, window, isinstance(params, AvgPool))


def sources_of(node: Node) -> list[str]:
    """Tensors that a node gives a gradient."""
    if isinstance(node, TokenStep):
        return list(node.sources)
    residual = node.residual if isinstance(node, Chain) else None
    return [node.source, *([] if residual is None else [residual])]
