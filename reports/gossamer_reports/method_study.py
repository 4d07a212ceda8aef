"""Several networks by several methods: rows of a study, their means, and the document that shows them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from gossamer_models.methods import METHODS, Schedule
from gossamer_models.workload import MethodUse
from gossamer_reports.compare import RunReport
from gossamer_reports.result import Result, versions
from gossamer_reports.schedule import PhaseRun, mean, schedule_result

__all__ = ["METHODS_SCHEMA", "SAT_SPEEDUP", "study_document", "study_result", "study_row"]

METHODS_SCHEMA: Final = "gossamer.methods/1"

SAT_SPEEDUP: Final = 1.75
"""Average speed-up of BDWP 2:8 over dense training that SAT reports (arXiv 2309.13015, abstract)."""

_RATIOS: Final = ("speedup", "machine_ceiling", "speedup_ceiling")


def study_row(runs: Sequence[PhaseRun], network: str, batch: int, use: MethodUse) -> Result:
    """Return one network by one method against dense training: the mean step of its run.

    Parameters
    ----------
    runs : the method's phases, in order.
    """
    baseline, energy, schedule = runs[0].comparison.baseline, None, schedule_result(runs)
    cycles = schedule["cycles"]
    if baseline.totals.energy_joules is not None:
        energy = mean(runs, lambda run: run.totals.energy_joules or 0.0)
    return {
        "network": network,
        "batch": batch,
        "method": use.method,
        "sparsity": use.sparsity,
        "phases": schedule["phases"] if use.sparsity else [],
        "cycles": cycles,
        "macs": mean(runs, lambda run: run.totals.macs),
        "utilization": mean(runs, lambda run: run.totals.utilization * run.totals.cycles) / cycles,
        "dram_bytes": mean(runs, lambda run: run.totals.dram_bytes),
        "energy_joules": energy,
        "energy_ratio": (baseline.totals.energy_joules or 0.0) / energy if energy else None,
        **{name: schedule[name] for name in _RATIOS},
        "prune_cycles": mean(runs, lambda run: run.prune_cycles),
        "metadata_bytes": mean(runs, lambda run: run.actions.metadata_bits / 8),
        "ledger": {name: mean(runs, _column(name)) for name in baseline.ledger.as_dict()},
        "timing_status": dict(runs[-1].comparison.timing_status),
    }


def _column(name: str) -> Callable[[RunReport], float]:
    return lambda run: run.ledger.as_dict()[name]


def study_result(rows: Sequence[Result], architecture: str, memory_model: str) -> Result:
    """Return rows and their means over the networks, per method and sparsity."""
    uses = dict.fromkeys((row["method"], row["sparsity"]) for row in rows)
    return {
        "schema": METHODS_SCHEMA,
        "architecture": architecture,
        "memory_model": memory_model,
        "means": [_mean(method, sparsity, rows) for method, sparsity in uses],
        "rows": list(rows),
        "versions": versions(),
    }


def _mean(method: str, sparsity: str | None, rows: Iterable[Result]) -> Result:
    chosen = [row for row in rows if (row["method"], row["sparsity"]) == (method, sparsity)]
    means = {name: sum(row[name] for row in chosen) / len(chosen) for name in _RATIOS}
    return {"method": method, "sparsity": sparsity, "networks": len(chosen), **means}


def study_document(result: Result, figure: str) -> str:
    """Return the study as Markdown.

    Parameters
    ----------
    result : of :func:`study_result`.
    figure : path of the figure, relative to the document.
    """
    networks = list(dict.fromkeys(row["network"] for row in result["rows"]))
    columns = list(result["rows"][0]["ledger"])
    lines = [
        "# SAT-like study",
        "",
        f"One training iteration of {len(networks)} networks by every method, on `{result['architecture']}`, memory "
        f"model `{result['memory_model']}`: made by `make sat`.",
        "Networks, batch and machine are our choice; what SAT itself publishes is an average of "
        f"{SAT_SPEEDUP}x for BDWP at 2:8 over dense training (arXiv 2309.13015). The dense run has the same search and "
        "budget as every other.",
        "Methods that change over a run have the mean of their phases: " + _schedules(result) + ".",
        "*Ideal* is the ceiling by multiply-adds, *array* the one by the array's own cycles, drains included.",
        "",
        f"![Speed-up by network and method under both ceilings, and where the cycles go]({figure})",
        "",
        "## Means over the networks",
        "",
        *_table(
            ("method", "N:M", "speed-up", "array", "ideal", "published"),
            (
                (METHODS[mean["method"]].title, mean["sparsity"] or "-", *_ratios(mean), _published(mean))
                for mean in result["means"]
            ),
        ),
        "",
        "## Sources",
        "",
        "Where a rule is published, and where what is simulated differs from it.",
        "",
        *_table(("method", "source", "differs here"), _sources(result)),
        "",
        "## Networks",
        "",
        *_table(
            ("network", "batch", "method", "N:M", "speed-up", "array", "ideal", "utilisation", "DRAM in GB"),
            (
                (
                    row["network"], str(row["batch"]), METHODS[row["method"]].title, row["sparsity"] or "-",
                    *_ratios(row), f"{row['utilization']:.1%}", f"{row['dram_bytes'] / 1e9:.1f}",
                )
                for row in result["rows"]
            ),
        ),
        "",
        "## Masks and metadata",
        "",
        "Cycles of the prune engine, which runs beside the others; metadata as a share of DRAM traffic.",
        "",
        *_table(
            ("network", "method", "N:M", "prune engine in Mcycles", "share", "metadata in MB", "share"),
            (
                (
                    row["network"], METHODS[row["method"]].title, row["sparsity"] or "-",
                    f"{row['prune_cycles'] / 1e6:.2f}", f"{row['prune_cycles'] / row['cycles']:.2%}",
                    f"{row['metadata_bytes'] / 1e6:.1f}", f"{row['metadata_bytes'] / row['dram_bytes']:.2%}",
                )
                for row in result["rows"]
            ),
        ),
        "",
        "## Where the cycles go",
        "",
        "Shares of each run's cycles; docs/result-schema.md explains the columns.",
        "",
        *_table(
            ("network", "method", "N:M", *columns),
            (
                (row["network"], METHODS[row["method"]].title, row["sparsity"] or "-", *_shares(row["ledger"]))
                for row in result["rows"]
            ),
        ),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(cells)} |" for cells in rows),
    ]


def _ratios(row: Result) -> list[str]:
    return [f"{row[name]:.2f}x" for name in _RATIOS]


def _sources(result: Result) -> Iterable[tuple[str, str, str]]:
    used = (METHODS[name] for name in dict.fromkeys(row["method"] for row in result["rows"]) if name != "dense")
    return ((method.title, method.source, method.differs or "-") for method in used)


def _schedules(result: Result) -> str:
    used = dict.fromkeys(row["method"] for row in result["rows"])
    chosen = [METHODS[name] for name in used if METHODS[name].schedule is not Schedule.CONSTANT]
    return "; ".join(f"{method.title}: {method.schedule.value}" for method in chosen)


def _published(mean: Result) -> str:
    return f"{SAT_SPEEDUP}x (SAT)" if (mean["method"], mean["sparsity"]) == ("bdwp", "2:8") else "-"


def _shares(ledger: dict[str, Any]) -> list[str]:
    total = sum(ledger.values())
    return [f"{value / total:.1%}" for value in ledger.values()]
