"""The schedule that is chosen fills the array."""

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from gossamer_compiler import mapping_gradient as gradients
from gossamer_compiler.activations import Activation
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Window, forward_gemm
from gossamer_compiler.gradient_volumes import volumes_of
from gossamer_compiler.mapping import map_channels
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.program import Tensor
from gossamer_models.sparsity import Pattern

ARCHITECTURE = load_architecture("vcu1525-32x32")


def convolution(c_out: int, batch: int) -> ChannelGemm:
    """3x3 convolution of 64 channels on 16x16 pixels."""

    def activation(channels: int) -> Activation:
        return Activation(Tensor("", 0, 0, "blocks", ()), batch, channels, 16, 16)

    return forward_gemm(activation(64), activation(c_out), Window((3, 3), (1, 1), (1, 1)), Pattern(2, 8))


@pytest.mark.parametrize(("c_out", "widest"), [(32, 1), (64, 2), (128, 4)])
@pytest.mark.parametrize("batch", [32, 512])
def test_narrow_layers_leave_no_column_idle(c_out: int, widest: int, batch: int) -> None:
    """With 32 columns, Lj beyond c_out / 32 multiplies padding; Li takes the other slots."""
    mapping = map_channels(convolution(c_out, batch), ARCHITECTURE, "layer")
    assert mapping.lj <= widest
    assert mapping.li * mapping.lj >= ARCHITECTURE.array.add_latency_cycles


def test_a_small_batch_spreads_li_over_pixels() -> None:
    """One block of 32 samples: Li over batch blocks would leave three of four slots without a sample."""
    mapping = map_channels(convolution(32, 32), ARCHITECTURE, "layer")
    assert mapping.li == 4
    assert mapping.over_pixels


def fewest_array_cycles(gemm: GradientGemm, architecture: Architecture) -> int:
    """Issue and drain cycles of the schedule of WU that takes fewest, whether it fits or not."""
    families = gradients._gradient_families(gemm, architecture)
    return min(int(np.min(volumes_of(gemm, family, architecture).compute)) for family in families)


@pytest.mark.parametrize("machine", ["wide-4x4", "small-8x8", "vcu1525-32x32"])
@pytest.mark.parametrize("seed", range(8))
def test_rows_and_columns_changed_over_in_wu_take_the_array_as_long(machine: str, seed: int) -> None:
    """Where a window is one pixel, X and dY changed over are a product of WU again: the search need not offer it."""
    rng, architecture = Random(seed), load_architecture(machine)
    batch, height, width = rng.choice([1, 3, 8, 24, 64]), rng.randint(1, 9), rng.randint(1, 9)
    source, gradient = (
        Activation(Tensor("", 0, 0, "blocks", ()), batch, rng.randint(1, 300), height, width) for _ in range(2)
    )
    gemm = GradientGemm(source, gradient, Tensor("", 0, 0, "weights", ()), Window((1, 1), (1, 1), (0, 0)))
    other = replace(gemm, source=gradient, gradient=source)
    assert fewest_array_cycles(gemm, architecture) == fewest_array_cycles(other, architecture)
