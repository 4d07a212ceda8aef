"""Training steps of small networks on the whole machine in Verilator.

Statistics beside drains, normalisations applied on load, sums beside WU, gradients as operand B.
"""

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.sparsity import Pattern
from tests.system import test_applied
from tests.system.orders import forget, leave_order, staying
from tests.system.residual import residual_network
from tests.system.rtl_programs import alternating, disagreements
from tests.system.test_statistics import net
from tests.system.training_cases import convolution, run_step

pytestmark = pytest.mark.slow

# Inputs of tiles that stay while weights pass: (kernel, stride, padding, c_in, c_out, image, groups), batch.
STAYS = [((1, 1, 0, 8, 24, (2, 3), 1), 3), ((3, 2, 1, 40, 72, (8, 10), 1), 12)]


def test_executors_agree() -> None:
    """Ragged batches, strips of the image, grouped and depthwise layers, several blocks of columns, residual blocks."""
    machine = load_architecture("wide-4x4")
    cases = [
        (residual_network(), 8),
        (net({"out_channels": 40}), 5),
        (net({"out_channels": 12, "stride": 2}), 7),
        (residual_network(), 1),
        (net({"out_channels": 20}), 2),
        (net({"groups": 16, "out_channels": 32}), 3),
        (net({"groups": 2, "out_channels": 48}), 8),
        (test_applied.net(), 16),
        (test_applied.net(kernel=3, stride=2), 8),
    ]
    # The image that a first step leaves is where the second one begins.
    programs = [run_step(network, batch, "bdwp", Pattern(2, 8), machine, 9).program for network, batch in cases]
    programs.append(run_step(residual_network(), 8, "sdgp", Pattern(2, 8), machine, 9).program)
    with pytest.MonkeyPatch.context() as patch:
        leave_order(patch, 1)
        pattern = Pattern(2, 8)
        stays = [run_step(convolution(*layer), batch, "bdwp", pattern, machine, 9).program for layer, batch in STAYS]
        assert all(staying(program) for program in stays)
    forget()
    programs += stays
    wrong = disagreements(programs, machine, alternating(len(programs)))
    assert not wrong, wrong
