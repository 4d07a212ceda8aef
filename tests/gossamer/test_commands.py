"""How commands end: whatever ends them is an exit code and at most one line, and what a tool said that failed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gossamer import bench, bench_fpga, demo, pictures, render_rtl, sat, scenes, train_rtl
from gossamer.bench_record import Measurement
from gossamer.commands import Parser, command, read_arguments
from gossamer_models.errors import GossamerError, InputError, ToolError


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("is wrong", source="a.yaml"), 2, "gossamer: a.yaml: is wrong\n"),
        (GossamerError("differs"), 1, "gossamer: differs\n"),
        (ToolError("building top failed:\nerror: x"), 1, "gossamer: building top failed:\nerror: x\n"),
        (MemoryError("24 GiB"), 2, "gossamer: what was asked for does not fit this machine's memory: 24 GiB\n"),
        (KeyboardInterrupt(), 130, "gossamer: interrupted\n"),
    ],
)
def test_what_ends_a_command_is_one_line(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    @command
    def ends(what: BaseException) -> int:
        raise what

    assert ends(error) == code
    assert capsys.readouterr() == ("", line)


def test_a_command_returns_its_own_code() -> None:
    assert command(lambda: 1)() == 1


@pytest.mark.parametrize("argument", ["\udcff", "a\ud800"])
def test_arguments_are_text(argument: str) -> None:
    parser = Parser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--out", type=Path)
    for given in (["good", argument], ["--out", argument]):
        with pytest.raises(InputError, match="is no UTF-8"):
            read_arguments(parser, given)


@pytest.mark.parametrize(
    ("module", "broken"),
    [
        (bench, "_PARTS"),
        (demo, "api.simulate"),
        (pictures, "api.simulate"),
        (render_rtl, "shipped_subject"),
        (sat, "study"),
        (scenes, "find_spec"),
        (train_rtl, "architecture_in_rtl"),
        (bench_fpga, "_measure"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_command_ends_so(
    module: object,
    broken: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object, **__: object) -> list[Measurement]:
        raise OSError(28, "No space left on device")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["command"])
    name = module.__name__  # type: ignore[attr-defined]
    monkeypatch.setattr(f"{name}.{broken}", {"one": full} if broken.isupper() else full)
    main: Callable[[], int] = module.main  # type: ignore[attr-defined]
    assert main() == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1] == "gossamer: the system gave up: [Errno 28] No space left on device"
