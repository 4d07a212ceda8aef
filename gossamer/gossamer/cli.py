"""Command line: arguments in, exit code out (`gossamer.commands`)."""

import argparse
import atexit
import gc
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path

from gossamer.commands import FAILED, PASSED, Parser, command, read_arguments
from gossamer.folders import check_directory, make_directory, writing
from gossamer.notes import Note
from gossamer_models.collection import collection_paused
from gossamer_models.dataflows import DATAFLOWS
from gossamer_models.errors import InputError
from gossamer_models.memories import HDL_MEMORIES, MEMORY_MODELS
from gossamer_models.objectives import OBJECTIVES
from gossamer_reports.drawing import Artist

__all__ = ["main"]

RENDER_ARCHITECTURE = "rtnerf-edge"
_SIZE = re.compile(r" *-?[0-9]{1,18} *")


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    atexit.register(gc.freeze)  # else Python looks at every object once more before it lets go of all
    arguments = read_arguments(_parser(), argv)
    logging.basicConfig(format="%(message)s", level=logging.INFO if arguments.verbose else logging.WARNING)
    return int(arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="gossamer", description="Design, prove and simulate accelerators that train N:M-sparse networks."
    )
    parser.add_argument("--version", action="version", version=f"gossamer {version('gossamer')}")
    parser.set_defaults(verbose=False)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=Parser)
    _add_simulate(commands.add_parser("simulate", help="cycles, traffic and speed-up of one training iteration"))
    _add_generate(commands.add_parser("generate", help="Verilog of an architecture"))
    _add_verify(commands.add_parser("verify", help="golden against simulator and RTL, bit for bit and cycle for cycle"))
    _add_render(commands.add_parser("render", help="picture of a radiance field, and what it takes"))
    for each in commands.choices.values():
        each.add_argument("--out", type=Path, metavar="DIR", help="output folder, default one in out/")
        each.add_argument("--verbose", action="store_true", help="say what is being done")
    return parser


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD.yaml")
    parser.add_argument("--arch", metavar="ARCH", help="ready architecture or file, in place of the workload's")
    parser.add_argument("--batch", type=int, help="samples per iteration, in place of the workload's")
    parser.add_argument("--sparsity", metavar="N:M", help="of training, in place of the workload's")
    parser.add_argument(
        "--memory",
        choices=MEMORY_MODELS,
        metavar="MODEL",
        help=f"{', '.join(MEMORY_MODELS)}; in place of the architecture's",
    )
    parser.add_argument(
        "--objective",
        choices=OBJECTIVES,
        help="what schedules are chosen by, in place of the workload's; default cycles",
    )
    parser.add_argument("--dataflow", choices=DATAFLOWS, default="auto", help="the only one to use; default auto: both")
    parser.add_argument("--no-plots", action="store_true", help="write no pictures")
    parser.set_defaults(run=_simulate)


def _add_generate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "architecture",
        nargs="?",
        metavar="ARCH.yaml",
        help="ready architecture or file; with --unit only for pe and prune",
    )
    parser.add_argument("--unit", metavar="UNIT", help="one unit alone, such as pe; a wrong name lists them all")
    parser.add_argument(
        "--components", type=int, help="numbers of a row, with --unit sparse-... or encoded-lane; default 16"
    )
    parser.add_argument("--synth", choices=("xilinx", "ecp5"), help="count resources with Yosys")
    parser.set_defaults(run=_generate)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workload", nargs="?", metavar="WORKLOAD.yaml", help="verify one iteration of it, or a saved PROGRAM"
    )
    parser.add_argument("--gemm", metavar="I,R,J", help="verify one product instead")
    parser.add_argument("--sparsity", metavar="N:M", help="of operand B, with --gemm; default dense")
    parser.add_argument("--dataflow", choices=DATAFLOWS, help="with --gemm; default auto")
    parser.add_argument("--seed", type=int, default=0, help="of the random operands, and of the memory scripted")
    parser.add_argument("--memory", choices=HDL_MEMORIES, help="with a saved PROGRAM; default ideal")
    parser.add_argument("--arch", metavar="ARCH", help="ready architecture or file; default wide-4x4 with --gemm")
    parser.add_argument("--batch", type=int, help="samples per iteration, in place of the workload's")
    parser.set_defaults(run=_verify)


