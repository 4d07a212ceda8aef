"""Which neighbours along an axis ``Split`` and ``Slice`` of ONNX files take."""

from collections.abc import Mapping
from typing import NamedTuple

from gossamer_compiler.importers.onnx_records import Operator
from gossamer_compiler.importers.onnx_views import View

__all__ = ["Cut", "cuts_of", "split_parts"]


class Cut(NamedTuple):
    """``size`` places of an axis from ``start`` on."""

    axis: int
    start: int
    size: int


def split_parts(operator: Operator, view: View, integers: Mapping[str, tuple[int, ...]]) -> dict[str, View] | None:
    """Return the view that each output of a ``Split`` into equal parts of the channels is; None for others.

    Raises
    ------
    ViewError
        The axis counts something else than channels.
    """
    axis, count = operator.integer("axis", 0) % len(view.axes), len(operator.outputs)
    size, rest = divmod(view.shape[axis], count)
    given = operator.integers("split", integers.get(operator.operand(1), (size,) * count))
    if rest or given != (size,) * count:
        return None
    return {name: view.part(axis, number * size, size) for number, name in enumerate(operator.outputs)}


def cuts_of(operator: Operator, view: View, integers: Mapping[str, tuple[int, ...]]) -> tuple[Cut, ...] | None:
    """Return what a ``Slice`` takes of each axis that it shortens; None where that is computed, empty or in steps.

    Starts, ends, axes and steps are inputs from opset 10 on, attributes before.
    """
    rank = len(view.axes)
    starts = operator.integers("starts", integers.get(operator.operand(1), ()))
    ends = operator.integers("ends", integers.get(operator.operand(2), ()))
    every = tuple(range(len(starts)))
    axes = operator.integers("axes", integers.get(operator.operand(3), () if operator.operand(3) else every))
    steps = integers.get(operator.operand(4), () if operator.operand(4) else (1,) * len(starts))
    if not len(starts) == len(ends) == len(axes) == len(steps) > 0 or set(steps) != {1}:
        return None
    if any(not -rank <= axis < rank for axis in axes):
        return None
    cuts = []
    for axis, first, behind in zip(axes, starts, ends, strict=True):
        whole = view.shape[axis]
        start, end, _ = slice(first, behind).indices(whole)
        if end <= start:
            return None
        cuts += [Cut(axis % rank, start, end - start)] if end - start < whole else []
    return tuple(cuts)
