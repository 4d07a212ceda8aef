"""Verilog and its companions for an architecture."""

from collections.abc import Mapping
from pathlib import Path

from gossamer_hw.machine import Machine
from gossamer_hw.verilog import emit_verilog, tidied
from gossamer_models.architecture import Architecture
from gossamer_models.isa.reference import isa_header, isa_reference
from gossamer_models.registers import register_header, register_reference

__all__ = ["TOP_MODULE", "generate", "machine_verilog", "write_machine"]

TOP_MODULE = "gossamer"


def machine_verilog(architecture: Architecture, *, pragmas: Mapping[str, str] | None = None) -> str:
    """Return Verilog-2001 of the machine, its top :data:`TOP_MODULE`.

    Buffers have no initial contents: no instruction may read what none has written, and a line for every word would be
    most of the text.

    Parameters
    ----------
    architecture
        What to build.
    pragmas
        See :func:`~gossamer_hw.verilog.emit_verilog`.

    Raises
    ------
    ValueError
        The machine cannot be built with these parameters.
    """
    return tidied(emit_verilog(Machine(architecture), name=TOP_MODULE, pragmas=pragmas))


def write_machine(architecture: Architecture, verilog: str, directory: Path) -> tuple[Path, ...]:
    """Write a machine's text and its companions.

    Parameters
    ----------
    architecture
        Of the machine.
    verilog
        What :func:`machine_verilog` returned.
    directory
        Where to; made if it does not exist.

    Returns
    -------
    tuple of Path
        ``gossamer.v``, ``isa.md``, ``registers.md``, and ``gossamer.h``: instructions, registers, what identifies the
        build.
    """
    texts = {
        f"{TOP_MODULE}.v": verilog,
        "isa.md": isa_reference(),
        "registers.md": register_reference(),
        f"{TOP_MODULE}.h": isa_header() + "\n" + register_header(architecture),
    }
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in texts.items():
        (directory / name).write_text(text)
        files.append(directory / name)
    return tuple(files)


def generate(architecture: Architecture, directory: Path) -> tuple[Path, ...]:
    """Write the machine of an architecture; see :func:`machine_verilog` and :func:`write_machine`."""
    return write_machine(architecture, machine_verilog(architecture), directory)
