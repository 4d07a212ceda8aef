"""Several networks by several methods: rows of a study, their means, and the document that shows them."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from gossamer_models.methods import METHODS
from gossamer_models.workload import MethodUse
from gossamer_reports.compare import Comparison
from gossamer_reports.result import Result, versions

__all__ = ["METHODS_SCHEMA", "SAT_SPEEDUP", "study_document", "study_result", "study_row"]

METHODS_SCHEMA: Final = "gossamer.methods/1"

SAT_SPEEDUP: Final = 1.75
"""Average speed-up of BDWP 2:8 over dense training that SAT reports (arXiv 2309.13015, abstract)."""

_RATIOS: Final = ("speedup", "machine_ceiling", "speedup_ceiling")


def study_row(comparison: Comparison, network: str, batch: int, use: MethodUse) -> Result:
    """Return one network by one method against dense training."""
    totals, ledger = comparison.run.totals, comparison.run.ledger
    return {
        "network": network,
        "batch": batch,
        "method": use.method,
        "sparsity": use.sparsity,
        "cycles": totals.cycles,
        "macs": totals.macs,
        "utilization": totals.utilization,
        "dram_bytes": totals.dram_bytes,
        "energy_joules": totals.energy_joules,
        "energy_ratio": comparison.energy_ratio,
        **{name: getattr(comparison, name) for name in _RATIOS},
        "ledger": ledger.as_dict(),
        "timing_status": dict(comparison.timing_status),
    }


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


def _published(mean: Result) -> str:
    return f"{SAT_SPEEDUP}x (SAT)" if (mean["method"], mean["sparsity"]) == ("bdwp", "2:8") else "-"


def _shares(ledger: dict[str, Any]) -> list[str]:
    total = sum(ledger.values())
    return [f"{value / total:.1%}" for value in ledger.values()]
