"""Time and memory of ``gossamer simulate``, and what it says of the ready networks."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

import psutil

from gossamer.bench_record import Measurement

__all__ = ["Usage", "call_times", "calls", "costs", "inference", "peak_bytes", "speedups", "usage"]

_RUNS: Final = 3
_CALLED: Final = "workloads/resnet50-224-bdwp.yaml"
_TARGETS: Final = {_CALLED: "1.5 s, 200 MB", "workloads/resnet18-64-bdwp.yaml": ""}
_INFERENCE: Final = "workloads/resnet50-224-inference.yaml"
_ONE_IMAGE: Final = ("--batch", "1", "--no-plots")
_OTHERS: Final = {"SCALE-Sim v3": 742, "ZigZag": 126}
"""CPU seconds of the same on 32 x 32: scalesim 3.0.0 with ``-l`` (11 GB) and zigzag-dse 3.9.1, measured once."""

_BATCHES: Final = (512, 256, 480, 384, 128)
"""Of calls in one process, one after another; all differ, so that no result of an earlier call serves a later one."""
_NETWORKS: Final = ("resnet18-64", "resnet18-224", "resnet50-224", "resnet9-32", "vgg19-32", "mobilenetv2-224")
_BATCH: Final = 512
_ARCHITECTURE: Final = "vcu1525-32x32"
_CALLS: Final = """\
import json, sys, time
from gossamer import api
times = []
for batch in sys.argv[2:]:
    wall, cpu = time.perf_counter(), time.process_time()
    api.simulate(sys.argv[1], batch=int(batch))
    times.append((time.perf_counter() - wall, time.process_time() - cpu))
print(json.dumps(times))
"""
_WORKLOAD: Final = """\
network: {network}
batch: {batch}
training: {{method: bdwp, sparsity: "2:8"}}
baseline: {{method: dense}}
architecture: {architecture}
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process and those it started took."""

    wall_seconds: float
    cpu_seconds: float


def usage(command: Sequence[str | Path]) -> Usage:
    """Run a command, its output discarded.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_installed())
    _, status, resources = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    _require_success(command, process.returncode)
    return Usage(wall, resources.ru_utime + resources.ru_stime)


def peak_bytes(command: Sequence[str | Path]) -> int:
    """Run a command, its output discarded; return the most memory that it and those it started held together.

    Memory that they share counts once. It is looked at every few milliseconds.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    peak = 0
    with psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_installed()) as process:
        while process.poll() is None:
            family: list[psutil.Process] = [process]
            with suppress(psutil.NoSuchProcess):  # it has just ended
                family += process.children(recursive=True)
            peak = max(peak, sum(map(_held_bytes, family)))
            time.sleep(0.002)
    _require_success(command, process.returncode)
    return peak


def _held_bytes(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.NoSuchProcess:  # it ended after it was listed
        return 0


def _require_success(command: Sequence[str | Path], code: int) -> None:
    if code:
        raise RuntimeError(f"{' '.join(map(str, command))} failed with exit code {code}")


def _installed() -> dict[str, str]:
    """Environment in which a command finds its modules compiled, as installed ones are: the first run compiles them."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def costs() -> Iterator[Measurement]:
    """Measure the command in processes of its own.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    for workload, target in _TARGETS.items():
        command = [sys.executable, "-m", "gossamer", "simulate", workload]
        with tempfile.TemporaryDirectory() as out:
            runs = [usage([*command, "--out", out]) for _ in range(_RUNS)]
            peak = peak_bytes([*command, "--out", out])
        wall, cpu = (median(getattr(run, name) for run in runs) for name in ("wall_seconds", "cpu_seconds"))
        yield Measurement(
            f"time and memory of a simulation, {Path(workload).stem}: both runs, plots and trace, median of {_RUNS}",
            f"{wall:.1f} s wall, {cpu:.1f} s CPU, {peak / 1e6:.0f} MB peak of its processes",
            target,
            f"gossamer simulate {workload}",
        )


def inference() -> Iterator[Measurement]:
    """Measure one inference of ResNet-50 without plots, as other simulators draw none.

    Raises
    ------
    RuntimeError
        The command failed.
    """
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "gossamer", "simulate", _INFERENCE, *_ONE_IMAGE, "--out", out]
        cpu = median(usage(command).cpu_seconds for _ in range(_RUNS))
    others = ", ".join(f"{seconds / cpu:.0f} times less than {name}'s {seconds} s" for name, seconds in _OTHERS.items())
    yield Measurement(
        f"processor time of one inference of ResNet-50, batch 1, stalls included, dense and 2:8, median of {_RUNS}",
        f"{cpu:.2f} s CPU, {others}",
        "500 and 80 times less",
        f"gossamer simulate {_INFERENCE} {' '.join(_ONE_IMAGE)}",
    )


def calls() -> Iterator[Measurement]:
    """Measure ``gossamer.simulate`` inside processes of its own: its first call, and later ones with other batches.

    Raises
    ------
    RuntimeError
        A process failed.
    """
    times = [call_times(_CALLED, _BATCHES) for _ in range(_RUNS)]
    first = [found[0] for found in times]
    later = [call for found in times for call in found[1:]]
    for what, found, target in (
        (f"first call of a process after `import gossamer.api`, median of {len(first)}", first, "300 ms"),
        (f"later calls with other batches, median of {len(later)}", later, "100 ms"),
    ):
        wall, cpu = (1000 * median(call[place] for call in found) for place in (0, 1))
        yield Measurement(
            f"time of `gossamer.simulate`, {Path(_CALLED).stem}, both runs: {what}",
            f"{wall:.0f} ms wall, {cpu:.0f} ms CPU",
            target,
        )


def call_times(workload: str | Path, batches: Sequence[int]) -> list[tuple[float, float]]:
    """Wall and processor seconds of calls one after another in a fresh process.

    Raises
    ------
    RuntimeError
        The process failed.
    """
    command = [sys.executable, "-c", _CALLS, str(workload), *map(str, batches)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"gossamer.simulate of {workload} failed: {done.stderr.strip()[-400:]}")
    return [(wall, cpu) for wall, cpu in json.loads(done.stdout)]


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
