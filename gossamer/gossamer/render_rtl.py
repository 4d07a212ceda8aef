"""What ``make render-rtl`` runs: pictures of trained fields in Verilator behind both memories, against both models.

Fields are shipped ones or those of scene files, such as ``python -m gossamer.scenes`` writes beside what it fits.
"""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gossamer.commands import FAILED, PASSED, Parser, command, read_arguments
from gossamer.printing import Printer
from gossamer.rtl_runs import Executed, executed, holding, image_of, late_stages, simulated_cycles
from gossamer_compiler.render import PICTURE, compile_picture
from gossamer_hw.cosim.machine import build_bench, run_jobs
from gossamer_hw.cosim.program import Behaviour, program_job
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.golden.executor import run
from gossamer_models.memories import HDL_MEMORIES
from gossamer_models.numerics.formats import Float32
from gossamer_models.program import Program
from gossamer_models.render.camera import Camera
from gossamer_models.render.field import Field
from gossamer_models.render.matrix_file import pattern_name
from gossamer_models.render.raycast import cast
from gossamer_models.render.renderer import Settings
from gossamer_models.render.scene import load_scene, shipped_field, unseen_cameras
from gossamer_models.render.shapes import scene
from gossamer_reports.plots import save_figure
from gossamer_reports.plots_render import pictures_figure
from gossamer_reports.quality import psnr_db
from gossamer_reports.render import write_png
from gossamer_reports.result import versions, write_json

__all__ = [
    "FIELDS", "Plan", "RtlPicture", "RunPicture", "Subject", "main", "picture_machine", "plan_picture", "reference",
    "render_into", "render_rtl", "run_in_verilator", "scene_subjects", "shipped_subject",
]  # fmt: skip

FIELDS: Final = {
    "glossy-32": "per sample, dense",
    "glossy-32-2of8": "per sample, 2:8",
    "glossy-32-deferred": "deferred, dense",
    "glossy-32-deferred-2of8": "deferred, 2:8",
}
"""Shipped fields that are rendered, of networks 150-32-32-3: shading and network."""

_SCENE, _SIDE = "glossy", 32
_SCENE_FILES = (".yaml", ".yml")
_FIGURE = "pictures"

UInt8 = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a picture is taken of.

    Members
    -------
    title : shading and network.
    field, camera, settings : what is rendered, 32 pixels wide.
    wanted : what the camera should see, shape (height, width, 3).
    """

    title: str
    field: Field
    camera: Camera
    settings: Settings
    wanted: Float32


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A picture to render.

    Members
    -------
    subject : what it is taken of.
    program : its image is the one before.
    image : DRAM that golden leaves, shape (size of the image,).
    """

    subject: Subject
    program: Program
    image: UInt8


RunPicture = Callable[[Program, Architecture, Behaviour], Executed]


@dataclass(frozen=True, slots=True)
class RtlPicture:
    """A picture that RTL rendered.

    Members
    -------
    field, title, memory : what was rendered, its shading and network, and behind which memory.
    mismatches : bytes of DRAM that differ from golden's.
    rtl_cycles, sim_cycles : of the whole Program.
    late : stages whose cycles differ.
    faults : what else was wrong.
    psnr_db : of the picture that was found in DRAM, against the scene that the field was fitted to.
    seconds : that the run took, DRAM's filling included.
    """

    field: str
    title: str
    memory: str
    mismatches: int
    rtl_cycles: int
    sim_cycles: int
    late: tuple[str, ...]
    faults: tuple[str, ...]
    psnr_db: float
    seconds: float

    @property
    def passed(self) -> bool:
        """Every byte and every cycle agree."""
        return not (self.mismatches or self.late or self.faults)


def picture_machine() -> Architecture:
    """Return `render-8x8` with an engine of the fields' size."""
    machine = load_architecture("render-8x8")
    room = {"components": (8, 16), "block": 8, "grid": 32, "patch": 20, "kept": 1 << 14}
    return machine.model_copy(update={"render": machine.render_engine.model_copy(update=room)})


