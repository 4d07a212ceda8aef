"""Training in RTL with a machine that is played by golden and the simulator: what is compared, and that errors show."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

import gossamer.train_rtl
from gossamer.rtl_runs import Executed
from gossamer.train_rtl import RtlTraining, TrainingPlan, main, plan_training, train
from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.executor import run
from gossamer_models.program import MemoryImage, Program
from gossamer_sim.executor import simulate

MACHINE = load_architecture("tiny-4x4")
STEPS = 3


def played(plan: TrainingPlan, architecture: Architecture, behaviour: Behaviour) -> list[Executed]:
    """What a right machine does: from DRAM image to DRAM image, the host writing nothing but batches."""
    assert plan.step.memory.data is not None
    image = MemoryImage(plan.step.memory.tensors, plan.step.memory.size_bytes, plan.step.memory.data.copy())
    assert image.data is not None
    found = []
    for program, batch in [(plan.prepare, {}), *((plan.step, batch) for batch in plan.batches)]:
        for name, data in batch.items():
            address = image.tensors[name].address
            image.data[address : address + data.size] = data
        run(dataclasses.replace(program, memory=image), architecture)
        found.append(Executed(cycles(program, architecture, behaviour), image.data.copy()))
    return found


def cycles(program: Program, architecture: Architecture, behaviour: Behaviour) -> tuple[int, ...]:
    result = simulate(program, architecture, memory=behaviour.memory, seed=behaviour.seed, periodic=False)
    return tuple(stage.cycles for stage in result.stages)


@pytest.fixture(scope="module")
def found() -> RtlTraining:
    return train(MACHINE, steps=STEPS, behaviour=Behaviour("scripted", 5), execute=played)


@pytest.mark.slow
def test_machine_that_is_right(found: RtlTraining) -> None:
    assert found.agrees
    assert (found.memory, len(found.steps)) == ("scripted", STEPS)
    assert all(step.rtl_cycles == step.sim_cycles > 50_000 for step in found.steps)
    assert all(0.5 < step.loss < 10 for step in found.steps)
    assert len({step.loss for step in found.steps}) == STEPS
    assert [step.loss_scale for step in found.steps] == [65536.0] * STEPS


def test_plan_changes_batches_and_weights() -> None:
    plan = plan_training(MACHINE, steps=STEPS)
    assert set(plan.batches[0]) == {"input.images", "labels"}
    for name in plan.batches[0]:
        assert len({batch[name].tobytes() for batch in plan.batches}) == STEPS
    weight = plan.step.memory.tensors["conv3.weight"]
    place = slice(weight.address, weight.address + weight.size_bytes)
    assert len({image[place].tobytes() for image in plan.images}) == 1 + STEPS
    assert plan.prepare.memory is plan.step.memory
    assert {stage.stage for stage in plan.prepare.stages} == {"prepare"}


@pytest.mark.slow
def test_wrong_bits_and_cycles_show() -> None:
    def wrong(plan: TrainingPlan, architecture: Architecture, behaviour: Behaviour) -> Sequence[Executed]:
        found = played(plan, architecture, behaviour)
        found[2].image[100] ^= 4
        late = found[3].stage_cycles
        found[3] = Executed((late[0] + 1, *late[1:]), found[3].image, ("the AXI port's checker complains",))
        return found

    found = train(MACHINE, steps=STEPS, execute=wrong)
    assert not found.agrees
    assert [step.mismatches for step in found.steps] == [0, 1, 0]
    assert [step.late for step in found.steps] == [(), (), ("conv1 patches",)]
    assert [len(step.faults) for step in found.steps] == [0, 0, 1]
    assert found.steps[2].rtl_cycles == found.steps[2].sim_cycles + 1


@pytest.mark.slow
def test_loss_that_stays(found: RtlTraining) -> None:
    def training(losses: Sequence[float]) -> RtlTraining:
        steps = tuple(dataclasses.replace(found.steps[0], loss=loss) for loss in losses)
        return dataclasses.replace(found, steps=steps)

    falling, staying = [2.75 - 0.05 * number for number in range(30)], [2.3, 2.4] * 15
    assert training(falling).learns
    assert not training(staying).learns
    assert not training(falling[::-1]).learns
    assert training(staying[:3]).learns
    assert training(staying).agrees


@pytest.mark.slow
def test_command(
    found: RtlTraining, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One memory behind which a byte differs, or nothing is learnt, is enough to fail."""
    spoilt = dataclasses.replace(found, steps=(_spoilt(found.steps[0]),))
    for result, code in ((found, 0), (spoilt, 1), (dataclasses.replace(found, steps=found.steps[:1] * 20), 1)):
        memories = {"ideal": found, "scripted": result}
        monkeypatch.setattr(
            gossamer.train_rtl, "train", lambda *_, steps, behaviour, kept=memories: kept[behaviour.memory]
        )
        assert main(["--out", str(tmp_path)]) == code
        ideal, scripted = json.loads((tmp_path / "result.json").read_text())["trainings"]
        assert [step["loss"] for step in ideal["steps"]] == [step.loss for step in found.steps]
        assert [step["mismatches"] for step in scripted["steps"]] == [step.mismatches for step in result.steps]
        assert (tmp_path / "loss.png").stat().st_size > 5000
        assert ("every byte and every cycle agree" in " ".join(capsys.readouterr().out.split())) is (code == 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--steps", "0"), "--steps is 0; expected at least 1"),
        (("--arch", "vcu1525-32x32"), "architecture 'vcu1525-32x32' exists on the simulator only: memory.ports is 4"),
        (("--arch", "tiny-4x5"), "did you mean 'tiny-4x4'?"),
        (("--step", "x"), "argument --steps: invalid int value: 'x'"),
    ],
)
def test_wrong_arguments(
    arguments: Sequence[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main([*arguments, "--out", str(tmp_path)])
    except SystemExit as end:
        code = int(end.code or 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert message in line


def _spoilt(step: gossamer.train_rtl.TrainingStep) -> gossamer.train_rtl.TrainingStep:
    return dataclasses.replace(step, mismatches=3)
