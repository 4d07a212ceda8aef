"""What each ONNX operator is in a network: rules that read its attributes, and refuse what the machine cannot run."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Final

from gossamer_compiler.importers.onnx_joins import LIMITS, limits_of, pads_of
from gossamer_compiler.importers.onnx_records import Dims, Operator, Tensors

__all__ = ["RULES", "TOKEN_RULES", "RefusalError", "Step", "flatten"]


class RefusalError(Exception):
    """Why an operator cannot be imported, as in "with dilations [2, 2]"."""


@dataclass(frozen=True, slots=True)
class Step:
    """One layer that an operator becomes.

    Members
    -------
    settings : of the layer, without name and inputs.
    weights : shape that its weights must have, or that of its scale; empty without.
    """

    settings: dict[str, object]
    weights: Dims = ()


Rule = Callable[[Operator, Tensors], tuple[Step, ...]]
"""Layers in a chain; none when the tensor passes unchanged."""


def _convolution(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    weights = _weights(operator, tensors)
    if len(weights) != 4:
        raise RefusalError(f"in {max(len(weights) - 2, 0)} dimensions")
    _refuse_dilations(operator)
    before, behind = _padding(operator, tensors)
    settings: dict[str, object] = {
        "type": "conv2d",
        "out_channels": weights[0],
        "kernel": weights[2:],
        "stride": operator.integers("strides", (1, 1)),
        "padding": before,
        "padding_end": None if behind == before else behind,
        "groups": operator.integer("group", 1),
        "bias": bool(operator.operand(2)),
    }
    return (Step(settings, weights),)


def _linear(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    weights = _weights(operator, tensors)
    if len(weights) != 2:
        raise RefusalError(f"with weights of {len(weights)} dimensions")
    if operator.integer("transA", 0):
        raise RefusalError("with transA")
    if not operator.integer("transB", 0):
        weights = weights[::-1]
    if len(tensors.shapes.get(operator.operand(0), (0, 0))) != 2:
        raise RefusalError("of a tensor that is not [batch, features]")
    bias = operator.operand(2)
    if operator.number("alpha", 1.0) != 1 or (bias and operator.number("beta", 1.0) != 1):
        raise RefusalError("with alpha or beta")
    if bias and tensors.shapes.get(bias, ()) not in (weights[:1], (1, *weights[:1])):
        raise RefusalError("with a bias that is not one value per output")
    return (Step({"type": "linear", "out_features": weights[0], "bias": bool(bias)}, weights),)


def _product(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    if operator.operand(1) not in tensors.constants:
        raise RefusalError("of two activations")
    return _linear(operator, tensors)


def _normalisation(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    if not operator.integer("spatial", 1):
        raise RefusalError("per activation")
    # Running statistics, and the momentum that moves them, play no part in a training step.
    settings: dict[str, object] = {"type": "batchnorm", "eps": operator.number("epsilon", 1e-5)}
    return (Step(settings, _weights(operator, tensors)),)


def _relu(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    return (Step({"type": "relu"}),)


def _clip(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    limits = limits_of(operator, tensors)
    if limits is None:
        raise RefusalError("to limits that are computed")
    if limits not in LIMITS:
        raise RefusalError(f"to [{limits[0]:g}, {limits[1]:g}]")
    return (Step({"type": LIMITS[limits]}),)


def _add(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    if any(name in tensors.constants for name in operator.inputs):
        raise RefusalError("of a constant")
    if len(operator.inputs) != 2:
        raise RefusalError(f"of {len(operator.inputs)} tensors")
    return (Step({"type": "add"}),)


def _max_pooling(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    return (Step({"type": "maxpool", **_window(operator, tensors)}),)


def _average_pooling(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    settings = _window(operator, tensors)
    if settings["padding"] != (0, 0) and not operator.integer("count_include_pad", 0):
        raise RefusalError("with padding and count_include_pad 0")
    return (Step({"type": "avgpool", **settings}),)


def _global_pooling(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    return (Step({"type": "avgpool", "global": True}),)


def _mean(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    shape = tensors.shapes.get(operator.operand(0), (0, 0, 0, 0))
    axes = operator.integers("axes", tensors.integers.get(operator.operand(1), ()))
    if len(shape) != 4 or sorted(axis % 4 for axis in axes) != [2, 3]:
        raise RefusalError("over other axes than height and width")
    pooling = Step({"type": "avgpool", "global": True})
    return (pooling,) if operator.integer("keepdims", 1) else (pooling, Step({"type": "flatten"}))


def flatten(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    """Flatten, or whatever changes a shape alone, provided that it flattens."""
    before, after = tensors.shapes.get(operator.operand(0)), tensors.shapes.get(operator.outputs[0])
    if operator.operand(0) in tensors.constants:
        raise RefusalError("of a constant")
    if before is None:  # behind an operator that is refused itself
        return (Step({"type": "flatten"}),)
    fixed = [size for size in before if size is not None]
    if len(fixed) < len(before) or after != (fixed[0], prod(fixed[1:])):
        raise RefusalError("to another shape than [batch, features]")
    return (Step({"type": "flatten"}),) if len(fixed) > 2 else ()


def _pass(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    return ()


def _token_layer(kind: str, **names: str) -> Rule:
    """A layer of tokens whose settings are the operator's attributes, under the names they have there."""

    def rule(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
        settings: dict[str, object] = {setting: operator.attributes[name] for setting, name in names.items()}
        for flag in ("bias", "class_token", "positions"):
            if flag in settings:
                settings[flag] = bool(settings[flag])
        return (Step({"type": kind, **settings}),)

    return rule


def _projection(operator: Operator, tensors: Tensors) -> tuple[Step, ...]:
    settings = {"out_channels": operator.attributes["outputs"], "bias": bool(operator.attributes["bias"])}
    return (Step({"type": "conv2d", "kernel": (1, 1), **settings}),)


TOKEN_RULES: Final[dict[str, Rule]] = {
    "tokens.Attention": _token_layer("attention", heads="heads"),
    "tokens.Gelu": _token_layer("gelu"),
    "tokens.LayerNorm": _token_layer("layernorm", eps="eps"),
    "tokens.Linear": _token_layer("linear", out_features="outputs", bias="bias"),
    "tokens.Project": _projection,
    "tokens.Token": _token_layer("token", index="index"),
    "tokens.Tokens": _token_layer("tokens", class_token="class_token", positions="positions"),
}
"""Operators that :mod:`onnx_tokens` makes of others."""

RULES: Final[dict[str, Rule]] = {
    "Add": _add,
    "AveragePool": _average_pooling,
    "BatchNormalization": _normalisation,
    "Clip": _clip,
    "Conv": _convolution,
    "Dropout": _pass,
    "Flatten": flatten,
    "Gemm": _linear,
    "GlobalAveragePool": _global_pooling,
    "Identity": _pass,
    "MatMul": _product,
    "MaxPool": _max_pooling,
    "ReduceMean": _mean,
    "Relu": _relu,
    "Reshape": flatten,
    "Squeeze": flatten,
    "Sum": _add,
}


def _weights(operator: Operator, tensors: Tensors) -> tuple[int, ...]:
    name = operator.operand(1)
    shape = tensors.shapes.get(name, ())
    fixed = tuple(size for size in shape if size is not None)
    if name not in tensors.constants or not fixed or len(fixed) < len(shape):
        raise RefusalError("with weights that are computed or of open shape")
    return fixed


def _window(operator: Operator, tensors: Tensors) -> dict[str, object]:
    kernel = operator.integers("kernel_shape", ())
    if len(kernel) != 2:
        raise RefusalError(f"in {len(kernel)} dimensions")
    _refuse_dilations(operator)
    if operator.integer("ceil_mode", 0):
        raise RefusalError("with ceil_mode 1")
    stride, (before, behind) = operator.integers("strides", (1, 1)), _padding(operator, tensors)
    sizes = [size or 0 for size in tensors.shapes.get(operator.operand(0), (0, 0, 0, 0))[2:]]
    # Padding behind a map counts as far as windows reach: often they are those of equal padding.
    for size, reach, step, one, two in zip(sizes, kernel, stride, before, behind, strict=False):
        if step < 1 or (size + one + two - reach) // step != (size + 2 * one - reach) // step:
            rule = operator.attributes.get("auto_pad", "NOTSET")
            raise RefusalError(f"with pads {[*before, *behind]}" if rule == "NOTSET" else f"with auto_pad {rule}")
    return {"kernel": kernel, "stride": stride, "padding": before}


def _refuse_dilations(operator: Operator) -> None:
    dilations = operator.integers("dilations", (1, 1))
    if any(size != 1 for size in dilations):
        raise RefusalError(f"with dilations {list(dilations)}")


def _padding(operator: Operator, tensors: Tensors) -> tuple[tuple[int, int], tuple[int, int]]:
    """Zeros before and behind a map, of rows and of columns."""
    pads = pads_of(operator, tensors)
    if pads is None:
        raise RefusalError(f"with auto_pad {operator.attributes['auto_pad']} of such a map")
    if len(pads) != 4 or min(pads) < 0:
        raise RefusalError(f"with pads {list(pads)}")
    return (pads[0], pads[1]), (pads[2], pads[3])