def reference() -> Float32:
    """Return the picture of the scene itself, shape (32, 32, 3), before white."""
    seen = cast(scene(_SCENE), unseen_cameras(_SIDE)[0])
    return seen[..., :3] * seen[..., 3:] + 1 - seen[..., 3:]


def shipped_subject(name: str) -> Subject:
    """Return one of :data:`FIELDS` from a pose that it was not fitted to."""
    return Subject(FIELDS[name], shipped_field(name), unseen_cameras(_SIDE)[0], Settings(), reference())


def scene_subjects(path: Path) -> dict[str, Subject]:
    """Return the fields of a scene file, the tuned ones behind the first, by the stems of their files.

    The scene's camera and picture are made smaller.

    Raises
    ------
    InputError
        The file, or what it names, is missing or wrong.
    """
    found = load_scene(path)
    height = max(1, round(_SIDE * found.camera.height / found.camera.width))
    camera = found.camera.resized(_SIDE, height)
    wanted = _reduced(found.reference, camera)
    settings = dataclasses.replace(found.settings, exact=True)
    names = [str(found.described["field"]), *map(str, found.described["tuned"])]  # type: ignore[call-overload]
    return {
        Path(name).stem: Subject(_title(field), field, camera, settings, wanted)
        for name, field in zip(names, (found.field, *found.tuned), strict=True)
    }


def _title(field: Field) -> str:
    pattern = field.shader.layers[0].pattern
    return f"{field.shading.replace('-', ' ')}, {pattern_name(pattern)}"


def _reduced(picture: Float32, camera: Camera) -> Float32:
    """Return means over the pixels of a smaller camera, also where these share what they cover."""
    size = camera.width, camera.height
    channels = [
        np.asarray(Image.fromarray(part).resize(size, Image.Resampling.BOX)) for part in picture.transpose(2, 0, 1)
    ]
    return np.stack(channels, axis=-1)


def plan_picture(subject: Subject, architecture: Architecture) -> Plan:
    """Compile a picture, and render it by golden."""
    program = compile_picture(subject.field, subject.camera, subject.settings, architecture)
    image = image_of(program)
    run(holding(program, image), architecture)
    return Plan(subject, program, image)


def run_in_verilator(program: Program, architecture: Architecture, behaviour: Behaviour) -> Executed:
    """Run a Program on the Verilated machine, in a process of its own."""
    (found,) = run_jobs(architecture, [program_job(program, behaviour)])
    return executed(program, found)


def render_rtl(
    architecture: Architecture,
    plans: Mapping[str, Plan],
    *,
    execute: RunPicture = run_in_verilator,
    workers: int = 1,
) -> Iterator[tuple[RtlPicture, Float32]]:
    """Render pictures in RTL behind both memories, so many at a time and the shortest first; yield what is through.

    Parameters
    ----------
    plans : by the names that they get in what is yielded.
    execute : what runs the machine.
    """
    jobs = [
        (simulated_cycles(plan.program, architecture, Behaviour(memory)), name, Behaviour(memory))
        for name, plan in plans.items()
        for memory in HDL_MEMORIES
    ]
    with ThreadPoolExecutor(workers) as pool:
        runs: dict[Future[tuple[Executed, float]], tuple[tuple[int, ...], str, Behaviour]] = {}
        for simulated, name, behaviour in sorted(jobs, key=lambda job: sum(job[0])):
            future = pool.submit(_timed, execute, plans[name].program, architecture, behaviour)
            runs[future] = simulated, name, behaviour
        for future in as_completed(runs):
            found, seconds = future.result()
            simulated, name, behaviour = runs[future]
            program = plans[name].program
            picture = host.read(holding(program, found.image), PICTURE)
            item = RtlPicture(
                field=name,
                title=plans[name].subject.title,
                memory=behaviour.memory,
                mismatches=int(np.count_nonzero(found.image != plans[name].image)),
                rtl_cycles=sum(found.stage_cycles),
                sim_cycles=sum(simulated),
                late=late_stages(program, found.stage_cycles, simulated),
                faults=found.faults,
                psnr_db=psnr_db(np.nan_to_num(picture), plans[name].subject.wanted),
                seconds=seconds,
            )
            yield item, picture


