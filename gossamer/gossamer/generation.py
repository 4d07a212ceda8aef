"""Verilog of machines and of single units, with what people need to connect it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossamer.folders import make_directory, writing
from gossamer.notes import Note, silent
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import InputError, UnsupportedError
from gossamer_reports.result import Result, versions, write_json

if TYPE_CHECKING:
    from gossamer_hw.fpga.parts import Part, Use

__all__ = ["DEFAULT_ARCHITECTURE", "architecture_in_rtl", "generate", "generate_unit"]

DEFAULT_ARCHITECTURE: Final = "wide-4x4"
"""What products are verified on, and units taken from, unless something else is named."""


def architecture_in_rtl(source: str | Path) -> Architecture:
    """Load an architecture of which the whole machine exists in RTL.

    Raises
    ------
    InputError
        It is wrong, or exists on the simulator only.
    """
    machine = load_architecture(source)
    if gaps := machine.rtl_gaps:
        found = ", ".join(f"{gap.path} is {gap.found}" for gap in gaps)
        raise UnsupportedError(
            f"architecture {machine.name!r} exists on the simulator only: {found}", ", ".join(map(str, gaps))
        )
    return machine


def generate(source: str | Path, directory: Path, *, synthesis: str | None = None, note: Note = silent) -> Result:
    """Write the Verilog of an architecture, its instruction set and ``result.json``.

    Parameters
    ----------
    source : a ready architecture's name, or a file.
    synthesis : ``xilinx`` or ``ecp5`` to count resources as well.

    Raises
    ------
    InputError
        The architecture is wrong or does not exist in RTL, or the folder cannot be written.
    """
    from gossamer_hw.fpga.parts import machine_use
    from gossamer_hw.generate import TOP_MODULE, machine_verilog, write_machine

    machine = architecture_in_rtl(source)
    make_directory(directory)
    note(f"generating Verilog of {machine.name}")
    verilog = machine_verilog(machine)
    with writing(directory):
        files = write_machine(machine, verilog, directory)
    resources = None
    if synthesis:
        part = _part(synthesis)
        note(f"synthesising for {part.name}, engine by engine: minutes")
        resources = _resources(machine_use(verilog, part, top=TOP_MODULE), part)
    result = {
        "schema": "gossamer.generate/2",
        "architecture": machine.model_dump(mode="json"),
        "files": [file.name for file in files],
        "verilog_bytes": len(verilog),
        "resources": resources,
        "versions": versions(),
    }
    write_json(directory / "result.json", result)
    return result


def generate_unit(
    unit: str,
    directory: Path,
    *,
    architecture: str | None = None,
    components: int | None = None,
    synthesis: str | None = None,
    note: Note = silent,
) -> Result:
    """Write the Verilog of one unit, its description and ``result.json``.

    Parameters
    ----------
    unit : one of ``gossamer_hw.units.catalogue.UNITS``.
    architecture : whose array a unit of ``ARRAY_UNITS`` is for; by default `DEFAULT_ARCHITECTURE`'s.
    components : numbers of a row, for the units that have rows.
    synthesis : ``xilinx`` or ``ecp5`` to count resources as well.

    Raises
    ------
    InputError
        There is no such unit, a parameter is wrong, or the folder cannot be written.
    """
    from gossamer_hw.fpga.parts import Use
    from gossamer_hw.fpga.resources import synthesise
    from gossamer_hw.units.catalogue import ARRAY_UNITS, DEFAULT_COMPONENTS, ROW_UNITS, UNITS, unit_text

    machine = load_architecture(DEFAULT_ARCHITECTURE if architecture is None else architecture)
    if components is not None and unit in UNITS and unit not in ROW_UNITS:
        raise InputError(f"--components goes with {', '.join(ROW_UNITS)}, not with {unit}", "no --components here")
    if architecture is not None and unit in UNITS and unit not in ARRAY_UNITS:
        raise InputError(f"an architecture goes with {', '.join(ARRAY_UNITS)}, not with {unit}", "no architecture here")
    text = unit_text(unit, machine.array, components=DEFAULT_COMPONENTS if components is None else components)
    make_directory(directory)
    files = {f"{text.module}.v": text.verilog, f"{text.module}.md": text.description}
    with writing(directory):
        for name, content in files.items():
            (directory / name).write_text(content)
    resources = None
    if synthesis:
        part = _part(synthesis)
        note(f"synthesising for {part.name}")
        found = synthesise(text.verilog, top=text.module, family=part.family)
        resources = _resources({unit: Use(found.luts, found.flip_flops, found.dsps, found.block_rams)}, part)
    result = {
        "schema": "gossamer.generate-unit/1",
        "unit": unit,
        "files": list(files),
        "verilog_bytes": len(text.verilog),
        "resources": resources,
        "versions": versions(),
    }
    write_json(directory / "result.json", result)
    return result


def _part(synthesis: str) -> "Part":
    from gossamer_hw.fpga.parts import LFE5U_85F, VU9P

    return LFE5U_85F if synthesis == "ecp5" else VU9P


def _resources(uses: Mapping[str, "Use"], part: "Part") -> Result:
    """What parts of a design take, all of them, and the share of what the FPGA has."""
    from gossamer_hw.fpga.parts import Use, shares

    total = sum(uses.values(), start=Use())
    return {
        "family": part.family,
        "part": part.name,
        **dataclasses.asdict(total),
        "shares": shares(total, part),
        "engines": {name: dataclasses.asdict(use) for name, use in uses.items()},
    }
