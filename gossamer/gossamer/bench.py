"""What ``make bench`` runs: measures time, memory, area, clock, speed-up, utilisation; writes ``docs/results.md``."""

import time
from pathlib import Path

from gossamer.bench_hardware import element, engines
from gossamer.bench_machine import large_product, overlaps, training_steps
from gossamer.bench_record import Measurement, document
from gossamer.bench_rtl import speeds, utilisations
from gossamer.bench_simulation import costs, speedups

__all__ = ["main"]

_DOCUMENT = Path("docs") / "results.md"
# The longest build early: should it fail, little is lost.
_PARTS = (costs, large_product, speedups, element, engines, utilisations, overlaps, training_steps, speeds)


def main() -> int:
    """Measure everything, then write the document; a measurement that fails leaves the old one."""
    start = time.monotonic()
    found: list[Measurement] = []
    for part in _PARTS:
        for measurement in part():
            found.append(measurement)
            print(f"{time.monotonic() - start:4.0f} s  {measurement.what}: {measurement.figure}", flush=True)
    _DOCUMENT.write_text(document(found), encoding="utf-8")
    print(f"{len(found)} figures in {_DOCUMENT}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