def _timed(
    execute: RunPicture, program: Program, architecture: Architecture, behaviour: Behaviour
) -> tuple[Executed, float]:
    start = time.monotonic()
    return execute(program, architecture, behaviour), time.monotonic() - start


def render_into(out: Path, subjects: Mapping[str, Subject], *, execute: RunPicture | None = None) -> list[RtlPicture]:
    """Render behind both memories, a printed line per picture; write pictures, a figure and ``result.json``.

    Parameters
    ----------
    subjects : by name.
    execute : what runs the machine, Verilator by default.

    Raises
    ------
    InputError
        The machine has no room for a picture.
    """
    console, start, machine = Printer(highlight=False, markup=False), time.monotonic(), picture_machine()
    plans = {name: plan_picture(subject, machine) for name, subject in subjects.items()}
    if execute is None:
        build_bench(machine)
        console.print(f"the machine is built, {time.monotonic() - start:.0f} s")
    out.mkdir(parents=True, exist_ok=True)
    found: dict[tuple[str, str], RtlPicture] = {}
    pictures: dict[str, Float32] = {}
    workers = os.cpu_count() or 1
    for item, picture in render_rtl(machine, plans, execute=execute or run_in_verilator, workers=workers):
        found[item.field, item.memory] = item
        pictures.setdefault(item.field, picture)
        write_png(out / f"{item.field}-{item.memory}.png", picture)
        faults = "".join(f"; {fault}" for fault in item.faults)
        console.print(
            f"{item.title}, {item.memory}  {item.mismatches} bytes differ from golden  {item.rtl_cycles:,} "
            f"cycles in RTL, {item.sim_cycles:,} in the simulator  {item.psnr_db:.2f} dB  {item.seconds:.0f} s{faults}",
            soft_wrap=True,
        )
    items = [found[name, memory] for name in subjects for memory in HDL_MEMORIES]
    records = [dataclasses.asdict(item) for item in items]
    write_json(out / "result.json", {"schema": "gossamer.render-rtl/1", "pictures": records, "versions": versions()})
    shown = {
        f"{item.title}\n{item.rtl_cycles:,} cycles": pictures[item.field] for item in items if item.memory == "ideal"
    }
    save_figure(pictures_figure(shown), out / _FIGURE)
    return items


@command
def main(
    arguments: Sequence[str] = (), out: Path = Path("out") / "render-rtl", *, execute: RunPicture | None = None
) -> int:
    """Render in RTL and say what differs; return 1 if anything does.

    Parameters
    ----------
    arguments : names of fields, scene files; none: all of :data:`FIELDS`.
    execute : what runs the machine, Verilator by default.
    """
    parser = Parser(prog="make render-rtl FIELDS=...", description="render trained fields in RTL")
    known = ", ".join(FIELDS)
    parser.add_argument(
        "fields", nargs="*", metavar="FIELD", help=f"one of {known}, or a scene file; default: the former"
    )
    names, start = read_arguments(parser, arguments).fields or list(FIELDS), time.monotonic()
    subjects: dict[str, Subject] = {}
    for name in names:
        if name in FIELDS:
            subjects[name] = shipped_subject(name)
        elif Path(name).suffix in _SCENE_FILES:
            subjects |= scene_subjects(Path(name))
        else:
            raise InputError(f"no field {name!r:.80}{did_you_mean(name, FIELDS)}", f"one of {known}, or a scene file")
    passed = all(item.passed for item in render_into(out, subjects, execute=execute))
    verdict = "every byte and every cycle agree" if passed else "RTL differs from golden or from the simulator"
    Printer(highlight=False, markup=False).print(
        f"{verdict}; {out / _FIGURE}.png; {time.monotonic() - start:.0f} s", soft_wrap=True
    )
    return PASSED if passed else FAILED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
