from math import prod

import pytest

from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.layers import Attention, Conv2d, Linear
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.shapes import LayerShape, infer
from gossamer_models.sparsity import Pattern


def useful_macs(layer: LayerShape) -> int:
    """Multiply-adds of all samples; taps that lie in the padding count only where patches are written out."""
    if not isinstance(layer.params, Conv2d) or layer.inputs == ("input",):
        return layer.macs * layer.batch
    conv, taps = layer.params, 1
    for axis in range(2):
        taps *= sum(
            0 <= place * conv.stride[axis] + tap - conv.padding[axis] < layer.in_shape[1 + axis]
            for place in range(layer.out_shape[1 + axis])
            for tap in range(conv.kernel[axis])
        )
    return layer.batch * taps * prod(layer.weight_shape[:2])


@pytest.mark.parametrize("name", ["vgg19-32", "mobilenetv2-224"])
@pytest.mark.parametrize(("method", "pattern"), [("dense", None), ("bdwp", Pattern(2, 8))])
def test_networks_compile_at_full_scale_and_count_every_useful_multiply_add(
    name: str, method: str, pattern: Pattern | None
) -> None:
    network, batch = load_network(name), 512
    program = compile_training(network, batch, METHODS[method], pattern, load_architecture("vcu1525-32x32"))
    dense = {(stage.layer, stage.stage): stage.macs_dense for stage in program.stages if stage.macs_dense}
    for layer in infer(network, batch):
        if isinstance(layer.params, Conv2d | Linear):
            # The first layer has no data gradient.
            stages = ("ff", "wu") if layer.inputs == ("input",) else ("ff", "bp", "wu")
            assert {dense.pop((layer.name, stage)) for stage in stages} == {useful_macs(layer)}, layer.name
    assert not dense


@pytest.mark.parametrize("name", ["vit-32", "vit-b16-224", "bert-base", "gpt2-small", "llama-7b-block"])
def test_transformers_count_every_useful_multiply_add(name: str) -> None:
    network, batch = load_network(name), 32
    program = compile_training(network, batch, METHODS["bdwp"], Pattern(2, 8), load_architecture("vcu1525-32x32"))
    dense: dict[str, int] = {}
    for stage in program.stages:
        dense[stage.layer] = dense.get(stage.layer, 0) + stage.macs_dense
    for layer in infer(network, batch):
        if isinstance(layer.params, Attention):
            # Each of the two products has two more on the way back.
            parts = [dense.pop(f"{layer.name}.{part}") for part in ("scores", "values", "queries", "keys")]
            assert sum(parts) == 3 * layer.macs * batch, layer.name
        elif isinstance(layer.params, Conv2d | Linear):
            stages = 2 if layer.inputs == ("input",) else 3
            assert dense.pop(layer.name) == stages * useful_macs(layer), layer.name
    assert not any(dense.values())
