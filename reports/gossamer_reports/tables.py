"""Tables for the terminal, made from a saved result; without a terminal they are plain text."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gossamer_reports.area import area_line
from gossamer_reports.energy import energy_line
from gossamer_reports.phases import drawn_phase, of_phase, whole_run
from gossamer_reports.result import Result

__all__ = [
    "TOP_ROWS", "fairness_line", "headline_table", "layer_table", "ledger_table", "print_simulation", "reads_line",
    "resource_table", "schedule_line", "verification_line",
]  # fmt: skip

TOP_ROWS = 12

_OBJECTIVES = {
    "cycles": "predicted cycles", "energy": "predicted energy", "edp": "predicted energy times cycles",
}  # fmt: skip
_UNITS = {"cycles": "cycles", "energy": "joules", "edp": "joule cycles"}


def print_simulation(result: Result, console: Console) -> None:
    """Print the tables of a simulation."""
    console.print(simulation_tables(result))


def simulation_tables(result: Result) -> RenderableType:
    """Headline, ledger and slowest stages of a simulation, one below the other."""
    return Group(headline_table(result), Text(_notes(result)), ledger_table(result), layer_table(result))


def headline_table(result: Result) -> Table:
    """Totals of the run and of its baseline, and the speed-up with both ceilings.

    Of a method that changes over a run, totals are the last phase's, speed-up and ceilings the mean's.
    """
    whole, run, baseline = whole_run(result), result["totals"], result["baseline"]["totals"]
    of_mean = ", mean" if result["schedule"] else ""
    table = Table(title=_title(result), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    table.add_column(_method_name(result["workload"]["baseline"]), justify="right")
    table.add_column(
        _method_name(result["workload"]["training"]) + of_phase(result).replace(", ", "\n"), justify="right"
    )
    table.add_column("ratio", justify="right")
    for label, name, form in (
        ("cycles", "cycles", _count),
        ("time in ms", "seconds", lambda seconds: f"{seconds * 1e3:,.2f}"),
        ("multiply-adds", "macs", _count),
        ("utilization", "utilization", lambda share: f"{share:.1%}"),
        ("DRAM in MB", "dram_bytes", lambda size: f"{size / 1e6:,.1f}"),
    ):
        table.add_row(label, form(baseline[name]), form(run[name]), _times(_ratio(baseline[name], run[name])))
    table.add_section()
    table.add_row(f"speed-up{of_mean and ', mean over the run'}", "", "", _times(whole["speedup"]))
    table.add_row(f"ceiling of the array{of_mean}", "", "", _times(whole["machine_ceiling"]))
    table.add_row(f"ideal ceiling{of_mean}", "", "", _times(whole["speedup_ceiling"]))
    if result["schedule"]:
        table.add_section()
        for phase in result["schedule"]["phases"]:
            kept = f"{phase['sparsity']}, decaying" if phase["factor"] else phase["sparsity"]
            table.add_row(f"phase {kept}, {phase['share']:.0%}", "", _count(phase["cycles"]), _times(phase["speedup"]))
        cycles = round(result["schedule"]["cycles"])
        table.add_row("mean over the run", "", _count(cycles), _times(result["schedule"]["speedup"]))
    return table


def ledger_table(result: Result) -> Table:
    """Where the cycles go, as counts and shares."""
    runs = (
        (_method_name(result["workload"]["baseline"]), result["baseline"]["ledger"]),
        (_method_name(result["workload"]["training"]), result["ledger"]),
    )
    table = Table(title=f"Where the cycles go{of_phase(result)}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("")
    for name, _ in runs:
        table.add_column(name, justify="right")
        table.add_column("share", justify="right")
    for column in result["ledger"]:
        table.add_row(column, *_shares(column, (ledger for _, ledger in runs)))
    table.add_section()
    totals = [sum(ledger.values()) for _, ledger in runs]
    table.add_row("all", *(cell for total in totals for cell in (_count(total), "100.0%")))
    return table


def _shares(column: str, ledgers: Iterable[Mapping[str, int]]) -> Iterable[str]:
    for ledger in ledgers:
        yield _count(ledger[column])
        yield f"{ledger[column] / max(1, sum(ledger.values())):.1%}"


def layer_table(result: Result, rows: int = TOP_ROWS) -> Table:
    """The stages that take most cycles.

    Parameters
    ----------
    result : a simulation.
    rows : how many to show.
    """
    layers = sorted(result["layers"], key=lambda layer: -layer["cycles"])[:rows]
    table = Table(
        title=f"Slowest {len(layers)} of {len(result['layers'])} stages{of_phase(result)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for name in ("layer", "stage", "N:M", "Li x\nLj"):  # in two lines, so that names of layers have room
        table.add_column(name, no_wrap=True)
    for name in ("M\ncycles", "util.", "speed-\nup", "ceil-\ning", "DRAM\nMB"):
        table.add_column(name, justify="right", no_wrap=True)
    for layer in layers:
        table.add_row(
            layer["name"],
            f"{layer['stage']} + bp" if layer["beside"] else layer["stage"],
            layer["sparsity"],
            layer["dataflow"].removeprefix("os ").removesuffix(", applied on load").removesuffix(", patches"),
            f"{layer['cycles'] / 1e6:,.2f}",
            f"{layer['utilization']:.1%}" if layer["macs"] else "-",
            _times(layer["speedup"]),
            _times(layer["machine_ceiling"]),
            f"{layer['dram_bytes'] / 1e6:,.0f}",
        )
    return table


def resource_table(resources: Result) -> Table:
    """What every part of a machine takes of an FPGA; the last line is the share of what the FPGA has."""
    columns = {"luts": "LUT", "flip_flops": "FF", "dsps": "DSP", "block_rams": "block RAM", "ultra_rams": "UltraRAM"}
    table = Table(title=f"on {resources['part']}", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", no_wrap=True)
    for name in columns.values():
        table.add_column(name, justify="right", no_wrap=True)
    for name, use in resources["engines"].items():
        table.add_row(name, *(f"{use[column]:,}" for column in columns))
    table.add_row("together", *(f"{resources[column]:,}" for column in columns), style="bold")
    shares = (resources["shares"].get(name) for name in columns.values())
    table.add_row("of the part", *("-" if share is None else f"{share:.0%}" for share in shares))
    return table


def verification_line(result: Result) -> str:
    """One sentence that says what a verification found."""
    cycles = result["cycles"]
    bits = "every bit equal" if result["bit_exact"] else f"{result['mismatches']} results differ"
    if result["cycle_exact"]:
        where = "" if cycles["rtl"] is not None else " without RTL"
        return f"{bits}; cycles equal{where} ({cycles['sim']:,})"
    if not result["late"]:
        return f"{bits}; the simulator's shortcut changes {len(result['shortcut'])} stages"
    first = result["late"][0]
    return (
        f"{bits}; cycles differ in {len(result['late'])} of {result['instructions']} instructions, first in"
        f" {first['layer']} {first['stage']}: RTL {first['rtl']:,}, simulator {first['sim']:,}"
    )


def _title(result: Result) -> str:
    workload = result["workload"]
    return f"{workload['network']}, batch {workload['batch']}, on {workload['architecture']}"


def _notes(result: Result) -> str:
    """Return what a reader must know to judge the figures."""
    verified = [engine for engine, status in result["timing_status"].items() if status == "RTL-verified"]
    modelled = [engine for engine in result["timing_status"] if engine not in verified]
    lines = [
        f"memory model {result['memory_model']}; timing RTL-verified: {', '.join(verified) or 'none'}; "
        f"modelled: {', '.join(modelled) or 'none'}",
        result["clock"]["note"],
        *_differences(result["workload"]),
        phase_line(result),
        above_line(result),
        reads_line(result),
        schedule_line(result),
        fairness_line(result),
        energy_line(result),
        area_line(result),
    ]
    return "\n".join(line for line in lines if line)


def phase_line(result: Result) -> str:
    """What is of the last phase alone; empty for methods of one phase."""
    name, phase = _method_name(result["workload"]["training"]), drawn_phase(result)
    return phase and f"{name} changes over a run: speed-up and ceilings are the mean's, all else is of its {phase}"


def above_line(result: Result) -> str:
    """Why a run may be faster than its multiply-adds allow; empty where it is not."""
    speedup, ceiling = (whole_run(result)[name] for name in ("speedup", "speedup_ceiling"))
    if speedup is None or ceiling is None or speedup <= ceiling:
        return ""
    return (
        "above the ideal ceiling, which takes all multiply-adds as equally fast: what N:M leaves out would leave more "
        "of the array idle than the rest does, as with few samples or channels"
    )


def _differences(workload: Result) -> Iterable[str]:
    """In what methods are others than the published ones."""
    methods = {use["title"]: use["differs"] for use in (workload["baseline"], workload["training"])}
    return (f"{title} as simulated: {differs}" for title, differs in methods.items() if differs)


def reads_line(result: Result) -> str:
    """What the bytes read from DRAM are for, of the run and of its baseline."""
    both = result["workload"]["training"], result["workload"]["baseline"]
    parts = zip(both, (result["dram_reads"], result["baseline"]["dram_reads"]), strict=True)
    return "DRAM reads, " + "; ".join(f"{_method_name(use)}: {_read_shares(reads)}" for use, reads in parts)


def _read_shares(reads: Mapping[str, int]) -> str:
    total = max(1, sum(reads.values()))
    return ", ".join(f"{size / total:.1%} {part}" for part, size in reads.items())


def schedule_line(result: Result) -> str:
    """What schedules were chosen by, and how many were looked at for it; empty without a product."""
    layers = (*result["layers"], *result["baseline"]["layers"])
    schedules = [schedule for layer in layers for schedule in layer["schedules"]]
    if not schedules:
        return ""
    examined = sorted({schedule["examined"] for schedule in schedules})
    return (
        f"schedules by {_OBJECTIVES[result['workload']['objective']]}: {len(schedules)} products of both runs, "
        f"{examined[0]:,} to {examined[-1]:,} candidates each, at most {schedules[0]['limit']:,} examined"
    )


def fairness_line(result: Result) -> str:
    """Whether the baseline would be better off with the run's schedules; names the first stage that would."""
    found = result["fairness"]
    if not found["beaten"]:
        return (
            f"fair: of {found['differing']} stages that the baseline schedules differently, {found['replayed']} fit "
            f"the run's schedule, and none is better with it{_traded(found)}"
        )
    first, unit = found["beaten"][0], _UNITS[result["workload"]["objective"]]
    more = f"; {len(found['beaten']) - 1} more" if len(found["beaten"]) > 1 else ""
    return (
        f"not fair: {first['layer']} {first['stage']} of the baseline takes {first['own']:,.10g} {unit}, and "
        f"{first['other']:,.10g} with the run's schedule of it{more}"
    )


def _traded(found: Mapping[str, Any]) -> str:
    taken = f"; {found['taken']} of its products have the run's schedule already" if found["taken"] else ""
    return taken + (f"; {found['kept']} would be, but the baseline worse" if found["kept"] else "")


def _method_name(method: Mapping[str, Any]) -> str:
    return f"{method['title']} {method['sparsity'] or ''}".strip()


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def _count(value: int) -> str:
    return f"{value:,}"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"
