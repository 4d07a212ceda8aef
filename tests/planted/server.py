"""Runs pytest again and again, each time in a fork of a process that has imported nothing of the project.

Reads from its standard input, line by line, a JSON list of pytest's arguments; answers with pytest's exit code, or with
a signal's negative number. What the tests print goes to the file ``output`` of the working directory.
"""

import json
import os
import signal
import sys
from importlib import import_module

# What most tests load.
_IMPORTED = (
    "pytest", "_pytest.junitxml", "hypothesis.strategies", "hypothesis.internal.conjecture.engine", "xdist.plugin",
    "numpy.random", "pydantic", "yaml", "amaranth.back.verilog", "amaranth.hdl", "amaranth.lib.wiring",
    "amaranth.sim.pysim",
)  # fmt: skip


def _serve(limit_seconds: int) -> None:
    for name in _IMPORTED:
        import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line), limit_seconds)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


def _run(arguments: list[str], limit_seconds: int) -> None:
    import pytest

    signal.alarm(limit_seconds)
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    code = pytest.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
