"""Records of what an ONNX file says, free of the package that reads it."""

from dataclasses import dataclass

__all__ = ["Attribute", "Dims", "Operator", "Tensors"]

Attribute = int | float | str | tuple[int, ...] | None

Dims = tuple[int | None, ...]
"""Shape of a tensor; None for an open dimension."""


@dataclass(frozen=True, slots=True)
class Operator:
    """One operator of the file.

    Members
    -------
    kind : its type, with the domain in front where that is not ONNX's own.
    name : of the node, or of its first output.
    inputs, outputs : tensors; an optional one that is left out is empty.
    attributes : numbers, texts and lists of integers; None for any other.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]

    def operand(self, index: int) -> str:
        """Return the tensor at input `index`, or "" where it is left out."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def integer(self, attribute: str, default: int) -> int:
        """Return an integer attribute."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, int) else default

    def number(self, attribute: str, default: float) -> float:
        """Return a numeric attribute as the shortest decimal of its single-precision value."""
        value = self.attributes.get(attribute)
        return float(f"{value:.7g}") if isinstance(value, int | float) else default

    def integers(self, attribute: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """Return a list of integers."""
        value = self.attributes.get(attribute)
        return value if isinstance(value, tuple) else default


@dataclass(frozen=True, slots=True)
class Tensors:
    """What an ONNX file says.

    Members
    -------
    source : the file.
    operators : in the file's order.
    constants : tensors that do not depend on an input.
    inputs, outputs : of the graph, constants left out.
    shapes : per tensor, as far as they follow from the file; None for an open dimension.
    integers : values of constants that hold a few integers.
    numbers : values of tensors of one element that follow from constants and shapes.
    """

    source: str
    operators: tuple[Operator, ...]
    constants: frozenset[str]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, Dims]
    integers: dict[str, tuple[int, ...]]
    numbers: dict[str, float]
