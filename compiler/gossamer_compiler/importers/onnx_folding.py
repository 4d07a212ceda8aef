"""Shapes that an ONNX graph computes by operators of its own, put in their place as numbers."""

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from gossamer_compiler.importers.onnx_shapes import infer_dims
from gossamer_compiler.importers.onnx_tokens import TOKEN_KINDS

if TYPE_CHECKING:
    import onnx

__all__ = ["fold_shapes"]

_ELEMENTS: Final = 64
_ROUNDS: Final = 256
_COMPUTES_SHAPES: Final = TOKEN_KINDS | {"Pad", "Sqrt"}
"""Roots are in transformers: in scales of attention, and in layer normalisations that are written out."""
_KEPT: Final = frozenset({"Bernoulli", "If", "Loop", "RandomNormal", "RandomUniform", "Scan"})


def fold_shapes(model: "onnx.ModelProto") -> None:
    """Replace operators on a few numbers by their results, where an operator needs them: in a transformer, for padding.

    A shape that is known at last makes those behind it known: so shapes are inferred again until no operator is left
    whose result is a few numbers. Whatever cannot be evaluated stays.
    """
    from onnx import TensorProto, numpy_helper

    graph = model.graph
    if not any(node.op_type in _COMPUTES_SHAPES for node in graph.node):
        return
    known: dict[str, NDArray[Any]] = {}
    for tensor in graph.initializer:
        if tensor.data_location != TensorProto.EXTERNAL and int(np.prod(tensor.dims)) <= _ELEMENTS:
            try:
                known[tensor.name] = numpy_helper.to_array(tensor)
            except (ValueError, OSError, TypeError):
                continue  # not as long as it says
    for _ in range(_ROUNDS):
        dims, left, found = infer_dims(model), [], 0
        for node in graph.node:
            value = _value(node, known, dims)
            if value is not None and value.size <= _ELEMENTS:
                known[node.output[0]] = value
                graph.initializer.append(numpy_helper.from_array(value, node.output[0]))
                found += 1
            else:
                left.append(node)
        if not found:
            return
        del graph.node[:]
        graph.node.extend(left)


def _value(node: "onnx.NodeProto", known: dict[str, NDArray[Any]], dims: dict[str, Any]) -> NDArray[Any] | None:
    """Result of an operator on known numbers, or the known shape of a tensor; None for all others."""
    from onnx.reference import ReferenceEvaluator

    if len(node.output) != 1 or node.op_type in _KEPT or node.domain not in ("", "ai.onnx"):
        return None
    if node.op_type == "Shape":
        shape: tuple[int | None, ...] = dims.get(node.input[0], (None,))
        places: dict[str, int] = {attribute.name: attribute.i for attribute in node.attribute}
        if None in shape:
            return None
        return np.array(shape[places.get("start", 0) : places.get("end", len(shape))], np.int64)
    if any(name and name not in known for name in node.input):
        return None
    try:
        result: Any = ReferenceEvaluator(node).run(None, {name: known[name] for name in node.input if name})
        return np.asarray(result[0])
    except Exception:
        # Operators of onnx and of numpy raise what they like; the importer names one that stays and is not supported.
        return None
