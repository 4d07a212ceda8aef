"""What ``make bench`` runs: measures time, memory, area, clock, speed-up, utilisation; writes ``docs/results.md``."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gossamer.bench_dataflow import dataflows
from gossamer.bench_hardware import element, engines
from gossamer.bench_machine import large_product, overlaps, training_steps
from gossamer.bench_memory import memory_errors
from gossamer.bench_record import Measurement, document
from gossamer.bench_rtl import speeds, utilisations
from gossamer.bench_simulation import calls, costs, inference, speedups
from gossamer.bench_study import methods

__all__ = ["main"]

_DOCUMENT = Path("docs") / "results.md"
_PARTS = (
    costs, calls, inference, speedups, methods, dataflows, memory_errors, element, engines, utilisations, overlaps,
    training_steps, speeds,
)  # fmt: skip


def main(arguments: Sequence[str] = ()) -> int:
    """Measure everything, then write the document; a measurement that fails leaves the old one.

    Parameters
    ----------
    arguments : ``--large`` measures a product on an array of 32 x 32 in RTL as well, whose build takes long.
    """
    parser = argparse.ArgumentParser(prog="make bench", description="measure and write docs/results.md")
    parser.add_argument("--large", action="store_true", help="a product on 32 x 32 in RTL too")
    # The longest build first: should it fail, little is lost.
    parts = (*((large_product,) if parser.parse_args(arguments).large else ()), *_PARTS)
    start = time.monotonic()
    found: list[Measurement] = []
    for part in parts:
        for measurement in part():
            found.append(measurement)
            print(f"{time.monotonic() - start:4.0f} s  {measurement.what}: {measurement.figure}", flush=True)
    _DOCUMENT.write_text(document(found), encoding="utf-8")
    print(f"{len(found)} figures in {_DOCUMENT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
