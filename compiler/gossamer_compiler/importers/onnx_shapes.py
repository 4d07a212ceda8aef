"""Shapes of an ONNX graph's tensors, and the values of the few integers that shapes are computed from."""

from math import prod
from typing import TYPE_CHECKING, Final

from gossamer_compiler.importers.onnx_records import Dims, Operator

if TYPE_CHECKING:
    import onnx

__all__ = ["infer_dims", "stored_integers", "stored_tensors", "with_reshapes"]

_SHAPE_ELEMENTS: Final = 64
_PASSES: Final = ("Cast", "Identity", "Squeeze", "Unsqueeze")


def infer_dims(model: "onnx.ModelProto") -> dict[str, Dims]:
    """Return every shape that ONNX infers; weights are emptied first, because only their dimensions matter."""
    from onnx import shape_inference

    graph = model.graph
    shapes: dict[str, Dims] = {}
    for tensor in graph.initializer:
        shapes[tensor.name] = tuple(tensor.dims)
        if max(len(tensor.raw_data) // 8, len(tensor.float_data)) > _SHAPE_ELEMENTS:
            tensor.ClearField("raw_data")
            tensor.ClearField("float_data")
    try:
        graph = shape_inference.infer_shapes(model, data_prop=True).graph
    except (shape_inference.InferenceError, RuntimeError, ValueError):
        # What cannot be inferred is reported where it is needed, by the operator's name.
        graph = model.graph
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape"):
            dims = tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
            shapes.setdefault(value.name, dims)
    return shapes


def stored_tensors(graph: "onnx.GraphProto") -> "list[tuple[str, onnx.TensorProto]]":
    """Return what the graph holds by the names of the tensors: initialisers, and values of constants."""
    held = [(tensor.name, tensor) for tensor in graph.initializer]
    return held + [
        (node.output[0], attribute.t)
        for node in graph.node
        for attribute in node.attribute
        if node.op_type == "Constant" and attribute.name == "value" and node.output
    ]


def stored_integers(graph: "onnx.GraphProto") -> dict[str, tuple[int, ...]]:
    """Return the values of short lists of integers that the graph holds."""
    from onnx import TensorProto, numpy_helper

    integers: dict[str, tuple[int, ...]] = {}
    for name, tensor in stored_tensors(graph):
        if tensor.data_type == TensorProto.INT64 and len(tensor.dims) <= 1 and prod(tensor.dims) <= _SHAPE_ELEMENTS:
            try:
                integers[name] = tuple(map(int, numpy_helper.to_array(tensor).flat))
            except (ValueError, OSError):
                continue  # kept in another file, or not as long as it says
    return integers


def with_reshapes(
    operators: tuple[Operator, ...], dims: dict[str, Dims], stored: dict[str, tuple[int, ...]]
) -> dict[str, Dims]:
    """Return `dims` and the shapes of reshapes to a computed shape, which ONNX infers from opset 14 on only.

    Parameters
    ----------
    operators : in an order in which every one follows what it reads.
    dims : known shapes.
    stored : known integers.
    """
    values, shapes = dict(stored), dict(dims)
    for operator in operators:
        output, source = operator.outputs[0], _fixed(shapes.get(operator.operand(0)))
        target = values.get(operator.operand(1))
        if operator.kind == "Shape" and source is not None:
            values[output] = source[operator.integer("start", 0) : operator.integer("end", len(source))]
        elif operator.kind == "Reshape" and source and target and None in shapes.get(output, (None,)):
            shapes[output] = _reshaped(source, target)
        elif all(name in values for name in operator.inputs):
            computed = _compute(operator, [values[name] for name in operator.inputs])
            values |= {} if computed is None else {output: computed}
    return shapes


def _fixed(shape: Dims | None) -> tuple[int, ...] | None:
    """Return a shape without open dimensions, or None."""
    if shape is None or None in shape:
        return None
    return tuple(size for size in shape if size is not None)


def _compute(operator: Operator, known: list[tuple[int, ...]]) -> tuple[int, ...] | None:
    """Return the integers that an operator makes of known ones, None for any other operator."""
    if operator.kind == "Concat":
        return tuple(value for part in known for value in part)
    if operator.kind in _PASSES and known:
        return known[0]
    if operator.kind == "Gather" and len(known) == 2:
        data, places = known
        if all(-len(data) <= place < len(data) for place in places):
            return tuple(data[place] for place in places)
    return None


def _reshaped(source: tuple[int, ...], target: tuple[int, ...]) -> Dims:
    """Resolve a target in which 0 copies a size and -1 takes what is left."""
    sizes = [source[at] if size == 0 and at < len(source) else size for at, size in enumerate(target)]
    fixed = prod(size for size in sizes if size > 0)
    return tuple(prod(source) // fixed if size == -1 else size for size in sizes)
