"""What ``make sat`` runs: the networks of ``workloads/sat`` by every method, against dense training."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from gossamer import api
from gossamer.folders import make_directory
from gossamer_compiler.objective import objective_of
from gossamer_compiler.training import compile_training
from gossamer_models.errors import InputError
from gossamer_models.grouping import DENSE
from gossamer_models.methods import METHODS
from gossamer_models.sparsity import Pattern
from gossamer_models.workload import MethodUse
from gossamer_reports.compare import compare
from gossamer_reports.method_study import study_document, study_result, study_row
from gossamer_reports.plots_methods import methods_figure
from gossamer_reports.result import Result, write_json
from gossamer_reports.schedule import PhaseRun
from gossamer_sim.executor import Simulator

__all__ = ["SPARSITIES", "main", "study"]

SPARSITIES = ("2:4", "2:8")
_WORKLOADS = Path("workloads") / "sat"
_DPI = 110


def uses() -> Iterator[MethodUse]:
    """Dense training, then every other method at every sparsity."""
    yield MethodUse()
    for sparsity in SPARSITIES:
        for name in METHODS:
            if name != "dense" and METHODS[name].trains and METHODS[name].takes(Pattern.parse(sparsity)):
                yield MethodUse(method=name, sparsity=sparsity)


def study(folder: Path, advance: Callable[[str], None] = lambda _: None) -> Result:
    """Simulate every workload of a folder by every method.

    Parameters
    ----------
    folder : workload files; their method is not read, networks of one architecture are expected.
    advance : called with a line before each run.

    Raises
    ------
    InputError
        There is no workload, a file is wrong, or architectures differ.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise InputError(f"folder {str(folder)!r:.80} holds no workload", "files of the form NAME.yaml")
    rows, machines = [], {}
    for file in files:
        workload, network, machine = api.load(file)
        machines[machine.name] = simulator = Simulator(machine, memory=workload.memory)
        if len(machines) > 1:
            raise InputError(f"{file}: `architecture` must be {next(iter(machines))!r} as in the others")
        objective = objective_of(workload.objective, machine, workload.memory or machine.memory.model)
        dense = None
        for use in uses():
            advance(f"{network.name}, {use.method} {use.sparsity or ''}")
            runs = []
            for phase in METHODS[use.method].phases(use.pattern or DENSE):
                program = compile_training(
                    network, workload.batch, METHODS[use.method], use.pattern, machine, workload.training.optimizer,
                    phase=phase, objective=objective,
                )  # fmt: skip
                simulated = program, simulator.run(program)
                dense = dense or simulated
                runs.append(PhaseRun(phase, compare(simulated, dense, machine)))
            rows.append(study_row(runs, network.name, workload.batch, use))
        memory_model = runs[0].comparison.memory_model
    return study_result(rows, next(iter(machines)), memory_model)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the study and write table, figure and result.

    Parameters
    ----------
    arguments : ``--workloads DIR``, ``--out DIR`` and ``--docs DIR``.
    """
    parser = argparse.ArgumentParser(prog="make sat", description="networks by methods against dense training")
    parser.add_argument("--workloads", type=Path, default=_WORKLOADS, help="folder of workloads")
    parser.add_argument("--out", type=Path, default=Path("out") / "sat", help="folder for result.json")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder for sat.md and img/sat.png")
    chosen = parser.parse_args(arguments)
    try:
        make_directory(chosen.out)
        make_directory(chosen.docs / "img")
        count = len(list(uses())) * len(list(chosen.workloads.glob("*.yaml")))
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task("starting", total=count)

            def advance(text: str) -> None:
                progress.update(task, description=f"{text:40}", advance=1)

            result = study(chosen.workloads, advance)
    except InputError as error:
        print(f"make sat: {error}", file=sys.stderr)
        return 2
    write_json(chosen.out / "result.json", result)
    methods_figure(result).savefig(chosen.docs / "img" / "sat.png", dpi=_DPI)
    (chosen.docs / "sat.md").write_text(study_document(result, "img/sat.png"), encoding="utf-8")
    for mean in result["means"]:
        print(f"{METHODS[mean['method']].title:15} {mean['sparsity'] or '':4} {mean['speedup']:.2f}x")
    print(f"table and figure in {chosen.docs / 'sat.md'}, result in {chosen.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
