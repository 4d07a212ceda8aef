"""Operators of ONNX files that are one layer together: product and bias, limits, convolution and padding."""

from collections import Counter
from collections.abc import Iterable
from math import inf
from typing import Final, NamedTuple

from gossamer_compiler.importers.onnx_records import Attribute, Operator, Tensors

__all__ = ["LIMITS", "join_operators", "limits_of", "pads_of"]

LIMITS: Final = {(0.0, 6.0): "relu6", (0.0, inf): "relu"}
"""Limits that a layer has, and its type."""

Pads = tuple[int, ...]


def join_operators(tensors: Tensors) -> tuple[Operator, ...]:
    """Return the operators with those that are one layer together as one."""
    return _join_padding(tensors, _join_limits(tensors, _join_biases(tensors)))


def limits_of(operator: Operator, tensors: Tensors) -> tuple[float, float] | None:
    """Lowest and highest result of an operator that lets all between them pass; None for others and computed limits.

    Limits of ``Clip`` are inputs from opset 11 on, attributes before.
    """
    numbers = tensors.numbers
    match operator.kind:
        case "Relu":
            return 0.0, inf
        case "Clip":
            names = operator.operand(1), operator.operand(2)
            if any(name and name not in numbers for name in names):
                return None
            low, high = (numbers.get(name) for name in names)
            return (
                operator.number("min", -inf) if low is None else low,
                operator.number("max", inf) if high is None else high,
            )
        case "Min" | "Max":
            bounds = [numbers[name] for name in operator.inputs if name in numbers]
            if len(bounds) != 1 or len(operator.inputs) != 2:
                return None
            return (-inf, bounds[0]) if operator.kind == "Min" else (bounds[0], inf)
    return None


def pads_of(operator: Operator, tensors: Tensors) -> Pads | None:
    """Zeros before height and width, then behind them, of a window; None where they cannot be known.

    ``SAME_UPPER`` and ``SAME_LOWER`` make ceil(size / stride) windows; an odd zero goes behind the map, or before it.
    """
    rule = operator.attributes.get("auto_pad", "NOTSET")
    if rule in ("NOTSET", "VALID"):
        return operator.integers("pads", (0, 0, 0, 0)) if rule == "NOTSET" else (0, 0, 0, 0)
    sizes = tensors.shapes.get(operator.operand(0), ())[2:]
    kernel = operator.integers("kernel_shape", ()) or tensors.shapes.get(operator.operand(1), ())[2:]
    strides = operator.integers("strides", (1, 1))
    before, behind = [], []
    for size, reach, stride in zip(sizes, kernel, strides, strict=False):
        if size is None or reach is None or stride < 1 or rule not in ("SAME_UPPER", "SAME_LOWER"):
            return None
        zeros = max((-(-size // stride) - 1) * stride + reach - size, 0)
        before.append(zeros // 2 if rule == "SAME_UPPER" else zeros - zeros // 2)
        behind.append(zeros - before[-1])
    return (*before, *behind) if len(before) == 2 else None


def _readers(operators: Iterable[Operator], tensors: Tensors) -> Counter[str]:
    readers = Counter(name for operator in operators for name in operator.inputs)
    readers.update(tensors.outputs)
    return readers


def _join_biases(tensors: Tensors) -> tuple[Operator, ...]:
    """Every product and the constant that is added to it alone."""
    readers = _readers(tensors.operators, tensors)
    operators = {operator.outputs[0]: operator for operator in tensors.operators}
    products = {name for name, operator in operators.items() if operator.kind == "MatMul" and readers[name] == 1}
    for add in tensors.operators:
        if add.kind != "Add" or len(add.inputs) != 2:
            continue
        for source, bias in (add.inputs, add.inputs[::-1]):
            if source in products and bias in tensors.constants:
                product = operators.pop(source)
                inputs = (*product.inputs[:2], bias)
                operators[add.outputs[0]] = Operator(product.kind, product.name, inputs, add.outputs, {})
    return tuple(operators.values())


class _Limited(NamedTuple):
    """What a chain of limits makes of `source`, and its results on the way."""

    source: str
    low: float
    high: float
    passed: tuple[str, ...]


def _join_limits(tensors: Tensors, given: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """Limits one behind the other, as ``Min`` behind ``Relu``, where a layer has what they are together."""
    readers = _readers(given, tensors)
    operators = {operator.outputs[0]: operator for operator in given}
    found: dict[str, _Limited] = {}
    for operator in given:
        limits, output = limits_of(operator, tensors), operator.outputs[0]
        if limits is None:
            continue
        low, high = limits
        source = next((name for name in operator.inputs if name not in tensors.numbers), "")
        passed: tuple[str, ...] = ()
        inner = found.get(source)
        layers = limits in LIMITS and inner is not None and (inner.low, inner.high) in LIMITS
        if inner is not None and readers[source] == 1 and not layers:
            low, high = (min(max(bound, low), high) for bound in (inner.low, inner.high))
            source, passed = inner.source, (*inner.passed, source)
        found[output] = _Limited(source, low, high, passed)
        if (low, high) in LIMITS and (passed or operator.kind in ("Min", "Max")):
            for name in passed:
                operators.pop(name, None)
            limits_together: dict[str, Attribute] = {"min": low, "max": high}
            operators[output] = Operator("Clip", operator.name, (source,), operator.outputs, limits_together)
    return tuple(operators.values())


def _join_padding(tensors: Tensors, given: tuple[Operator, ...]) -> tuple[Operator, ...]:
    """Zeros around a map and the convolution that reads it; other readers still read the padded map."""
    padded = {operator.outputs[0]: operator for operator in given if operator.kind == "Pad"}
    joined = []
    for operator in given:
        pad = padded.get(operator.operand(0)) if operator.kind == "Conv" else None
        added = None if pad is None else _zeros(pad, tensors)
        own = None if added is None else pads_of(operator, tensors)
        if pad is not None and added is not None and own is not None and len(own) == 4:
            sums = tuple(one + two for one, two in zip(own, added, strict=True))
            attributes = {**operator.attributes, "auto_pad": "NOTSET", "pads": sums}
            inputs = (pad.operand(0), *operator.inputs[1:])
            operator = Operator(operator.kind, operator.name, inputs, operator.outputs, attributes)
        joined.append(operator)
    return tuple(joined)


def _zeros(pad: Operator, tensors: Tensors) -> Pads | None:
    """Zeros that a ``Pad`` puts before height and width, then behind them; None where it does anything else.

    What it adds are inputs from opset 11 on, attributes before; axes may be named from opset 18 on.
    """
    pads = pad.integers("pads", tensors.integers.get(pad.operand(1), ()))
    name = pad.operand(2)
    value = tensors.numbers.get(name) if name else pad.number("value", 0.0)
    axes = tensors.integers.get(pad.operand(3)) if pad.operand(3) else range(4)
    if pad.attributes.get("mode", "constant") != "constant" or value != 0 or axes is None:
        return None
    if len(pads) != 2 * len(axes) or min(pads, default=-1) < 0:
        return None
    before, behind = [0] * 4, [0] * 4
    for number, axis in enumerate(axes):
        before[axis % 4] += pads[number]
        behind[axis % 4] += pads[number + len(axes)]
    return None if any(before[:2] + behind[:2]) else (*before[2:], *behind[2:])
