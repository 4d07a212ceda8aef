"""The simulator's shortcuts against the long way."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from gossamer.bench_record import Measurement, MissingToolError

__all__ = ["shortcuts"]

_WORKLOADS: Final = 200
_LONG_WAY: Final = "tests.system.long_way"


def shortcuts(workloads: int = _WORKLOADS) -> Iterator[Measurement]:
    """Simulate random workloads with what is remembered and periodic left out, and with every iteration walked.

    Parameters
    ----------
    workloads : random networks, images, batches, methods, machines and memories.

    Raises
    ------
    MissingToolError
        The tests, which make the workloads, are not in the folder.
    RuntimeError
        They fail.
    """
    command = [sys.executable, "-m", _LONG_WAY, str(workloads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if f"named '{_LONG_WAY.partition('.')[0]}" in done.stderr:
        raise MissingToolError("no folder tests here")
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}: {done.stderr.strip()[-200:]}")
    found = json.loads(done.stdout)
    different = found["different"]
    verdict = f"{len(different)} stages differ, first {different[0]}" if different else "equal in every stage"
    yield Measurement(
        "memoised and periodic shortcuts against every iteration walked: cycles, ledger, bytes and counted actions",
        f"{verdict}: {found['workloads']} workloads, {found['stages']:,} stages, {found['cycles']:,} cycles; "
        f"{found['iterations']:,} iterations left out",
        "equal to the cycle, 200 workloads",
        "make bench PARTS=shortcuts",
    )
