"""Layers joined into nodes, and what the operand-role table does not hold."""

from typing import Any

import pytest

from gossamer_compiler.geometry import Window
from gossamer_compiler.graph import Chain, Graph, Multiply, Pool, build_graph
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.grouping import UNGROUPED, Grouping
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from tests.system.training_cases import network

TAIL: list[dict[str, Any]] = [
    {"name": "flatten", "type": "flatten"},
    {"name": "fc", "type": "linear", "out_features": 3},
    {"name": "loss", "type": "softmax_cross_entropy"},
]


def conv(name: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "type": "conv2d", "out_channels": 16, "kernel": 1, **settings}


def net(*layers: dict[str, Any], channels: int = 9) -> Network:
    return network("net", channels, (5, 6), 3, [*layers, *TAIL])


def graph(*layers: dict[str, Any], channels: int = 9) -> Graph:
    return build_graph(net(*layers, channels=channels), 4, 8)


def multiply(found: Graph, name: str) -> Multiply:
    node = next(node for node in found.nodes if node.name == name)
    assert isinstance(node, Multiply)
    return node


def test_normalisation_add_and_relu_are_one_pass() -> None:
    found = graph(
        conv("a"),
        conv("b"),
        {"name": "bn", "type": "batchnorm", "eps": 0.5},
        {"name": "add", "type": "add", "inputs": ["a", "bn"]},
        {"name": "relu", "type": "relu"},
    )
    chains = [node for node in found.nodes if isinstance(node, Chain)]
    assert chains == [Chain("bn", "b", "relu", (16, 5, 6), 0.5, "a", True, False)]
    assert [node.name for node in found.nodes] == ["a", "b", "bn", "fc", "loss"]


def test_a_chain_ends_where_its_tensor_is_read_twice() -> None:
    found = graph(
        conv("a"),
        {"name": "bn", "type": "batchnorm"},
        {"name": "relu", "type": "relu"},
        conv("b"),
        {"name": "add", "type": "add", "inputs": ["b", "bn"]},
    )
    chains = {node.name: node for node in found.nodes if isinstance(node, Chain)}
    assert set(chains) == {"bn", "relu", "add"}
    assert not chains["bn"].relu
    assert (chains["add"].source, chains["add"].residual) == ("b", "bn")


def test_of_two_normalised_branches_one_takes_the_add() -> None:
    found = graph(
        conv("a"),
        {"name": "bn_a", "type": "batchnorm"},
        conv("b", inputs="a"),
        {"name": "bn_b", "type": "batchnorm"},
        {"name": "add", "type": "add", "inputs": ["bn_a", "bn_b"]},
    )
    chains = {node.name: node for node in found.nodes if isinstance(node, Chain)}
    assert chains["bn_a"].output == "add"
    assert chains["bn_a"].residual == "bn_b"
    assert chains["bn_b"].output == "bn_b"
    assert chains["bn_b"].residual is None


def test_a_linear_layer_behind_a_flatten_is_a_convolution_of_the_whole_map() -> None:
    found = graph(conv("a"))
    fc = multiply(found, "fc")
    assert fc.window == Window((5, 6), (1, 1), (0, 0))
    assert (fc.source, fc.in_shape, fc.out_shape) == ("a", (16, 5, 6), (3, 1, 1))
    assert "flatten" not in found.shapes


def test_a_flatten_of_a_flatten_is_its_source() -> None:
    fc = multiply(graph(conv("a"), {"name": "again", "type": "flatten"}), "fc")
    assert (fc.source, fc.window.kernel) == ("a", (5, 6))


def test_few_input_channels_become_patches() -> None:
    first = multiply(graph(conv("a", kernel=3, padding=1), channels=3), "a")
    assert first.patches == Window((3, 3), (1, 1), (1, 1))
    assert first.window == Window((1, 1), (1, 1), (0, 0))
    assert first.in_shape == (27, 5, 6)
    assert first.first
    later = multiply(graph(conv("s", out_channels=3), conv("a", kernel=3, padding=1)), "a")
    assert later.patches is None
    assert not later.first


@pytest.mark.parametrize(
    ("groups", "outputs", "expected"),
    [(1, 16, UNGROUPED), (16, 16, Grouping(16, 8)), (16, 32, Grouping(16, 8)), (4, 16, Grouping(4, 2)),
     (2, 16, Grouping(2, 1)), (8, 16, Grouping(8, 4))],
)  # fmt: skip
def test_groups_are_bundled_into_words(groups: int, outputs: int, expected: Grouping) -> None:
    grouping = multiply(graph(conv("a"), conv("b", groups=groups, out_channels=outputs)), "b").grouping
    assert grouping == expected
    assert grouping.bundles == -(-expected.groups // expected.together)


def test_a_pool_over_the_whole_map() -> None:
    found = graph(conv("a"), {"name": "pool", "type": "avgpool", "global": True})
    pool = next(node for node in found.nodes if isinstance(node, Pool))
    assert pool.window == Window((5, 6), (1, 1), (0, 0))
    assert pool.average


FLATTENED_RELU = [
    {"name": "flat", "type": "flatten"},
    {"name": "relu", "type": "relu"},
]


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([conv("a", stride=3)], "layer 'a' has stride [3, 3]; expected powers of two"),
        ([conv("a", out_channels=12), conv("b", groups=4, out_channels=12)],
         "layer 'b' has groups of 3 input channels; expected 1, 2, 4 or a multiple of 8"),
        ([conv("a"), conv("b", groups=2, out_channels=6)],
         "layer 'b' has 3 output channels per 8 input channels; expected a multiple of 8"),
        ([conv("a"), conv("b", groups=16, out_channels=48)],
         "layer 'b' has groups of 3 output channels; expected 1, 2, 4 or a multiple of 8"),
        ([conv("a", out_channels=12), conv("b", groups=12, out_channels=24)],
         "layer 'b' has 12 groups of 1 to 2 channels; expected a multiple of 8 groups,"
         " or as many output as input channels"),
        ([conv("a"), {"name": "p", "type": "maxpool", "kernel": [2, 3], "stride": [1, 2]}],
         "layer 'p' has stride [1, 2] and padding [0, 0]; expected the same in both directions"),
        ([conv("a"), {"name": "p", "type": "maxpool", "kernel": [2, 3]}],
         "layer 'p' has stride [2, 3] and padding [0, 0]; expected the same in both directions"),
        ([conv("a"), {"name": "p", "type": "avgpool", "kernel": [2, 3], "stride": 1, "padding": [1, 0]}],
         "layer 'p' has stride [1, 1] and padding [1, 0]; expected the same in both directions"),
        ([conv("a"), *FLATTENED_RELU],
         "layer 'relu' (relu) reads the flattened feature map 'flat'; expected a linear layer behind a flatten"),
        ([conv("a"), FLATTENED_RELU[0], conv("b", kernel=1)],
         "layer 'b' (conv2d) reads the flattened feature map 'flat'; expected a linear layer behind a flatten"),
        ([conv("a"), FLATTENED_RELU[0], {"name": "p", "type": "avgpool", "global": True}],
         "layer 'p' (avgpool) reads the flattened feature map 'flat'; expected a linear layer behind a flatten"),
        ([conv("a", kernel=1, stride=1), conv("labels")],
         "a layer is called 'labels', as a tensor that the program needs itself; expected another name"),
    ],
)  # fmt: skip
def test_unsupported_layers_are_one_line(layers: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError) as caught:
        compile_training(net(*layers), 4, METHODS["dense"], None, load_architecture("wide-4x4"))
    assert str(caught.value) == message
