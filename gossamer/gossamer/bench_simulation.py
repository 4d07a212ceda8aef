"""Time and memory of ``gossamer simulate``, and what it says of the ready networks."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gossamer.bench_record import Measurement

__all__ = ["Usage", "costs", "speedups", "usage"]

_RUNS: Final = 3
_TARGETS: Final = {"workloads/resnet50-224-bdwp.yaml": "5 s, 300 MB", "workloads/resnet18-64-bdwp.yaml": ""}
_NETWORKS: Final = ("resnet18-64", "resnet18-224", "resnet50-224", "resnet9-32", "vgg19-32", "mobilenetv2-224")
_BATCH: Final = 512
_ARCHITECTURE: Final = "vcu1525-32x32"
_WORKLOAD: Final = """\
network: {network}
batch: {batch}
training: {{method: bdwp, sparsity: "2:8"}}
baseline: {{method: dense}}
architecture: {architecture}
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process took: wall and processor time, and the most memory it held at once."""

    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int


def usage(command: Sequence[str | Path]) -> Usage:
    """Run a command, its output discarded.

    The kernel counts what the caller holds at that time as the command's least peak.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, resources = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed with exit code {process.returncode}")
    return Usage(wall, resources.ru_utime + resources.ru_stime, resources.ru_maxrss * 1024)


def costs() -> Iterator[Measurement]:
    """Measure the command in processes of its own; the first thing to do, while this process is still small.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    for workload, target in _TARGETS.items():
        with tempfile.TemporaryDirectory() as out:
            runs = [usage([sys.executable, "-m", "gossamer", "simulate", workload, "--out", out]) for _ in range(_RUNS)]
        best = min(runs, key=lambda run: run.wall_seconds)
        peak = max(run.peak_bytes for run in runs)
        yield Measurement(
            f"time and memory of a simulation, {Path(workload).stem}: both runs, plots and trace, fastest of {_RUNS}",
            f"{best.wall_seconds:.1f} s wall, {best.cpu_seconds:.1f} s CPU, {peak / 1e6:.0f} MB peak",
            target,
            f"gossamer simulate {workload}",
        )


def speedups() -> Iterator[Measurement]:
    """Simulate one training iteration of every network, dense and BDWP 2:8."""
    from gossamer import api

    with tempfile.TemporaryDirectory() as directory:
        for network in _NETWORKS:
            source = Path(directory) / f"{network}.yaml"
            source.write_text(_WORKLOAD.format(network=network, batch=_BATCH, architecture=_ARCHITECTURE))
            result = api.simulate(source).result
            dense, sparse = result["baseline"]["totals"]["utilization"], result["totals"]["utilization"]
            committed = Path("workloads") / f"{network}-bdwp.yaml"
            show = {"command": f"gossamer simulate {committed} --batch {_BATCH}"} if committed.exists() else {}
            yield Measurement(
                f"training iteration of {network}, batch {_BATCH}, {result['memory_model']}, {_ARCHITECTURE}: "
                "BDWP 2:8 against dense",
                f"{result['speedup']:.3f}x (array ceiling {result['machine_ceiling']:.3f}x, "
                f"ideal {result['speedup_ceiling']:.3f}x); utilisation {dense:.1%} dense, {sparse:.1%} BDWP",
                **show,
            )
