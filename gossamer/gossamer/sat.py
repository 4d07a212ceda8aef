"""What ``make sat`` runs: the networks of ``workloads/sat`` by every method, against dense training.

Once on their own machine, and once on its build with words of 16 elements at 2:16, against that build's dense run.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from rich.progress import Progress

from gossamer import api
from gossamer.commands import FAILED, PASSED, Parser, command, read_arguments
from gossamer.folders import make_directory
from gossamer.printing import Printer
from gossamer.runner import Runner
from gossamer_models.errors import InputError
from gossamer_models.layouts import BLOCK
from gossamer_models.methods import METHODS
from gossamer_models.sparsity import Pattern
from gossamer_models.workload import MethodUse
from gossamer_reports.method_study import study_document, study_result, study_row
from gossamer_reports.plots_methods import methods_figure
from gossamer_reports.result import Result, write_json
from gossamer_sim.executor import Simulator

__all__ = ["SPARSITIES", "main", "study"]

SPARSITIES: Mapping[int, Sequence[str]] = {8: ("2:4", "2:8"), 16: ("2:16",)}
"""Of a study, by the elements of a word: the largest M is what a build is for."""

_WORKLOADS = Path("workloads") / "sat"
_DPI = 110


def uses(word: int) -> Iterator[MethodUse]:
    """Dense training, then every other method at every sparsity that words of ``word`` elements are for."""
    yield MethodUse()
    for sparsity in SPARSITIES[word]:
        for name, method in METHODS.items():
            built = word == BLOCK or not (method.samples_gradient or method.prunes_gradient)
            if name != "dense" and method.trains and method.takes(Pattern.parse(sparsity)) and built:
                yield MethodUse(method=name, sparsity=sparsity)


def study(
    folder: Path, advance: Callable[[str, int], None] = lambda _, __: None, architecture: str | None = None
) -> Result:
    """Simulate every workload of a folder by every method, each beside its baseline as ``gossamer simulate`` does.

    ``result["unfair"]`` names stages of baselines that the run's schedules would make better.

    Parameters
    ----------
    folder : workload files; their method is not read, networks of one architecture are expected.
    advance : called with a line and the number of runs before each run.
    architecture : used in place of the files'.

    Raises
    ------
    InputError
        There is no workload, a file is wrong, or architectures differ.
    """
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise InputError(f"folder {str(folder)!r:.80} holds no workload", "files of the form NAME.yaml")
    rows, unfair, machines = [], list[str](), {}
    for file in files:
        workload, network, machine = api.load(file, architecture=architecture)
        machines[machine.name] = simulator = Simulator(machine, memory=workload.memory)
        if len(machines) > 1:
            raise InputError(f"{file}: `architecture` must be {next(iter(machines))!r} as in the others")
        runner, dense = Runner(workload, network, machine, simulator), MethodUse()
        baseline = runner.run("baseline", dense)
        chosen = list(uses(machine.array.group))
        for use in chosen:
            advance(f"{network.name}, {use.method} {use.sparsity or ''}", len(files) * len(chosen))
            compared = runner.compare(dense, use, baseline)
            beaten = [(network.name, use.method, item["layer"], item["stage"]) for item in compared.fairness["beaten"]]
            unfair += [", ".join(names) for names in beaten]
            rows.append(study_row(compared.phases, network.name, workload.batch, use))
        memory_model = compared.phases[0].comparison.memory_model
    return {**study_result(rows, next(iter(machines)), memory_model), "unfair": unfair}


@command
def main(arguments: Sequence[str] = ()) -> int:
    """Run the study and write table, figure and result.

    Parameters
    ----------
    arguments : ``--workloads DIR``, ``--arch ARCH``, ``--name NAME``, ``--out DIR`` and ``--docs DIR``.
    """
    parser = Parser(prog="python -m gossamer.sat", description="networks by methods against dense training")
    parser.add_argument("--workloads", type=Path, default=_WORKLOADS, help="folder of workloads")
    parser.add_argument("--arch", metavar="ARCH", help="architecture in place of the workloads'")
    parser.add_argument("--name", default="sat", help="of the documents")
    parser.add_argument("--out", type=Path, help="folder for result.json, default out/NAME")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder for NAME.md and img/NAME.png")
    chosen = read_arguments(parser, arguments)
    out, picture = chosen.out or Path("out") / chosen.name, f"img/{chosen.name}.png"
    make_directory(out)
    make_directory(chosen.docs / "img")
    console = Printer(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("starting", total=None)

        def advance(text: str, total: int) -> None:
            progress.update(task, description=f"{text:40}", advance=1, total=total)

        result = study(chosen.workloads, advance, chosen.arch)
    write_json(out / "result.json", result)
    document = chosen.docs / f"{chosen.name}.md"
    methods_figure(result).savefig(chosen.docs / picture, dpi=_DPI)
    document.write_text(study_document(result, picture), encoding="utf-8")
    for mean in result["means"]:
        print(f"{METHODS[mean['method']].title:15} {mean['sparsity'] or '':4} {mean['speedup']:.2f}x")
    print(f"table and figure in {document}, result in {out}")
    if result["unfair"]:
        print(f"gossamer: not fair, better with the run's schedule: {result['unfair'][0]}", file=sys.stderr)
        return FAILED
    return PASSED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
