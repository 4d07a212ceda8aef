"""Small random networks, and programs of one training step filled with random data."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_compiler.training import Hyperparameters, compile_training
from gossamer_models import host
from gossamer_models.architecture import Architecture
from gossamer_models.blocks import NetworkFile, expand
from gossamer_models.golden.executor import run
from gossamer_models.layers import Conv2d
from gossamer_models.methods import METHODS, Masks, Method, Phase
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern, top_n_mask
from tests.references.training_step import Step

RATE, MOMENTUM, DECAY, LOSS_SCALE = 0.125, 0.875, 0.015625, 64.0


def network(name: str, channels: int, size: tuple[int, int], classes: int, layers: list[dict[str, Any]]) -> Network:
    """Build a network from layers as its YAML would hold them."""
    shape = {"channels": channels, "height": size[0], "width": size[1]}
    file = NetworkFile.model_validate_json(
        json.dumps({"name": name, "input": shape, "classes": classes, "layers": layers})
    )
    return Network(name, name, (channels, *size), classes, expand(file, name))


def random_network(rng: np.random.Generator, word: int = 8) -> Network:
    """Two to five layers of every kind around one residual block, then a classifier, legal for words of ``word``."""
    size = (int(rng.integers(4, 7)), int(rng.integers(4, 7)))
    wide = int(rng.choice([3, 8, 12, 20]))
    kernel = int(rng.choice([1, 3, 5]))
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": wide, "kernel": kernel, "padding": kernel // 2,
         "bias": bool(rng.integers(2))},
    ]  # fmt: skip
    if rng.integers(2):
        layers += [{"name": "stem_bn", "type": "batchnorm"}, {"name": "stem_relu", "type": "relu"}]
    trunk = layers[-1]["name"]
    stride = int(rng.choice([1, 2]))
    kernel = int(rng.choice([1, 3]))
    out = int(rng.choice([5, 8, 16]))
    layers.append(
        {"name": "left", "type": "conv2d", "inputs": trunk, "out_channels": out, "kernel": kernel, "stride": stride,
         "padding": kernel // 2}
    )  # fmt: skip
    if rng.integers(2):
        layers.append({"name": "left_bn", "type": "batchnorm"})
    left = layers[-1]["name"]
    layers.append(
        {"name": "right", "type": "conv2d", "inputs": trunk, "out_channels": out, "kernel": 1, "stride": stride}
    )
    layers.append({"name": "join", "type": "add", "inputs": [left, "right"]})
    if rng.integers(2):
        layers.append({"name": "join_relu", "type": "relu"})
    match int(rng.integers(3)):
        case 0:
            layers.append({"name": "pool", "type": "maxpool", "kernel": 2})
        case 1:
            layers.append({"name": "pool", "type": "avgpool", "global": True})
    layers += [
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": int(rng.integers(2, 11))},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    channels = int(rng.choice([1, 3, 9]))
    if rng.integers(2):
        wide = layers[0]["out_channels"] = int(rng.choice([wide, 16, 32]))
        place = next(number for number, layer in enumerate(layers) if layer["name"] == "left")
        for layer in layers:
            layer.update({"inputs": "grouped"} if layer.get("inputs") == trunk else {})
        layers.insert(place, _grouped_layer(rng, wide, int(rng.integers(1, 4 - stride)), word))
    return network("random", channels, size, layers[-2]["out_features"], layers)


def _grouped_layer(rng: np.random.Generator, wide: int, stride: int, word: int) -> dict[str, Any]:
    """Depthwise, or one of the legal numbers of groups; as many or twice as many outputs."""
    legal = [groups for groups in (2, 4, 8, 16) if wide % word == 0 and wide % groups == 0]
    groups = int(rng.choice([wide, *legal]))
    outputs = wide * int(rng.choice([1, 2])) if wide % word == 0 else wide
    return {
        "name": "grouped", "type": "conv2d", "out_channels": outputs, "kernel": 3, "padding": 1, "stride": stride,
        "groups": groups, "bias": bool(rng.integers(2)),
    }  # fmt: skip


def convolution(
    kernel: int,
    stride: int,
    padding: int | list[int],
    c_in: int,
    c_out: int,
    image: tuple[int, int],
    groups: int,
    end: list[int] | None = None,
    *,
    stem: bool = True,
) -> Network:
    """A 1x1 stem that gives ``c_in`` channels, the convolution, a classifier; ``end`` is the padding behind a map.

    Without the stem the convolution is the first layer.
    """
    conv = {
        "name": "conv", "type": "conv2d", "out_channels": c_out, "kernel": kernel, "stride": stride, "padding": padding,
        "groups": groups, "bias": c_in % 16 == 0,
    } | ({} if end is None else {"padding_end": end})  # fmt: skip
    layers: list[dict[str, Any]] = [
        *([{"name": "stem", "type": "conv2d", "out_channels": c_in, "kernel": 1}] if stem else []),
        conv,
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    return network("convolution", 9 if stem else c_in, image, 3, layers)


@dataclass(frozen=True)
class Case:
    """A finished program with what it started from."""

    network: Network
    program: Program
    images: NDArray[np.float16]
    step: Step
    method: Method
    pattern: Pattern | None


def pruned(weights: NDArray[np.float32], pattern: Pattern | None, axis: int) -> NDArray[np.float16]:
    """Weights as fp16 with all but the N largest of M along an axis set to zero."""
    rounded = weights.astype(np.float16)
    if pattern is None:
        return rounded
    return np.where(top_n_mask(rounded, pattern.n, pattern.m, axis), rounded, np.float16(0))


def run_step(
    net: Network,
    batch: int,
    method: str,
    pattern: Pattern | None,
    architecture: Architecture,
    seed: int,
    order: int | None = None,
    phase: Phase | None = None,
    brightness: float = 1,
    *,
    gathers: bool = False,
) -> Case:
    """Compile, fill with random data by ``seed`` and run on golden, the engines' order shuffled by ``order``.

    Images are standard normal times ``brightness``; the machine makes patches of them if it ``gathers``.
    """
    rule = METHODS[method]
    phase = phase or rule.phases(pattern or Pattern(1, 1))[-1]
    constants = Hyperparameters(RATE, MOMENTUM, DECAY, LOSS_SCALE)
    program = compile_training(
        net, batch, rule, pattern, architecture, hyperparameters=constants, prepare=True, phase=phase, gathers=gathers
    )
    program.memory.fill()
    rng = np.random.default_rng(seed)
    images = (rng.standard_normal((batch, *net.input_shape)) * brightness).astype(np.float16)
    labels = rng.integers(0, net.classes, batch)
    host.write_input(program, net, images)
    if net.layers[-1].type == "boundary":
        end = f"{net.layers[-1].inputs[0]}.grad"
        shape = program.memory.tensors[end].shape
        host.write(program, end, (rng.standard_normal(shape) * LOSS_SCALE / batch).astype(np.float16))
    else:
        host.write(program, "labels", labels.astype(np.float32))
    parameters = host.write_parameters(program, net, batch, seed, spread=0.5)
    weights, norms, biases = (
        {name.removesuffix(end): values for name, values in parameters.items() if name.endswith(end)}
        for end in (".weight", ".parameters", ".bias")
    )
    shapes = {shape.name: shape for shape in infer(net, batch)}
    # What reads the network's input, also through a flatten, stays dense.
    dense = {name for name, shape in shapes.items() if shape.inputs[0] == "input"}
    dense |= {name for name, shape in shapes.items() if shape.inputs[0] in dense and shape.type == "linear"}
    # Several groups to a word keep their weights.
    word = architecture.array.group
    dense |= {
        name
        for name, shape in shapes.items()
        if isinstance(shape.params, Conv2d) and shape.params.groups > 1 and shape.weight_shape[1] < word
    }
    kept = None if pattern is None else phase.pattern
    forward = {
        name: _along_channels(w, kept if rule.prunes_forward and name not in dense else None, shapes, name)
        for name, w in weights.items()
    }
    if phase.factor:
        factor = np.float16(phase.factor)
        forward = {name: np.where(forward[name] != 0, w, w.astype(np.float16) * factor).astype(np.float16)
                   if name not in dense else forward[name] for name, w in weights.items()}  # fmt: skip
    backward = {
        name: pruned(w, kept if rule.prunes_backward and name not in dense else None, 0) for name, w in weights.items()
    }
    if rule.masks is Masks.TRANSPOSABLE:
        masked = {name: _transposable(w, shapes, name) for name, w in weights.items() if name not in dense}
        forward, backward = forward | masked, backward | masked
    if rule.masks is Masks.NESTED and pattern is not None:
        backward |= {name: _nested(w, pattern, word) for name, w in forward.items() if name not in dense}
    learnt: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, values in parameters.items():
        layer, _, part = name.rpartition(".")
        if part in ("class", "positions"):
            learnt.setdefault(layer, {})[part] = values.astype(np.float16).astype(np.float32)
    step = Step(weights, forward, backward, norms, biases, labels, LOSS_SCALE, learnt)
    run(program, architecture, seed=order)
    return Case(net, program, images, step, rule, pattern)


def bits(program: Program) -> dict[str, bytes]:
    """Bytes of every tensor but compressed weights, by name."""
    tensors = program.memory.tensors.values()
    return {t.name: host.read(program, t.name).tobytes() for t in tensors if t.layout != "entries"}


def _transposable(w: NDArray[np.float32], shapes: Any, name: str) -> NDArray[np.float16]:
    """Keep the best of the 4 x 4 patterns with two per row and column, tap by tap, by trying them all."""
    source, rounded = shapes[name].inputs[0], w.astype(np.float16)
    if w.ndim == 2:
        flattened = source in shapes and shapes[source].type == "flatten"
        taps = rounded.reshape(len(w), *shapes[source].in_shape) if flattened else rounded[:, :, None, None]
    else:
        taps = rounded
    rows = list(itertools.combinations(range(4), 2))
    choices = [four for four in itertools.product(rows, repeat=4) if Counter(sum(four, ())).most_common(1)[0][1] == 2]
    assert len(choices) == 90
    out = np.zeros_like(taps)
    for o, i, y, x in itertools.product(*(range(0, n, step) for n, step in zip(taps.shape, (4, 4, 1, 1), strict=True))):
        block = np.zeros((4, 4))
        part = taps[o : o + 4, i : i + 4, y, x]
        block[: part.shape[0], : part.shape[1]] = np.abs(part)
        best = max(
            choices, key=lambda four: sum(block[pair, c] for c, four_pair in enumerate(four) for pair in four_pair)
        )
        for c, pair in enumerate(best):
            for row in pair:
                if row < part.shape[0] and c < part.shape[1]:
                    out[o + row, i + c, y, x] = part[row, c]
    return out.reshape(w.shape)


def _nested(forward: NDArray[np.float16], pattern: Pattern, word: int) -> NDArray[np.float16]:
    """Of FF's weights N of every M output channels, after the permutation of each word that keeps the most."""
    flat = forward.reshape(len(forward), -1)
    out = np.zeros_like(flat)
    for first in range(0, len(flat), word):
        for column, values in enumerate(np.abs(flat[first : first + word].T.astype(np.float64))):
            places = max(_groupings(range(len(values)), pattern), key=lambda kept: values[list(kept)].sum())
            for place in places:
                out[first + place, column] = flat[first + place, column]
    return out.reshape(forward.shape)


def _groupings(places: Iterable[int], pattern: Pattern) -> set[frozenset[int]]:
    """Every set of places that some permutation lets N of every M keep."""
    places = list(places)
    if len(places) <= pattern.m:
        return {frozenset(kept) for kept in itertools.combinations(places, min(pattern.n, len(places)))}
    found = set()
    for rest in itertools.combinations(places[1:], pattern.m - 1):
        group = {places[0], *rest}
        others = _groupings((p for p in places if p not in group), pattern)
        for kept in itertools.combinations(sorted(group), pattern.n):
            found |= {other | set(kept) for other in others}
    return found


def _along_channels(w: NDArray[np.float32], pattern: Pattern | None, shapes: Any, name: str) -> NDArray[np.float16]:
    """Prune along input channels; a linear layer's features are (channel, row, column) of the map it flattens."""
    source = shapes[name].inputs[0]
    if w.ndim == 2 and source in shapes and shapes[source].type == "flatten":
        return pruned(w.reshape(len(w), *shapes[source].in_shape), pattern, 1).reshape(w.shape)
    return pruned(w, pattern, 1)
