"""What ``make train-rtl`` runs: digits-resnet in Verilator behind both memories, against golden and simulator."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log2
from pathlib import Path
from statistics import mean

import numpy as np
from numpy.typing import NDArray

from gossamer.commands import FAILED, PASSED, Parser, command, read_arguments
from gossamer.digits import DigitsTraining
from gossamer.folders import make_directory
from gossamer.generation import architecture_in_rtl
from gossamer.printing import Printer
from gossamer.rtl_runs import Executed, executed, holding, image_of, late_stages, simulated_cycles
from gossamer_hw.cosim.machine import run_jobs
from gossamer_hw.cosim.program import Behaviour, program_job
from gossamer_models.architecture import Architecture
from gossamer_models.errors import InputError
from gossamer_models.golden.executor import run
from gossamer_models.memories import HDL_MEMORIES
from gossamer_models.program import MemoryImage, Program
from gossamer_reports.plots import save_figure
from gossamer_reports.plots_training import loss_figure
from gossamer_reports.result import versions, write_json

__all__ = ["RtlTraining", "RunTraining", "TrainingPlan", "TrainingStep", "main", "plan_training", "train"]

_NETWORK, _BATCH, _STEPS, _SEED = "digits-resnet", 16, 30, 0
_MACHINE = "tiny-4x4"

_MEAN_STEPS, _LEAST_STEPS, _FALLEN = 5, 20, 2 / 3
"""Whether the loss falls is judged by means, as batches differ, and not of short trainings."""

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class TrainingPlan:
    """What host and machine do, and what golden says that DRAM holds then.

    Members
    -------
    prepare, step : Programs on one image: compress freshly written weights, and train on the batch in DRAM. The image
        is the one before all of it.
    batches : per step, bytes of the tensors that the host writes.
    images : DRAM behind ``prepare`` and behind each step.
    """

    prepare: Program
    step: Program
    batches: tuple[dict[str, UInt8], ...]
    images: tuple[UInt8, ...]


RunTraining = Callable[[TrainingPlan, Architecture, Behaviour], Sequence[Executed]]
"""Runs ``prepare``, then the steps."""


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """One step in RTL.

    Members
    -------
    loss : mean cross-entropy of the batch, from the probabilities that the machine wrote.
    loss_scale : behind the step, for the next one; halved by a step whose gradients overflow, which changes no weight.
    mismatches : bytes of DRAM that differ from golden's.
    rtl_cycles, sim_cycles : of the step.
    late : stages whose cycles differ.
    faults : what else was wrong, see :class:`~gossamer.rtl_runs.Executed`.
    """

    loss: float
    loss_scale: float
    mismatches: int
    rtl_cycles: int
    sim_cycles: int
    late: tuple[str, ...]
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RtlTraining:
    """A training in RTL; ``prepare`` has no loss to speak of."""

    architecture: str
    memory: str
    seed: int
    prepare: TrainingStep
    steps: tuple[TrainingStep, ...]

    @property
    def agrees(self) -> bool:
        """Every byte and every cycle are as golden and the simulator say."""
        return not any(step.mismatches or step.late or step.faults for step in (self.prepare, *self.steps))

    @property
    def learns(self) -> bool:
        """The mean loss of the last steps is at most two thirds of that of as many first ones, if there are enough."""
        losses = [step.loss for step in self.steps]
        if len(losses) < _LEAST_STEPS:
            return True
        return mean(losses[-_MEAN_STEPS:]) <= _FALLEN * mean(losses[:_MEAN_STEPS])


def plan_training(architecture: Architecture, *, steps: int, batch: int = _BATCH, seed: int = _SEED) -> TrainingPlan:
    """Train on golden, and keep DRAM after each step."""
    training = DigitsTraining.start(architecture, batch, seed, network=_NETWORK)
    program, first = training.program, training.first_stage
    image = image_of(program)
    run(program, architecture, stages=slice(first))
    batches, images = [], [image_of(program)]
    for number in range(steps):
        training.load_batch(number)
        batches.append({name: _tensor(program, name) for name in training.host_tensors})
        run(program, architecture, stages=slice(first, None))
        images.append(image_of(program))
    start = MemoryImage(program.memory.tensors, program.memory.size_bytes, image)
    prepare, step = (
        dataclasses.replace(program, stages=stages, memory=start)
        for stages in (program.stages[:first], program.stages[first:])
    )
    return TrainingPlan(prepare, step, tuple(batches), tuple(images))


def run_in_verilator(plan: TrainingPlan, architecture: Architecture, behaviour: Behaviour) -> list[Executed]:
    """Run a training on one Verilated machine; the host writes the batches."""
    jobs = [program_job(plan.prepare, behaviour)]
    jobs += [program_job(plan.step, behaviour, tensors=batch) for batch in plan.batches]
    return [executed(plan.step, result) for result in run_jobs(architecture, jobs)]


def train(
    architecture: Architecture,
    *,
    steps: int = _STEPS,
    batch: int = _BATCH,
    seed: int = _SEED,
    behaviour: Behaviour | None = None,
    execute: RunTraining = run_in_verilator,
) -> RtlTraining:
    """Train in RTL, and compare DRAM and cycles after every step with golden and simulator.

    Parameters
    ----------
    seed : of the weights and of the images' order.
    behaviour : of the memory, ``ideal`` by default; its counters start anew with each step.
    execute : what runs the machine.
    """
    behaviour = behaviour or Behaviour()
    plan = plan_training(architecture, steps=steps, batch=batch, seed=seed)
    runs = execute(plan, architecture, behaviour)
    programs = (plan.prepare, *[plan.step] * steps)
    cycles = {id(program): simulated_cycles(program, architecture, behaviour) for program in (plan.prepare, plan.step)}
    found = [
        _compare(program, item, image, cycles[id(program)])
        for program, item, image in zip(programs, runs, plan.images, strict=True)
    ]
    return RtlTraining(architecture.name, behaviour.memory, seed, found[0], tuple(found[1:]))


def _compare(program: Program, found: Executed, image: UInt8, simulated: Sequence[int]) -> TrainingStep:
    held = holding(program, found.image)
    return TrainingStep(
        loss=DigitsTraining.loss_of(held),
        loss_scale=DigitsTraining.scale_of(held),
        mismatches=int(np.count_nonzero(found.image != image)),
        rtl_cycles=sum(found.stage_cycles),
        sim_cycles=sum(simulated),
        late=late_stages(program, found.stage_cycles, simulated),
        faults=found.faults,
    )


def _tensor(program: Program, name: str) -> UInt8:
    tensor = program.memory.tensors[name]
    return image_of(program)[tensor.address : tensor.address + tensor.size_bytes]


@command
def main(argv: Sequence[str] = ()) -> int:
    """Train behind both memories, write the results and a plot; return 1 if anything differs or the loss stays."""
    parser = Parser(prog="python -m gossamer.train_rtl", description=f"train {_NETWORK} in RTL on real digits")
    parser.add_argument(
        "--arch", default=_MACHINE, metavar="ARCH", help="ready architecture or file, default %(default)s"
    )
    parser.add_argument("--steps", type=int, default=_STEPS, metavar="N", help="of training, default %(default)s")
    parser.add_argument(
        "--out", type=Path, default=Path("out") / "train-rtl", metavar="DIR", help="default %(default)s"
    )
    arguments = read_arguments(parser, argv)
    if arguments.steps < 1:
        raise InputError(f"--steps is {arguments.steps}", "at least 1")
    machine, out = architecture_in_rtl(arguments.arch), arguments.out
    make_directory(out)
    console, start = Printer(highlight=False, markup=False), time.monotonic()
    trainings = []
    for memory in HDL_MEMORIES:
        found = train(machine, steps=arguments.steps, behaviour=Behaviour(memory))
        trainings.append(found)
        for number, step in enumerate(found.steps):
            console.print(
                f"{memory}, step {number:2d}  loss {step.loss:5.3f}  scale 2^{log2(step.loss_scale):.0f}  "
                f"{step.mismatches} bytes differ from golden  "
                f"{step.rtl_cycles:,} cycles in RTL, {step.sim_cycles:,} in the simulator"
                + "".join(f"; {fault}" for fault in step.faults)
            )
    records = [{"network": _NETWORK, "batch": _BATCH, **dataclasses.asdict(found)} for found in trainings]
    write_json(out / "result.json", {"schema": "gossamer.train-rtl/3", "trainings": records, "versions": versions()})
    files = save_figure(loss_figure(records[0]), out / "loss")
    verdicts = []
    if not all(found.agrees for found in trainings):
        verdicts.append("RTL differs from golden or from the simulator")
    if not all(found.learns for found in trainings):
        verdicts.append("the loss does not fall")
    verdict = "; ".join(verdicts) or "every byte and every cycle agree"
    console.print(f"{verdict}; {', '.join(map(str, files))}; {time.monotonic() - start:.0f} s")
    return FAILED if verdicts else PASSED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
