"""What the commands do, as Python functions: a workload in, a result and its files out."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gossamer.folders import clear, make_directory, writing
from gossamer.generation import DEFAULT_ARCHITECTURE, generate, generate_unit
from gossamer.notes import Note, silent
from gossamer.runner import Runner
from gossamer_compiler.importers.load import load_any_network
from gossamer_compiler.pruned_gradients import require_words
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.collection import collection_paused
from gossamer_models.errors import InputError
from gossamer_models.loading import validate
from gossamer_models.memories import HDL_MEMORIES
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from gossamer_models.objectives import OBJECTIVES
from gossamer_models.sparsity import Pattern
from gossamer_models.timeline import SimResult
from gossamer_models.workload import Training, Workload, load_workload
from gossamer_reports.compare import Comparison
from gossamer_reports.plots import PLOTS
from gossamer_reports.result import VERIFY_SCHEMA, Result, simulation_result, versions, write_json
from gossamer_reports.schedule import schedule_result
from gossamer_sim.executor import Simulator
from gossamer_sim.memory import memory_model
from gossamer_sim.trace import write_trace

if TYPE_CHECKING:
    from gossamer.verify import Verification
    from gossamer.verify_file import FileVerification
    from gossamer_reports.drawing import Artist

__all__ = [
    "Simulation", "generate", "generate_unit", "load", "simulate", "verify_product", "verify_program",
    "verify_workload", "write_simulation",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulated workload.

    Members
    -------
    comparison : the run and its baseline.
    timing : the run on the simulator, for a trace.
    result : what ``result.json`` holds.
    """

    comparison: Comparison
    timing: SimResult
    result: Result


def load(
    source: str | Path,
    *,
    architecture: str | None = None,
    batch: int | None = None,
    memory: str | None = None,
    objective: str | None = None,
    dataflow: str = "auto",
    sparsity: str | None = None,
) -> tuple[Workload, Network, Architecture]:
    """Load a workload with what it refers to.

    Parameters
    ----------
    source : a workload file.
    architecture, batch, memory, objective, sparsity : used in place of the file's; the sparsity is that of training.
    dataflow : ``os`` or ``ws`` limits the machine to one; ``auto`` leaves the choice to the compiler.

    Raises
    ------
    InputError
        A file is missing or wrong, the machine lacks the dataflow, or M of a sparsity does not divide its words.
    """
    workload = load_workload(source)
    if batch is not None and batch < 1:
        raise InputError(f"batch must be a positive integer, not {batch}")
    if objective is not None and objective not in OBJECTIVES:
        raise InputError(f"objective must be one of {', '.join(OBJECTIVES)}, not {objective!r:.60}")
    changes: dict[str, Any] = {"batch": batch, "memory": memory, "objective": objective}
    workload = dataclasses.replace(workload, **{name: value for name, value in changes.items() if value is not None})
    if sparsity is not None:
        try:
            training = validate(Training, {**workload.training.model_dump(), "sparsity": sparsity}, "--sparsity")
        except InputError as error:
            error.path = None  # the option's name says it
            raise
        workload = dataclasses.replace(workload, training=training)
    with _about(workload.source):
        network = load_any_network(workload.network, relative_to=workload.source)
    if architecture is None:
        with _about(workload.source):
            machine = load_architecture(workload.architecture, relative_to=workload.source)
    else:
        machine = load_architecture(architecture)
    if memory is not None:
        with _about("--memory"):
            memory_model(machine, memory)
    _check_words(workload, machine)
    return workload, network, _one(machine.limited_to(dataflow))


@lru_cache(maxsize=32)
def _one(machine: Architecture) -> Architecture:
    """The first of equal machines: what is remembered of it is then found without comparing all of both."""
    return machine


