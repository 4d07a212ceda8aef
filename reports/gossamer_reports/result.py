"""``result.json``: what scripts read. ``docs/result-schema.md`` describes every name."""

import dataclasses
import json
import os
import platform
import tempfile
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from gossamer_models.architecture import Architecture
from gossamer_models.loss_scale import LossScale, LossScaling
from gossamer_models.methods import METHODS
from gossamer_models.program import Schedule
from gossamer_models.workload import MethodUse, Workload
from gossamer_reports.area import area_model
from gossamer_reports.compare import Comparison, Row, RunReport, Totals
from gossamer_reports.energy import NO_ENERGY

__all__ = ["SIMULATE_SCHEMA", "VERIFY_SCHEMA", "Result", "simulation_result", "versions", "write_json"]

SIMULATE_SCHEMA: Final = "gossamer.simulate/1"
VERIFY_SCHEMA: Final = "gossamer.verify/1"

Result = dict[str, Any]
"""A result as JSON holds it."""

_TOTALS: Final = tuple(field.name for field in dataclasses.fields(Totals))
_SCHEDULE: Final = tuple(field.name for field in dataclasses.fields(Schedule))
_PACKAGES: Final = ("gossamer", "amaranth", "numpy", "simpy")


def simulation_result(
    comparison: Comparison,
    workload: Workload,
    network: str,
    architecture: Architecture,
    fairness: Result,
    schedule: Result | None = None,
) -> Result:
    """Return a comparison as a JSON object of schema `SIMULATE_SCHEMA`.

    Parameters
    ----------
    comparison : the two runs.
    workload : what was asked for.
    network : name of the network.
    architecture : machine of both runs.
    fairness : what the baseline would take with the run's schedules, where those differ.
    schedule : phases of a method that changes over a run; ``comparison`` is of the last one.
    """
    training, area = workload.training, area_model(architecture)
    baseline = {row.key: row for row in comparison.baseline.rows}
    return {
        "schema": SIMULATE_SCHEMA,
        "name": workload.name,
        "workload": {
            "network": network,
            "batch": workload.batch,
            "training": {
                **_method(training),
                "optimizer": training.optimizer,
                "loss_scale": _loss_scale(training.loss_scale) if METHODS[training.method].trains else None,
            },
            "baseline": _method(workload.baseline),
            "architecture": architecture.name,
            "objective": workload.objective,
            "im2col": workload.im2col,
        },
        "totals": dataclasses.asdict(comparison.run.totals),
        "speedup": comparison.speedup,
        "speedup_ceiling": comparison.speedup_ceiling,
        "machine_ceiling": comparison.machine_ceiling,
        "energy_ratio": comparison.energy_ratio,
        "energy_note": NO_ENERGY if comparison.energy is None else comparison.energy.note,
        "energy": None if comparison.energy is None else comparison.energy.as_dict(),
        "energy_components": _components(comparison.run),
        "area": None if area is None else area.as_dict(),
        "actions": comparison.run.actions.as_dict(),
        "ledger": comparison.run.ledger.as_dict(),
        "dram_reads": comparison.run.reads.as_dict(),
        "schedule": schedule,
        "fairness": fairness,
        "baseline": _baseline(comparison.baseline),
        "layers": [_layer(row) | _against(row, baseline.get(row.key)) for row in comparison.run.rows],
        "timing_status": dict(comparison.timing_status),
        "memory_model": comparison.memory_model,
        "clock": {"hz": comparison.clock_hz, "note": _clock_note(comparison.clock_hz)},
        "architecture": architecture.model_dump(mode="json"),
        "versions": versions(),
    }


def _method(use: MethodUse) -> Result:
    method = METHODS[use.method]
    return {
        "method": use.method, "title": method.title, "sparsity": use.sparsity, "source": method.source,
        "differs": method.differs or None,
    }  # fmt: skip


def _loss_scale(scale: LossScaling) -> Result:
    """The rule, or the number as the initial value of one that never changes it."""
    rule = scale.model_dump(mode="json") if isinstance(scale, LossScale) else {"initial": scale}
    return dict.fromkeys(LossScale.model_fields) | rule


def _clock_note(clock_hz: int) -> str:
    return f"cycles are primary; seconds assume the architecture's clock of {clock_hz / 1e6:g} MHz"


def _baseline(run: RunReport) -> Result:
    return {
        "totals": dataclasses.asdict(run.totals),
        "energy_components": _components(run),
        "actions": run.actions.as_dict(),
        "ledger": run.ledger.as_dict(),
        "dram_reads": run.reads.as_dict(),
        "layers": [_layer(row) for row in run.rows],
    }


def _components(part: RunReport | Row) -> Result | None:
    return None if part.energy is None else dict(part.energy)


def _layer(row: Row) -> Result:
    return {
        "name": row.layer,
        "stage": row.stage,
        "dataflow": row.dataflow,
        "beside": row.beside or None,
        "sparsity": row.sparsity,
        **{name: getattr(row.totals, name) for name in _TOTALS},
        "energy_components": _components(row),
        "machine_cycles": row.machine_cycles,
        "schedules": [
            {name: getattr(schedule, name) for name in _SCHEDULE} | {"sizes": dict(schedule.sizes)}
            for schedule in row.schedules
        ],
        "ledger": row.ledger.as_dict(),
        "dram_reads": row.reads.as_dict(),
    }


def _against(row: Row, baseline: Row | None) -> Result:
    """Return speed-up and ceilings of one row; null where the baseline has no such stage or nothing to divide."""
    pairs = {"speedup": (0, 0), "speedup_ceiling": (0, 0), "machine_ceiling": (0, 0)}
    if baseline is not None:
        pairs = {
            "speedup": (baseline.totals.cycles, row.totals.cycles),
            "speedup_ceiling": (baseline.totals.macs, row.totals.macs),
            "machine_ceiling": (baseline.machine_cycles, row.machine_cycles),
        }
    return {name: theirs / ours if ours and theirs else None for name, (theirs, ours) in pairs.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def _text(value: Any, margin: str = "") -> str:
    """Write an entry or item per line, and items on one line each: the encoder is fast for whole values only."""
    inner = margin + "  "
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(name)}: {_text(item, inner)}" for name, item in value.items()]
    elif isinstance(value, list) and value:
        lines = [json.dumps(item, allow_nan=False) for item in value]
    else:
        return json.dumps(value, allow_nan=False)
    begin, end = "{}" if isinstance(value, dict) else "[]"
    body = f",\n{inner}".join(lines)
    return f"{begin}\n{inner}{body}\n{margin}{end}"


def write_json(path: Path, result: Result) -> None:
    """Write a result so that a reader finds the old file or the new one, never a part.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    text = _text(result) + "\n"
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        # mkstemp makes files that only their owner may read.
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
