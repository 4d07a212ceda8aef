"""Patches that ONNX files cut by reshapes and transpositions and project by a product: the convolution that they are.

The product of every [channels, rows, columns] of a patch with the same weights is a convolution whose kernel and stride
are the patch, its weights in another order.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Final

from gossamer_compiler.importers.onnx_records import Dims, Operator, Tensors
from gossamer_compiler.importers.onnx_tokens import PASSES, RESHAPES
from gossamer_compiler.importers.onnx_views import BATCH, CHANNEL, Digit, View, ViewError

__all__ = ["join_patches"]

_ROW, _COLUMN = "row", "column"
_PLACES: Final = (BATCH, _ROW, _COLUMN)


@dataclass(frozen=True, slots=True)
class _Cut:
    """A view of images [batch, channels, rows, columns] whose last axis is one patch and whose others count patches.

    Members
    -------
    rows, columns : of a patch.
    map_shape : batch, rows of patches, columns of patches.
    """

    rows: int
    columns: int
    map_shape: tuple[int, int, int]


def join_patches(tensors: Tensors) -> Tensors:
    """Return the operators with every product of an image's patches as a convolution and what makes tokens of its map.

    For files with a transformer. Patches out of order and parts of them stay as they are. A normalisation of
    patches, which no layer does, gets a kind that says so.
    """
    return _Walk(tensors).run()


class _Walk:
    """One pass in the file's order; `_views` says what tensors are views of an input of the graph."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._shapes = dict(tensors.shapes)
        self._constants = set(tensors.constants)
        self._views: dict[str, View] = {}
        for name in tensors.inputs:
            batch, channels, height, width = sizes if len(sizes := self._fixed(name)) == 4 else (0, 0, 0, 0)
            if batch:
                axes = (
                    (Digit(BATCH, batch, 1),), (Digit(CHANNEL, channels, 1),), (Digit(_ROW, height, 1),),
                    (Digit(_COLUMN, width, 1),),
                )  # fmt: skip
                self._views[name] = View(name, channels, height * width, axes)

    def run(self) -> Tensors:
        """Return the rewritten tensors."""
        made: list[Operator] = []
        for operator in self._tensors.operators:
            view = self._views.get(operator.operand(0))
            made += (operator,) if view is None else self._follow(operator, view)
        constants = frozenset(self._constants)
        return replace(self._tensors, operators=tuple(made), shapes=self._shapes, constants=constants)

    def _fixed(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor; empty where a dimension is open."""
        shape: Dims = self._shapes.get(name, ())
        sizes = tuple(size for size in shape if size)
        return sizes if len(sizes) == len(shape) else ()

    def _follow(self, operator: Operator, view: View) -> tuple[Operator, ...]:
        """The operators that stand for one that reads a view."""
        output = operator.outputs[0]
        try:
            if operator.kind in RESHAPES:
                self._views[output] = view.reshape(self._shapes.get(output, (None,)))
            elif operator.kind == "Transpose":
                order = operator.integers("perm", tuple(reversed(range(len(view.axes)))))
                self._views[output] = view.transpose(order)
            elif operator.kind in PASSES:
                self._views[output] = view
        except ViewError:
            return (operator,)  # refused by its name
        rules: dict[str, Callable[[Operator, View], tuple[Operator, ...]]] = {
            "Gemm": self._product, "LayerNormalization": self._layer_norm, "MatMul": self._product,
        }  # fmt: skip
        rule = rules.get(operator.kind)
        return (operator,) if rule is None else rule(operator, view)

    def _layer_norm(self, operator: Operator, view: View) -> tuple[Operator, ...]:
        if _cut(view) is None:
            return (operator,)
        # Reads the image itself: it alone is at fault, not what cuts the patches or what stands behind it.
        self._views[operator.outputs[0]] = replace(view, source=operator.outputs[0])
        kind = f"{operator.kind} of patches in front of their product"
        return (replace(operator, kind=kind, inputs=(view.source, *operator.inputs[1:])),)

    def _product(self, operator: Operator, view: View) -> tuple[Operator, ...]:
        cut, weights = _cut(view), self._fixed(operator.operand(1))
        if cut is None or operator.operand(1) not in self._constants or len(weights) != 2:
            return (operator,)
        outputs, inputs = weights if operator.integer("transB", 0) else weights[::-1]
        biased = bool(operator.operand(2))
        scaled = operator.number("alpha", 1.0) != 1 or (biased and operator.number("beta", 1.0) != 1)
        if inputs != view.channels * cut.rows * cut.columns or operator.integer("transA", 0) or scaled:
            return (operator,)
        return self._convolution(operator, view, cut, outputs)

    def _convolution(self, operator: Operator, view: View, cut: _Cut, outputs: int) -> tuple[Operator, ...]:
        """A convolution, its map with channels last, and the shape that the product's result has."""
        (result,) = operator.outputs
        kernel, held, turned = f"{result}.kernel", f"{result}.map", f"{result}.channels_last"
        batch, rows, columns = cut.map_shape
        self._shapes[kernel] = (outputs, view.channels, cut.rows, cut.columns)
        self._shapes[held] = (batch, outputs, rows, columns)
        self._shapes[turned] = (batch, rows, columns, outputs)
        self._shapes[result] = (*view.shape[:-1], outputs)
        self._constants.add(kernel)
        inputs = (view.source, kernel, *operator.inputs[2:])
        return (
            Operator("Conv", operator.name, inputs, (held,), {"strides": (cut.rows, cut.columns)}),
            Operator("Transpose", operator.name, (held,), (turned,), {"perm": (0, 2, 3, 1)}),
            Operator("Reshape", operator.name, (turned,), (result,), {}),
        )


def _cut(view: View) -> _Cut | None:
    """How a view cuts images into patches; None where it is another view, or its only patch is the image."""
    patch = {kind: prod(digit.size for digit in view.axes[-1] if digit.kind == kind) for kind in (_ROW, _COLUMN)}
    places = [digit for axis in view.axes[:-1] for digit in axis if digit.size > 1]
    kinds = [digit.kind for digit in places]
    if kinds != [kind for kind in _PLACES if kind in kinds]:
        return None
    counts = {digit.kind: digit.size for digit in places}
    # Places a patch apart leave the patch what lies next to each other, in whatever order.
    if any(digit.stride != patch.get(digit.kind, 1) for digit in places) or not {_ROW, _COLUMN} & counts.keys():
        return None
    batch, rows, columns = (counts.get(kind, 1) for kind in _PLACES)
    return _Cut(patch[_ROW], patch[_COLUMN], (batch, rows, columns))