def _check_words(workload: Workload, machine: Architecture) -> None:
    word = machine.array.group
    for place, use in (("training", workload.training), ("baseline", workload.baseline)):
        if use.pattern is not None and word % use.pattern.m:
            raise InputError(
                f"M of sparsity {use.sparsity} must divide the words of {machine.name}, which have {word} elements",
                f"an M that divides {word}, or an architecture with `array.group: 16`",
                str(workload.source), f"{place}.sparsity",
            )  # fmt: skip
        with _about(workload.source, f"{place}.method"):
            require_words(METHODS[use.method], machine)


@contextmanager
def _about(source: str | Path, path: str | None = None) -> Iterator[None]:
    """Name the file or option that a fault came from, and the path in it, unless the fault names one itself."""
    try:
        yield
    except InputError as error:
        if not error.source:
            error.source, error.path = str(source), error.path or path
        raise


def simulate(
    source: str | Path,
    *,
    architecture: str | None = None,
    batch: int | None = None,
    memory: str | None = None,
    objective: str | None = None,
    dataflow: str = "auto",
    sparsity: str | None = None,
    trace: bool = False,
    note: Note = silent,
) -> Simulation:
    """Compile and simulate a workload and its baseline.

    ``result["fairness"]["beaten"]`` names stages of the baseline that the run's schedules would make better: the
    comparison is not fair then, and the command fails.

    Parameters
    ----------
    source : a workload file.
    architecture, batch, memory, objective, sparsity : used in place of the file's.
    dataflow : ``os`` or ``ws`` limits the machine to one; ``auto`` leaves the choice to the compiler.
    trace : keep every instruction's start and end in ``timing``.

    Raises
    ------
    InputError
        A file is missing or wrong, a layer does not fit or is not supported, energy is asked for and has no table, or
        the machine lacks the dataflow.
    """
    with collection_paused():
        loaded = load(
            source, architecture=architecture, batch=batch, memory=memory, objective=objective, dataflow=dataflow,
            sparsity=sparsity,
        )  # fmt: skip
        return _simulate(loaded, trace=trace, note=note)


def _simulate(loaded: tuple[Workload, Network, Architecture], *, trace: bool, note: Note) -> Simulation:
    workload, network, machine = loaded
    simulator = Simulator(machine, memory=workload.memory, trace=trace)
    with _about(workload.source):
        compared = Runner(workload, network, machine, simulator, note).compare(workload.baseline, workload.training)
    schedule = schedule_result(compared.phases) if len(compared.phases) > 1 else None
    comparison = compared.phases[-1].comparison
    result = simulation_result(comparison, workload, network.name, machine, compared.fairness, schedule)
    return Simulation(comparison, compared.timing, result)


def write_simulation(
    simulation: Simulation,
    directory: Path,
    *,
    plots: bool = True,
    artist: "Artist | None" = None,
    note: Note = silent,
) -> list[Path]:
    """Write ``result.json``, ``trace.json`` and the plots; return the files. Those of an earlier run are removed first.

    Parameters
    ----------
    artist : draws the plots from when the result is there, beside the rest; then leave ``plots`` out here.

    Raises
    ------
    InputError
        The folder cannot be written.
    """
    make_directory(directory)
    note("writing result and trace")
    with writing(directory):
        clear(directory, ("result.json", "trace.json", *PLOTS))
    write_json(directory / "result.json", simulation.result)
    if artist is not None:
        artist.draw(directory / "result.json")
    write_trace(simulation.timing, directory / "trace.json")
    files = [directory / "result.json", directory / "trace.json"]
    if plots:
        from gossamer_reports.plots import save_plots

        note("drawing plots")
        with writing(directory):
            files += save_plots(simulation.result, directory)
    return files


