"""A scene on a machine: what its picture costs by both pipelines, and by each of RT-NeRF's ideas alone."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final

from gossamer.notes import Note
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.grouping import DENSE
from gossamer_models.render.field import Field, Shader, Shading
from gossamer_models.render.frame import Frame, count_frame
from gossamer_models.render.matrix_file import pattern_name
from gossamer_models.render.patches import PatchMap
from gossamer_models.render.renderer import Colouring, Picture
from gossamer_models.render.scene import Scene
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.shade import ShadeTiming
from gossamer_reports.area import area_model
from gossamer_reports.quality import psnr_db, ssim
from gossamer_reports.render_cost import ASSUMED, LEFT_OUT, render_cost
from gossamer_reports.result import Result
from gossamer_sim.render import simulate_frame
from gossamer_sim.render_jobs import sweep_jobs, uniform_jobs

__all__ = ["Frames", "Variant", "ablation", "check_fit", "count_frames", "simulate_variant", "with_costs"]

_SPARSE: Final = Pattern(2, 8)


@dataclass(frozen=True, slots=True)
class Variant:
    """Which ideas a run has.

    Members
    -------
    sweep : cubes front to back, else uniform samples
    termination : rays end early
    encoded : factors are encoded, else plain fp16
    sparse : basis and network are N:M, as the field has them or else pruned to 2:8
    deferred : one colour per pixel
    """

    sweep: bool = False
    termination: bool = False
    encoded: bool = False
    sparse: bool = False
    deferred: bool = False

    def colouring(self, scene: Scene) -> Colouring:
        """Return shader and shading of a scene in this run: what was fitted so if anything was, or else the field's."""
        shading: Shading = "deferred" if self.deferred else "per-sample"
        for field in (scene.field, *scene.tuned):
            if field.shading == shading and is_dense(field.shader) != self.sparse:
                return field.shader, shading
        shader = scene.field.shader
        if not self.sparse or is_dense(shader):
            # Zeros of an N:M network that is run dense are entries like other weights.
            shader = shader.pruned(_SPARSE if self.sparse else DENSE)
        return shader, shading


_ALL = Variant(sweep=True, termination=True, encoded=True, sparse=True)


def is_dense(shader: Shader) -> bool:
    """Return whether neither basis nor network is N:M."""
    return all(pattern.is_dense for pattern in shader.patterns)


def own_variant(field: Field) -> Variant:
    """Return the run of the sweep with every idea, network and shading as the field has them."""
    return dataclasses.replace(_ALL, sparse=not is_dense(field.shader), deferred=field.shading == "deferred")


def ablation(scene: Scene) -> dict[str, Variant]:
    """Return the runs of the ablation: without any idea, with each one alone, and with all of them."""
    shader, _ = _ALL.colouring(scene)
    patterns = sorted({pattern_name(pattern) for pattern in shader.patterns} - {"dense"})
    return {
        "none": Variant(),
        "geometry sweep": Variant(sweep=True),
        "early termination": Variant(termination=True),
        "hybrid encoding": Variant(encoded=True),
        f"{' and '.join(patterns)} network": Variant(sparse=True),
        "deferred shading": Variant(deferred=True),
        "all, per sample, dense": dataclasses.replace(_ALL, sparse=False),
        "all, per sample": _ALL,
        "all, deferred, dense": dataclasses.replace(_ALL, sparse=False, deferred=True),
        "all, deferred": dataclasses.replace(_ALL, deferred=True),
    }


def other_colourings(scene: Scene) -> list[Colouring]:
    """Return networks and shadings of `ablation` that are not the field's own, in the order of `_kinds`."""
    return [variant.colouring(scene) for variant in _kinds(scene.field)[1:]]


def _kinds(field: Field) -> list[Variant]:
    """Return runs of every network and shading, the field's own first."""
    own = own_variant(field)
    return sorted(
        (dataclasses.replace(_ALL, sparse=sparse, deferred=late) for sparse in (False, True) for late in (False, True)),
        key=lambda variant: variant != own,
    )


def _qualities(scene: Scene, picture: Picture) -> dict[tuple[bool, bool], Result]:
    """Return how near all networks and shadings come to the reference, with rays ended as the scene has it."""
    found = {}
    for variant, image in zip(_kinds(scene.field), (picture.image, *picture.variants), strict=True):
        found[variant.sparse, variant.deferred] = {
            "psnr_db": psnr_db(image, scene.reference),
            "ssim": ssim(image, scene.reference),
            "fitted": scene.is_fitted(*variant.colouring(scene)),
        }
    return found


