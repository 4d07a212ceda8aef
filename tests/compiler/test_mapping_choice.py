"""The schedule that is chosen fills the array."""

import pytest

from gossamer_compiler.activations import Activation
from gossamer_compiler.geometry import ChannelGemm, Window, forward_gemm
from gossamer_compiler.mapping import map_channels
from gossamer_models.architecture import load_architecture
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
