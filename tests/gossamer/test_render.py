"""``gossamer render``: files, exit codes, and a picture of the shipped field."""

import dataclasses
import io
import json
import os
import re
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from gossamer.cli import main
from gossamer_models.render.camera import look_at
from gossamer_models.render.field import Factors
from gossamer_models.render.field_file import save_field
from gossamer_models.render.renderer import render
from gossamer_models.render.scene import load_scene
from gossamer_models.render.views import Views, save_views
from gossamer_models.sparsity import Pattern
from gossamer_reports.quality import psnr_db
from gossamer_reports.render import print_render
from tests.models.render.fields import random_field


def scene(folder: Path, **changes: str) -> str:
    content = {"field": "solid", "reference": "solid", "size": "32", "view": "2"} | changes
    path = folder / "s.yaml"
    path.write_text("".join(f"{name}: {value}\n" for name, value in content.items()))
    return str(path)


def test_the_shipped_field_is_rendered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "orbit.gif").write_text("a turn around another scene of this name")
    assert main(["render", scene(tmp_path), "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    baseline = result["baseline"]
    assert result["psnr_db"] > 22
    assert result["psnr_db"] == pytest.approx(baseline["psnr_db"], abs=0.05)
    assert result["exact_colours"]
    assert result["largest_difference"] == 0
    assert baseline["encoding"] == result["encoding"]
    for name in ("samples", "shaded"):
        assert result["counts"][name] == baseline["counts"][name] > 0
    assert result["fetches"] == baseline["fetches"]
    whole = result["encoding"]["all"]
    assert whole["hybrid"] == min(whole[name] for name in ("dense", "bitmap", "coordinates", "threshold", "hybrid"))
    picture = np.asarray(Image.open(tmp_path / "out" / "image.png"))
    assert picture.shape == (32, 32, 3)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "image.png", "reference.png", "ablation.png", "ablation.svg", "result.json",
    }  # fmt: skip
    printed = capsys.readouterr().out
    assert "PSNR in dB" in printed
    assert "hybrid" in printed
    assert f"{whole['hybrid']:,}" in printed
    assert result["architecture"] == "rtnerf-edge"
    for part in (result, baseline, *result["ablation"].values()):
        assert part["fps"] * part["cycles"] == pytest.approx(1e9)
        assert sum(part["ledger"].values()) == part["cycles"]
        assert part["energy_joules"] == pytest.approx(part["power_watts"] * part["seconds"])
        assert part["energy_joules"] == pytest.approx(sum(part["energy_components"].values()))
        assert part["power_watts"] < 8
    assert result["area"]["square_millimetres"] < 18.9


def test_numbers_of_a_large_picture_are_printed_whole(tmp_path: Path) -> None:
    """What the benchmark's runs have, in 80 columns."""
    assert main(["render", scene(tmp_path, size="8"), "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    for run in result["ablation"].values():
        run |= {"occupancy_accesses": 305_510_185, "dram_bytes": 163_900_000, "energy_joules": 0.0984, "fps": 1415.2}
    result["ablation"]["none"] |= {"dram_bytes": 63_000, "energy_joules": 4.2e-5}
    result["field"]["name"] = "\x1b[2J\n\u00e9"
    for part in result["encoding"].values():
        part |= {"dense": 34_675_200} | dict.fromkeys(("bitmap", "coordinates", "threshold", "hybrid"), 6_480_734)
    stream = io.StringIO()
    print_render(result, Console(file=stream, width=80))
    assert "Field \\x1b[2J\\n\u00e9: per-sample" in stream.getvalue()
    for number in ("305,510", "163.9", "98.4", "34,675,200", "6,480,734", " 0.06 ", " 0.04 "):
        assert number in stream.getvalue()
    assert "\u2026" not in stream.getvalue()


def test_the_baseline_of_a_large_picture_is_counted_alone(tmp_path: Path) -> None:
    """More than 64 x 64 pixels: uniform sampling's counts are those that rendering it would give."""
    save_field(random_field(7, shift=-2.0), tmp_path / "a.field")
    path = scene(tmp_path, field="a.field", size="65", termination="0.7")
    assert main(["render", path, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["largest_difference"] is None
    loaded = load_scene(path)
    whole = render(loaded.field, loaded.camera, "uniform", loaded.settings, fetches=True)
    assert result["baseline"]["counts"] == dataclasses.asdict(whole.counts)
    assert whole.density is not None
    assert whole.appearance is not None
    assert result["baseline"]["fetches"] == {
        "density": dataclasses.asdict(whole.density),
        "appearance": dataclasses.asdict(whole.appearance),
    }
    ended, endless = (run["baseline"]["occupancy_accesses"] for run in (result, result["without_termination"]))
    assert endless > ended == whole.counts.occupancy_accesses
    assert result["without_termination"]["baseline"]["samples"] > result["baseline"]["samples"]


def test_what_a_field_is_and_its_variants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = random_field(1)
    save_field(
        dataclasses.replace(field, shader=field.shader.pruned(Pattern(2, 4)), shading="deferred"), tmp_path / "b.field"
    )
    save_field(field, tmp_path / "a.field")
    source = scene(tmp_path, field="b.field", unpruned="a.field", size="12")
    assert main(["render", source, "--out", str(tmp_path / "out"), "--orbit", "3"]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    own = {"shading": "deferred", "sparsity": ["2:4", "2:4", "2:4"]}
    assert result["field"].items() >= ({"fitted": True, "stored": own} | own).items()
    runs = result["ablation"]
    assert {name for name, run in runs.items() if run["fitted"]} == {
        "deferred shading", "all, deferred, dense", "all, deferred",
    }  # fmt: skip
    # Dense, the field's weights are the same, so are the pictures; what is shaded otherwise has another.
    assert runs["all, deferred"]["psnr_db"] == runs["all, deferred, dense"]["psnr_db"] == result["psnr_db"]
    assert runs["2:4 network"]["psnr_db"] == runs["all, per sample"]["psnr_db"] != result["psnr_db"]
    assert runs["all, deferred"]["cycles"] == result["cycles"]
    assert result["unpruned"]["picture_ssim"] < 1
    assert result["largest_difference"] == 0
    printed = capsys.readouterr().out
    assert "deferred shading, basis 2:4, network 2:4" in printed
    assert "not fine-tuned, it was fitted" not in printed
    with Image.open(tmp_path / "out" / "orbit.gif") as turn:
        assert turn.n_frames == 3  # type: ignore[attr-defined]
        first = np.asarray(turn.convert("RGB"), dtype=np.int64)
    assert np.abs(first - np.asarray(Image.open(tmp_path / "out" / "image.png"), dtype=np.int64)).max() < 32


def test_tuned_networks_are_rendered_in_their_runs(tmp_path: Path) -> None:
    """A network of the same factors that was fine-tuned 2:8, deferred, is that run's; the other runs are pruned."""
    field = random_field(1)
    layers = (*field.shader.layers[:-1], dataclasses.replace(field.shader.layers[-1], biases=np.ones(3, np.float32)))
    other = dataclasses.replace(field.shader, layers=layers).pruned(Pattern(2, 8))
    tuned = dataclasses.replace(field, shader=other, shading="deferred")
    save_field(field, tmp_path / "a.field")
    save_field(tuned, tmp_path / "b.field")
    source = scene(tmp_path, field="a.field", tuned="[b.field]", size="12")
    assert main(["render", source, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    runs = result["ablation"]
    assert {name for name, run in runs.items() if not run["fitted"]} == {
        "2:8 network", "all, per sample", "deferred shading", "all, deferred, dense",
    }  # fmt: skip
    loaded = load_scene(source)
    image = render(tuned, loaded.camera, "sweep", loaded.settings).image
    assert runs["all, deferred"]["psnr_db"] == psnr_db(image, loaded.reference)
    assert runs["all, per sample, dense"]["psnr_db"] == result["psnr_db"] != runs["all, deferred"]["psnr_db"]


def test_a_ready_scene_stands_beside_its_field_before_pruning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", "glossy-32", "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    unpruned = result["unpruned"]
    assert unpruned["picture_psnr_db"] > 30
    assert all(run["fitted"] for run in result["ablation"].values())
    printed = capsys.readouterr().out
    for row, number in (
        ("unpruned field, SSIM", f"{unpruned['ssim']:.4f}"),
        ("against it, SSIM", f"{unpruned['picture_ssim']:.4f}"),
    ):
        assert re.search(rf"{row} +{re.escape(number)}", printed)
    assert "fine-tuned" not in printed
    assert f"{result['ablation']['all, deferred']['fps']:,.0f}" in printed


def test_what_was_not_fitted_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = scene(tmp_path, size="8", shading="deferred", network='"2:8"')
    assert main(["render", source, "--out", str(tmp_path / "out")]) == 0
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert not result["field"]["fitted"]
    assert {name for name, run in result["ablation"].items() if run["fitted"]} == set()
    printed = capsys.readouterr().out
    assert "not fine-tuned, it was fitted per-sample shading, basis dense, network dense" in " ".join(printed.split())


def test_an_orbit_needs_two_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", scene(tmp_path), "--orbit", "1", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "gossamer: --orbit must lie between 2 and 720 pictures, not 1\n"


def test_an_architecture_without_a_render_engine_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", scene(tmp_path), "--arch", "wide-4x4", "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "wide-4x4 has no render engine" in printed.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--arch", "render-8x8"),
            "s.yaml: the render engine of render-8x8 must have one port to lpddr4",
        ),
        (("--orbit", "8"), "s.yaml: the camera's pose has a number beyond 1e+06"),
    ],
)
def test_what_is_known_before_is_refused_before(
    options: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An eighth of the turn leads the camera beyond where one may stand."""

    def computes(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("gossamer.render.count_frames", computes)
    save_field(random_field(1), tmp_path / "a.field")
    pose = look_at(np.array([9e5, 9e5, 5.0]), np.zeros(3))[None]
    save_views(Views(np.ones((1, 8, 8, 4), np.float32), pose, 10.0), tmp_path / "data", "test")
    source = tmp_path / "s.yaml"
    source.write_text("field: a.field\nreference: data\nstep: 64\n")
    assert main(["render", str(source), *options, "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_shaded_samples_must_fit_the_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = scene(tmp_path, size="8")
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 64 * 1700, "SC_PAGE_SIZE": 1}.__getitem__)
    assert main(["render", source, "--out", str(tmp_path / "out")]) == 2
    assert "s.yaml: a picture of 8 x 8 pixels takes" in capsys.readouterr().err


def test_a_run_of_the_ablation_says_that_it_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The basis' sums cancel, but not those of the two largest of eight."""
    field = random_field(1)
    steep = np.zeros_like(field.shader.basis)
    steep[:, :16] = np.tile([60000, 60000, *[-20000] * 6], 2)
    even = [np.ones_like(part) for part in field.appearance.arrays]
    factors = Factors((even[0], even[1], even[2]), (even[3], even[4], even[5]))
    shader = dataclasses.replace(field.shader, basis=steep)
    save_field(dataclasses.replace(field, appearance=factors, shader=shader), tmp_path / "a.field")
    assert main(["render", scene(tmp_path, field="a.field", size="8"), "--out", str(tmp_path / "out")]) == 2
    assert "with a 2:8 network, " in capsys.readouterr().err


def test_names_are_printed_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_field(dataclasses.replace(random_field(1), name="a [/b] [bold]"), tmp_path / "a.field")
    out = tmp_path / "o [/x] [bold]"
    assert main(["render", scene(tmp_path, field="a.field", size="8"), "--out", str(out)]) == 0
    printed = "".join(capsys.readouterr().out.split())
    assert "a[/b][bold]" in printed
    assert f"resultsin{''.join(str(out).split())}" in printed


@pytest.mark.slow
def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The orbit comes last, so that all else is there if it fails."""
    (tmp_path / "out" / "orbit.gif").mkdir(parents=True)
    source = scene(tmp_path, size="8")
    assert main(["render", source, "--orbit", "2", "--out", str(tmp_path / "out")]) == 2
    assert json.loads((tmp_path / "out" / "result.json").read_text())["psnr_db"] > 0
    (tmp_path / "out" / "result.json").unlink()
    (tmp_path / "out" / "result.json").mkdir()
    assert main(["render", source, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.count("cannot be written") == 2


def test_more_features_than_the_machine_sums_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (files("gossamer_models") / "architectures" / "rtnerf-edge.yaml").read_text()
    (tmp_path / "small.yaml").write_text(re.sub(r"^render:\n", "render:\n  features: 26\n", text, flags=re.M))
    options = ["--arch", str(tmp_path / "small.yaml"), "--out", str(tmp_path / "out")]
    assert main(["render", scene(tmp_path), *options]) == 2
    assert "needs 27 sums per pixel, has 26; remedy: raise render.features" in capsys.readouterr().err


def test_a_tuned_field_of_more_features_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    field = random_field(1)
    larger = dataclasses.replace(field, shader=random_field(1, features=60).shader)
    save_field(field, tmp_path / "a.field")
    save_field(larger, tmp_path / "b.field")
    assert main(["render", scene(tmp_path, field="a.field", tuned="[b.field]"), "--out", str(tmp_path / "out")]) == 2
    assert "s.yaml: field 'random' does not fit" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"field": "sold"}, "did you mean 'solid'"),
        ({"size": "0"}, "size: must be"),
        ({"field": "empty.field"}, "s.yaml: field 'random' has no occupied cube"),
        ({"field": "huge.field"}, "s.yaml: field 'random' gives pixels that are infinite or no numbers"),
    ],
)
def test_bad_input_is_one_line(
    changes: dict[str, str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    field = random_field(1)
    save_field(random_field(1, occupied=-1.0), tmp_path / "empty.field")
    huge = [np.full_like(part, 65504) for part in field.appearance.arrays]
    factors = Factors((huge[0], huge[1], huge[2]), (huge[3], huge[4], huge[5]))
    save_field(dataclasses.replace(field, appearance=factors), tmp_path / "huge.field")
    assert main(["render", scene(tmp_path, **changes), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