def simulate_variant(scene: Scene, machine: Architecture, frame: Frame, variant: Variant) -> dict[str, Any]:
    """Return what a picture costs on a machine.

    Parameters
    ----------
    frame : counted with or without termination, as the variant has it
    """
    jobs = sweep_jobs if variant.sweep else uniform_jobs
    shade = ShadeTiming(machine, variant.colouring(scene)[0])
    run = simulate_frame(
        jobs(frame, machine.render_engine, encoded=variant.encoded),
        machine,
        shade,
        (frame.density_components, frame.appearance_components),
        frame.line_bytes,
        deferred=variant.deferred,
        fits=variant.sweep and variant.encoded,  # what the machine does not have is not held against it
    )
    uniform = frame.total("uniform")
    scanned, tests = (frame.total("scanned"), frame.total("tests")) if variant.sweep else (0, uniform)
    samples = frame.total("samples") if variant.sweep else frame.total("kept")
    cost = render_cost(
        machine, run, frame, shade, scanned=scanned, tests=tests, samples=samples, encoded=variant.encoded
    )
    return {"occupancy_accesses": frame.swept if variant.sweep else uniform, "samples": samples, **cost}


@dataclass(frozen=True, slots=True)
class Frames:
    """Counts of one picture: as the scene has it, and without early termination."""

    ended: Frame
    whole: Frame


def check_fit(scene: Scene, machine: Architecture) -> None:
    """Refuse a scene that the machine cannot render, whatever its picture is, before anything is computed.

    Raises
    ------
    DoesNotFitError
        Features, weights, batches or lines are larger than what holds them.
    InputError
        The machine's memory is none that pictures are timed with.
    """
    held = machine.render_engine.features
    for field in (scene.field, *scene.tuned):
        features = field.shader.features
        if features > held:
            what = f"field {field.name!r} does not fit the render engine of {machine.name}"
            raise DoesNotFitError(what, features, held, "sums per pixel", "raise render.features")
    lines = PatchMap(scene.field).line_bytes
    components = scene.field.density.components, scene.field.appearance.components
    for shader, shading in (own_variant(scene.field).colouring(scene), *other_colourings(scene)):
        shade = ShadeTiming(machine, shader)
        simulate_frame((), machine, shade, components, lines, deferred=shading == "deferred")


def count_frames(scene: Scene, machine: Architecture, note: Note) -> Frames:
    """Count what a scene's picture takes.

    Raises
    ------
    DoesNotFitError
        Patches of a cube are larger than what the machine has for them.
    """

    def count(name: str, termination: float | None) -> Frame:
        settings = dataclasses.replace(scene.settings, termination=termination)
        return count_frame(
            scene.field, scene.camera, settings, machine.render_engine, lambda done, total: note(name, done / total)
        )

    ended = count("counting", scene.settings.termination)
    whole = ended if scene.settings.termination is None else count("counting without early termination", None)
    return Frames(ended, whole)


def with_costs(
    result: Result, scene: Scene, machine: Architecture, frames: Frames, picture: Picture, note: Note
) -> Result:
    """Return a rendered scene's result with the costs of both pipelines, the ablation and the machine's area.

    Parameters
    ----------
    picture : with the variants of `other_colourings`
    """
    note("simulating")
    ours = own_variant(scene.field)
    theirs = dataclasses.replace(ours, sweep=False)
    area, qualities = area_model(machine), _qualities(scene, picture)
    runs = {
        name: qualities[variant.sparse, variant.deferred]
        | simulate_variant(scene, machine, frames.ended if variant.termination else frames.whole, variant)
        for name, variant in ablation(scene).items()
    }
    return result | {
        **simulate_variant(scene, machine, frames.ended, ours),
        "architecture": machine.name,
        "clock_hz": machine.clock_hz,
        "memory_bytes": sum(machine.on_chip_bytes().values()),
        "area": None if area is None else area.as_dict(),
        "energy_assumptions": [*ASSUMED, *(f"left out: {part}" for part in LEFT_OUT)],
        "baseline": result["baseline"] | simulate_variant(scene, machine, frames.ended, theirs),
        "without_termination": simulate_variant(scene, machine, frames.whole, ours)
        | {"baseline": simulate_variant(scene, machine, frames.whole, theirs)},
        "ablation": runs,
    }
