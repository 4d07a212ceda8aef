"""Transformers from ONNX files: those of several exporters are one and the same network."""

from pathlib import Path

import numpy as np
import pytest
from onnx import helper, numpy_helper

from gossamer_compiler.importers.load import load_any_network
from gossamer_compiler.importers.onnx_views import CHANNEL, TOKEN, Digit, View, ViewError
from gossamer_models.errors import InputError, UnsupportedError
from gossamer_models.layers import Attention
from gossamer_models.network import Network, load_network
from gossamer_models.shapes import infer
from tests.compiler.importers.onnx_transformers import Gelu, Norm, Style, TokenWriter, vit


def kinds(network: Network) -> list[tuple[tuple[int, ...], list[tuple[str, object]]]]:
    """What every layer computes and reads, whatever its name."""
    places = {"input": -1} | {layer.name: number for number, layer in enumerate(network.layers)}
    skipped = {"name", "inputs"}
    return [
        (tuple(places[name] for name in layer.inputs), sorted(layer.model_dump(exclude=skipped).items()))
        for layer in network.layers
    ]


def imported(tmp_path: Path, writer: TokenWriter, output: str, opset: int = 20) -> Network:
    return load_any_network(writer.save(tmp_path, output, opset))


@pytest.mark.parametrize(
    ("style", "gelu", "traced"),
    [
        ("packed", "erf", False),
        ("torch", "operator", False),
        ("packed", "halved", False),
        ("torch", "turned", False),
        ("packed", "erf", True),
        ("sliced", "operator", False),
    ],
)
def test_vit_32_is_the_ready_network_but_for_the_last_normalisation(
    tmp_path: Path, style: Style, gelu: Gelu, traced: bool
) -> None:
    writer = TokenWriter(32, 512, 8)
    found = imported(tmp_path, writer, vit(writer, 4, 6, 512, 100, style=style, gelu=gelu, traced=traced))
    ready = load_network("vit-32")
    assert sum(s.parameters for s in infer(found)) == sum(s.parameters for s in infer(ready))
    assert sum(s.macs for s in infer(found)) == sum(s.macs for s in infer(ready))
    assert [kind for _, kind in kinds(found)] == [
        [(key, 1e-6 if key == "eps" else value) for key, value in kind] for _, kind in kinds(ready)
    ]


@pytest.mark.parametrize("norm", ["power", "product"])
def test_normalisations_may_be_written_out(tmp_path: Path, norm: Norm) -> None:
    """As exporters do before opset 17."""
    writers = [TokenWriter(8, 32, 2), TokenWriter(8, 32, 2, norm=norm)]
    found, written = (
        imported(tmp_path, writer, vit(writer, 2, 2, 24, 5, style="torch"), opset)
        for writer, opset in zip(writers, (17, 13), strict=True)
    )
    assert kinds(written) == kinds(found)
    assert written.layers[2].name == "encoder.0.norm1.LayerNormalization"


@pytest.mark.parametrize(("node", "place", "other"), [
    ("ReduceMean", 0, None), ("Sub", 1, None), ("Pow", 1, 3.0), ("ReduceMean_1", 0, None), ("Add", 1, None),
])  # fmt: skip
def test_what_is_no_normalisation_is_refused(tmp_path: Path, node: str, place: int, other: float | None) -> None:
    """A mean of something else, something else taken off, another power, no number added."""
    writer = TokenWriter(8, 32, 2, norm="power")
    output = vit(writer, 2, 1, 24, 5)
    (changed,) = (each for each in writer.nodes if each.name == f"encoder.0.norm1/{node}")
    changed.input[place] = writer.weight("other", 1, 17, 32) if other is None else writer.number(other)
    with pytest.raises(UnsupportedError, match=r"not supported: .*Sub at 'encoder\.0\.norm1/Sub'"):
        imported(tmp_path, writer, output, 13)


def test_a_mean_over_tokens_is_no_normalisation(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2, norm="power")
    output = vit(writer, 2, 1, 24, 5)
    for name in ("ReduceMean", "ReduceMean_1"):
        (mean,) = (each for each in writer.nodes if each.name == f"encoder.0.norm1/{name}")
        mean.attribute[0].ints[:] = [1]
    with pytest.raises(UnsupportedError, match=r"not supported: .*Sub at 'encoder\.0\.norm1/Sub'"):
        imported(tmp_path, writer, output, 13)


def test_a_division_by_nothing_is_named(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5)
    (erf,) = (each for each in writer.nodes if each.op_type == "Erf")
    (divided,) = (each for each in writer.nodes if erf.input[0] in each.output)
    del divided.input[1:]
    with pytest.raises(UnsupportedError, match=f"not supported: .*Div at '{divided.name}'"):
        imported(tmp_path, writer, output)


def test_vit_b16_has_the_published_counts(tmp_path: Path) -> None:
    writer = TokenWriter(224, 768, 12)
    shapes = infer(imported(tmp_path, writer, vit(writer, 16, 12, 3072, 1000)))
    assert sum(shape.parameters for shape in shapes) == 86_567_656
    assert sum(shape.macs for shape in shapes) == 17_563_828_224


