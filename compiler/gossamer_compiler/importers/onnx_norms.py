"""Layer normalisations that an exporter has written out, as one operator each.

ONNX has had an operator for them since opset 17. For older ones PyTorch writes
(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon) * scale + shift.
"""

from collections import defaultdict
from dataclasses import replace
from typing import Final

from gossamer_compiler.importers.onnx_records import Operator, Tensors

__all__ = ["join_layer_norms"]

_KIND: Final = "LayerNormalization"


def join_layer_norms(tensors: Tensors) -> Tensors:
    """Return the operators with every layer normalisation as one, called after the folder of its nodes.

    What does not follow the formula stays, and so does a normalisation without scale or shift.
    """
    return _Joiner(tensors).run()


class _Joiner:
    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._makers = {name: operator for operator in tensors.operators for name in operator.outputs}
        self._readers: dict[str, list[Operator]] = defaultdict(list)
        for operator in tensors.operators:
            for name in dict.fromkeys(operator.inputs):
                self._readers[name].append(operator)

    def run(self) -> Tensors:
        """Return the rewritten tensors."""
        joined: dict[str, Operator] = {}
        parts: set[str] = set()
        for operator in self._tensors.operators:
            if operator.kind == "Div" and (found := self._norm(operator)) is not None:
                norm, others = found
                joined[norm.outputs[0]] = norm
                parts |= others
        read, kept = set(self._tensors.outputs), []
        for operator in reversed(self._tensors.operators):
            operator = joined.get(operator.outputs[0], operator)
            if operator.outputs[0] not in parts or read.intersection(operator.outputs):
                kept.append(operator)
                read.update(operator.inputs)
        return replace(self._tensors, operators=tuple(reversed(kept)))

    def _norm(self, divided: Operator) -> tuple[Operator, set[str]] | None:
        """The normalisation that a division is of, and what else takes part in it."""
        centred, root = (self._makers.get(divided.operand(place)) for place in (0, 1))
        added = self._operand("Sqrt", root)
        variance = self._operand("Add", added)
        squared = self._operand("ReduceMean", variance)
        scaled, scale = self._with_constant("Mul", divided)
        shifted, shift = self._with_constant("Add", scaled)
        if centred is None or centred.kind != "Sub" or root is None or added is None or variance is None:
            return None
        source, mean = centred.operand(0), self._makers.get(centred.operand(1))
        if mean is None or squared is None or scaled is None or shifted is None or mean.operand(0) != source:
            return None
        axes, epsilon = self._axes(mean), self._number(added)
        last = len(self._tensors.shapes.get(source, ())) - 1
        if axes not in ((-1,), (last,)) or axes != self._axes(variance):
            return None
        if epsilon is None or not self._squares(squared, centred):
            return None
        folder, _, _ = shifted.name.rpartition("/")
        norm = Operator(
            _KIND, f"{folder}/{_KIND}" if folder else shifted.name, (source, scale, shift), shifted.outputs[:1],
            {"axis": axes[0], "epsilon": epsilon},
        )  # fmt: skip
        again = (self._makers[name] for name in squared.inputs if name in self._makers)
        parts = (mean, centred, *again, squared, variance, added, root, divided, scaled)
        return norm, {operator.outputs[0] for operator in parts}

    def _operand(self, kind: str, operator: Operator | None) -> Operator | None:
        """What makes the one operand of an operator of a kind, constants apart."""
        if operator is None or operator.kind != kind:
            return None
        names = [name for name in operator.inputs if name not in self._tensors.constants]
        return self._makers.get(names[0]) if len(names) == 1 else None

    def _with_constant(self, kind: str, operator: Operator | None) -> tuple[Operator | None, str]:
        """The one reader of what an operator makes, if it is of a kind, and the constant that it joins to that."""
        readers = self._readers[operator.outputs[0]] if operator else []
        if len(readers) != 1 or readers[0].kind != kind:
            return None, ""
        constants = [name for name in readers[0].inputs if name in self._tensors.constants]
        return (readers[0], constants[0]) if len(constants) == 1 else (None, "")

    def _number(self, operator: Operator) -> float | None:
        """The number among an operator's operands."""
        return next((self._tensors.numbers[name] for name in operator.inputs if name in self._tensors.numbers), None)

    def _squares(self, squared: Operator, centred: Operator) -> bool:
        """Whether an operator squares what another one of the same inputs has centred."""
        makers = [self._makers.get(name) for name in squared.inputs]
        alike = [maker is not None and (maker.kind, maker.inputs) == ("Sub", centred.inputs) for maker in makers]
        if squared.kind == "Mul":
            return alike == [True, True]
        return squared.kind == "Pow" and alike[:1] == [True] and self._tensors.numbers.get(squared.operand(1)) == 2

    def _axes(self, mean: Operator | None) -> tuple[int, ...]:
        """Those that a mean is over, if it keeps them."""
        if mean is None or mean.kind != "ReduceMean" or not mean.integer("keepdims", 1):
            return ()
        return mean.integers("axes", self._tensors.integers.get(mean.operand(1), ()))
