from pathlib import Path

import pytest

from gossamer_models.blocks import MAX_LAYERS
from gossamer_models.errors import InputError
from gossamer_models.network import Network, load_network

HEAD = "name: n\ninput: {channels: 4, height: 8, width: 8}\nclasses: 4\n"
TAIL = """
  - {name: pool, type: avgpool, global: true}
  - {name: loss, type: softmax_cross_entropy}
"""
BLOCK = """
blocks:
  res:
    parameters: [width, size]
    layers:
      - {name: conv, type: conv2d, out_channels: $width, kernel: [$size, 1], padding: [1, 0]}
      - {name: add, type: add, inputs: [conv, $input]}
"""
USE = "block: res, with: {width: 4, size: 3}"


def load(folder: Path, layers: str, blocks: str = "", tail: str = TAIL) -> Network:
    path = folder / "net.yaml"
    path.write_text(HEAD + blocks + "layers:\n" + layers + tail)
    return load_network(path)


def fault(folder: Path, layers: str, blocks: str = "", tail: str = TAIL) -> str:
    with pytest.raises(InputError) as caught:
        load(folder, layers, blocks, tail)
    message = str(caught.value)
    assert message.startswith(f"{folder}/net.yaml: ")
    assert "\n" not in message
    return message.removeprefix(f"{folder}/net.yaml: ")


def test_a_repeated_block_is_a_chain_of_numbered_copies(tmp_path: Path) -> None:
    network = load(tmp_path, f"  - {{name: a, type: block, {USE}, repeat: 2, start: 3}}", BLOCK)
    assert [(layer.name, layer.inputs) for layer in network.layers] == [
        ("a.3.conv", ("input",)),
        ("a.3.add", ("a.3.conv", "input")),
        ("a.4.conv", ("a.3.add",)),
        ("a.4.add", ("a.4.conv", "a.3.add")),
        ("pool", ("a.4.add",)),
        ("loss", ("pool",)),
    ]
    assert network.layers[2].type == "conv2d"
    assert (network.layers[2].kernel, network.layers[2].padding) == ((3, 1), (1, 0))


def test_expansion_equals_the_layers_written_out(tmp_path: Path) -> None:
    written = """
  - {name: a.conv, type: conv2d, out_channels: 4, kernel: [3, 1], padding: [1, 0]}
  - {name: a.add, type: add, inputs: [a.conv, input]}"""
    expanded = load(tmp_path, f"  - {{name: a, type: block, {USE}}}", BLOCK)
    assert load(tmp_path, written) == expanded


def test_the_name_of_a_use_is_the_output_of_its_last_layer(tmp_path: Path) -> None:
    layers = f"""
  - {{name: stem, type: relu}}
  - {{name: a, type: block, {USE}, repeat: 2}}
  - {{name: b, type: block, inputs: stem, {USE}}}
  - {{name: sum, type: add, inputs: [a, b]}}"""
    network = load(tmp_path, layers, BLOCK)
    by_name = {layer.name: layer.inputs for layer in network.layers}
    assert by_name["b.conv"] == ("stem",)
    assert by_name["sum"] == ("a.1.add", "b.add")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            "  - {name: a, type: block, block: rex, with: {width: 4, size: 3}}",
            "layers[0].block: unknown block 'rex', did you mean 'res'?; expected one of res",
        ),
        (
            "  - {name: a, type: block, block: res, with: {width: 4}}",
            "layers[0].with: gives width; expected size, width",
        ),
        ("  - {name: a, type: block, block: res}", "layers[0].with: gives nothing; expected size, width"),
        (
            f"  - {{name: a, type: block, {USE}, repeat: 0}}",
            "layers[0].repeat: must be greater than or equal to 1, not 0",
        ),
        (
            "  - {name: a, type: block, block: res, with: {width: 0, size: 3}}",
            "blocks.res.layers[0].out_channels: must be greater than or equal to 1, not 0",
        ),
        (
            "  - {name: a, type: block, block: res, with: {width: x, size: 3}}",
            "layers[0].with.width: must be an integer, not 'x'",
        ),
        (
            "  - {name: a, type: block, block: 3}",
            "layers[0].block: must be a string, not 3",
        ),
        (
            f"  - {{name: a, type: block, {USE}}}\n  - {{name: a, type: block, {USE}}}",
            "blocks.res.layers[0]: duplicate layer name 'a.conv'; expected every name once",
        ),
        (
            f"  - {{name: r, type: relu}}\n  - {{name: r, type: block, {USE}}}",
            "layers[1]: duplicate layer name 'r'; expected every name once",
        ),
        (
            f"  - {{name: a, type: block, {USE}, rpeat: 3}}",
            "layers[0].rpeat: unknown key, did you mean 'repeat'? "
            "(expected one of block, inputs, name, repeat, start, type, with)",
        ),
        (
            f"  - {{name: a, type: block, {USE}, repeat: 5000}}",
            f"layers: expands to 10002 layers; expected at most {MAX_LAYERS}",
        ),
    ],
)
def test_faulty_uses(tmp_path: Path, layers: str, message: str) -> None:
    assert fault(tmp_path, layers, BLOCK) == message


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (
            "{name: c, type: conv2d, out_channels: $widht, kernel: 1}",
            "blocks.b.layers[0]: unknown parameter '$widht', did you mean '$width'?; expected one of $width",
        ),
        (
            "{name: c, type: conv2d, out_channels: $width, kernle: 1}",
            "blocks.b.layers[0].kernel: the key is missing; "
            "blocks.b.layers[0].kernle: unknown key, did you mean 'kernel'? "
            "(expected one of bias, groups, inputs, kernel, name, out_channels, padding, padding_end, stride, type)",
        ),
        (
            "{name: c, type: block, block: b}",
            "blocks.b.layers[0]: unknown type 'block' "
            "(expected one of conv2d, linear, relu, relu6, batchnorm, maxpool, "
            "avgpool, add, flatten, softmax_cross_entropy, tokens, token, "
            "layernorm, rmsnorm, gelu, silu_gate, rotary, attention, boundary)",
        ),
        (
            "{name: c, type: relu, inputs: stem}",
            "blocks.b.layers[0]: input 'stem' is no earlier layer; expected the name of a layer above it",
        ),
        ("{name: $width, type: relu}", "blocks.b.layers[0].name: must be a string, not 4"),
        ("3", "blocks.b.layers[0]: must be a mapping, not 3"),
    ],
)
def test_faulty_templates(tmp_path: Path, template: str, message: str) -> None:
    blocks = f"blocks:\n  b:\n    parameters: [width]\n    layers:\n      - {template}\n"
    use = "  - {name: stem, type: relu}\n  - {name: a, type: block, block: b, with: {width: 4}}"
    assert fault(tmp_path, use, blocks) == message


