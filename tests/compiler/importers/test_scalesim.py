"""SCALE-Sim topologies: sizes as SCALE-Sim has them, cycles as those of the same layers elsewhere, errors by line."""

from pathlib import Path

import pytest

from gossamer_compiler.importers.load import load_any_network
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.methods import METHODS
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import simulate

CONVOLUTIONS = "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides,\n"
PRODUCTS = "Layer,M,N,K,\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "net.csv"
    path.write_text(text)
    return path


def test_sizes_are_those_of_scale_sim(tmp_path: Path) -> None:
    rows = (
        "conv 1, 230, 230, 7, 7, 3, 64, 2,\n\n",
        "Conv2_DP, 58, 58, 3, 3, 64, 1, 1, 1:1,\n",
        "conv 1,1,1,1,1,512,10,1,\n",
    )
    network = load_any_network(written(tmp_path, CONVOLUTIONS + "".join(rows)))
    layers = [layer for layer in infer(network) if layer.macs]
    assert [layer.name for layer in layers] == ["conv_1", "Conv2_DP", "conv_1_2"]
    for layer, (height, width, kernel, channels, filters, stride) in zip(
        layers, [(230, 230, 7, 3, 64, 2), (58, 58, 3, 64, 1, 1), (1, 1, 1, 512, 10, 1)], strict=True
    ):
        # SCALE-Sim, scalesim/topology_utils.py: the output is rounded up.
        out = tuple(-(-(size - kernel + stride) // stride) for size in (height, width))
        assert layer.out_shape[1:] == out
        assert layer.macs == out[0] * out[1] * kernel * kernel * channels * filters
    assert [layer.inputs for layer in layers] == [("input",), ("Conv2_DP.input",), ("conv_1_2.input",)]


def test_products(tmp_path: Path) -> None:
    network = load_any_network(written(tmp_path, PRODUCTS + "a,12,16,24,\nb,7,9,40,\n"))
    a, b = (layer for layer in infer(network) if layer.macs)
    assert (a.in_shape, a.out_shape, a.macs) == ((24, 1, 12), (16, 1, 12), 12 * 16 * 24)
    assert (b.in_shape, b.out_shape, b.macs) == ((40, 1, 7), (9, 1, 7), 7 * 9 * 40)


def test_a_row_takes_the_cycles_of_the_same_layer_in_a_network(tmp_path: Path) -> None:
    machine, method, pattern = load_architecture("small-8x8"), METHODS["bdwp"], Pattern(2, 8)
    rows = "one,18,18,3,3,16,32,1,\ntwo,16,16,3,3,32,16,1,\n"
    alone = simulate(
        compile_training(load_any_network(written(tmp_path, CONVOLUTIONS + rows)), 16, method, pattern, machine),
        machine,
    )
    path = tmp_path / "net.yaml"
    path.write_text(
        "name: net\ninput: {channels: 16, height: 18, width: 18}\nlayers:\n"
        "  - {name: one, type: conv2d, out_channels: 32, kernel: 3}\n"
        "  - {name: two, type: conv2d, out_channels: 16, kernel: 3}\n"
        "  - {name: end, type: boundary}\n"
    )
    chained = simulate(compile_training(load_any_network(path), 16, method, pattern, machine), machine)
    found, wanted = ({(s.layer, s.stage): s.cycles for s in run.stages} for run in (alone, chained))
    assert found == wanted
    assert {stage for _, stage in found} == {"ff", "bp", "wu", "update"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: the header has the columns (none)"),
        ("a,b,c\n", "line 1: the header has the columns a, b, c; expected one of: layer name, IFMAP height"),
        ("a,8,8,3,3,4,4,1,\n" * 2, "line 1: the header has the columns a, 8, 8, 3, 3, 4, 4, 1"),
        (CONVOLUTIONS.replace("Channels, Num Filter", "Num Filter, Channels"), "line 1: the header has the columns"),
        (CONVOLUTIONS.replace("Height", "Width").replace("Width", "Height"), "line 1: the header has the columns"),
        ("Layer,M,K,N,\n", "line 1: the header has the columns layer, m, k, n"),
        (PRODUCTS, "line 1: the file has no rows"),
        (PRODUCTS + "a,1,2\n", "line 2: has 3 columns; expected layer name, M, N, K"),
        (PRODUCTS + "a,1,2,\n", "line 2: has 3 columns; expected layer name, M, N, K"),
        (PRODUCTS + "a,1,2,0,\n", "line 2: K is '0'; expected a positive integer"),
        (PRODUCTS + "a,1,x,3,\n", "line 2: N is 'x'"),
        (PRODUCTS + "a,1,2,3,4,\n", "line 2: '4' stands behind the sizes"),
        (CONVOLUTIONS + "a,8,8,3,3,4,4,1,2:4,\n", "line 2: '2:4' stands behind the sizes"),
        (CONVOLUTIONS + "\na,2,8,3,3,4,4,1,\n", "line 3: the filter 3 x 3 exceeds the map 2 x 8"),
        (
            PRODUCTS + "a,1,2,1234567890,\n",
            "line 2: K is '1234567890'; expected a positive integer of at most 9",
        ),
        (PRODUCTS + ",1,2,3,\n", "line 2: the layer has no name"),
        (PRODUCTS + "a" * 200_000 + ",1,2,3,\n", "line 2: is no row of a table"),
        (PRODUCTS + "a,1,2,3,\n" * 40_000, "line 3336: is one of more than 3333 layers"),
    ],
)
def test_what_is_wrong_stands_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        load_any_network(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "titles",
    [
        CONVOLUTIONS,
        "Layer, IFMAP Width, IFMAP Width, Filter Height, Filter Width, Channels, Num Filter, Strides, \n",
        "\ufeffLayer name,Ifmap height,ifmap width,filter height,filter width,channel,num filters,stride,batch size,\n",
        "layer name, IFMAP height, IFMAP width, filter height, filter width, channels, filters, stride\n",
    ],
)
def test_titles_as_scale_sim_writes_them(titles: str, tmp_path: Path) -> None:
    network = load_any_network(written(tmp_path, titles + "a,8,8,3,3,4,4,1,\n"))
    assert [layer.macs for layer in infer(network) if layer.macs] == [6 * 6 * 9 * 4 * 4]


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file; expected a SCALE-Sim topology"):
        load_any_network(tmp_path / "none.csv")
