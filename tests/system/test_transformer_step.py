"""Training steps of small transformers, run by golden, against float64 code that imports nothing of the project."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Gemm, Loop, Store
from gossamer_models.network import Network
from gossamer_models.sparsity import Pattern
from tests.references.transformer_step import TransformerReplay
from tests.system.test_training_step import sampled_gradient
from tests.system.training_cases import DECAY, LOSS_SCALE, RATE, Case, network, run_step


def encoder(width: int, heads: int, *, packed: bool, causal: bool, gated: bool) -> list[dict[str, Any]]:
    """One block around the map ``start``: attention and MLP with residuals, as ViT or as Llama has them."""
    norm = {"type": "rmsnorm" if gated else "layernorm"}
    layers: list[dict[str, Any]] = [{"name": "norm1", "inputs": "start", **norm}]
    if packed:
        layers.append({"name": "qkv", "type": "conv2d", "out_channels": 3 * width, "kernel": 1, "bias": True})
        inputs = ["qkv"]
    else:
        for part in "qkv":
            layers.append({"name": part, "type": "conv2d", "inputs": "norm1", "out_channels": width, "kernel": 1})
        layers += [
            {"name": f"{part}_turned", "type": "rotary", "inputs": part, "heads": heads, "base": 100.0} for part in "qk"
        ]
        inputs = ["q_turned", "k_turned", "v"]
    layers += [
        {"name": "attention", "type": "attention", "inputs": inputs, "heads": heads, "causal": causal},
        {"name": "project", "type": "conv2d", "out_channels": width, "kernel": 1},
        {"name": "add1", "type": "add", "inputs": ["project", "start"]},
        {"name": "norm2", **norm},
        {"name": "expand", "type": "conv2d", "out_channels": 24, "kernel": 1},
    ]
    if gated:
        layers.append({"name": "gate", "type": "conv2d", "inputs": "norm2", "out_channels": 24, "kernel": 1})
        layers.append({"name": "bend", "type": "silu_gate", "inputs": ["gate", "expand"]})
    else:
        layers.append({"name": "bend", "type": "gelu"})
    layers.append({"name": "contract", "type": "conv2d", "out_channels": width, "kernel": 1})
    layers.append({"name": "add2", "type": "add", "inputs": ["contract", "add1"]})
    return layers


def vision(width: int, heads: int, size: tuple[int, int], **options: Any) -> Network:
    """Patches, tokens, one block, a classifier on the first token."""
    start = {"name": "start", "type": "tokens", "class_token": options.pop("class_token"), "positions": True}
    return network("vision", 3, size, 5, [
        {"name": "patches", "type": "conv2d", "out_channels": width, "kernel": 2, "stride": 2, "bias": True},
        start,
        *encoder(width, heads, **options),
        {"name": "norm", "type": "layernorm"},
        {"name": "first", "type": "token"},
        {"name": "head", "type": "linear", "out_features": 5},
        {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip


def part(width: int, heads: int, tokens: int, **options: Any) -> Network:
    """A block whose input is embedded and whose output's gradient is given."""
    start = {"name": "start", "type": "rmsnorm"}
    layers = [start, *encoder(width, heads, **options), {"name": "end", "type": "boundary"}]
    return network("part", width, (1, tokens), 1, layers)


def assert_step(case: Case) -> None:
    """Every stored tensor lies within its bound of the reference."""
    memory = case.program.memory.tensors

    def stored(name: str) -> NDArray[Any] | None:
        return host.read(case.program, name) if name in memory else None

    def stored_gradient(name: str) -> NDArray[Any] | None:
        names = [n for n in memory if n == f"{name}.grad" or n.startswith(f"{name}.grad.")]
        return host.read(case.program, names[-1]) if names else None

    def check(what: str, reference: NDArray[Any], found: NDArray[Any], noise: float, bound: float = 2.0**-8) -> None:
        error = float(np.abs(reference.reshape(found.shape) - found).max())
        allowed = bound * (np.abs(reference).max() + 2.0**-14) + noise
        assert error <= allowed, f"{what}: off by {error:.3e}, allowed {allowed:.3e}"

    replay = TransformerReplay(
        case.network.layers, case.step, stored, stored_gradient, check,
        sampled=lambda name, dy: sampled_gradient(case, name, dy),
    )  # fmt: skip
    replay.forward(case.images)

    def on_weights(name: str, dw: NDArray[Any], db: NDArray[Any] | None, size: float) -> None:
        found = host.read(case.program, f"{name}.gradient")
        dw = dw.transpose(0, 2, 3, 1) if f"{name}.patches" in memory else dw
        check(f"{name} weight gradient", dw.reshape(found.shape), found, 2.0**-20 * size, 0.0)
        if db is not None:
            check(f"{name} bias gradient", db, host.read(case.program, f"{name}.bias.gradient"), 0.0, 2.0**-22)

    def on_norm(name: str, first: NDArray[Any], second: NDArray[Any] | None, size: float) -> None:
        if f"{name}.positions" in memory:
            _check_learnt(case, name, "positions", first, check)
            if f"{name}.class" in memory:
                _check_learnt(case, name, "class", first[:1], check)
            return
        found = host.read(case.program, f"{name}.parameters.gradient")[:, : first.size]
        expected = np.stack([first] if second is None else [first, second])
        # The normalised map is kept as fp16.
        check(f"{name} scale and shift gradient", expected, found, 2.0**-11 * size / first.size, 2.0**-11)

    replay.backward(on_weights, on_norm)


