"""Vector operations over windows: maximum and average pooling, and their gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.vector_elementwise import multiply
from gossamer_models.golden.vector_operands import input16, output, scalar
from gossamer_models.isa.instructions import Vector
from gossamer_models.numerics.accumulate import add
from gossamer_models.numerics.formats import Bool, Float32, UInt16, to_fp32

__all__ = ["avg_pool", "avg_pool_gradient", "max_pool", "max_pool_gradient"]

_ELEMENTS_PER_CHANNEL = 8
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class _Windows:
    """Geometry of a pooling.

    Members
    -------
    height, width : input rows and columns.
    out_height, out_width : output rows and columns.
    rows, columns : size of the window.
    stride, padding : in both directions.
    inner : elements of one pixel.
    """

    height: int
    width: int
    out_height: int
    out_width: int
    rows: int
    columns: int
    stride: int
    padding: int
    inner: int

    @property
    def input_elements(self) -> int:
        """Elements of one slab of the input."""
        return self.height * self.width * self.inner

    @property
    def output_elements(self) -> int:
        """Elements of one slab of the output."""
        return self.out_height * self.out_width * self.inner

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of an input with its padding, as far as windows reach or the input goes."""
        reach_y = (self.out_height - 1) * self.stride + self.rows
        reach_x = (self.out_width - 1) * self.stride + self.columns
        return max(reach_y, self.height + self.padding), max(reach_x, self.width + self.padding)

    def pad(self, x: NDArray[_Scalar], fill: Any) -> NDArray[_Scalar]:
        """Surround x, shape (slabs, height, width, inner), by padding."""
        rows, columns = self.padded
        framed = np.full((x.shape[0], rows, columns, x.shape[3]), fill, x.dtype)
        framed[:, self.padding : self.padding + self.height, self.padding : self.padding + self.width] = x
        return framed

    def crop(self, framed: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Undo :meth:`pad`."""
        return framed[:, self.padding : self.padding + self.height, self.padding : self.padding + self.width]

    def taps(self) -> Iterator[tuple[slice, slice]]:
        """Yield, per place in the window in (ky, kx) order, the padded pixels that all outputs find there."""
        for ky in range(self.rows):
            for kx in range(self.columns):
                yield (
                    slice(ky, ky + (self.out_height - 1) * self.stride + 1, self.stride),
                    slice(kx, kx + (self.out_width - 1) * self.stride + 1, self.stride),
                )


def max_pool(machine: Machine, v: Vector) -> None:
    """Largest element of each window.

    x = VIN[source0], fp16 [slabs][height][width][8 channels]; rows = (height + 2 padding - kernel) // stride + 1,
    columns likewise with `kernel_x`. Of a window's real elements, in (ky, kx) order, the first largest wins and the
    first NaN beats every number. VOUT[target0] = fp16 [slabs][rows][columns][8 channels], `count` elements.
    """
    windows = _windows(v)
    x = _slabs(machine, v, v.source0, windows.input_elements, windows.output_elements)
    best, _ = _largest(windows, x.reshape(-1, windows.height, windows.width, windows.inner))
    output(machine, v, v.target0, best)


def max_pool_gradient(machine: Machine, v: Vector) -> None:
    """Send each gradient to the element that MAX_POOL chose.

    x = VIN[source0] as in MAX_POOL; dy = VIN[source1], fp16 of its result's shape. Each window's dy goes to the element
    that won it; an element's sum starts at +0 and takes windows in (oy, ox) order, in fp32.
    VOUT[target0] = fp16 of x's shape, `count` elements.
    """
    windows = _windows(v)
    x = _slabs(machine, v, v.source0, windows.input_elements, windows.input_elements)
    dy = _slabs(machine, v, v.source1, windows.output_elements, windows.input_elements)
    _, winner = _largest(windows, x.reshape(-1, windows.height, windows.width, windows.inner))
    output(machine, v, v.target0, _scatter(windows, dy.reshape(winner.shape), winner))


def avg_pool(machine: Machine, v: Vector) -> None:
    """Sum of each window times a factor.

    Operands as in MAX_POOL. s = sum from +0 over the window's real elements in (ky, kx) order, in fp32.
    VOUT[target0] = fp16(s scalar0).
    """
    windows = _windows(v)
    x = _slabs(machine, v, v.source0, windows.input_elements, windows.output_elements)
    framed = windows.pad(x.reshape(-1, windows.height, windows.width, windows.inner), np.float32(0))
    total = np.zeros((framed.shape[0], windows.out_height, windows.out_width, windows.inner), np.float32)
    for rows, columns in windows.taps():
        total = add(framed[:, rows, columns], total)
    output(machine, v, v.target0, multiply(total, scalar(v.scalar0)))


def avg_pool_gradient(machine: Machine, v: Vector) -> None:
    """Spread each gradient over its window.

    dy = VIN[source0], fp16 of AVG_POOL's result's shape; `height` and `width` are those of the input. s = sum from +0
    over the windows that hold the element, in (oy, ox) order, in fp32. VOUT[target0] = fp16(s scalar0) of the input's
    shape, `count` elements.
    """
    windows = _windows(v)
    dy = _slabs(machine, v, v.source0, windows.output_elements, windows.input_elements)
    shape = (-1, windows.out_height, windows.out_width, windows.inner)
    total = _scatter(windows, dy.reshape(shape), None)
    output(machine, v, v.target0, multiply(total, scalar(v.scalar0)))


def _windows(v: Vector) -> _Windows:
    rows, columns = v.height + 2 * v.padding - v.kernel, v.width + 2 * v.padding - v.kernel_x
    if not v.stride or rows < 0 or columns < 0 or v.padding >= min(v.kernel, v.kernel_x):
        raise ExecutionError(
            "pooling must have a positive stride, padding below the kernel and a window, not"
            f" {v.height} x {v.width} by {v.kernel} x {v.kernel_x}, stride {v.stride}, padding {v.padding}"
        )
    out_height, out_width = rows // v.stride + 1, columns // v.stride + 1
    inner = v.channels * _ELEMENTS_PER_CHANNEL
    return _Windows(v.height, v.width, out_height, out_width, v.kernel, v.kernel_x, v.stride, v.padding, inner)


def _slabs(machine: Machine, v: Vector, address: int, slab: int, counted_slab: int) -> Float32:
    """Read as many slabs of ``slab`` elements as `count` has of ``counted_slab``."""
    if not counted_slab or v.count % counted_slab:
        raise ExecutionError(f"`count` must be a multiple of a slab's {counted_slab} elements, not {v.count}")
    return to_fp32(input16(machine, v, address, v.count // counted_slab * slab))


def _largest(windows: _Windows, x: Float32) -> tuple[Float32, UInt16]:
    """Return each window's largest element and the number of its place in the window."""
    framed = windows.pad(x, np.float32(0))
    inside = windows.pad(np.ones((1, *x.shape[1:3], 1), np.bool_), fill=False)
    shape = (x.shape[0], windows.out_height, windows.out_width, windows.inner)
    best, winner = np.zeros(shape, np.float32), np.zeros(shape, np.uint16)
    found: Bool = np.zeros(shape, np.bool_)
    for place, (rows, columns) in enumerate(windows.taps()):
        value, exists = framed[:, rows, columns], inside[:, rows, columns]
        better = exists & (~found | (value > best) | (np.isnan(value) & ~np.isnan(best)))
        best, winner = np.where(better, value, best), np.where(better, np.uint16(place), winner)
        found = found | exists
    return best, winner


def _scatter(windows: _Windows, dy: Float32, winner: UInt16 | None) -> Float32:
    """Return each input element's sum of dy over its windows (those it won) in (oy, ox) order.

    Of the windows that hold an element the earlier one holds it at the later place, hence the reversed taps. A sum
    from +0 is never -0, so adding +0 for a window that another element won changes nothing.
    """
    rows, columns = windows.padded
    framed = np.zeros((dy.shape[0], rows, columns, windows.inner), np.float32)
    places = list(enumerate(windows.taps()))
    for place, (at_y, at_x) in reversed(places):
        term = dy if winner is None else np.where(winner == place, dy, np.float32(0))
        framed[:, at_y, at_x] = add(term, framed[:, at_y, at_x])
    return windows.crop(framed)
