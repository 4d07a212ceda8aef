"""Training steps of transformers in float64: :class:`tests.references.training_step.Replay` with their layers.

The program under test keeps probabilities and normalised maps as fp16; the reference computes both again, so bounds of
these layers allow for their rounding.
"""

from typing import Any

import numpy as np

from tests.references import transformer
from tests.references.training_step import Array, Replay


class TransformerReplay(Replay):
    """Follows a program's tensors through a network with layers of transformers."""

    def _value(self, layer: Any, inputs: list[Array]) -> Array:
        x = transformer.rows(inputs[0])
        shape = inputs[0].shape
        match layer.type:
            case "layernorm" | "rmsnorm":
                return transformer.maps(transformer.layer_norm(x, *self._norm(layer), layer.eps)[0], shape)
            case "gelu":
                return transformer.gelu(inputs[0])
            case "silu_gate":
                return inputs[0] * transformer.sigmoid(inputs[0]) * inputs[1]
            case "rotary":
                return transformer.maps(transformer.rotate(x, layer.heads, layer.base, 1), shape)
            case "attention":
                y, _ = transformer.attention(*self._heads(layer, inputs), heads=layer.heads, causal=layer.causal)
                return transformer.maps(y, (shape[0], y.shape[2], *shape[2:]))
            case "tokens":
                learnt = self.step.learnt[layer.name]
                first = (
                    np.broadcast_to(learnt["class"], (len(x), *learnt["class"].shape))
                    if layer.class_token
                    else x[:, :0]
                )
                y = np.concatenate([first, x], axis=1) + (learnt["positions"] if layer.positions else 0)
                return transformer.maps(y, (shape[0], shape[1], 1, y.shape[1]))
            case "token":
                return x[:, layer.index, :, None, None]
        return super()._value(layer, inputs)

    def _norm(self, layer: Any) -> tuple[Array, Array | None]:
        values = self.step.norms[layer.name].astype(np.float64)
        return values[0], values[1] if layer.type == "layernorm" else None

    def _heads(self, layer: Any, inputs: list[Array]) -> tuple[Array, Array, Array]:
        """Queries, keys and values as rows."""
        rows = [transformer.rows(x) for x in inputs]
        one, two, three = rows if len(rows) == 3 else np.split(rows[0], 3, axis=2)
        return one, two, three

    def _back(self, layer: Any, x: Array, dy: Array, on_weights: Any, on_norm: Any) -> None:
        inputs = [self.values[name] for name in layer.inputs]
        gradients = [transformer.rows(part) for part in (x, dy)]
        match layer.type:
            case "layernorm" | "rmsnorm":
                gamma, beta = self._norm(layer)
                dx, dgamma, dbeta = transformer.layer_norm_gradients(gradients[0], gamma, beta, layer.eps, gradients[1])
                on_norm(layer.name, dgamma, dbeta if beta is not None else None, float(np.abs(dy).sum()))
                self._give(layer.inputs[0], transformer.maps(dx, x.shape))
            case "gelu":
                self._give(layer.inputs[0], transformer.gelu_gradient(x, dy))
            case "silu_gate":
                both = transformer.silu_gate_gradients(inputs[0], inputs[1], dy)
                for name, part in zip(layer.inputs, both, strict=True):
                    self._give(name, part)
            case "rotary":
                turned = transformer.rotate(gradients[1], layer.heads, layer.base, -1)
                self._give(layer.inputs[0], transformer.maps(turned, x.shape))
            case "attention":
                parts = transformer.attention_gradients(
                    *self._heads(layer, inputs), gradients[1], heads=layer.heads, causal=layer.causal
                )
                joined = [np.concatenate(parts, axis=2)] if len(inputs) == 1 else parts
                for name, part in zip(layer.inputs, joined, strict=True):
                    self._give(name, transformer.maps(part, x.shape))
            case "tokens":
                on_norm(layer.name, gradients[1].sum(axis=0), None, float(np.abs(dy).sum()))
                self._give(layer.inputs[0], transformer.maps(gradients[1][:, int(layer.class_token) :], x.shape))
            case "token":
                dx = np.zeros_like(gradients[0])
                dx[:, layer.index] = dy[:, :, 0, 0]
                self._give(layer.inputs[0], transformer.maps(dx, x.shape))
            case "boundary":
                pass
            case _:
                super()._back(layer, x, dy, on_weights, on_norm)