def test_a_block_nobody_uses_is_refused(tmp_path: Path) -> None:
    message = "blocks.res: the block is never used; expected a layer of type block that names it"
    assert fault(tmp_path, "  - {name: r, type: relu}", BLOCK) == message


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            "  - {name: a, type: relu}\n  - {name: a, type: relu}",
            "layers[1]: duplicate layer name 'a'; expected every name once",
        ),
        ("  - {name: input, type: relu}", "layers[0]: duplicate layer name 'input'; expected every name once"),
        (
            "  - {name: a, type: relu, inputs: b}\n  - {name: b, type: relu}",
            "layers[0]: input 'b' is no earlier layer; expected the name of a layer above it",
        ),
        (
            "  - {name: conv1, type: relu}\n  - {name: a, type: add, inputs: [conv1, conv2]}",
            "layers[1]: input 'conv2' is no earlier layer, did you mean 'conv1'?; "
            "expected the name of a layer above it",
        ),
        (
            "  - {name: a, type: relu}\n  - {name: b, type: relu, inputs: input}",
            "layers[0]: the output of 'a' is never read; expected a later layer that reads it",
        ),
        (
            "  - {name: a, type: softmax_cross_entropy}",
            "layers[1]: a layer after softmax_cross_entropy; expected softmax_cross_entropy as the last layer",
        ),
        ("  - {name: a, type: add, inputs: [input]}", "layers[0].inputs: must have at least 2 element(s), not 1"),
        ("  - {name: a, type: add}", "layers[0].inputs: the key is missing"),
        (
            "  - {name: a, type: relu, inputs: [input, input]}",
            "layers[0].inputs: must have at most 1 element(s), not 2",
        ),
        ("  - {name: 'a b', type: relu}", "layers[0].name: must match ^[A-Za-z_][A-Za-z0-9_.-]{0,99}$, not 'a b'"),
    ],
)
def test_faulty_wiring(tmp_path: Path, layers: str, message: str) -> None:
    assert fault(tmp_path, layers).startswith(message)


def test_a_softmax_has_classes(tmp_path: Path) -> None:
    file = tmp_path / "network.yaml"
    file.write_text((HEAD + "layers:\n  - {name: a, type: relu}" + TAIL).replace("classes: 4\n", ""))
    with pytest.raises(InputError, match="classes: the key is missing; expected the number of classes"):
        load_network(file)


def test_a_network_ends_with_its_loss(tmp_path: Path) -> None:
    message = "layers: ends with relu 'a'; expected softmax_cross_entropy or boundary as the last layer"
    assert fault(tmp_path, "  - {name: a, type: relu}", tail="\n") == message


def test_a_network_has_layers(tmp_path: Path) -> None:
    assert fault(tmp_path, "  []", tail="\n").startswith("layers: must have at least 1 element(s), not 0")
