"""A program writes everything that it reads: what the memory held before changes no bit."""

import numpy as np
import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.program import MemoryImage
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import bits, random_network, run_step


def dirty(image: MemoryImage) -> None:
    """Give the image bytes that spell NaN wherever it will hold activations or their gradients."""
    image.data = np.zeros(image.size_bytes, np.uint8)
    for tensor in image.tensors.values():
        if tensor.layout == "blocks":
            image.data[tensor.address : tensor.address + tensor.size_bytes] = 0x7F


@pytest.mark.parametrize("seed", range(6))
def test_old_activations_change_no_bit(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    net = random_network(np.random.default_rng(seed))
    architecture = load_architecture("wide-4x4")
    clean = bits(run_step(net, 8, "bdwp", Pattern(2, 8), architecture, seed).program)
    monkeypatch.setattr(MemoryImage, "fill", dirty)
    found = bits(run_step(net, 8, "bdwp", Pattern(2, 8), architecture, seed).program)
    assert [name for name in clean if clean[name] != found[name]] == [], f"seed {seed}"
