"""Transformers in ONNX files: operators on [batch, tokens, channels], in any order of axes, become layers of tokens.

Reshapes, transpositions, splits and gathers of queries, keys and values become views (:mod:`onnx_views`); what is left
are operators of this module's own kinds, whose tensors are maps.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from gossamer_compiler.importers.onnx_numbers import require_scale
from gossamer_compiler.importers.onnx_parts import Cut, cuts_of, split_parts
from gossamer_compiler.importers.onnx_records import Operator, Tensors
from gossamer_compiler.importers.onnx_views import BATCH, CHANNEL, TOKEN, Digit, View, ViewError

__all__ = ["PASSES", "RESHAPES", "TOKEN_KINDS", "TOKEN_OPERATORS", "join_tokens"]

TOKEN_KINDS: Final = frozenset({"Erf", "Gelu", "LayerNormalization"})
"""Operators that tell a transformer."""

TOKEN_OPERATORS: Final = (
    "Concat of a class token", "Div", "Erf", "Expand", "Gather", "Gelu", "LayerNormalization", "Mul", "Slice",
    "Softmax", "Split", "Transpose", "Unsqueeze",
)  # fmt: skip
"""What is understood in a transformer, beside the operators of other networks."""

RESHAPES: Final = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
PASSES: Final = frozenset({"Cast", "Dropout", "Identity"})


@dataclass(frozen=True, slots=True)
class _Scores:
    """Products of queries and keys, or what a softmax made of them."""

    queries: View
    keys: View
    factor: float = 1.0
    softmax: bool = False


def join_tokens(tensors: Tensors) -> Tensors:
    """Return the operators with those of transformers as layers, for files that have them.

    Operators that cannot be followed stay, and are refused by their names.
    """
    return _Walk(tensors).run()


class _Walk:
    """One pass in the file's order; `_views` says what every tensor of a transformer is a view of."""

    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors
        self._views: dict[str, View | _Scores] = {}
        self._made: dict[str, Operator] = {}
        self._makers = {name: operator for operator in tensors.operators for name in operator.outputs}
        self._readers = Counter(name for operator in tensors.operators for name in operator.inputs)
        self._readers.update(tensors.outputs)
        self._constants = set(tensors.constants)
        self._skipped: set[str] = set()
        self._rules: dict[str, Callable[[Operator], bool]] = {
            "Add": self._add, "Concat": self._concat, "Conv": self._convolution, "Div": self._scaled,
            "Erf": self._error_function, "Expand": self._expand, "Gather": self._gather, "Gelu": self._gelu,
            "Gemm": self._product, "LayerNormalization": self._layer_norm, "MatMul": self._product, "Mul": self._scaled,
            "ReduceMean": self._mean, "Relu": self._relu, "Slice": self._slice, "Softmax": self._softmax,
            "Split": self._split, "Transpose": self._transpose,
        }  # fmt: skip

    def run(self) -> Tensors:
        """Return the rewritten tensors."""
        outputs = dict.fromkeys(self._tensors.outputs)
        for operator in self._tensors.operators:
            if all(name in self._constants for name in operator.inputs if name):
                self._constants.update(operator.outputs)
            elif operator.outputs[0] not in self._skipped and not self._followed(operator):
                self._keep(operator)
        held = (self._views.get(name) for name in outputs)
        names = [view.source if isinstance(view, View) else name for name, view in zip(outputs, held, strict=True)]
        operators = tuple(self._made.values())
        return replace(self._tensors, operators=operators, outputs=tuple(names), constants=frozenset(self._constants))

    def _keep(self, operator: Operator) -> None:
        """Keep an operator, which reads maps where it read views of them; one that changes no shape keeps the view.

        Most such operators are refused later; what stands behind them is not to be refused for their sake.
        """
        inputs, output = [], operator.outputs[0]
        for name in operator.inputs:
            held = self._views.get(name)
            view = held.queries if isinstance(held, _Scores) else held
            inputs.append(name if view is None else view.source)
            if isinstance(held, View) and held.shape == self._tensors.shapes.get(output, held.shape):
                self._views[output] = replace(held, source=output)
        self._made[output] = replace(operator, inputs=tuple(inputs))

    def _followed(self, operator: Operator) -> bool:
        try:
            return self._follow(operator)
        except ViewError:
            return False

    def _follow(self, operator: Operator) -> bool:
        held = self._views.get(operator.operand(0))
        if operator.kind in PASSES and held is not None:
            self._views[operator.outputs[0]] = held
            return True
        if operator.kind in RESHAPES and isinstance(held, View):
            self._views[operator.outputs[0]] = held.reshape(self._tensors.shapes.get(operator.outputs[0], (None,)))
            return True
        rule = self._rules.get(operator.kind)
        return rule is not None and rule(operator)

    def _view(self, name: str) -> View | None:
        held = self._views.get(name)
        return held if isinstance(held, View) else None

    def _emit(self, operator: Operator, kind: str, inputs: tuple[str, ...], **attributes: int | float) -> str:
        """Append an operator of this module under its first output's name."""
        output = operator.outputs[0]
        self._made[output] = Operator(kind, operator.name, inputs, (output,), dict(attributes))
        return output

    def _whole(self, name: str) -> View | None:
        """The view of a tensor, if it is a whole map with its channels last."""
        view = self._view(name)
        return view if view is not None and view.whole else None

    def _convolution(self, operator: Operator) -> bool:
        """The patches: a map whose pixels become tokens."""
        shape = self._tensors.shapes.get(operator.outputs[0], ())
        if len(shape) == 4 and None not in shape:
            batch, channels, height, width = (size or 0 for size in shape)
            axes = (
                (Digit(BATCH, batch, 1),), (Digit(CHANNEL, channels, 1),), (Digit(TOKEN, height, width),),
                (Digit(TOKEN, width, 1),),
            )  # fmt: skip
            self._views[operator.outputs[0]] = View(operator.outputs[0], channels, height * width, axes)
        return False

    def _product(self, operator: Operator) -> bool:
        weights = operator.operand(1)
        if weights not in self._constants:
            return self._product_of_two(operator)
        view, shape = self._whole(operator.operand(0)), self._tensors.shapes.get(weights, ())
        if view is None or len(shape) != 2 or operator.integer("transA", 0):
            return False
        outputs, inputs = shape if operator.integer("transB", 0) else shape[::-1]
        scaled = operator.number("alpha", 1.0) != 1 or (operator.operand(2) and operator.number("beta", 1.0) != 1)
        if outputs is None or inputs != view.channels or scaled:
            return False
        kind = "tokens.Project" if view.tokens > 1 else "tokens.Linear"
        source = self._emit(operator, kind, (view.source,), outputs=outputs, bias=int(bool(operator.operand(2))))
        axes = (*view.axes[:-1], (Digit(CHANNEL, outputs, 1),))
        self._views[operator.outputs[0]] = View(source, outputs, view.tokens, axes)
        return True

    def _product_of_two(self, operator: Operator) -> bool:
        """Scores of queries and keys, or probabilities times values."""
        first, second = (self._views.get(name) for name in operator.inputs[:2])
        if isinstance(first, View) and isinstance(second, View):
            if second.axes[-1] != second.token_axis or first.axes[-2] != first.token_axis:
                return False
            self._views[operator.outputs[0]] = _Scores(first, second)
            return True
        if not (isinstance(first, _Scores) and first.softmax and isinstance(second, View)):
            return False
        return self._attention(operator, first, second)

    def _attention(self, operator: Operator, scores: _Scores, values: View) -> bool:
        queries, keys = scores.queries, scores.keys
        heads, size = queries.heads(-1)
        if not (keys.heads(-2) == values.heads(-1) == (heads, size) and values.axes[-2] == values.token_axis):
            return False
        if not queries.axes[:-2] == keys.axes[:-2] == values.axes[:-2] or values.factor != 1:
            return False
        require_scale(self._tensors.source, operator.name, queries.factor * keys.factor * scores.factor, size)
        channels, parts = heads * size, (queries, keys, values)
        sources = tuple(view.source for view in parts)
        starts = [view.first_channel for view in parts]
        if len(set(sources)) == 1 and starts == [0, channels, 2 * channels] and queries.channels == 3 * channels:
            sources = sources[:1]
        elif any(starts) or any(view.channels != channels for view in parts):
            return False
        source = self._emit(operator, "tokens.Attention", sources, heads=heads)
        axes = (*values.axes[:-2], values.axes[-2], (Digit(CHANNEL, size, 1),))
        self._views[operator.outputs[0]] = View(source, channels, values.tokens, axes)
        return True

    def _scaled(self, operator: Operator) -> bool:
        """A number that queries, keys or scores are scaled by."""
        first, second = operator.operand(0), operator.operand(1)
        for name, factor in ((first, second), (second, first)):
            held, number = self._views.get(name), self._tensors.numbers.get(factor)
            before = not (isinstance(held, _Scores) and held.softmax)
            if held is not None and number and before and self._leads_to_scores(operator.outputs[0]):
                scale = number if operator.kind == "Mul" else 1 / number
                self._views[operator.outputs[0]] = replace(held, factor=held.factor * scale)
                return True
            if operator.kind == "Div":
                break
        return False

    def _is_number(self, name: str) -> bool:
        """Whether a tensor is one number, computed from shapes perhaps."""
        shape = self._tensors.shapes.get(name)
        return self._views.get(name) is None and shape is not None and all(size == 1 for size in shape)

    def _leads_to_scores(self, name: str) -> bool:
        """Whether the only thing behind a tensor, shapes apart, is a product of two activations or a softmax."""
        for _ in self._tensors.operators:
            readers = [operator for operator in self._tensors.operators if name in operator.inputs]
            if len(readers) != 1:
                return False
            (reader,) = readers
            if reader.kind == "Softmax" or (reader.kind == "MatMul" and reader.operand(1) not in self._constants):
                return True
            if reader.kind not in {*RESHAPES, *PASSES, "Transpose", "Mul", "Div"}:
                return False
            name = reader.outputs[0]
        return False

    def _softmax(self, operator: Operator) -> bool:
        held = self._views.get(operator.operand(0))
        rank = len(self._tensors.shapes.get(operator.operand(0), ()))
        if not isinstance(held, _Scores) or operator.integer("axis", -1) not in (-1, rank - 1):
            return False
        self._views[operator.outputs[0]] = replace(held, softmax=True)
        return True

    def _layer_norm(self, operator: Operator) -> bool:
        view = self._whole(operator.operand(0))
        if view is None or operator.integer("axis", -1) not in (-1, len(view.axes) - 1) or not operator.operand(2):
            return False
        if any(self._tensors.shapes.get(name) not in (None, (view.channels,)) for name in operator.inputs[1:3]):
            return False
        eps = operator.number("epsilon", 1e-5)
        source = self._emit(operator, "tokens.LayerNorm", (view.source,), eps=eps)
        self._views[operator.outputs[0]] = replace(view, source=source)
        return True

    def _relu(self, operator: Operator) -> bool:
        if (view := self._view(operator.operand(0))) is None:
            return False
        self._views[operator.outputs[0]] = replace(view, source=self._emit(operator, "Relu", (view.source,)))
        return True

    def _mean(self, operator: Operator) -> bool:
        """The mean over all tokens, as the mean over a whole map."""
        view = self._whole(operator.operand(0))
        axes = operator.integers("axes", self._tensors.integers.get(operator.operand(1), ()))
        if view is None or len(view.axes) != 3 or [axis % 3 for axis in axes] != [1]:
            return False
        source = self._emit(operator, "GlobalAveragePool", (view.source,))
        mean = view.of_one_token(source, 1)
        self._views[operator.outputs[0]] = mean if operator.integer("keepdims", 1) else mean.without(1)
        return True

    def _gelu(self, operator: Operator) -> bool:
        view = self._view(operator.operand(0))
        if view is None or operator.attributes.get("approximate", "none") != "none":
            return False
        self._views[operator.outputs[0]] = replace(view, source=self._emit(operator, "tokens.Gelu", (view.source,)))
        return True

    def _error_function(self, operator: Operator) -> bool:
        """GELU written out: x (erf(x / sqrt 2) + 1) / 2, the factors in any order."""
        inner = self._makers.get(operator.operand(0))
        if inner is None or inner.kind not in ("Div", "Mul"):
            return False
        turned = inner.kind == "Mul" and self._is_number(inner.operand(0))
        x = inner.operand(turned)
        if (view := self._view(x)) is None or not self._is_number(inner.operand(not turned)):
            return False
        end, seen = operator.outputs[0], {"Add": 0, "x": 0, "half": 0}
        while min(seen.values()) == 0:
            readers = [reader for reader in self._tensors.operators if end in reader.inputs]
            if len(readers) != 1:
                return False
            (reader,) = readers
            other = reader.operand(1 if reader.operand(0) == end else 0)
            halved = self._makers.get(other)
            if reader.kind == "Add" and self._is_number(other):
                seen["Add"] += 1
            elif reader.kind == "Mul" and other == x:
                seen["x"] += 1
            elif reader.kind == "Mul" and self._is_number(other):
                seen["half"] += 1
            elif reader.kind == "Mul" and halved is not None and halved.kind == "Mul" and x in halved.inputs:
                seen["x"], seen["half"] = 1, 1
                self._made.pop(other, None)
            else:
                return False
            end = reader.outputs[0]
        source = self._emit(operator, "tokens.Gelu", (view.source,))
        self._made.pop(inner.outputs[0], None)
        name = operator.outputs[0]
        while name != end:
            (reader,) = (reader for reader in self._tensors.operators if name in reader.inputs)
            name = reader.outputs[0]
            self._skipped.add(name)
        self._views[end] = replace(view, source=source)
        return True

    def _add(self, operator: Operator) -> bool:
        if len(operator.inputs) != 2:
            return False
        first, second = operator.inputs
        for name, other in ((first, second), (second, first)):
            view = self._view(name)
            if view is not None and other in self._constants:
                return self._positions(operator, view, other)
        one, two = self._view(first), self._view(second)
        if one is None or two is None or replace(one, source="") != replace(two, source=""):
            return False
        self._views[operator.outputs[0]] = replace(one, source=self._emit(operator, "Add", (one.source, two.source)))
        return True

    def _positions(self, operator: Operator, view: View, constant: str) -> bool:
        """A learnt vector per token; joined with the class token that stands in front of it alone."""
        shape = tuple(size for size in self._tensors.shapes.get(constant, ()) if size != 1)
        if not view.whole or shape != tuple(size for size in (view.tokens, view.channels) if size != 1):
            return False
        tokens = self._made.get(view.source)
        merged = tokens is not None and tokens.kind == "tokens.Tokens" and self._readers[view.source] == 1
        inputs: tuple[str, ...] = (view.source,)
        first = 0
        if merged and tokens is not None:
            inputs, first = tokens.inputs, 1
            del self._made[view.source]
        source = self._emit(operator, "tokens.Tokens", inputs, class_token=first, positions=1)
        self._views[operator.outputs[0]] = replace(view, source=source)
        return True

    def _expand(self, operator: Operator) -> bool:
        """A learnt token for every sample."""
        constant = operator.operand(0) in self._constants
        self._constants.update(operator.outputs if constant else ())
        return constant

    def _concat(self, operator: Operator) -> bool:
        """A learnt token in front of all others."""
        if len(operator.inputs) != 2:
            return False
        token, name = operator.inputs
        view = self._whole(name)
        if view is None or token not in self._constants or operator.integer("axis", 0) not in (1, -2):
            return False
        if len(view.axes) != 3 or self._tensors.shapes.get(token, ())[1:] != (1, view.channels):
            return False
        source = self._emit(operator, "tokens.Tokens", (view.source,), class_token=1, positions=0)
        count = view.tokens + 1
        axes = (view.axes[0], (Digit(TOKEN, count, 1),), view.axes[2])
        self._views[operator.outputs[0]] = View(source, view.channels, count, axes)
        return True

    def _transpose(self, operator: Operator) -> bool:
        if (view := self._view(operator.operand(0))) is None:
            return False
        order = operator.integers("perm", tuple(reversed(range(len(view.axes)))))
        self._views[operator.outputs[0]] = view.transpose(order)
        return True

    def _split(self, operator: Operator) -> bool:
        view = self._view(operator.operand(0))
        parts = None if view is None else split_parts(operator, view, self._tensors.integers)
        self._views.update(parts or {})
        return bool(parts)

    def _slice(self, operator: Operator) -> bool:
        """The same as a gather, with its axis left: what PyTorch's default exporter makes of ``unbind``."""
        view = self._view(operator.operand(0))
        cuts = None if view is None else cuts_of(operator, view, self._tensors.integers)
        for cut in cuts or ():
            view = view and self._part(operator, view, cut)
        if view and cuts is not None:
            self._views[operator.outputs[0]] = view
        return bool(view) and cuts is not None

    def _gather(self, operator: Operator) -> bool:
        """One of several parts of the channels, or one token."""
        view, places = self._view(operator.operand(0)), self._tensors.integers.get(operator.operand(1), ())
        kept = self._tensors.shapes.get(operator.operand(1), ())
        if view is None or len(places) != 1 or kept not in ((), (1,)):
            return False
        axis = operator.integer("axis", 0) % len(view.axes)
        part = self._part(operator, view, Cut(axis, places[0] % view.shape[axis], 1))
        if part is not None:
            self._views[operator.outputs[0]] = part if kept else part.without(axis)
        return part is not None

    def _part(self, operator: Operator, view: View, cut: Cut) -> View | None:
        """Neighbours among the channels, or one token of a whole map."""
        if view.axes[cut.axis] != view.token_axis or view.tokens == 1:
            return view.part(*cut)
        if not view.whole or cut.size != 1:
            return None
        source = self._emit(operator, "tokens.Token", (view.source,), index=cut.start)
        return view.of_one_token(source, cut.axis)