def verify_product(
    sizes: tuple[int, int, int],
    *,
    sparsity: str = "dense",
    dataflow: str = "auto",
    seed: int = 0,
    architecture: str = DEFAULT_ARCHITECTURE,
    note: Note = silent,
) -> Result:
    """Verify one product I x R x J on all three executors; weight-stationary on golden and simulator.

    Raises
    ------
    InputError
        A size, the sparsity or the dataflow is wrong, or the product does not fit.
    """
    from gossamer.verify import verify_product as run

    machine = load_architecture(architecture).limited_to(dataflow)
    pattern = _pattern(sparsity, machine)
    note(f"product {sizes[0]} x {sizes[1]} x {sizes[2]} on {machine.name}: golden, simulator, Verilator")
    found = run(*sizes, pattern, machine, seed)
    return _verification(found, {"gemm": list(sizes), "sparsity": sparsity, "dataflow": found.dataflow})


def _pattern(sparsity: str, machine: Architecture) -> Pattern:
    group = machine.array.group
    pattern = Pattern(group, group) if sparsity == "dense" else Pattern.parse(sparsity)
    pattern.entries_per_word(group)
    return pattern


def verify_workload(
    source: str | Path,
    *,
    architecture: str | None = None,
    batch: int | None = None,
    seed: int = 0,
    note: Note = silent,
) -> Result:
    """Verify one training step of a workload, or one inference, on all three executors.

    Raises
    ------
    InputError
        A file is wrong, or the step is too large for RTL.
    """
    from gossamer.verify import verify_training

    workload, network, machine = load(source, architecture=architecture, batch=batch)
    what = "training step" if METHODS[workload.training.method].trains else "inference"
    note(f"one {what} of {network.name} on {machine.name}: golden, simulator, Verilator")
    with _about(workload.source):
        found = verify_training(workload, network, machine, seed)
    sparsity = workload.training.sparsity or "dense"
    return _verification(found, {"workload": workload.name, "sparsity": sparsity, "dataflow": found.dataflow})


def verify_program(source: str | Path, *, memory: str = "ideal", seed: int = 0, note: Note = silent) -> Result:
    """Replay a program file on all three executors; RTL is left out for machines that do not exist there.

    Parameters
    ----------
    memory : ``ideal`` or ``scripted``.
    seed : of the orders of golden's engines, and of ``scripted``.

    Raises
    ------
    InputError
        The file is missing or damaged, its image symbolic, its Program illegal, or the memory not in HDL.
    """
    from gossamer.rtl import run_machine
    from gossamer.verify_file import verify_file

    if memory not in HDL_MEMORIES:
        raise InputError(f"no memory {memory!r} exists in HDL", " or ".join(HDL_MEMORIES))
    if seed < 0:
        raise InputError(f"the seed must be a non-negative integer, not {seed}")
    note(f"replaying {source}: golden, simulator, Verilator")
    return _program_verification(verify_file(source, seed, run_machine, memory), {})


def _program_verification(found: "FileVerification", problem: Result) -> Result:
    late = [{"layer": item.layer, "stage": item.stage, "rtl": item.found, "sim": item.simulated} for item in found.late]
    return _verified(
        found,
        problem,
        memory_model=found.memory_model,
        results=found.image_bytes,
        cycle_exact=not found.late and not found.shortcut,
        late=late,
        shortcut=[dataclasses.asdict(item) for item in found.shortcut],
    )


def _verification(found: "Verification | FileVerification", problem: Result) -> Result:
    from gossamer.verify_file import FileVerification

    if isinstance(found, FileVerification):
        return _program_verification(found, problem)
    late = [dict(zip(("layer", "stage", "rtl", "sim"), item, strict=True)) for item in found.late]
    return _verified(found, problem, results=found.results, cycle_exact=not found.late, late=late)


def _verified(found: "Verification | FileVerification", problem: Result, **more: Any) -> Result:
    """What both kinds of verification say, and ``more``."""
    return {
        "schema": VERIFY_SCHEMA,
        **problem,
        "program": found.program,
        "architecture": found.architecture,
        "bit_exact": not found.mismatches,
        "mismatches": found.mismatches,
        "instructions": found.instructions,
        "cycles": {"rtl": found.rtl_cycles, "sim": found.sim_cycles},
        **more,
        "seed": found.seed,
        "versions": versions(),
    }
