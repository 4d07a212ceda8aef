"""Weight gradients and what they carry are chosen together: no other objective's schedules take fewer cycles."""

import pytest

from gossamer_compiler.objective import objective_of
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.objectives import OBJECTIVES, ObjectiveName
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import Simulator

MACHINE = load_architecture("vcu1525-32x32")


def compiled(name: str, batch: int, method: str, objective: ObjectiveName = "cycles") -> Program:
    pattern = None if method == "dense" else Pattern(2, 8)
    by = objective_of(objective, MACHINE, "ddr4")
    return compile_training(load_network(name), batch, METHODS[method], pattern, MACHINE, objective=by)


@pytest.mark.parametrize("method", ["dense", "bdwp"])
@pytest.mark.parametrize("name", ["mobilenetv2-224", "vit-32"])
def test_fewest_cycles_by_cycles(name: str, method: str) -> None:
    """A schedule that is the best alone leaves no room for a pass, or is cut where the pass is not."""
    simulator = Simulator(MACHINE)
    cycles, energy, edp = (simulator.run(compiled(name, 64, method, objective)).cycles for objective in OBJECTIVES)
    assert cycles < min(energy, edp)


def test_passes_take_the_places_that_they_hide_in() -> None:
    """Beside the latest weight gradient, one of a 1x1 convolution, ResNet-50's first maps would not hide."""
    program = compiled("resnet50-224", 64, "bdwp")
    timings = Simulator(MACHINE).run(program).stages
    carrying = [(stage, timing) for stage, timing in zip(program.stages, timings, strict=True) if stage.beside]
    assert len(carrying) == 51
    more = sum(timing.cycles - stage.schedules[0].cycles for stage, timing in carrying)
    assert more < 0.005 * sum(stage.schedules[0].cycles for stage, _ in carrying)
