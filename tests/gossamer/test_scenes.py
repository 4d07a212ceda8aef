"""The trainer's command: bad input is one line, and nothing is written."""

from pathlib import Path
from typing import Any

import pytest

import gossamer.scenes
from gossamer.scenes import main
from gossamer_models.errors import InputError
from gossamer_models.render.matrix_file import pattern_name


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
        (("solid", "--views", "1", "--size", "4", "--network", "2:7"), "must divide"),
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
    assert "enough" in refusal(capsys, "solid", *options)
    assert asked == [(shading, each) for shading in ("per-sample", "deferred") for each in ("2:8", "2:4", "dense")]