def test_learnt_tokens_and_positions_may_be_inputs(tmp_path: Path) -> None:
    """Those of `export_params=False`: what is learnt has no batch and three dimensions, as no samples do."""
    found = []
    for weights in ("external", "inputs"):
        writer = TokenWriter(8, 32, 2, weights=weights)
        found.append(imported(tmp_path, writer, vit(writer, 2, 2, 24, 5)).layers)
    assert {"cls", "positions"} < {value.name for value in writer.inputs}
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "places",
    [
        {0: "computed"}, {1: (0,)}, {0: (1,), 1: (3,)}, {3: (2,)}, {2: (5,)}, {2: (0, 1)}, {2: (3,)},
    ],
    ids=["from a computed place", "nothing", "two thirds", "in steps", "of no axis", "unequal", "of the tokens"],
)  # fmt: skip
def test_other_slices_are_refused(tmp_path: Path, places: dict[int, tuple[int, ...] | str]) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5, style="sliced")
    node = next(node for node in writer.nodes if node.op_type == "Slice")
    for place, value in places.items():
        stored = isinstance(value, tuple)
        node.input[1 + place] = writer.integers(f"other_{place}", *value) if stored else writer.op("Shape", "x")
    if "computed" in places.values():
        writer.nodes.insert(0, writer.nodes.pop())
    with pytest.raises(UnsupportedError, match=rf"not supported: .*Slice at '{node.name}'"):
        imported(tmp_path, writer, output)


def test_queries_keys_and_values_of_their_own(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2)
    network = imported(tmp_path, writer, vit(writer, 2, 2, 24, 5, style="apart"))
    attentions = [layer for layer in network.layers if isinstance(layer, Attention)]
    assert [layer.heads for layer in attentions] == [2, 2]
    assert attentions[0].inputs == ("encoder.0.q", "encoder.0.k", "encoder.0.v")


@pytest.mark.parametrize("style", ["torch", "apart"])
def test_another_scale_of_scores_is_refused(tmp_path: Path, style: Style) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5, style=style)
    stored = {4.0, 0.25}
    constants = [node.attribute[0].t for node in writer.nodes if node.op_type == "Constant"]
    (scale,) = [held for held in constants if float(numpy_helper.to_array(held)) in stored]
    scale.CopyFrom(numpy_helper.from_array(np.array(0.5, np.float32)))
    found = "2" if style == "torch" else "0.5"
    with pytest.raises(UnsupportedError, match=rf"scales its scores by {found}; expected 1 / sqrt\(16\) = 0.25"):
        imported(tmp_path, writer, output)


def test_scores_without_a_scale_and_values_with_one_are_refused(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5)
    for node in writer.nodes:
        if node.op_type == "Sqrt":
            node.op_type = "Identity"
    with pytest.raises(UnsupportedError, match=r"scales its scores by 0.003906; expected 1 / sqrt"):
        imported(tmp_path, writer, output)
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5, style="apart")
    attention = next(node for node in writer.nodes if node.name == "encoder.0.attention")
    place = writer.nodes.index(attention)
    attention.input[1] = writer.op("Mul", attention.input[1], writer.number(0.5), name="scaled")
    writer.nodes[place:place] = [writer.nodes.pop(-2), writer.nodes.pop(-1)]
    with pytest.raises(UnsupportedError, match=r"not supported: .*MatMul of two activations at 'encoder.0.attention'"):
        imported(tmp_path, writer, output)


@pytest.mark.parametrize("axis", [1, 2])
def test_a_softmax_over_another_axis_is_refused(tmp_path: Path, axis: int) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5)
    softmax = next(node for node in writer.nodes if node.op_type == "Softmax")
    softmax.attribute[0].i = axis
    with pytest.raises(UnsupportedError, match=r"operators that are not supported: .*Softmax at"):
        imported(tmp_path, writer, output)


def test_an_unknown_operator_is_named(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5, gelu="operator")
    place = next(number for number, node in enumerate(writer.nodes) if node.op_type == "Gelu")
    old = writer.nodes[place]
    writer.nodes[place] = helper.make_node("Tanh", list(old.input), list(old.output), name="encoder.0.tanh")
    with pytest.raises(UnsupportedError, match=r"not supported: Tanh at 'encoder.0.tanh'; expected only Add"):
        imported(tmp_path, writer, output)


def test_an_open_input_is_named_before_operators_that_cannot_be_followed_for_it(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5)
    writer.inputs[0].type.tensor_type.shape.dim[2].dim_param = "height"
    with pytest.raises(InputError, match=r"input 'x' has shape \[batch, 3, \?, 8\]; expected"):
        imported(tmp_path, writer, output)


def test_scales_of_a_normalisation_are_one_per_channel(tmp_path: Path) -> None:
    writer = TokenWriter(8, 32, 2)
    output = vit(writer, 2, 1, 24, 5)
    norm = next(node for node in writer.nodes if node.op_type == "LayerNormalization")
    norm.input[1] = writer.weight("other", 16)
    with pytest.raises(UnsupportedError, match=f"not supported: .*LayerNormalization at '{norm.name}'"):
        imported(tmp_path, writer, output)


def test_views_by_hand() -> None:
    """[batch 2][token 3][part 2][head 2][channel 4]: part 1, heads outside of tokens."""
    view = View("x", 16, 3, ((Digit("batch", 2, 1),), (Digit(TOKEN, 3, 1),), (Digit(CHANNEL, 16, 1),)))
    assert view.whole
    apart = view.reshape((2, 3, 2, 2, 4)).transpose((2, 0, 3, 1, 4)).part(0, 1, 1).without(0)
    assert apart.first_channel == 8
    assert apart.axes[1:] == ((Digit(CHANNEL, 2, 4),), (Digit(TOKEN, 3, 1),), (Digit(CHANNEL, 4, 1),))
    assert not apart.whole
    assert view.reshape((6, 16)).whole
    assert not view.transpose((0, 2, 1)).whole
    with pytest.raises(ViewError, match="unevenly"):
        view.reshape((2, 4, 12))
