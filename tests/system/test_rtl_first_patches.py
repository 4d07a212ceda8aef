"""Patches that the machine copies out of images, in RTL: golden's bits, the simulator's cycles."""

import pytest

from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import load_architecture
from gossamer_models.network import load_network
from gossamer_models.sparsity import Pattern
from tests.system.rtl_programs import disagreements
from tests.system.test_first_patches import LARGE, copies, large, step
from tests.system.training_cases import run_step

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("machine", "steps", "alone"), [("tiny-4x4", (3, 5), (0, 1)), ("wide-4x4", (1, 4), (2,))])
def test_copies_in_rtl(machine: str, steps: tuple[int, ...], alone: tuple[int, ...]) -> None:
    """With the steps that read them, or alone where these are long; behind both memories."""
    programs = [step(number, machine).program for number in steps]
    programs += [copies(step(number, machine).program) for number in alone]
    if machine == "tiny-4x4":
        programs += [copies(large(number, load_architecture(machine))) for number in range(len(LARGE))]
    behaviours = [Behaviour()] * len(programs) + [Behaviour("scripted", number) for number in range(len(programs))]
    wrong = disagreements(programs * 2, load_architecture(machine), behaviours)
    assert not wrong, wrong


def test_a_step_from_images_in_rtl() -> None:
    """Real network on the machine that fits its FPGA: images in, new weights out, by nobody's help."""
    machine = load_architecture("tiny-4x4")
    case = run_step(load_network("digits-resnet"), 16, "bdwp", Pattern(2, 8), machine, seed=3, gathers=True)
    assert not disagreements([case.program], machine, [Behaviour()])
