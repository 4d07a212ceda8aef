"""Units alone: their files, and what they say of themselves."""

import re
from functools import cache
from pathlib import Path

import pytest

from gossamer_hw.units.catalogue import UNITS, UnitText, unit_text
from gossamer_hw.units.render_units import RENDER_UNITS
from gossamer_models.architecture import Array
from gossamer_models.errors import InputError
from tests.hw.lint import lint
from tests.hw.warned import warned

ARRAY = Array(rows=4, columns=4)

# One worker, which writes each unit's Verilog once for all.
pytestmark = pytest.mark.xdist_group("units")


@cache
def text_of(name: str) -> tuple[UnitText, list[str]]:
    """A unit's files, and what Amaranth warned of."""
    with warned() as messages:
        text = unit_text(name, ARRAY, components=8)
    return text, messages


@pytest.mark.fast_one_in(2)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in RENDER_UNITS else n for n in UNITS])
def test_ports_and_description_agree(name: str) -> None:
    """And no part is built for nothing, of which Amaranth would warn."""
    text, said = text_of(name)
    assert not said
    header = re.search(rf"^module {text.module}\((.*?)\);", text.verilog, re.M | re.S)
    assert header is not None
    ports = set(header.group(1).replace(",", " ").split())
    streams = {f"{side}_axis_t{signal}" for side in "sm" for signal in ("data", "valid", "ready")}
    settings = set(re.findall(r"^\| (\w+) \|", text.description.partition("## Settings")[2], re.M)) - {"port"}
    assert ports == {"clk", "rst"} | streams | settings
    for port in ("s_axis_tdata", "m_axis_tdata"):
        width = re.search(rf"^  (?:input|output) (?:reg )?\[(\d+):0\] {port}\b", text.verilog, re.M)
        assert width is not None
        section = text.description.split(f"## {port}")[1].split("##")[0]
        highest = max(int(bits) for bits in re.findall(r"^\| (\d+)", section, re.M))
        assert highest <= int(width.group(1)) < highest + 8


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
def test_verilog_2001_without_lint(name: str, tmp_path: Path) -> None:
    """Constants that an ``always @*`` would give never come, of which Verilator warns, among others."""
    text, _ = text_of(name)
    source = tmp_path / f"{text.module}.v"
    source.write_text(text.verilog)
    assert not lint(source, text.module)


def test_no_such_unit() -> None:
    with pytest.raises(InputError, match="no unit 'sparse-encode', did you mean 'sparse-encoder'"):
        unit_text("sparse-encode", ARRAY)
