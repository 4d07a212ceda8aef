"""``gossamer generate``: what has no Verilog, and files that cannot be written."""

from pathlib import Path

import pytest

from tests.gossamer.commands import TINY, refusal, write


def test_output_file_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gossamer_prune.v").mkdir()
    line = refusal(capsys, "generate", "--unit", "prune", "--out", str(tmp_path))
    assert "cannot be written: Is a directory" in line


def test_ports_without_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, "narrow.yaml", TINY.replace("port_bits: 128", "port_bits: 64"))
    line = refusal(capsys, "generate", source, "--out", str(tmp_path / "out"))
    assert "'mine' exists on the simulator only; expected memory.port_bits: 128 or 256 or 512" in line
    assert not (tmp_path / "out").exists()


def test_render_engines_of_several_lanes_have_no_verilog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "generate", "rtnerf-edge", "--out", str(tmp_path))
    assert "'rtnerf-edge' exists on the simulator only" in line
    assert "a render engine of one lane of each kind or none" in line
