"""What ``make bench`` runs: measures time, memory, area, clock, speed-up, utilisation; writes ``docs/results.md``."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gossamer.bench_dataflow import dataflows
from gossamer.bench_fpga import whole_machines
from gossamer.bench_frames import pinned_frames
from gossamer.bench_hardware import element, engines, render_operations, trees, units
from gossamer.bench_machine import large_product, overlaps, training_steps
from gossamer.bench_memory import memory_errors
from gossamer.bench_pictures import pictures, pinned_tile, rtl_pictures, rtl_tile, rtl_tile_part
from gossamer.bench_record import MissingToolError, document, section, sections
from gossamer.bench_render import renderers
from gossamer.bench_rtl import speeds, utilisations
from gossamer.bench_shortcuts import shortcuts
from gossamer.bench_simulation import calls, costs, inference, speedups
from gossamer.bench_study import methods
from gossamer.commands import PASSED, Parser, command, read_arguments

__all__ = ["main"]

_DOCUMENT = Path("docs") / "results.md"
_PARTS = {
    "costs": costs, "calls": calls, "inference": inference, "shortcuts": shortcuts, "speedups": speedups,
    "methods": methods, "dataflows": dataflows, "memory": memory_errors, "element": element, "engines": engines,
    "units": units, "trees": trees, "utilisation": utilisations, "overlap": overlaps, "training": training_steps,
    "verilator": speeds, "render": pinned_frames, "renderers": renderers, "pictures": pictures, "tile": pinned_tile,
    "large": large_product, "machines": whole_machines,
}  # fmt: skip
_LONG = {
    "operations": render_operations, "rendering": rtl_pictures, "part-rtl": rtl_tile_part, "tile-rtl": rtl_tile,
}  # fmt: skip
"""Measured only if named: their builds and synthesis take long, up to an hour."""


@command
def main(arguments: Sequence[str] = ()) -> int:
    """Measure parts one by one; each that is through replaces its section of the document, the others stay.

    So does the section of a part that lacks what it measures with: a line says so.

    Parameters
    ----------
    arguments : names of parts; none: all but the long ones.
    """
    every = _PARTS | _LONG
    parser = Parser(prog="make bench PARTS=...", description="measure and write docs/results.md")
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"one of {', '.join(every)}; all but {', '.join(_LONG)}"
    )
    names = read_arguments(parser, arguments).parts or list(_PARTS)
    unknown = sorted(set(names) - every.keys())
    if unknown:
        parser.error(f"no part {unknown[0]!r}; parts are {', '.join(every)}")
    start = time.monotonic()
    for name in names:
        found = []
        try:
            for measurement in every[name]():
                found.append(measurement)
                print(f"{time.monotonic() - start:4.0f} s  {measurement.what}: {measurement.figure}", flush=True)
        except MissingToolError as reason:
            print(f"{time.monotonic() - start:4.0f} s  {name} is not measured: {reason}; its section stays", flush=True)
            continue
        kept = sections(_DOCUMENT.read_text(encoding="utf-8")) if _DOCUMENT.exists() else {}
        kept[name] = section(name, (every[name].__doc__ or "").partition("\n")[0], found)
        ordered = [kept[part] for part in every if part in kept]
        _DOCUMENT.write_text(document(ordered), encoding="utf-8")
    return PASSED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
