"""Read an ONNX file into plain records: operators, which tensors are constant, and the shape of every tensor."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossamer_compiler.importers.onnx_folding import fold_shapes
from gossamer_compiler.importers.onnx_numbers import numbers_of
from gossamer_compiler.importers.onnx_records import Attribute, Dims, Operator, Tensors
from gossamer_compiler.importers.onnx_shapes import infer_dims, stored_integers, with_reshapes
from gossamer_models.errors import InputError, UnsupportedError

if TYPE_CHECKING:
    import onnx

__all__ = ["MIN_OPSET", "PROBE_BATCH", "read_onnx"]

MIN_OPSET: Final = 7
"""Older operators broadcast, drop and normalise by other attributes."""

PROBE_BATCH: Final = 7
"""Batch that shapes are inferred with where the file leaves it open: odd, so that a fixed one stands out."""

MAX_BYTES: Final = (1 << 31) - 1
"""Largest message of the format that ONNX is written in."""

_PARAMETERISED: Final = ("Conv", "Gemm", "MatMul", "BatchNormalization")
"""Operators that read parameters behind their first input."""

_NESTING: Final = ("If", "Loop", "Scan")
"""Operators with graphs of their own, which read what is not among their inputs."""


def read_onnx(path: Path) -> Tensors:
    """Read an ONNX file; weights may be missing from it, their shapes not.

    Parameters
    ----------
    path : Path
        A regular file of at most `MAX_BYTES`; data that it keeps in other files is not read.

    Raises
    ------
    InputError
        The file cannot be read, is no ONNX model, or the package `onnx` is not installed.
    UnsupportedError
        Its operators are older than `MIN_OPSET`.
    """
    model = _parse(path)
    _check_opset(model, str(path))
    model = _flat(model, str(path))
    graph = model.graph
    if not all(isinstance(text, str) for text in _texts(graph)):
        raise InputError("its names are not UTF-8", "a file that an ONNX exporter wrote", str(path))
    _open_batch(graph)
    fold_shapes(model)
    operators = tuple(_operator(node) for node in graph.node if node.output)
    _require_single_makers(operators, str(path))
    integers = stored_integers(graph)
    shapes = with_reshapes(operators, infer_dims(model), integers)
    constants = _constants(graph, operators, shapes)
    return Tensors(
        source=str(path),
        operators=operators,
        constants=frozenset(constants),
        inputs=tuple(value.name for value in graph.input if value.name not in constants),
        outputs=tuple(value.name for value in graph.output if value.name not in constants),
        shapes=shapes,
        integers=integers,
        numbers=numbers_of(graph, operators, shapes),
    )


def _parse(path: Path) -> "onnx.ModelProto":
    source = str(path)
    try:
        import onnx
        from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    except ImportError:
        raise InputError("the package onnx is not installed", "pip install 'gossamer[onnx]'", source) from None
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"the file is larger than {MAX_BYTES} bytes", "weights in a file beside it", source)
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "a readable ONNX file", source) from None
    except (DecodeError, ValueError):
        raise InputError("the file is damaged or no ONNX model", "a file that an ONNX exporter wrote", source) from None
    if not model.graph.node:
        raise InputError("the file is empty: its graph has no operators", "an ONNX model", source)
    return model


def _check_opset(model: "onnx.ModelProto", source: str) -> None:
    version = max((opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")), default=1)
    if version < MIN_OPSET:
        raise UnsupportedError(f"opset {version}", f"{MIN_OPSET} or later", source)


def _flat(model: "onnx.ModelProto", source: str) -> "onnx.ModelProto":
    """Return the model with its own functions written out."""
    if not model.functions:
        return model
    from onnx import inliner

    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError) as error:
        raise InputError(f"its functions cannot be written out ({error})", "valid functions", source) from None


def _texts(graph: "onnx.GraphProto") -> Iterator[object]:
    """Every name in a graph; the reader leaves damaged ones as bytes."""
    yield from (value.name for value in (*graph.input, *graph.output, *graph.initializer))
    yield from (tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        yield from (attribute.name for attribute in node.attribute)


def _open_batch(graph: "onnx.GraphProto") -> None:
    """Give an open batch a number, and drop the shapes that would contradict it."""
    held = {tensor.name for tensor in graph.initializer}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        if value.name not in held and dims and dims[0].dim_value < 1:
            dims[0].dim_value = PROBE_BATCH
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    del graph.value_info[:]


def _constants(graph: "onnx.GraphProto", operators: tuple[Operator, ...], shapes: dict[str, Dims]) -> set[str]:
    """Tensors that no sample changes: what is stored, parameters that are inputs, and what is computed from these."""
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {tensor.values.name for tensor in graph.sparse_initializer}
    fed = {operator.operand(0) for operator in operators}
    parameters = {name for operator in operators if operator.kind in _PARAMETERISED for name in operator.inputs[1:]}
    for value in graph.input:
        if len(shapes.get(value.name, ())) == 1 or value.name in parameters - fed:
            constants.add(value.name)
    data = {value.name for value in graph.input} - constants
    learnt = {name for name in data if len(shapes.get(name, ())) == 3 and shapes[name][0] == 1}
    constants |= learnt if learnt < data else set()  # class tokens and positions; samples have no three dimensions
    for operator in operators:
        if operator.kind not in _NESTING and all(name in constants for name in operator.inputs if name):
            constants.update(operator.outputs)
    return constants


def _require_single_makers(operators: tuple[Operator, ...], source: str) -> None:
    made: set[str] = set()
    for operator in operators:
        if made.intersection(filter(None, operator.outputs)):
            raise InputError("makes a tensor that is made already", "one maker each", source, f"node {operator.name!r}")
        made.update(operator.outputs)


def _operator(node: "onnx.NodeProto") -> Operator:
    domain = "" if node.domain in ("", "ai.onnx") else f"{node.domain}."
    return Operator(
        kind=domain + node.op_type,
        name=node.name or next((name for name in node.output if name), node.op_type),
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={attribute.name: _attribute(attribute) for attribute in node.attribute},
    )


def _attribute(attribute: "onnx.AttributeProto") -> Attribute:
    kinds = attribute
    match attribute.type:
        case kinds.INT:
            return attribute.i
        case kinds.FLOAT:
            return attribute.f
        case kinds.STRING:
            return attribute.s.decode("utf-8", "replace")
        case kinds.INTS:
            return tuple(attribute.ints)
    return None
