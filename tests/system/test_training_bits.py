"""Products of a training step, bit for bit: fp32 loops in the layer's own order of r give golden's bits."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.roles import channel_chunk_words, gradient_chunk_words
from gossamer_models.sparsity import Pattern
from tests.references import naive
from tests.system.training_cases import Case, network, run_step

Rows = list[tuple[int, int, int]]


def pad(size: int, word: int) -> int:
    return -(-size // word) * word


def gather(
    source: NDArray[np.float16], rows: Rows, taps: list[tuple[int, int]], step: int, sign: int, padding: int, word: int
) -> tuple[NDArray[np.float16], NDArray[np.bool_]]:
    """A[i, (tap, channel)] = source at step * output + sign * tap - sign * padding, and which elements are real."""
    _, channels, height, width = source.shape
    a = np.zeros((len(rows), len(taps), pad(channels, word)), np.float16)
    keep = np.zeros(a.shape, np.bool_)
    for i, (n, oy, ox) in enumerate(rows):
        for t, (ky, kx) in enumerate(taps):
            y, x = step * oy + sign * (ky - padding), step * ox + sign * (kx - padding)
            if 0 <= y < height and 0 <= x < width:
                a[i, t, :channels] = source[n, :, y, x]
                keep[i, t, :channels] = True
    return a.reshape(len(rows), -1), keep.reshape(len(rows), -1)


def spread(weights: NDArray[np.float16], taps: list[tuple[int, int]], word: int) -> NDArray[np.float16]:
    """B[(tap, channel), j] from weights (j, channel, kh, kw)."""
    columns, channels = weights.shape[:2]
    b = np.zeros((len(taps), pad(channels, word), columns), np.float16)
    for t, (ky, kx) in enumerate(taps):
        b[t, :channels] = weights[:, :, ky, kx].T
    return b.reshape(-1, columns)


def assert_bits(what: str, expected: NDArray[Any], found: NDArray[Any]) -> None:
    unsigned = np.uint16 if found.dtype == np.float16 else np.uint32
    wrong = np.count_nonzero(expected.view(unsigned) != np.ascontiguousarray(found).view(unsigned))
    assert not wrong, f"{what}: {wrong} of {found.size} results differ"


def pixels(shape: tuple[int, ...]) -> Rows:
    return [(n, y, x) for n in range(shape[0]) for y in range(shape[2]) for x in range(shape[3])]


def check_forward(case: Case, layer: Any, x: NDArray[np.float16]) -> None:
    word = case.program.memory.word
    found = host.read(case.program, layer.name)
    taps = list(np.ndindex(layer.kernel))
    a, keep = gather(x, pixels(found.shape), taps, layer.stride[0], 1, layer.padding[0], word)
    chunk = channel_chunk_words(a.shape[1] // word, word) * word
    sums = naive.gemm_fp32(a, spread(case.step.forward_weights[layer.name], taps, word), chunk, keep)
    expected = sums.astype(np.float16)
    assert_bits(f"{layer.name} ff", expected, found.transpose(0, 2, 3, 1).reshape(expected.shape))


def check_backward(case: Case, layer: Any, dy: NDArray[np.float16]) -> None:
    """Each phase of the stride reduces over its own taps alone."""
    found = host.read(case.program, f"{layer.inputs[0]}.grad")
    word = case.program.memory.word
    stride, padding = layer.stride[0], layer.padding[0]
    weights = case.step.backward_weights[layer.name].transpose(1, 0, 2, 3)
    for phase in np.ndindex(stride, stride):
        rows = [row for row in pixels(found.shape) if (row[1] % stride, row[2] % stride) == phase]
        taps = [
            tap
            for tap in np.ndindex(layer.kernel)
            if all((p + padding - k) % stride == 0 for p, k in zip(phase, tap, strict=True))
        ]
        scaled = np.zeros((*dy.shape[:2], dy.shape[2] * stride, dy.shape[3] * stride), np.float16)
        scaled[:, :, ::stride, ::stride] = dy
        a, keep = gather(scaled, rows, taps, 1, -1, padding, word)
        chunk = channel_chunk_words(max(a.shape[1] // word, 1), word) * word
        expected = naive.gemm_fp32(a, spread(weights, taps, word), chunk, keep).astype(np.float16)
        got = np.stack([found[n, :, y, x] for n, y, x in rows])
        assert_bits(f"{layer.name} bp phase {phase}", expected, got)


def check_weights(case: Case, layer: Any, x: NDArray[np.float16], dy: NDArray[np.float16]) -> None:
    """Reduce over (word of samples, row, column, sample)."""
    found = host.read(case.program, f"{layer.name}.gradient")
    batch, c_out, height, width = dy.shape
    word = case.program.memory.word
    words = range(0, batch, word)
    order = [(n, y, x) for b in words for y in range(height) for x in range(width) for n in range(b, b + word)]
    real = [place for place in order if place[0] < batch]
    b = np.zeros((len(order), c_out), np.float16)
    b_keep = np.zeros(b.shape, np.bool_)
    for r, (n, oy, ox) in enumerate(order):
        if n < batch:
            b[r], b_keep[r] = dy[n, :, oy, ox], True
    chunk = gradient_chunk_words(height, width, word) * word
    taps = list(np.ndindex(layer.kernel))
    a, keep = gather(x, real, taps, layer.stride[0], 1, layer.padding[0], word)
    channels = pad(x.shape[1], word)
    full, full_keep = np.zeros((len(order), a.shape[1]), np.float16), np.zeros((len(order), a.shape[1]), np.bool_)
    places = [r for r, place in enumerate(order) if place[0] < batch]
    full[places], full_keep[places] = a, keep
    sums = naive.gemm_fp32(full.T, b, chunk, full_keep.T, b_keep).reshape(len(taps), channels, c_out)
    expected = sums[:, : x.shape[1]].reshape(*layer.kernel, x.shape[1], c_out).transpose(3, 2, 0, 1)
    assert_bits(f"{layer.name} wu", np.ascontiguousarray(expected), found)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "c_in", "c_out", "batch", "word"),
    [
        (3, 1, 1, 20, 5, 3, 8), (3, 2, 1, 3, 8, 9, 8), (1, 2, 0, 8, 3, 3, 8), (5, 2, 2, 1, 4, 3, 8),
        (3, 1, 1, 20, 21, 3, 16), (3, 2, 1, 33, 8, 19, 16), (1, 1, 0, 24, 17, 9, 16),
    ],
)  # fmt: skip
def test_products(kernel: int, stride: int, padding: int, c_in: int, c_out: int, batch: int, word: int) -> None:
    conv = {"type": "conv2d", "out_channels": c_out, "kernel": kernel, "stride": stride, "padding": padding}
    layers: list[dict[str, Any]] = [
        {"name": "stem", "type": "conv2d", "out_channels": c_in, "kernel": 1},
        {"name": "conv", **conv},
        {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 2},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ]
    machine = load_architecture("wide-4x4" if word == 8 else "wide-4x4-g16")
    net = network("bits", 9, (4, 5), 2, layers)
    case = run_step(net, batch, "bdwp", Pattern(2, word), machine, seed=kernel)
    layer = net.layers[1]
    x, dy = host.read(case.program, "stem"), host.read(case.program, "conv.grad")
    check_forward(case, layer, x)
    check_backward(case, layer, dy)
    check_weights(case, layer, x, dy)
