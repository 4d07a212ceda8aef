"""A program of one training step, run by golden, against plain float64 code that imports nothing of the project."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.sampling import random_parts, sample_groups, stream_seed
from gossamer_models.sparsity import Pattern
from tests.references.naive import n_of_m_mask
from tests.references.training_step import Replay
from tests.system.training_cases import DECAY, LOSS_SCALE, RATE, Case, convolution, network, random_network, run_step

SPARSITIES = ("2:8", "2:4", "1:2", "1:8", "4:8", "1:4")
NAMES = ("dense", "sr-ste", "sdwp", "bdwp", "bdwp-mvue")


def some_slow(seeds: range, *slow: int) -> list[Any]:
    """Return seeds as parameters; those of large networks are slow tests."""
    return [pytest.param(seed, marks=[pytest.mark.slow] * (seed in slow)) for seed in seeds]


def whole_sample(case: Case, name: str, dy: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """The sample of a gradient at once: its words are numbered as they lie, whatever tiles a program cuts."""
    assert case.pattern is not None
    slabs, pixels, words = shape
    sampled = [tensor for tensor in case.program.memory.tensors if tensor.endswith(".sampled")]
    parts = random_parts(stream_seed(0, sampled.index(f"{name}.sampled")), slabs * pixels * words * 8)
    random = parts.reshape(slabs, pixels, words, 8, 4)[..., : 8 // case.pattern.m]
    padded = np.zeros((slabs * 8, words * 8, *dy.shape[2:]), np.float16)
    padded[: len(dy), : dy.shape[1]] = dy
    lines = padded.reshape(slabs, 8, words, 8, pixels).transpose(0, 4, 2, 3, 1)
    sample = sample_groups(lines.reshape(*lines.shape[:4], -1, case.pattern.m), case.pattern, random)
    result = np.where(sample.kept, sample.values, np.float16(0)).reshape(lines.shape)
    return result.transpose(0, 4, 2, 3, 1).reshape(padded.shape)


def sampled_gradient(case: Case, name: str, dy: NDArray[Any]) -> NDArray[Any]:
    """A layer's entries as a dense gradient, checked: at most N of M samples, signs and sums of magnitudes kept."""
    tensor = case.program.memory.tensors.get(f"{name}.sampled")
    if tensor is None or not case.method.samples_gradient:
        return dy
    assert case.pattern is not None
    data = case.program.memory.data
    assert data is not None
    slabs, pixels, words, entries, _ = tensor.shape
    count, half = slabs * pixels * words * entries * 8, tensor.size_bytes // 3
    raw = data[tensor.address : tensor.address + tensor.size_bytes]
    values = raw[: 2 * count].view(np.float16).reshape(tensor.shape)
    metadata = raw[2 * half : 2 * half + count].reshape(tensor.shape)
    found = np.zeros((slabs, 8, words, 8, pixels))
    for slab, pixel, word, entry, channel in zip(*np.nonzero(metadata & 0x80), strict=True):
        place = slab, pixel, word, entry, channel
        found[slab, metadata[place] & 7, word, channel, pixel] = values[place]
    result = found.reshape(slabs * 8, words * 8, *dy.shape[2:])
    assert (result == whole_sample(case, name, dy, (slabs, pixels, words))).all()
    assert not result[len(dy) :].any()
    assert not result[:, dy.shape[1] :].any()
    result = result[: len(dy), : dy.shape[1]]
    assert ((np.sign(result) == np.sign(dy)) | (result == 0)).all()
    for first in range(0, len(dy), case.pattern.m):
        group, kept = np.abs(dy[first : first + case.pattern.m]), np.abs(result[first : first + case.pattern.m])
        assert ((kept != 0).sum(0) <= case.pattern.n).all()
        assert np.allclose(kept.sum(0), group.sum(0), rtol=2.0**-10, atol=case.pattern.n * 2.0**-24)
    return result


def pruned_gradient(case: Case, name: str, dy: NDArray[Any]) -> NDArray[Any]:
    """The largest of a layer's gradient along its channels, where BP reads entries."""
    if f"{name}.sampled" not in case.program.memory.tensors or not case.method.prunes_gradient:
        return dy
    assert case.pattern is not None
    return np.where(n_of_m_mask(dy.astype(np.float16), case.pattern.n, case.pattern.m, 1), dy, 0)


