"""The trainer's command: bad input is one line, and nothing is written."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gossamer.scenes
from gossamer.scenes import main
from gossamer_models.errors import InputError
from gossamer_models.render.camera import sphere_poses
from gossamer_models.render.matrix_file import pattern_name
from gossamer_models.render.views import Views, save_views
from tests.models.render.fields import random_field


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_without_torch(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gossamer.scenes, "find_spec", lambda _: None)
    assert "needs PyTorch; expected pip install" in refusal(capsys, "solid", "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("none",), "no such file"),
        (("solid", "--size", "0"), "1 to 8192 pixels per side, not 0x0"),
        (("solid", "--views", "0"), "number of views must be a positive integer, not 0"),
        (("solid", "--views", "1000000000"), "1000000000 pictures of 160x160 pixels take"),
        (("solid", "--views", "1", "--size", "4", "--box", "-1"), "--box must lie between 1e-06 and 1e+06, not -1"),
        (("solid", "--views", "1", "--size", "4", "--box", "inf"), "--box must lie between 1e-06 and 1e+06, not inf"),
        (("solid", "--side", "1024", "--components", "99", "1024"), "make planes of 14130610176 bytes in fp32"),
        (("solid", "--views", "1", "--size", "4", "--side", "2"), "--side must lie between 8 and 1024, not 2"),
        (("solid", "--views", "1", "--size", "4", "--effort", "0"), "--effort must lie between 0 and 100, not 0"),
        (("solid", "--views", "1", "--size", "4", "--network", "2-8"), 'of the form "N:M"'),
        (("solid", "--views", "1", "--size", "4", "--network", "2:7"), "--network: M of sparsity 2:7 must divide"),
        (("solid", "--network", "2:16"), "--network: M of sparsity 2:16 must divide the word"),
        (("solid", "--hidden", *["8"] * 17), "--hidden has 17 widths; expected at most 16"),
        (("solid", "--sparsity", "nan"), "sparsity must lie between 0 and 1, not nan"),
        (("solid", "solid"), "'solid' and 'solid' would be the same files"),
        (("solid", "none"), "none/transforms_train.json: no such file"),
        (("solid", "--views", "1", "--size", "4", "--network", "2:8", "2:8"), "every N:M once"),
        (("solid", "--views", "1", "--size", "4", "--network", "8:8"), "none that is dense"),
        (("solid", "--views", "1", "--size", "4", "--sparsity", "1"), "sparsity must lie between 0 and 1"),
    ],
)
def test_bad_input_is_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert message in refusal(capsys, *arguments, "--out", str(tmp_path / "out"))


def test_wrong_options_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["solid", "--side", "many"])
    assert caught.value.code == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith("gossamer: argument --side: ")
    assert "\\udcff' is no UTF-8" in refusal(capsys, "solid", "\udcff")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of fields that would be fitted."""
    pytest.importorskip("torch")
    names: list[str] = []

    def fit(views: Any, name: str, low: Any, high: Any, settings: Any, note: Any) -> Any:
        names.append(name)
        field = random_field(1)
        return SimpleNamespace(unpruned=field, pruned=field, tuned=())

    monkeypatch.setattr("gossamer.field_fit.fit", fit)
    monkeypatch.setattr("gossamer.scenes.cast_views", lambda *_: None)
    return names


def posed(folder: Path) -> Path:
    for split in ("train", "test"):
        save_views(Views(np.ones((2, 4, 4, 4), np.float32), sphere_poses(2, 4.0, 0, 1), 5.0), folder, split)
    return folder


def test_wrong_input_is_told_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    """Of the second source and of the pictures to judge by, too."""
    (posed(tmp_path / "a") / "transforms_test.json").write_text("{")
    long = posed(tmp_path / ("n" * 151))
    for source, message in (("none", "no such file"), (tmp_path / "a", "is no JSON"), (long, "at most 150 bytes")):
        assert message in refusal(capsys, "solid", str(source), "--out", str(tmp_path / "out"))
    assert not asked
    assert not (tmp_path / "out").exists()


def test_a_folder_s_own_name_is_the_field_s(tmp_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(posed(tmp_path / "own.v2"))
    assert main([".", "--out", "../out"]) == 0
    assert asked == ["own.v2"]
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"own.v2.field", "own.v2-unpruned.field", "own.v2.png", "own.v2-unpruned.png"}


def test_fields_are_kept_where_nothing_can_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: list[str]
) -> None:
    (posed(tmp_path / "own") / "test" / "r_1.png").unlink()
    assert "r_1.png: no such image" in refusal(capsys, str(tmp_path / "own"), "--out", str(tmp_path / "out"))
    assert asked == ["own"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"own.field", "own-unpruned.field"}


def test_every_network_is_tuned_in_both_shadings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The factors are tuned with the first one, which is the first that is asked for."""
    pytest.importorskip("torch")
    asked: list[tuple[str, str]] = []

    def fit(views: Any, name: str, low: Any, high: Any, settings: Any, note: Any) -> None:
        asked.extend((shading, pattern_name(pattern)) for shading, pattern in settings.networks)
        raise InputError("enough")

    monkeypatch.setattr("gossamer.field_fit.fit", fit)
    options = ("--views", "1", "--size", "4", "--network", "2:8", "2:4", "--both", "--out", str(tmp_path / "out"))
    assert refusal(capsys, "solid", *options) == "gossamer: solid: enough\n"
    assert asked == [(shading, each) for shading in ("per-sample", "deferred") for each in ("2:8", "2:4", "dense")]
