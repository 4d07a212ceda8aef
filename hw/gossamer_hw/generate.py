"""Verilog and its companions for an architecture."""

import re
from collections.abc import Mapping
from pathlib import Path

from gossamer_hw.gemm.machine import GemmMachine
from gossamer_hw.verilog import emit_verilog
from gossamer_models.architecture import Architecture
from gossamer_models.isa.reference import isa_header, isa_reference

__all__ = ["TOP_MODULE", "generate", "machine_verilog", "tidied", "write_machine"]

TOP_MODULE = "gossamer"
# The writer declares values of no width, which nothing uses; Verilog would give them two bits.
_NO_WIDTH = re.compile(r"^  wire \[-1:0\] \S+ ;\n", re.MULTILINE)
_CLEARING = re.compile(r"^  initial begin\n(?:    \S+\[\d+\] = \d+'h0+;\n)+  end\n", re.MULTILINE)


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
    return tidied(emit_verilog(GemmMachine(architecture), name=TOP_MODULE, pragmas=pragmas))


def tidied(text: str) -> str:
    """Take out of emitted Verilog what only makes it longer: cleared memories, values of no width."""
    return _NO_WIDTH.sub("", _CLEARING.sub("", text))


def write_machine(verilog: str, directory: Path) -> tuple[Path, ...]:
    """Write a machine's text and its companions.

    Parameters
    ----------
    verilog
        What :func:`machine_verilog` returned.
    directory
        Where to; made if it does not exist.

    Returns
    -------
    tuple of Path
        ``gossamer.v``, ``isa.md`` and ``gossamer.h``.
    """
    texts = {f"{TOP_MODULE}.v": verilog, "isa.md": isa_reference(), f"{TOP_MODULE}.h": isa_header()}
    directory.mkdir(parents=True, exist_ok=True)
    files = []
    for name, text in texts.items():
        (directory / name).write_text(text)
        files.append(directory / name)
    return tuple(files)


def generate(architecture: Architecture, directory: Path) -> tuple[Path, ...]:
    """Write the machine of an architecture; see :func:`machine_verilog` and :func:`write_machine`."""
    return write_machine(machine_verilog(architecture), directory)
