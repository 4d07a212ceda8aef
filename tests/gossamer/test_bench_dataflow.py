"""What chunks side by side and the choice of a dataflow save, of a network whose channels leave rows and slots idle."""

from typing import Any

from gossamer.bench_dataflow import dataflow_cycles
from gossamer_models.architecture import load_architecture
from tests.system.training_cases import network


def test_idle_slots_are_what_both_save() -> None:
    built = load_architecture("vcu1525-32x32")
    machine = built.model_copy(update={"array": built.array.model_copy(update={"dataflows": ("os", "ws")})})
    layers: list[dict[str, Any]] = [
        {"name": "conv", "type": "conv2d", "out_channels": 64, "kernel": 7, "stride": 2, "padding": 3},
        {"name": "pool", "type": "avgpool", "global": True},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 10},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    found = dataflow_cycles(network("flows", 3, (32, 32), 10, layers), 64, machine)
    assert found.both < 0.99 * found.one_by_one
    assert found.beside < 0.99 * found.one_by_one
    assert found.both <= found.stationary
    assert found.both <= 1.001 * found.beside
