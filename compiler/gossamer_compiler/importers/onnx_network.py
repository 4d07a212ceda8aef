"""ONNX files as networks: the operators between the samples and the logits become layers, in the file's order."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from gossamer_compiler.importers.onnx_file import read_onnx
from gossamer_compiler.importers.onnx_joins import join_operators
from gossamer_compiler.importers.onnx_norms import join_layer_norms
from gossamer_compiler.importers.onnx_numbers import NUMBER_OPERATORS
from gossamer_compiler.importers.onnx_patches import join_patches
from gossamer_compiler.importers.onnx_records import Dims, Operator, Tensors
from gossamer_compiler.importers.onnx_rules import RULES, TOKEN_RULES, RefusalError, Step, flatten
from gossamer_compiler.importers.onnx_tokens import TOKEN_KINDS, TOKEN_OPERATORS, join_tokens
from gossamer_models.blocks import MAX_LAYERS
from gossamer_models.errors import InputError, UnsupportedError
from gossamer_models.faults import describe
from gossamer_models.layers import BatchNorm, Layer, SoftmaxCrossEntropy
from gossamer_models.network import Network
from gossamer_models.shapes import LayerShape, Shape, infer

__all__ = ["import_onnx"]

_INPUT: Final = "input"
_NAME_LENGTH: Final = 80
_KNOWN: Final = {**RULES, **TOKEN_RULES}
_KNOWN_OF_TOKENS: Final = {*_KNOWN, *NUMBER_OPERATORS, *(name.split()[0] for name in TOKEN_OPERATORS)}
_DROPPED_AT_END: Final = ("Identity", "Softmax", "LogSoftmax", "SoftmaxCrossEntropyLoss")
_Tagged = Annotated[Layer, Field(discriminator="type")]
_LAYER: Final[TypeAdapter[Layer]] = TypeAdapter(_Tagged)


def import_onnx(path: Path) -> Network:
    """Import an image classifier, transformers among them, or perceptron.

    The batch of the file is left open, a softmax or loss at the end is replaced by the network's own loss, and the
    values of weights are ignored. Layers are called after their nodes: ``/layer1/conv/Conv`` is ``layer1.conv.Conv``.

    Parameters
    ----------
    path : Path
        The file; weights may be missing from it, their shapes not.

    Raises
    ------
    UnsupportedError
        Lists every operator that cannot be imported, with its nodes.
    InputError
        The file is damaged, has several inputs or outputs, leaves more than the batch open, or its shapes do not chain.
    """
    return _Importer(read_onnx(path), path.stem).run()


class _Importer:
    """One pass over a file; `_names` maps tensors to the layers that make them."""

    def __init__(self, tensors: Tensors, stem: str) -> None:
        tensors = join_layer_norms(tensors)
        self._tensors = joined = replace(tensors, operators=join_operators(tensors))
        if any(operator.kind in TOKEN_KINDS for operator in joined.operators):
            self._tensors = join_tokens(join_patches(joined))
        self._source = tensors.source
        self._name = _clean(stem)
        self._makers = {name: operator for operator in self._tensors.operators for name in operator.outputs}
        self._names: dict[str, str] = {}
        self._taken = {_INPUT}
        self._layers: list[Layer] = []
        self._weights: dict[str, Dims] = {}
        self._refused: dict[str, list[str]] = {}

    def run(self) -> Network:
        """Return the network."""
        logits = self._logits()
        needed, inputs = self._needed(logits)
        operators = [operator for operator in self._tensors.operators if operator.outputs[0] in needed]
        # An input at fault makes shapes unknown, and operators unsupported for that alone; unknown ones tell more.
        of_numbers = len(inputs) != 1 or len(self._tensors.shapes.get(inputs[0], ())) < 3
        known = _KNOWN if of_numbers else _KNOWN_OF_TOKENS
        if all(operator.kind in known for operator in operators):
            self._input_shape(inputs)
        self._names.update(dict.fromkeys(inputs, _INPUT))
        for operator in operators:
            self._convert(operator)
        self._report_refused()
        if not self._layers:
            raise InputError("the graph has no layers", "at least one", self._source)
        return self._finish(self._input_shape(inputs))

    def _logits(self) -> str:
        """The tensor in front of whatever turns logits into an output."""
        outputs = [name for name in self._tensors.outputs if (op := self._makers.get(name)) and op.outputs[0] == name]
        if len(outputs) != 1:
            raise InputError(f"the graph computes {len(outputs)} outputs", "one, the logits", self._source)
        name = outputs[0]
        for _ in self._tensors.operators:  # a damaged file may go round in circles
            operator = self._makers.get(name)
            if operator is None or operator.kind not in _DROPPED_AT_END or not _is_plain(operator):
                break
            name = operator.operand(0)
        return name

    def _needed(self, logits: str) -> tuple[set[str], list[str]]:
        """First outputs of the operators on the way to `logits`, and the inputs of the graph where it starts."""
        needed: set[str] = set()
        inputs: list[str] = []
        waiting = [logits]
        while waiting:
            name = waiting.pop()
            operator = self._makers.get(name)
            if operator is None:
                if name not in self._tensors.inputs:
                    raise InputError(
                        f"tensor {name!r:.80} is read, but made by nothing",
                        "a node, a stored tensor or an input that gives it",
                        self._source,
                    )
                inputs += [] if name in inputs else [name]
            elif operator.outputs[0] not in needed:
                needed.add(operator.outputs[0])
                waiting += self._data(operator)
        return needed, inputs

    def _data(self, operator: Operator) -> list[str]:
        """Inputs that depend on samples; the shape that a tensor is given does not count."""
        inputs = operator.inputs[:1] if RULES.get(operator.kind) is flatten else operator.inputs
        return [name for name in inputs if name and name not in self._tensors.constants]

    def _input_shape(self, inputs: list[str]) -> Shape:
        if len(inputs) != 1:
            listed = ", ".join(map(repr, sorted(inputs))) or "none"
            raise InputError(f"the graph has {len(inputs)} inputs ({listed})", "one, the samples", self._source)
        sizes = self._tensors.shapes.get(inputs[0], ())
        fixed = [size for size in sizes if size]
        if len(fixed) == len(sizes) == 4:
            return (fixed[1], fixed[2], fixed[3])
        if len(fixed) == len(sizes) == 2:
            return (fixed[1], 1, 1)
        shown = ", ".join("?" if size is None else str(size) for size in ("batch", *sizes[1:]))
        raise InputError(
            f"input {inputs[0]!r} has shape [{shown if sizes else ''}]",
            "[batch, channels, height, width] or [batch, features], only the batch open",
            self._source,
        )

    def _convert(self, operator: Operator) -> None:
        rule = _KNOWN.get(operator.kind)
        if rule is None:
            self._refuse(operator.kind, operator)
            return
        try:
            steps = rule(operator, self._tensors)
        except RefusalError as reason:
            self._refuse(f"{operator.kind} {reason}", operator)
            return
        made = tuple(self._layer_behind(name, operator) for name in self._data(operator))
        for number, step in enumerate(steps):
            wanted = operator.name if number == 0 else f"{operator.name}.{step.settings['type']}"
            made = (self._add_layer(step, wanted, made),)
        self._names[operator.outputs[0]] = made[0]

    def _layer_behind(self, tensor: str, operator: Operator) -> str:
        if tensor not in self._names:
            what = f"reads {tensor!r:.80}, which is no first output of a node above it"
            raise InputError(what, "nodes in the order of their data", self._source, f"node {operator.name!r}")
        return self._names[tensor]

    def _refuse(self, what: str, operator: Operator) -> None:
        self._refused.setdefault(what, []).append(operator.name)
        self._names.update(dict.fromkeys(operator.outputs, _INPUT))

    def _report_refused(self) -> None:
        if self._refused:
            listed = "; ".join(f"{what} at {', '.join(map(repr, at))}" for what, at in self._refused.items())
            raise UnsupportedError(
                f"operators that are not supported: {listed}",
                f"only {', '.join(RULES)}; in a transformer {', '.join(TOKEN_OPERATORS)}",
                self._source,
            )

    def _add_layer(self, step: Step, wanted: str, inputs: tuple[str, ...]) -> str:
        name = self._free_name(wanted)
        data = {"name": name, "inputs": inputs, **step.settings}
        try:
            layer = _LAYER.validate_python(data)
        except ValidationError as error:
            raise describe(error, _Tagged, data, self._source, (f"node {wanted!r}",)) from None
        self._layers.append(layer)
        if len(self._layers) >= MAX_LAYERS:
            raise InputError("the graph has too many layers", f"at most {MAX_LAYERS}", self._source)
        if step.weights:
            self._weights[name] = step.weights
        return name

    def _free_name(self, wanted: str) -> str:
        base = name = _clean(wanted)
        number = 1
        while name in self._taken:
            number += 1
            name = f"{base}-{number}"
        self._taken.add(name)
        return name

    def _finish(self, shape: Shape) -> Network:
        """Append the loss, whose classes are the logits, and check every shape."""
        body = Network(self._name, self._source, shape, 1, tuple(self._layers))
        shapes = infer(body)
        for layer in shapes:
            self._check_weights(layer)
        loss = SoftmaxCrossEntropy(
            name=self._free_name("loss"), type="softmax_cross_entropy", inputs=(shapes[-1].name,)
        )
        network = replace(body, classes=shapes[-1].out_shape[0], layers=(*body.layers, loss))
        infer(network)
        return network

    def _check_weights(self, layer: LayerShape) -> None:
        needed = layer.in_shape[:1] if isinstance(layer.params, BatchNorm) else layer.weight_shape
        given = self._weights.get(layer.name, needed)
        if given != needed:
            what = f"the weights have shape {list(given)}"
            raise InputError(what, f"{list(needed)} for its input", self._source, f"layer {layer.name!r}")


def _is_plain(operator: Operator) -> bool:
    if operator.kind == "SoftmaxCrossEntropyLoss":
        is_mean = operator.attributes.get("reduction", "mean") == "mean"
        return is_mean and not operator.operand(2) and "ignore_index" not in operator.attributes
    return operator.integer("axis", -1) in (-1, 1)


def _clean(text: str) -> str:
    """Return a valid layer name like a node's, path separators as dots."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", text.strip("/").replace("/", "."))[-_NAME_LENGTH:]
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"