def assert_step(case: Case) -> None:
    """Every stored tensor lies within its bound of the reference."""
    memory = case.program.memory.tensors

    def stored(name: str) -> NDArray[Any] | None:
        return host.read(case.program, name) if name in memory else None

    def stored_gradient(name: str) -> NDArray[Any] | None:
        names = [n for n in memory if n == f"{name}.grad" or n.startswith(f"{name}.grad.")]
        return host.read(case.program, names[-1]) if names else None

    def check(
        what: str, reference: NDArray[Any], found: NDArray[Any], noise: float, bound: float = 3 * 2.0**-11
    ) -> None:
        error = float(np.abs(reference.reshape(found.shape) - found).max())
        allowed = bound * (np.abs(reference).max() + 2.0**-14) + noise
        assert error <= allowed, f"{what}: off by {error:.3e}, allowed {allowed:.3e}"

    replay = Replay(
        case.network.layers, case.step, stored, stored_gradient, check,
        sampled=lambda name, dy: sampled_gradient(case, name, dy),
        pruned=lambda name, dy: pruned_gradient(case, name, dy),
    )  # fmt: skip
    replay.forward(case.images)

    def on_weights(name: str, dw: NDArray[Any], db: NDArray[Any] | None, size: float) -> None:
        found = host.read(case.program, f"{name}.gradient")
        if f"{name}.patches" in memory and dw.ndim == 4:
            dw = dw.transpose(0, 2, 3, 1)
        dw = dw.reshape(found.shape)
        check(f"{name} weight gradient", dw, found, 2.0**-20 * size, 0.0)
        _check_update(case, name, check)
        if db is not None:
            check(f"{name} bias gradient", db, host.read(case.program, f"{name}.bias.gradient"), 0.0, 2.0**-22)

    def on_norm(name: str, dgamma: NDArray[Any], dbeta: NDArray[Any], size: float) -> None:
        found = host.read(case.program, f"{name}.parameters.gradient")[:, : dgamma.size]
        check(f"{name} scale and shift gradient", np.stack([dgamma, dbeta]), found, 2.0**-20 * size, 2.0**-11)

    replay.backward(on_weights, on_norm)


def _check_update(case: Case, name: str, check: Any) -> None:
    """Weights after the step: momentum starts at zero, so w' = w - rate (g / scale + decay w + SR-STE's term)."""
    found = host.read(case.program, f"{name}.weight")
    before = case.step.weights[name].astype(np.float64)
    kept = case.step.forward_weights[name].reshape(before.shape) != 0
    if f"{name}.patches" in case.program.memory.tensors and before.ndim == 4:
        before, kept = before.transpose(0, 2, 3, 1), kept.transpose(0, 2, 3, 1)
    before, kept = before.reshape(found.shape), kept.reshape(found.shape)
    gradient = host.read(case.program, f"{name}.gradient").astype(np.float64) / LOSS_SCALE + DECAY * before
    if case.method.decay:
        gradient += np.where(kept, 0, case.method.decay * before)
    check(f"{name} updated weights", before - RATE * gradient, found, 0.0, 2.0**-22)


@pytest.mark.parametrize("method", NAMES)
def test_digits_cnn(method: str) -> None:
    pattern = None if method == "dense" else Pattern(2, 8)
    assert_step(run_step(load_network("digits-cnn"), 3, method, pattern, load_architecture("wide-4x4"), seed=1))


@pytest.mark.parametrize("seed", some_slow(range(16), 1, 12))
def test_random_networks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net = random_network(rng)
    method = NAMES[seed % len(NAMES)]
    pattern = None if method == "dense" else Pattern.parse(SPARSITIES[int(rng.integers(len(SPARSITIES)))])
    architecture = load_architecture(("wide-4x4", "small-8x8")[int(rng.integers(2))])
    assert_step(run_step(net, int(rng.choice([1, 3, 8, 11])), method, pattern, architecture, seed))


@pytest.mark.parametrize("name", ["digits-cnn", "digits-resnet"])
def test_parameters_through_a_port_of_two_blocks(name: str) -> None:
    """Vectors of eight channels begin in the middle of a beat of 512 bits."""
    assert_step(run_step(load_network(name), 4, "bdwp", Pattern(2, 8), load_architecture("vu9p-32x32"), seed=1))


