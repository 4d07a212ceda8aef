"""Generated files: what tools and people need to find in them."""

import json
import re
from pathlib import Path

import pytest

from gossamer.cli import main
from gossamer_hw.array.array import ELEMENT_MODULE, LANE_MODULE
from gossamer_hw.gemm.engine import COLUMN_MODULE, ROW_MODULE
from gossamer_hw.generate import TOP_MODULE, generate
from gossamer_models.architecture import Architecture, load_architecture
from tests.hw.lint import lint
from tests.hw.warned import warned

# One worker, which writes the Verilog once for all.
pytestmark = pytest.mark.xdist_group("generate")


@pytest.fixture(scope="module")
def architecture() -> Architecture:
    return load_architecture("wide-4x4")


@pytest.fixture(scope="module")
def verilog(architecture: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(architecture, tmp_path_factory.mktemp("generated") / "new")[0]


@pytest.mark.slow
def test_files_are_the_same_each_time(verilog: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also by the command. No part is built for nothing, of which Amaranth would warn."""
    with warned() as messages:
        assert main(("generate", "wide-4x4", "--out", str(tmp_path))) == 0
    assert not messages
    printed = capsys.readouterr()
    assert printed.err == ""
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["schema"] == "gossamer.generate/2"
    assert result["architecture"]["name"] == "wide-4x4"
    assert result["files"] == ["gossamer.v", "isa.md", "registers.md", "gossamer.h"]
    assert {path.name for path in tmp_path.iterdir()} == {"result.json", *result["files"]}
    for name in result["files"]:
        text = (tmp_path / name).read_text()
        assert text == (verilog.parent / name).read_text()
        assert len(text) > 1000
        assert name in printed.out
    assert len((tmp_path / "gossamer.v").read_text()) == result["verilog_bytes"]
    assert "## GEMM" in (tmp_path / "isa.md").read_text()
    assert (tmp_path / "gossamer.h").read_text().count("#define") > 10


@pytest.mark.slow
def test_repeated_modules_are_written_once(verilog: Path) -> None:
    text = verilog.read_text()
    for module, count in ((TOP_MODULE, 0), (ELEMENT_MODULE, 16), (LANE_MODULE, 4), (ROW_MODULE, 4), (COLUMN_MODULE, 4)):
        assert len(re.findall(rf"^module {module}\(", text, re.MULTILINE)) == 1
        assert len(re.findall(rf"^  {module} ", text, re.MULTILINE)) == count


@pytest.mark.slow
def test_a_training_machine_has_nothing_that_renders(verilog: Path) -> None:
    text = verilog.read_text()
    assert not re.search("sweep|compositor|projector|interpolation|texel", text)


@pytest.mark.slow
def test_ports_have_names_that_vendor_tools_accept(verilog: Path) -> None:
    header = re.search(rf"^module {TOP_MODULE}\((.*?)\);", verilog.read_text(), re.MULTILINE | re.DOTALL)
    assert header
    ports = re.split(r"\s*,\s*", header[1])
    assert {"clk", "rst", "irq", "s_axil_awaddr", "s_axil_rdata", "m_axi_araddr", "m_axi_wstrb"} <= set(ports)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", port) for port in ports), ports


def test_several_memory_ports_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"`memory\.ports` must be 1, not 4"):
        generate(load_architecture("vcu1525-32x32"), tmp_path)


@pytest.mark.slow
def test_verilog_2001_without_lint(verilog: Path) -> None:
    assert not lint(verilog, TOP_MODULE)
