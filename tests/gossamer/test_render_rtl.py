"""Pictures in RTL with a machine that is played by golden and the simulator: what is compared, that errors show."""

import dataclasses
import json
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from gossamer.render_rtl import FIELDS, RtlPicture, main, reference, scene_subjects
from gossamer.rtl_runs import Executed
from gossamer_hw.cosim.program import Behaviour
from gossamer_models.architecture import Architecture
from gossamer_models.golden.executor import run
from gossamer_models.program import MemoryImage, Program
from gossamer_models.render.raycast import cast
from gossamer_models.render.scene import field_names, unseen_cameras
from gossamer_models.render.shapes import scene
from gossamer_models.render.views import Views, save_views
from gossamer_reports.quality import psnr_db
from gossamer_sim.executor import simulate

NAME = "glossy-32-deferred-2of8"
_IMAGES: dict[bytes, NDArray[np.uint8]] = {}
_LOCK = Lock()


def played(program: Program, architecture: Architecture, behaviour: Behaviour) -> Executed:
    """What a right machine does: from DRAM image to DRAM image."""
    held = program.memory
    assert held.data is not None
    # What golden makes of an image is the same behind every memory; one of the threads that run them works it out.
    with _LOCK:
        begin = held.data.tobytes()
        if begin not in _IMAGES:
            _IMAGES[begin] = held.data.copy()
            left = MemoryImage(held.tensors, held.size_bytes, _IMAGES[begin])
            run(dataclasses.replace(program, memory=left), architecture)
        image = _IMAGES[begin].copy()
    timing = simulate(program, architecture, memory=behaviour.memory, seed=behaviour.seed, periodic=False)
    return Executed(tuple(stage.cycles for stage in timing.stages), image)


def test_machine_that_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line per picture and memory; the pictures are of the scene."""
    assert main([NAME], tmp_path, execute=played) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "every byte and every cycle agree" in text
    items = json.loads((tmp_path / "result.json").read_text())["pictures"]
    assert [(item["field"], item["memory"]) for item in items] == [(NAME, "ideal"), (NAME, "scripted")]
    for item in items:
        assert item["rtl_cycles"] == item["sim_cycles"] > 100_000
        assert f"{FIELDS[NAME]}, {item['memory']} 0 bytes differ from golden {item['rtl_cycles']:,} cycles" in text
        assert item["psnr_db"] > 24
        with Image.open(tmp_path / f"{NAME}-{item['memory']}.png") as file:
            kept = np.asarray(file, np.float32) / np.float32(255)
        assert psnr_db(kept, reference()) == pytest.approx(item["psnr_db"], abs=0.1)
    assert items[0]["rtl_cycles"] != items[1]["rtl_cycles"]
    assert (tmp_path / "pictures.png").stat().st_size > 5000


@pytest.mark.slow
def test_wrong_bits_cycles_and_faults_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Behind one memory a wrong bit and a late stage, behind the other a run that ends early."""

    def wrong(program: Program, architecture: Architecture, behaviour: Behaviour) -> Executed:
        right = played(program, architecture, behaviour)
        if behaviour.memory == "scripted":
            return Executed(right.stage_cycles[:-1], right.image, ("ERROR: ILLEGAL in stage 11",))
        right.image[100] ^= 4
        return Executed((right.stage_cycles[0] + 1, *right.stage_cycles[1:]), right.image)

    assert main([NAME], tmp_path, execute=wrong) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "RTL differs from golden or from the simulator" in text
    assert "; ERROR: ILLEGAL in stage 11" in text
    ideal, scripted = json.loads((tmp_path / "result.json").read_text())["pictures"]
    assert (ideal["mismatches"], ideal["late"], ideal["faults"]) == (1, ["picture begin"], [])
    assert (scripted["mismatches"], len(scripted["late"]), len(scripted["faults"])) == (0, 1, 1)
    assert ideal["rtl_cycles"] == ideal["sim_cycles"] + 1


def test_one_difference_is_enough() -> None:
    right = RtlPicture(NAME, FIELDS[NAME], "ideal", 0, 9, 9, late=(), faults=(), psnr_db=25.0, seconds=1.0)
    assert right.passed
    for wrong in ({"mismatches": 1}, {"late": ("picture begin",)}, {"faults": ("the AXI port's checker complains",)}):
        assert not dataclasses.replace(right, **wrong).passed


def posed_scene(folder: Path, field: str = NAME) -> Path:
    """A scene file beside posed images of 64 x 64, and a field that is tuned to its factors."""
    cameras = unseen_cameras(64)[:1]
    images = np.stack([cast(scene("glossy"), camera) for camera in cameras])
    save_views(Views(images, np.stack([camera.pose for camera in cameras]), cameras[0].focal), folder / "views", "test")
    path = folder / "posed.yaml"
    path.write_text(f"field: {field}\ntuned: [{NAME}]\nreference: views\n", encoding="utf-8")
    return path


@pytest.mark.slow
def test_scene_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All fields of a scene, from its camera at 32 x 32, against its picture made as small."""
    found = scene_subjects(posed_scene(tmp_path, "glossy-32"))
    assert {name: subject.title for name, subject in found.items()} == {n: FIELDS[n] for n in ("glossy-32", NAME)}
    assert main([str(posed_scene(tmp_path))], tmp_path / "out", execute=played) == 0
    posed, scripted = json.loads((tmp_path / "out" / "result.json").read_text())["pictures"]
    assert (posed["field"], posed["title"], posed["memory"]) == (NAME, FIELDS[NAME], "ideal")
    assert scripted["rtl_cycles"] != posed["rtl_cycles"] == posed["sim_cycles"] > 100_000
    assert posed["psnr_db"] > 24
    capsys.readouterr()
    assert main([str(tmp_path / "none.yaml")], tmp_path / "out", execute=played) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert "none.yaml" in printed


def test_fields_are_shipped_and_others_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert set(FIELDS) <= set(field_names())
    assert main(["solid"]) == 2
    assert "no field 'solid'; expected one of glossy-32," in capsys.readouterr().err
