"""How the axes of an ONNX tensor run through a map of tokens, followed through reshapes and transpositions.

A tensor of a transformer is a map [batch, channels, tokens] seen in one of many ways: [batch, tokens, channels],
[batch, heads, tokens, channels of a head], [tokens, batch heads, ...]. A :class:`View` says for every axis which digits
of batch, channel and token number it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from gossamer_compiler.importers.onnx_records import Dims

__all__ = ["BATCH", "CHANNEL", "TOKEN", "Digit", "View", "ViewError"]

BATCH, CHANNEL, TOKEN = "batch", "channel", "token"


class ViewError(Exception):
    """Why a tensor cannot be followed, as in "to another shape"."""


@dataclass(frozen=True, slots=True)
class Digit:
    """``size`` values of one number of the map, ``stride`` apart."""

    kind: str
    size: int
    stride: int


Axis = tuple[Digit, ...]


@dataclass(frozen=True, slots=True)
class View:
    """A tensor as a view of a map.

    Members
    -------
    source : tensor that is the map itself.
    channels, tokens : of the map.
    axes : digits of each axis, outermost first.
    first_channel : of the map that the view starts at.
    factor : that the map's elements are scaled by.
    """

    source: str
    channels: int
    tokens: int
    axes: tuple[Axis, ...]
    first_channel: int = 0
    factor: float = 1.0

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return tuple(prod(digit.size for digit in axis) for axis in self.axes)

    def reshape(self, shape: Dims) -> "View":
        """The view with other axes over the same elements in the same order.

        Raises
        ------
        ViewError
            The shape is open, or an axis ends inside digits that do not divide.
        """
        digits = [digit for axis in self.axes for digit in axis if digit.size > 1]
        axes: list[Axis] = []
        for size in reversed(shape):
            if size is None:
                raise ViewError("to an open shape")
            axis: list[Digit] = []
            while size > 1:
                if not digits:
                    raise ViewError("to more elements")
                digit = digits.pop()
                take = min(size, digit.size)
                if size % take or digit.size % take:
                    raise ViewError("that cuts an axis unevenly")
                if take < digit.size:
                    digits.append(Digit(digit.kind, digit.size // take, digit.stride * take))
                axis.insert(0, Digit(digit.kind, take, digit.stride))
                size //= take
            axes.insert(0, _joined(axis))
        if digits:
            raise ViewError("to fewer elements")
        return replace(self, axes=tuple(axes))

    def transpose(self, order: Sequence[int]) -> "View":
        """The view with its axes in another order."""
        if sorted(order) != list(range(len(self.axes))):
            raise ViewError(f"with perm {list(order)}")
        return replace(self, axes=tuple(self.axes[place] for place in order))

    def part(self, axis: int, start: int, size: int) -> "View":
        """Neighbours along an axis of channels.

        Raises
        ------
        ViewError
            The axis counts something else, or the part cuts through digits.
        """
        digits = self.axes[axis]
        if len(digits) != 1 or digits[0].kind != CHANNEL or start % size:
            raise ViewError("of other parts than equal ones of the channels")
        (digit,) = digits
        kept = (Digit(CHANNEL, size, digit.stride),) if size > 1 else ()
        axes = (*self.axes[:axis], kept, *self.axes[axis + 1 :])
        return replace(self, axes=axes, first_channel=self.first_channel + start * digit.stride)

    def of_one_token(self, source: str, axis: int) -> "View":
        """The view of a map of one token, made of this map's tokens on ``axis``."""
        axes = tuple(() if number == axis else held for number, held in enumerate(self.axes))
        return View(source, self.channels, 1, axes)

    def without(self, axis: int) -> "View":
        """The view without an axis of size 1."""
        return replace(self, axes=(*self.axes[:axis], *self.axes[axis + 1 :]))

    @property
    def token_axis(self) -> Axis:
        """The axis that counts all tokens."""
        return (Digit(TOKEN, self.tokens, 1),) if self.tokens > 1 else ()

    def heads(self, axis: int) -> tuple[int, int]:
        """Heads among the outer axes, and the channels of each on ``axis``; heads of 0 if they are none."""
        sizes = [digit for digit in self.axes[axis] if digit.kind == CHANNEL and digit.stride == 1]
        size = sizes[0].size if len(self.axes[axis]) == len(sizes) == 1 else 0
        outer = [digit for held in self.axes[:-2] for digit in held if digit.kind == CHANNEL]
        if not outer:
            return 1, size
        return (outer[0].size if len(outer) == 1 and outer[0].stride == size else 0), size

    @property
    def whole(self) -> bool:
        """Whether the last axis counts all channels, and the others batch, then tokens, in order."""
        outer = [digit for axis in self.axes[:-1] for digit in axis if digit.size > 1]
        channels = (Digit(CHANNEL, self.channels, 1),) if self.channels > 1 else ()
        return self.axes[-1] == channels and not self.first_channel and self._in_order(outer)

    def _in_order(self, digits: list[Digit]) -> bool:
        tokens = [digit for digit in digits if digit.kind == TOKEN]
        others = [digit for digit in digits if digit.kind != TOKEN]
        rows = _joined(tokens)
        full = not rows if self.tokens == 1 else rows == (Digit(TOKEN, self.tokens, 1),)
        return full and len(others) <= 1 and all(digit.kind == BATCH for digit in others)


def _joined(digits: Sequence[Digit]) -> Axis:
    """Digits with neighbours that continue each other as one."""
    joined: list[Digit] = []
    for digit in digits:
        if joined and joined[-1].kind == digit.kind and joined[-1].stride == digit.size * digit.stride:
            digit = Digit(digit.kind, joined.pop().size * digit.size, digit.stride)
        joined.append(digit)
    return tuple(joined)