def _check_learnt(case: Case, name: str, kind: str, gradient: NDArray[Any], check: Any) -> None:
    """Gradient and new masters: w' = w - rate (g / scale + decay w)."""
    found = host.read(case.program, f"{name}.{kind}.gradient")[:, : gradient.shape[1]]
    check(f"{name} {kind} gradient", gradient, found, 0.0, 2.0**-22)
    half = host.read(case.program, f"{name}.{kind}.half")[:, : gradient.shape[1]].astype(np.float64)
    before = case.step.learnt[name][kind].astype(np.float64)
    expected = before - RATE * (gradient / LOSS_SCALE + DECAY * before)
    check(f"{name} {kind} after the update", expected, half, 0.0, 2.0**-9)


VISION = [
    ("wide-4x4", (4, 4), True, 3, "dense"), ("wide-4x4", (6, 6), False, 8, "bdwp"),
    ("small-8x8", (4, 10), True, 11, "bdwp-mvue"), ("vcu1525-32x32", (4, 4), True, 3, "bdwp"),
    ("wide-4x4-g16", (6, 8), True, 9, "bdwp"), ("vu9p-32x32", (8, 20), True, 8, "bdwp"),
]  # fmt: skip
PARTS = [
    ("wide-4x4", 1, 1, 2), ("wide-4x4", 9, 4, 1), ("small-8x8", 7, 2, 3), ("small-8x8", 40, 2, 2),
    ("vcu1525-32x32", 8, 1, 8), ("wide-4x4-g16", 18, 2, 2), ("vcu1525-32x32-g16", 33, 1, 2),
    ("vu9p-32x32", 40, 2, 9),
]  # fmt: skip


@pytest.mark.parametrize(("machine", "size", "class_token", "batch", "method"), VISION)
def test_vision(machine: str, size: tuple[int, int], class_token: bool, batch: int, method: str) -> None:
    word = load_architecture(machine).array.group
    net = vision(2 * word, 2, size, class_token=class_token, packed=True, causal=False, gated=False)
    pattern = None if method == "dense" else Pattern(2, word)
    assert_step(run_step(net, batch, method, pattern, load_architecture(machine), seed=batch))


@pytest.mark.slow
def test_passes_beside_weight_gradients() -> None:
    """Normalisations and GELU run beside weight gradients, also where 22 tokens do not divide by its loops."""
    net = vision(16, 2, (4, 10), class_token=True, packed=True, causal=False, gated=False)
    case = run_step(net, 16, "bdwp", Pattern(2, 8), load_architecture("wide-4x4"), seed=2)
    assert_step(case)
    beside = {stage.beside: stage for stage in case.program.stages if stage.beside}
    assert set(beside) == {"norm", "norm1", "norm2", "bend"}
    stores = [item for stage in beside.values() for item in stage.instructions if isinstance(item, Store)]
    assert 2 * 11 in {item.axis0_bound for item in stores}


@pytest.mark.parametrize(("machine", "tokens", "heads", "batch"), PARTS)
def test_part_of_a_language_model(machine: str, tokens: int, heads: int, batch: int) -> None:
    word = load_architecture(machine).array.group
    net = part(word * heads, heads, tokens, packed=False, causal=True, gated=True)
    assert_step(run_step(net, batch, "bdwp", Pattern(2, word // 2), load_architecture(machine), seed=tokens))


@pytest.mark.parametrize(("accumulator_words", "rows", "gemms", "tiles"), [(256, 5, 3, 2), (96, 5, 1, 5)])
def test_small_buffers_cut_rows_and_columns(accumulator_words: int, rows: int, gemms: int, tiles: int) -> None:
    """Scores in parts of rows; columns as instructions of their own over two matrices, or as tiles of one matrix."""
    tiny = load_architecture("wide-4x4")
    small = {"a_words": 128, "b_entries": 2048, "accumulator_words": accumulator_words, "vector_out_bytes": 4096}
    machine = tiny.model_copy(update={"buffers": tiny.buffers.model_copy(update=small)})
    case = run_step(
        part(16, 2, 40, packed=False, causal=True, gated=True),
        2,
        "bdwp",
        Pattern(2, 8),
        machine,
        seed=accumulator_words,
    )
    assert_step(case)
    scores = next(stage for stage in case.program.stages if stage.layer == "attention.scores")
    found = [item for item in scores.instructions if isinstance(item, Gemm)]
    assert [item.count for item in scores.instructions if isinstance(item, Loop)][-1] == rows
    assert (len(found), found[0].j) == (gemms, tiles)


@pytest.mark.slow
@pytest.mark.parametrize("order", range(2))
def test_the_order_of_engines_changes_no_bit(order: int) -> None:
    """Tokens hold: whichever engine goes first, memory ends the same."""
    net = vision(16, 2, (4, 8), class_token=True, packed=True, causal=False, gated=False)
    machine = load_architecture("wide-4x4")
    fixed, shuffled = (run_step(net, 9, "bdwp", Pattern(2, 8), machine, 1, turn).program for turn in (None, order))
    assert fixed.memory.data is not None
    assert shuffled.memory.data is not None
    np.testing.assert_array_equal(fixed.memory.data, shuffled.memory.data)