@pytest.mark.parametrize("seed", some_slow(range(400, 408), 402))
def test_random_networks_on_words_of_sixteen(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, method = random_network(rng, word=16), NAMES[seed % 4]
    pattern = None if method == "dense" else Pattern.parse(("2:16", "1:16", "2:8", "4:16")[int(rng.integers(4))])
    machine = load_architecture(("wide-4x4-g16", "vcu1525-32x32-g16")[int(rng.integers(2))])
    assert_step(run_step(net, int(rng.choice([1, 3, 8, 11, 24])), method, pattern, machine, seed))


@pytest.mark.slow
def test_masters_are_ranked_in_groups_of_sixteen() -> None:
    """SR-STE's term spares the two largest of sixteen input channels of two blocks; the last group is short."""
    net = convolution(3, 1, 1, 40, 24, (4, 5), 1)
    assert_step(run_step(net, 5, "sr-ste", Pattern(2, 16), load_architecture("wide-4x4-g16"), seed=3))


@pytest.mark.parametrize("channels", [1, 3, 8, 9])
def test_linear_layer_reads_images_channel_outermost(channels: int) -> None:
    net = network(
        "perceptron",
        channels,
        (3, 4),
        5,
        [
            {"name": "flatten", "type": "flatten"},
            {"name": "hidden", "type": "linear", "out_features": 12},
            {"name": "relu", "type": "relu"},
            {"name": "fc", "type": "linear", "out_features": 5},
            {"name": "loss", "type": "softmax_cross_entropy"},
        ],
    )
    assert_step(run_step(net, 6, "bdwp", Pattern(2, 8), load_architecture("wide-4x4"), seed=channels))


# (c_in, c_out, groups): depthwise, with several outputs, ragged, below a word; groups of 2, 4, 8, 16, 24 channels; at
# 48 and 72 units leave columns of 32 x 32 idle.
GROUPED = [
    (16, 16, 16), (8, 32, 8), (12, 12, 12), (3, 6, 3), (16, 16, 8), (8, 32, 2), (32, 32, 4), (32, 80, 2),
    (48, 24, 3), pytest.param(72, 24, 3, marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize("name", ["wide-4x4", "small-8x8", "vcu1525-32x32"])
@pytest.mark.parametrize(("c_in", "c_out", "groups"), GROUPED)
def test_grouped_convolutions(c_in: int, c_out: int, groups: int, name: str) -> None:
    net = convolution(3, 1 + c_in % 3 // 2, 1, c_in, c_out, (4, 5), groups)
    case = run_step(net, 5, "bdwp", Pattern(2, 8), load_architecture(name), seed=c_in + groups)
    assert_step(case)
    stages = {stage.stage: stage for stage in case.program.stages if stage.layer == "conv"}
    few = c_in // groups < 8
    assert [stages[stage].sparsity for stage in ("ff", "bp", "wu")] == ["dense" if few else "2:8"] * 2 + ["dense"]
    weights = case.step.weights["conv"]
    assert weights.shape == (c_out, c_in // groups, 3, 3)
    # Pruning keeps each column's own group because nothing else of a bundle is ever written.
    master, data = case.program.memory.tensors["conv.weight"], case.program.memory.data
    assert data is not None
    raw = data[master.address : master.address + master.size_bytes].view(np.float32)
    assert np.count_nonzero(raw) == np.count_nonzero(host.read(case.program, "conv.weight")) == weights.size
    assert stages["wu"].macs * (1 if few else 0.25) == pytest.approx(stages["ff"].macs, rel=0.3 if c_in % 16 else 0)


@pytest.mark.parametrize("seed", some_slow(range(101, 111), 104, 107))
def test_random_networks_with_sampled_gradients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, pattern = random_network(rng), Pattern.parse(SPARSITIES[seed % len(SPARSITIES)])
    architecture = load_architecture(("wide-4x4", "small-8x8", "vcu1525-32x32")[int(rng.integers(3))])
    batch = int(rng.choice([1, 3, 8, 11, 24]))
    case = run_step(net, batch, "bdwp-mvue", pattern, architecture, seed)
    assert_step(case)
    shares = {s.layer: s.macs / s.macs_dense for s in case.program.stages if s.stage == "wu"}
    assert min(shares.values()) < 1 or batch < 8
    assert all(share == 1 for layer, share in shares.items() if f"{layer}.sampled" not in case.program.memory.tensors)


@pytest.mark.parametrize("seed", range(200, 204))
def test_random_networks_with_transposable_masks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    architecture = load_architecture(("wide-4x4", "small-8x8")[seed % 2])
    case = run_step(random_network(rng), int(rng.choice([3, 8, 11])), "transposable", Pattern(2, 4), architecture, seed)
    assert_step(case)
    shares = {s.layer: s.macs / s.macs_dense for s in case.program.stages if s.stage in ("ff", "bp") and s.macs}
    assert min(shares.values()) == pytest.approx(0.5, abs=0.13)


@pytest.mark.slow
@pytest.mark.parametrize("seed", some_slow(range(500, 508), 501, 503, 505, 506, 507))
def test_random_networks_with_pruned_gradients(seed: int) -> None:
    rng = np.random.default_rng(seed)
    net, pattern = random_network(rng), Pattern.parse(SPARSITIES[seed % len(SPARSITIES)])
    architecture = load_architecture(("wide-4x4", "small-8x8", "vcu1525-32x32")[seed % 3])
    case = run_step(net, int(rng.choice([1, 3, 8, 11, 24])), "sdgp", pattern, architecture, seed)
    assert_step(case)
    shares = {s.layer: s.macs / s.macs_dense for s in case.program.stages if s.stage == "bp" and s.macs}
    assert min(shares.values()) < 1


@pytest.mark.parametrize("seed", some_slow(range(400, 404), 402, 403))
def test_random_networks_with_nested_masks(seed: int) -> None:
    """BP keeps part of what FF keeps: after the best permutation of a word, hence as many of it as it has entries."""
    rng = np.random.default_rng(seed)
    architecture, pattern = load_architecture(("wide-4x4", "small-8x8")[seed % 2]), Pattern(2, (4, 8)[seed // 2 % 2])
    assert_step(run_step(random_network(rng), int(rng.choice([3, 8, 11])), "bi-mask", pattern, architecture, seed))


@pytest.mark.parametrize("method", ["mdgf", "sdgf"])
@pytest.mark.parametrize("seed", some_slow(range(305, 308), 305))
def test_random_networks_in_every_phase(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    net, pattern = random_network(rng), Pattern.parse(("2:8", "1:4", "2:4")[seed % 3])
    for phase in METHODS[method].phases(pattern):
        assert_step(run_step(net, 8, method, pattern, load_architecture("wide-4x4"), seed, phase=phase))
