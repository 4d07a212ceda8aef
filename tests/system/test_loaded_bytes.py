"""Whatever a load brings in is read, but for what fills up words and blocks, and what a stride leaves out."""

from typing import Any

import numpy as np
import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.isa.tokens import Buffer
from gossamer_models.layers import Conv2d
from gossamer_models.layouts import BLOCK
from gossamer_models.network import Network
from gossamer_models.reads import Reads
from gossamer_models.shapes import LayerShape, infer
from gossamer_models.sparsity import Pattern
from tests.system.loaded_bytes import Fate, watch
from tests.system.test_transformer_step import part, vision
from tests.system.training_cases import convolution, network, random_network, run_step

BATCH = 8
# An APPLY that has nothing to do, behind the last tile, waits for a block that nothing reads.
WAITED_FOR = 2 * BLOCK**2
Fates = dict[tuple[str, str, Buffer], Fate]
Rests = dict[tuple[str, str], tuple[Reads, int]]


def watched(
    net: Network, patch: pytest.MonkeyPatch, pattern: Pattern | None, method: str = "bdwp", machine: str = "wide-4x4"
) -> tuple[Fates, Rests]:
    """What becomes of the loaded bytes of a training step.

    Returns
    -------
    fates : by layer, stage and buffer.
    rests : by layer and stage, what the compiler says of them, and how many nothing has read.
    """
    machines = watch(patch)
    method = "dense" if pattern is None else method
    stages = run_step(net, BATCH, method, pattern, load_architecture(machine), seed=1).program.stages
    (golden,) = machines
    golden.count()
    found = {(stages[n].layer, stages[n].stage, buffer): fate for (n, buffer), fate in golden.fates.items()}
    rests = {}
    for layer, stage, reads in ((stage.layer, stage.stage, stage.reads) for stage in stages):
        assert reads is not None
        own = [fate for key, fate in found.items() if key[:2] == (layer, stage)]
        assert sum(fate.loaded for fate in own) == reads.total
        rests[layer, stage] = reads, sum(fate.null + fate.zero + fate.unread for fate in own)
    return found, rests


def left_out(shape: LayerShape) -> bool:
    """Whether a stride passes over positions: between windows or behind the last one."""
    layer = shape.params
    if not isinstance(layer, Conv2d):
        return False
    axes = zip(shape.in_shape[1:], shape.out_shape[1:], layer.kernel, layer.stride, layer.padding, strict=True)
    return any(kernel < stride or (out - 1) * stride + kernel - pad < size for size, out, kernel, stride, pad in axes)


def padded(shape: LayerShape) -> bool:
    """Whether channels do not fill their last block."""
    return bool(shape.in_shape[0] % BLOCK or shape.out_shape[0] % BLOCK)


