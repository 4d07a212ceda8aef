"""Values of the few numbers that an ONNX graph computes from shapes and constants, such as the scale of attention."""

from collections.abc import Sequence
from math import isclose, prod, sqrt
from typing import TYPE_CHECKING, Final

from gossamer_compiler.importers.onnx_records import Dims, Operator
from gossamer_compiler.importers.onnx_shapes import stored_tensors
from gossamer_models.errors import UnsupportedError

if TYPE_CHECKING:
    import onnx

__all__ = ["NUMBER_OPERATORS", "numbers_of", "require_scale"]

Number = int | float | None
"""An element of a tensor; None where it does not follow from the file."""

NUMBER_OPERATORS: Final = ("Cast", "Constant", "Gather", "Pow", "Reciprocal", "Shape", "Slice", "Sqrt")
"""What numbers are computed by, beside operators that transformers have anyhow."""

_ELEMENTS: Final = 64
_SCALE_TOLERANCE: Final = 2e-3
"""Two factors in fp16 are off by 1e-3 together."""

_PASSES: Final = ("Identity", "Reshape", "Squeeze", "Unsqueeze")
_FLOATS: Final = (1, 10, 11, 16)
"""Data types fp32, fp16, fp64 and bf16 by ONNX's numbers."""

_INT64: Final = 1 << 63
"""Integers from there on are none that a file's operators could make."""


def numbers_of(graph: "onnx.GraphProto", operators: Sequence[Operator], shapes: dict[str, Dims]) -> dict[str, float]:
    """Return every tensor of one element whose value follows from stored constants and from shapes.

    Parameters
    ----------
    graph : with its stored tensors; what lies in other files is not read.
    operators : in an order in which every one follows what it reads.
    shapes : known shapes.
    """
    values = _stored(graph)
    for operator in operators:
        try:
            computed = _compute(operator, values, shapes)
        except (ArithmeticError, ValueError):
            continue  # a root of a negative number, say: no scale
        if computed is not None:
            values[operator.outputs[0]] = computed
    return {name: float(held[0]) for name, held in values.items() if len(held) == 1 and held[0] is not None}


def require_scale(source: str, name: str, scale: float, size: int) -> None:
    """Refuse attention whose scores are scaled by anything but 1 / sqrt(`size`).

    Raises
    ------
    UnsupportedError
        With the file `source` and the attention's `name`.
    """
    expected = size**-0.5
    if not isclose(scale, expected, rel_tol=_SCALE_TOLERANCE):
        what = f"attention at {name!r} scales its scores by {scale:.4g}"
        raise UnsupportedError(what, f"1 / sqrt({size}) = {expected:.4g}", source)


def _stored(graph: "onnx.GraphProto") -> dict[str, tuple[Number, ...]]:
    from onnx import TensorProto, numpy_helper

    values: dict[str, tuple[Number, ...]] = {}
    for name, tensor in stored_tensors(graph):
        wanted = tensor.data_type in (TensorProto.INT32, TensorProto.INT64, *_FLOATS)
        if not wanted or len(tensor.dims) > 1 or prod(tensor.dims) > _ELEMENTS:
            continue
        if tensor.data_location == TensorProto.EXTERNAL:
            continue
        try:
            values[name] = tuple(numpy_helper.to_array(tensor).ravel().tolist())
        except ValueError:
            continue  # not as long as it says
    return values


def _compute(
    operator: Operator, values: dict[str, tuple[Number, ...]], shapes: dict[str, Dims]
) -> tuple[Number, ...] | None:
    """Elements that an operator makes of known ones; None if they do not follow."""
    if operator.kind == "Constant":
        given = [operator.attributes.get(name) for name in ("value_float", "value_int")]
        return next(((number,) for number in given if isinstance(number, int | float)), None)
    if operator.kind == "Shape":
        shape = shapes.get(operator.operand(0))
        return None if shape is None else shape[operator.integer("start", 0) : operator.integer("end", len(shape))]
    if operator.kind == "CastLike":  # to the type of a tensor that need not be known
        return values.get(operator.operand(0))
    known = [values.get(name, ()) for name in operator.inputs if name]
    if not known or not known[0]:
        return None
    if operator.kind in _PASSES:
        return known[0]
    if operator.kind in ("Gather", "Slice"):
        return _selected(operator.kind, known)
    numbers = [held[0] for held in known if len(held) == 1 and held[0] is not None]
    if len(numbers) != len(known):
        return None
    result = _arithmetic(operator, numbers)
    return None if result is None else (result,)


def _selected(kind: str, known: Sequence[tuple[Number, ...]]) -> tuple[Number, ...] | None:
    """Some elements of a list."""
    bounds = [[int(place) for place in held if place is not None] for held in known[1:]]
    if kind == "Gather" and len(bounds) == 1:
        return tuple(known[0][place] for place in bounds[0] if -len(known[0]) <= place < len(known[0]))
    if len(bounds) in (2, 3) and [len(held) for held in bounds] == [1] * len(bounds):
        return known[0][bounds[0][0] : bounds[1][0]]
    return None


def _arithmetic(operator: Operator, numbers: Sequence[int | float]) -> int | float | None:
    match operator.kind, numbers:
        case "Cast", [number]:
            return float(number) if operator.integer("to", 0) in _FLOATS else int(number)
        case "Sqrt", [number]:
            return sqrt(number)
        case "Reciprocal", [number]:
            return 1 / number
        case "Mul", [first, second]:
            product = first * second
            return product if isinstance(product, float) or abs(product) < _INT64 else None
        case "Div", [first, second] if isinstance(first, float) and isinstance(second, float):
            return first / second
        case "Pow", [float(first), second] if first > 0:
            return float(first**second)
    return None
