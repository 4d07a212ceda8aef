"""``gossamer generate``: what has no Verilog, and files that cannot be written."""

from pathlib import Path

import pytest
import yaml

from gossamer_models.loading import resolve
from tests.gossamer.commands import TINY, refusal, write


def test_output_file_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "gossamer_prune.v").mkdir()
    line = refusal(capsys, "generate", "--unit", "prune", "--out", str(tmp_path))
    assert "cannot be written: Is a directory" in line


def test_ports_without_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, "narrow.yaml", TINY.replace("port_bits: 128", "port_bits: 64"))
    line = refusal(capsys, "generate", source, "--out", str(tmp_path / "out"))
    assert (
        "'mine' exists on the simulator only: memory.port_bits is 64; expected memory.port_bits: 128 or 256 or 512"
        in line
    )
    assert not (tmp_path / "out").exists()


def test_render_engines_of_several_lanes_have_no_verilog(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "generate", "rtnerf-edge", "--out", str(tmp_path))
    assert "'rtnerf-edge' exists on the simulator only" in line
    assert "render is an engine of several lanes; expected" in line
    assert "render: an engine of one lane of each kind or none" in line


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "vector_out_bytes: 65536",
            "vector_out_bytes: 1",
            "vector_out_bytes is 1; expected buffers.vector_out_bytes: at",
        ),
        ("b_entries: 4096", "b_entries: 9999999", "b_entries is 9999999; expected buffers.b_entries: at most 2097152"),
        (
            "prune_entries: 16384",
            "prune_entries: 16777215",
            "prune_entries is 16777215; expected buffers.prune_entries:",
        ),
    ],
)
def test_buffers_without_rtl(old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert old in TINY
    source = write(tmp_path, "mine.yaml", TINY.replace(old, new))
    assert f"simulator only: buffers.{said}" in refusal(capsys, "generate", source, "--out", str(tmp_path / "out"))


def test_patches_without_rtl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = yaml.safe_load(resolve("render-8x8", kind="architectures").read_text())
    engine["render"] |= {"grid": 1024, "patch": 1024}
    source = write(tmp_path, "mine.yaml", yaml.safe_dump(engine))
    line = refusal(capsys, "generate", source, "--out", str(tmp_path / "out"))
    assert "simulator only: render.patch is 1024; expected render.patch: at most 128" in line
