"""Verilator builds, cached by the content that they depend on."""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from gossamer_hw.cosim.child import MAKE_FLAGS, call
from gossamer_models.errors import ToolError

__all__ = ["Build", "BuildError", "build", "cache_directory"]

# `--public-flat-rw`, which cocotb always asks for, costs a factor of 3.5 in speed; a control file opens the ports only.
_ARGUMENTS = ("-O3", "--x-assign", "fast", "--x-initial", "fast", "--no-public-flat-rw", "-Wno-fatal")
# Modules that occur many times stay modules, whose functions are compiled once each where they are alike. What
# Verilator would simplify across their borders is unlike in every one of them.
_REPEATS = ("--inline-mult", "1", "-fno-dfg", "-fno-gate")
_DAY_SECONDS = 86400
_RUNTIME = tuple(f"verilated{part}.o" for part in ("", "_dpi", "_vpi", "_threads"))
_TOOLS = ("g++", "make", "perl")


class BuildError(ToolError):
    """Verilator or the C++ compiler failed; the message ends with what it said."""


@dataclass(frozen=True, slots=True)
class Build:
    """An executable simulation of the module ``top``, in ``directory``."""

    directory: Path
    top: str


def cache_directory() -> Path:
    """Return where builds are kept: ``GOSSAMER_CACHE``, by default ``~/.cache/gossamer``."""
    return Path(os.environ.get("GOSSAMER_CACHE") or Path.home() / ".cache" / "gossamer").absolute()


def build(
    verilog: str, *, top: str, arguments: Sequence[str] = (), variables: Sequence[str] = (), repeats: bool = False
) -> Build:
    """Verilate `verilog`, or find the build of the same content in the cache.

    Parameters
    ----------
    verilog
        Source text.
    top
        Module to simulate; its ports are what a bench can see.
    arguments
        Further arguments for Verilator.
    variables
        For the makefile, such as ``OPT_FAST=-O1``; Verilator's own sources do not depend on them.
    repeats
        Whether to compile what modules that occur many times share once, instead of every time.

    Raises
    ------
    ValueError
        `verilog` has no module `top`.
    BuildError
        The build failed, or there is nothing to build with.
    """
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        raise BuildError(f"a simulation of the hardware needs {', '.join(missing)}, which this machine lacks")
    control = _control_file(verilog, top)
    optimizations = _REPEATS if repeats else ()
    key = _key(verilog, control, top, *_ARGUMENTS, *arguments, *optimizations, *variables)
    directory = cache_directory() / "verilator" / key
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory / "lock"):
        if not (directory / "done").exists():
            (directory / f"{top}.v").write_text(verilog)
            (directory / "ports.vlt").write_text(control)
            runtime = cache_directory() / "verilator" / f"runtime-{_key(*_ARGUMENTS, *arguments)}"
            _copy_objects(runtime, directory / "model")
            _verilate(directory, top, (*arguments, *optimizations), variables)
            _copy_objects(directory / "model", runtime)
            (directory / "done").touch()
    return Build(directory, top)


def _copy_objects(source: Path, target: Path) -> None:
    """Copy what Verilator's own sources were compiled to, which is the same in all models, where it lacks."""
    target.mkdir(parents=True, exist_ok=True)
    for name in _RUNTIME:
        if (source / name).exists() and not (target / name).exists():
            # Whole or not at all, whoever else copies; and younger than the makefile that is to be written.
            with tempfile.NamedTemporaryFile(dir=target, delete=False) as file:
                file.write((source / name).read_bytes())
            later = time.time() + _DAY_SECONDS
            os.utime(file.name, (later, later))
            Path(file.name).replace(target / name)


def _verilate(directory: Path, top: str, arguments: Sequence[str], variables: Sequence[str]) -> None:
    log = directory / "build.log"
    options = {
        "sources": [str(directory / "ports.vlt"), str(directory / f"{top}.v")],
        "hdl_toplevel": top,
        "build_dir": str(directory / "model"),
        "build_args": [*_ARGUMENTS, *arguments],
        "timescale": ["1ns", "1ps"],
    }
    if not call("build", options, log=log, environment={"MAKEFLAGS": " ".join([MAKE_FLAGS, *variables])}):
        raise BuildError(f"building {top} failed, see {log}:\n{log.read_text()[-2000:]}")


def _control_file(verilog: str, top: str) -> str:
    header = re.search(rf"^module {re.escape(top)}\((.*?)\);", verilog, re.MULTILINE | re.DOTALL)
    if header is None:
        raise ValueError(f"`top` must be a module of the source, not {top!r}")
    ports = [port.strip() for port in header[1].split(",")]
    return "\n".join(["`verilator_config", *(f'public_flat_rw -module "{top}" -var "{port}"' for port in ports), ""])


def _key(*parts: str) -> str:
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=False).stdout
    tools = [f"{name} {version(name)}" for name in ("verilator", "cocotb")]
    import cocotb_tools.config

    digest = hashlib.sha256()
    for part in (*parts, *tools, compiler, str(cocotb_tools.config.libs_dir)):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:24]


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
