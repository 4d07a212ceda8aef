"""A small network of residual blocks, whose gradients are summed beside weight gradients."""

from typing import Any

from gossamer_models.network import Network
from tests.system.training_cases import network

__all__ = ["residual_network"]


def residual_network(width: int = 32, inner: int = 16, blocks: int = 2) -> Network:
    """A stem, blocks of two convolutions, a classifier, all convolutions normalised."""
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": width, "kernel": 1, "bias": False},
        {"name": "stem_bn", "type": "batchnorm"},
        {"name": "relu", "type": "relu"},
    ]
    for n in range(blocks):
        before = layers[-1]["name"]
        layers += [
            {"name": f"a{n}", "type": "conv2d", "out_channels": inner, "kernel": 1, "bias": False},
            {"name": f"a{n}_bn", "type": "batchnorm"},
            {"name": f"a{n}_relu", "type": "relu"},
            {"name": f"b{n}", "type": "conv2d", "out_channels": width, "kernel": 3, "padding": 1, "bias": False},
            {"name": f"b{n}_bn", "type": "batchnorm"},
            {"name": f"add{n}", "type": "add", "inputs": [f"b{n}_bn", before]},
            {"name": f"relu{n}", "type": "relu"},
        ]
    layers += [
        {"name": "pool", "type": "avgpool", "global": True},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 3},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    return network("residual", 3, (4, 4), 3, layers)