def _add_render(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scene", metavar="SCENE.yaml", help="ready scene or file")
    parser.add_argument("--arch", metavar="ARCH", help=f"ready architecture or file, default {RENDER_ARCHITECTURE}")
    parser.add_argument("--orbit", type=int, metavar="N", help="write orbit.gif: N pictures of a turn around the field")
    parser.set_defaults(run=_render)


@contextmanager
def _progress() -> Iterator[Note]:
    """Show what is being done while it is, on a terminal's stderr, with a bar."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from gossamer.printing import Printer

    log, console = logging.getLogger("gossamer"), Printer(stderr=True)
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("starting", total=None)
        said = ""

        def note(text: str, share: float | None = None) -> None:
            nonlocal said
            progress.update(bar, description=text, total=None if share is None else 1.0, completed=share or 0)
            if text != said:
                log.info("%s", text)
            said = text

        yield note


def _simulate(arguments: argparse.Namespace) -> int:
    directory = arguments.out or Path("out") / Path(arguments.workload).stem
    check_directory(directory)
    with nullcontext() if arguments.no_plots else Artist() as artist:
        with _progress() as note, collection_paused():
            from gossamer import api

            simulation = api.simulate(
                arguments.workload,
                architecture=arguments.arch,
                batch=arguments.batch,
                memory=arguments.memory,
                objective=arguments.objective,
                sparsity=arguments.sparsity,
                dataflow=arguments.dataflow,
                trace=True,
                note=note,
            )
            api.write_simulation(simulation, directory, plots=False, artist=artist, note=note)
        from gossamer.printing import Printer
        from gossamer_reports.tables import fairness_line, print_simulation

        console = Printer(markup=False)
        print_simulation(simulation.result, console)
        if artist is not None:
            with writing(directory):
                artist.finish()
    console.print(f"results in {directory}", highlight=False)
    if simulation.result["fairness"]["beaten"]:
        print(f"gossamer: {fairness_line(simulation.result)}", file=sys.stderr)
        return FAILED
    return PASSED


def _generate(arguments: argparse.Namespace) -> int:
    from gossamer import api

    if arguments.unit is None and arguments.architecture is None:
        raise InputError("generate needs an architecture or --unit", "gossamer generate ARCH.yaml")
    if arguments.unit is None and arguments.components is not None:
        raise InputError("--components goes with --unit", "no --components here")
    name = Path(arguments.architecture).stem if arguments.unit is None else arguments.unit
    directory = arguments.out or Path("out") / name
    check_directory(directory)
    with _progress() as note:
        if arguments.unit is None:
            result = api.generate(arguments.architecture, directory, synthesis=arguments.synth, note=note)
        else:
            result = api.generate_unit(
                arguments.unit,
                directory,
                architecture=arguments.architecture,
                components=arguments.components,
                synthesis=arguments.synth,
                note=note,
            )
    print(f"{', '.join(result['files'])} in {directory}")
    if result["resources"]:
        from gossamer.printing import Printer
        from gossamer_reports.tables import resource_table

        Printer(markup=False).print(resource_table(result["resources"]))
    return PASSED


def _verify(arguments: argparse.Namespace) -> int:
    from gossamer import api
    from gossamer.generation import DEFAULT_ARCHITECTURE
    from gossamer_models.program_file import SUFFIX
    from gossamer_reports.result import write_json
    from gossamer_reports.tables import verification_line

    if (arguments.workload is None) == (arguments.gemm is None):
        raise InputError("verify needs either a workload or --gemm", "gossamer verify WORKLOAD.yaml or --gemm I,R,J")
    saved = arguments.gemm is None and Path(arguments.workload).suffix == SUFFIX
    _refuse_options(arguments, saved=saved)
    sizes = None if arguments.gemm is None else _sizes(arguments.gemm)
    name = Path(arguments.workload).stem if sizes is None else f"gemm-{'x'.join(map(str, sizes))}"
    directory = arguments.out or Path("out") / f"verify-{name}"
    check_directory(directory)
    with _progress() as note:
        if saved:
            memory = arguments.memory or "ideal"
            result = api.verify_program(arguments.workload, memory=memory, seed=arguments.seed, note=note)
        elif sizes is None:
            result = api.verify_workload(
                arguments.workload, architecture=arguments.arch, batch=arguments.batch, seed=arguments.seed, note=note
            )
        else:
            result = api.verify_product(
                sizes,
                sparsity=arguments.sparsity or "dense",
                dataflow=arguments.dataflow or "auto",
                seed=arguments.seed,
                architecture=arguments.arch or DEFAULT_ARCHITECTURE,
                note=note,
            )
        make_directory(directory)
        write_json(directory / "result.json", result)
    print(verification_line(result))
    print(f"results in {directory}")
    return PASSED if result["bit_exact"] and result["cycle_exact"] else FAILED


def _render(arguments: argparse.Namespace) -> int:
    from gossamer.printing import Printer
    from gossamer.render import render_scene
    from gossamer_reports.render import print_render

    directory = arguments.out or Path("out") / f"render-{Path(arguments.scene).stem}"
    check_directory(directory)
    with _progress() as note:
        result = render_scene(
            arguments.scene,
            directory,
            architecture=RENDER_ARCHITECTURE if arguments.arch is None else arguments.arch,
            note=note,
            orbit=arguments.orbit,
        )
    console = Printer(markup=False)
    print_render(result, console)
    console.print(f"results in {directory}", highlight=False)
    return PASSED


def _refuse_options(arguments: argparse.Namespace, *, saved: bool) -> None:
    """Options that mean nothing for what is verified."""
    owners = {
        "sparsity": "--gemm", "dataflow": "--gemm", "batch": "a workload", "arch": "a workload or --gemm",
        "memory": "a saved PROGRAM",
    }  # fmt: skip
    product, workload, program = {"sparsity", "dataflow", "arch"}, {"batch", "arch"}, {"memory"}
    fitting = product if arguments.gemm else program if saved else workload
    for option in owners:
        if option not in fitting and getattr(arguments, option) is not None:
            raise InputError(f"--{option} goes with {owners[option]}", f"no --{option} here")


def _sizes(text: str) -> tuple[int, int, int]:
    parts = text.split(",")
    if len(parts) != 3 or not all(_SIZE.fullmatch(part) for part in parts):
        raise InputError(f"--gemm takes three integers I,R,J, not {text[:60]!r}", "for example --gemm 64,72,16")
    i, r, j = (int(part) for part in parts)
    return i, r, j