def residual(width: int, groups: int, pool: dict[str, Any]) -> Network:
    """Convolutions of both strides around a residual, all channels a multiple of eight."""

    def conv(name: str, kernel: int, stride: int, **options: Any) -> dict[str, Any]:
        sizes = {"out_channels": width * stride, "kernel": kernel, "stride": stride, "padding": (kernel - 1) // 2}
        return {"name": name, "type": "conv2d", **sizes, **options}

    return network("residual", 8, (8, 8), 8, [
        conv("stem", 3, 1, bias=True), {"name": "norm0", "type": "batchnorm"}, {"name": "relu0", "type": "relu"},
        conv("left", 3, 1, groups=groups), {"name": "norm1", "type": "batchnorm"}, {"name": "relu1", "type": "relu"},
        conv("down", 3, 2), {"name": "norm2", "type": "batchnorm"},
        conv("side", 2, 2, inputs="relu0"), {"name": "add", "type": "add", "inputs": ["norm2", "side"]},
        {"name": "relu2", "type": "relu"}, {"name": "pool", **pool}, {"name": "flatten", "type": "flatten"},
        {"name": "fc", "type": "linear", "out_features": 8}, {"name": "loss", "type": "softmax_cross_entropy"},
    ])  # fmt: skip


WHOLE_BLOCKS = {
    "maxpool": residual(8, 1, {"type": "maxpool", "kernel": 2}),
    "depthwise": residual(16, 16, {"type": "avgpool", "kernel": 2}),
    "groups": residual(16, 2, {"type": "avgpool", "global": True}),
    "vision": vision(16, 2, (6, 6), class_token=True, packed=True, causal=False, gated=False),
    "gated": part(16, 2, 8, packed=False, causal=True, gated=True),
}


@pytest.mark.parametrize("pattern", [None, Pattern(2, 8)], ids=str)
@pytest.mark.parametrize("name", WHOLE_BLOCKS)
def test_whole_blocks(name: str, pattern: Pattern | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but entries of words that weights do not fill."""
    found, rests = watched(WHOLE_BLOCKS[name], monkeypatch, pattern)
    assert sum(fate.loaded for fate in found.values()) > 100_000
    for (layer, stage, buffer), fate in found.items():
        waited_for = WAITED_FOR if (stage, buffer) == ("ff", Buffer.VIN) else 0
        assert fate.zero + fate.unread in (0, waited_for), f"{layer} {stage} {buffer.name}: {fate}"
    for (layer, stage), (reads, unread) in rests.items():
        # Zeros beside the diagonal are updated with the rest; a vision transformer's tokens and classes fill no words.
        more = name == "vision" or (name == "depthwise" and layer == "left" and stage in ("prepare", "update"))
        rest = reads.padding + reads.unused
        assert unread <= rest if more else unread == rest, f"{layer} {stage}: {reads}, {unread} unread"


@pytest.mark.parametrize("seed", range(12))
def test_random_networks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where channels end within a block or strides pass over positions, what is unread is that."""
    net = random_network(np.random.default_rng(seed))
    shapes = {shape.name: shape for shape in infer(net, BATCH)}
    found, rests = watched(net, monkeypatch, Pattern(2, 8) if seed % 2 else None)
    for (layer, stage), (reads, unread) in rests.items():
        assert unread <= reads.padding + reads.unused, f"seed {seed}: {layer} {stage}: {reads}, {unread} unread"
    for (layer, stage, buffer), fate in found.items():
        where = f"seed {seed}: {layer} {stage} {buffer.name}: {fate}"
        if (stage, buffer) == ("ff", Buffer.VIN) and fate.zero + fate.unread == WAITED_FOR:
            continue
        assert not fate.zero or padded(shapes[layer]) or left_out(shapes[layer]), where
        assert not fate.unread or (buffer is Buffer.A and left_out(shapes[layer])), where


# Golden gathers the first word of a bank in place of one beyond the image: here BP has none beside words within.
STRIDED = {
    "point": convolution(1, 2, 0, 16, 32, (8, 8), 1),
    "groups": convolution(1, 2, 0, 16, 32, (7, 7), 2),
    "apart": convolution(2, 4, 0, 16, 16, (10, 11), 1),
    "wider": convolution(3, 4, 0, 16, 16, (11, 8), 1),
    "overlapping": convolution(3, 2, 1, 16, 16, (7, 6), 1),
}
METHODS = {"dense": None, "sdgp": Pattern(2, 8), "bdwp-mvue": Pattern(2, 8)}


@pytest.mark.parametrize("machine", ["wide-4x4", "small-8x8"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STRIDED)
def test_strides(name: str, method: str, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is unread is what a stride passes over, and entries that fill up lines: as many bytes as shapes say."""
    _, rests = watched(STRIDED[name], monkeypatch, METHODS[method], method, machine)
    stages = {stage: rest for (layer, stage), rest in rests.items() if layer == "conv"}
    assert {"ff", "bp", "wu", "update"} <= stages.keys()
    for stage, (reads, unread) in stages.items():
        assert unread == reads.padding + reads.unused, f"{stage}: {reads}, {unread} unread"
    assert (stages["wu"][0].unused > 0) == (name != "overlapping")
