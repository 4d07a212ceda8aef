from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.errors import InputError
from gossamer_models.layers import (
    Attention,
    AvgPool,
    Conv2d,
    Flatten,
    Layer,
    LayerNorm,
    Linear,
    MaxPool,
    RmsNorm,
    Rotary,
    SoftmaxCrossEntropy,
    Token,
    Tokens,
)
from gossamer_models.network import Network, load_network
from gossamer_models.shapes import LayerShape, Shape, infer


def shape_of(layer: Layer, in_shape: Shape) -> LayerShape:
    (shape,) = infer(Network("n", "net.yaml", in_shape, 4, (layer,)))
    return shape


def positions(size: int, kernel: int, stride: int, padding: int) -> int:
    """Count window positions by sliding a window."""
    return sum(1 for start in range(-padding, size + padding, stride) if start + kernel <= size + padding)


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
def test_windows_are_those_that_a_sliding_window_finds(
    height: int, width: int, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    layer = Conv2d(
        name="c", type="conv2d", inputs=("input",), out_channels=2, kernel=kernel, stride=stride, padding=padding
    )
    expected = tuple(
        positions(size, *axis) for size, *axis in zip((height, width), kernel, stride, padding, strict=True)
    )
    if 0 in expected:
        with pytest.raises(InputError, match="exceeds the padded input"):
            shape_of(layer, (3, height, width))
    else:
        assert shape_of(layer, (3, height, width)).out_shape == (2, *expected)


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_grouped_convolution_counts_by_enumeration(inner: int, outer: int, groups: int, bias: bool) -> None:
    layer = Conv2d(
        name="c", type="conv2d", inputs=("input",), out_channels=outer * groups, kernel=(3, 2), groups=groups, bias=bias
    )
    shape = shape_of(layer, (inner * groups, 5, 4))
    products = [
        (channel_out, channel_in, y, x, dy, dx)
        for channel_out in range(outer * groups)
        for channel_in in range(inner * groups)
        if channel_in // inner == channel_out // outer
        for y in range(3)
        for x in range(3)
        for dy in range(3)
        for dx in range(2)
    ]
    weights = {(channel_out, channel_in, dy, dx) for channel_out, channel_in, _, _, dy, dx in products}
    assert shape.macs == len(products)
    assert shape.parameters == len(weights) + bias * outer * groups


def test_pools_and_flatten() -> None:
    maxpool = MaxPool(name="p", type="maxpool", inputs=("input",), kernel=(3, 3), stride=(2, 2), padding=(1, 1))
    assert shape_of(maxpool, (64, 112, 112)).out_shape == (64, 56, 56)
    default_stride = MaxPool(name="p", type="maxpool", inputs=("input",), kernel=(4, 2))
    assert shape_of(default_stride, (5, 9, 9)).out_shape == (5, 2, 4)
    average = AvgPool.model_validate({"name": "p", "type": "avgpool", "inputs": ("input",), "global": True})
    assert shape_of(average, (5, 9, 7)).out_shape == (5, 1, 1)
    assert shape_of(Flatten(name="f", type="flatten", inputs=("input",)), (5, 9, 7)).out_shape == (315, 1, 1)


def fault(layer: Layer, in_shape: Shape) -> str:
    with pytest.raises(InputError) as caught:
        shape_of(layer, in_shape)
    return str(caught.value)


def test_linear_and_loss_need_a_vector() -> None:
    linear = Linear(name="fc", type="linear", inputs=("input",), out_features=3)
    assert fault(linear, (4, 2, 2)) == (
        "net.yaml: layer 'fc': the input 'input' is a feature map of shape [4, 2, 2]; "
        "expected a vector [features, 1, 1]: put a flatten layer before linear"
    )
    loss = SoftmaxCrossEntropy(name="loss", type="softmax_cross_entropy", inputs=("input",))
    assert "put a flatten layer before softmax_cross_entropy" in fault(loss, (4, 2, 2))
    assert fault(loss, (5, 1, 1)) == "net.yaml: layer 'loss': the input has 5 features; expected one per class (4)"


def test_groups_divide_the_input_channels() -> None:
    layer = Conv2d(name="c", type="conv2d", inputs=("input",), out_channels=4, kernel=(1, 1), groups=2)
    assert fault(layer, (3, 1, 1)) == (
        "net.yaml: layer 'c': groups 2 do not divide the 3 input channels; expected a divisor"
    )


def test_sums_need_equal_shapes(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "name: n\ninput: {channels: 4, height: 8, width: 8}\nclasses: 4\nlayers:\n"
        "  - {name: c, type: conv2d, out_channels: 6, kernel: 1}\n"
        "  - {name: s, type: add, inputs: [c, input]}\n"
        "  - {name: loss, type: softmax_cross_entropy}\n"
    )
    with pytest.raises(InputError) as caught:
        load_network(path)
    assert str(caught.value) == (
        f"{path}: layer 's': the inputs have shapes [6, 8, 8] from 'c' and [4, 8, 8] from 'input'; "
        "expected equal shapes"
    )


def test_huge_but_legal_shapes_are_only_numbers() -> None:
    size = 1 << 31
    layer = Conv2d(name="c", type="conv2d", inputs=("input",), out_channels=size, kernel=(2, size), padding=(0, 1))
    shape = shape_of(layer, (size, size, size))
    assert shape.out_shape == (size, size - 1, 3)
    assert shape.macs == size * size * 2 * size * (size - 1) * 3


def test_sizes_beyond_the_bound_are_refused() -> None:
    flatten = Flatten(name="f", type="flatten", inputs=("input",))
    assert "flattens to 4294967296 elements; expected at most 2147483648" in fault(flatten, (1 << 16, 1 << 16, 1))
    wide = Conv2d(name="c", type="conv2d", inputs=("input",), out_channels=1, kernel=(1, 1), padding=(1, 1))
    assert "expected at most 2147483648 per axis" in fault(wide, (1, 1 << 31, 1))


@pytest.mark.parametrize("batch", [0, -1, (1 << 31) + 1])
def test_batch_is_bounded(batch: int) -> None:
    with pytest.raises(InputError, match="batch: must be between 1 and 2147483648"):
        infer(load_network("digits-mlp"), batch)


def token_layer(kind: type[Layer], in_shape: Shape, **fields: object) -> LayerShape:
    data = {"name": "a", "type": kind.__name__.lower(), "inputs": ("input",), **fields}
    return shape_of(kind.model_validate(data), in_shape)


def test_tokens() -> None:
    whole = token_layer(Tokens, (16, 3, 4), class_token=True, positions=True)
    assert (whole.out_shape, whole.parameters) == ((16, 1, 13), 16 + 13 * 16)
    bare = token_layer(Tokens, (16, 3, 4))
    assert (bare.out_shape, bare.parameters) == ((16, 1, 12), 0)
    assert token_layer(Token, (16, 1, 13), index=12).out_shape == (16, 1, 1)
    with pytest.raises(InputError, match="token 13 of 13; expected a token that there is"):
        token_layer(Token, (16, 1, 13), index=13)


def test_attention_counts_by_enumeration() -> None:
    packed = token_layer(Attention, (48, 1, 5), heads=2)
    products = [(head, query, key, c) for head in range(2) for query in range(5) for key in range(5) for c in range(8)]
    assert (packed.out_shape, packed.macs, packed.parameters) == ((16, 1, 5), 2 * len(products), 0)
    apart = token_layer(Attention, (16, 1, 5), heads=2, inputs=("input",) * 3)
    assert (apart.out_shape, apart.macs) == ((16, 1, 5), 2 * len(products))


@pytest.mark.parametrize(
    ("kind", "in_shape", "fields", "message"),
    [
        (
            Attention,
            (16, 1, 5),
            {"heads": 2},
            "16 channels; expected queries, keys and values of equal size in one map",
        ),
        (
            Attention,
            (48, 1, 5),
            {"heads": 4},
            "4 heads of 16 channels; expected heads of a whole multiple of 8 channels",
        ),
        (Rotary, (12, 1, 5), {"heads": 1}, "1 heads of 12 channels"),
    ],
)
def test_heads_that_do_not_fit(kind: type[Layer], in_shape: Shape, fields: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        token_layer(kind, in_shape, **fields)


def test_normalisations_of_tokens() -> None:
    assert token_layer(LayerNorm, (16, 1, 5)).parameters == 32
    assert token_layer(RmsNorm, (16, 1, 5)).parameters == 16
