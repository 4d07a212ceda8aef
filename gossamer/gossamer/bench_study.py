"""What ``make sat`` says, as targets: means over the networks, and ResNet-50 alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gossamer import sat
from gossamer.bench_record import Measurement
from gossamer_models.methods import METHODS

__all__ = ["methods"]

_TARGETS: Final = {"bdwp": ("at least 1.90x", "at least 1.82x"), "bdwp-mvue": ("at least 3.3x", "at least 3.0x")}
_ALONE: Final = "resnet50-224"
_SPARSITY: Final = "2:8"
_COMMAND: Final = "make sat"


def methods() -> Iterator[Measurement]:
    """Run the study and give its means, ResNet-50's speed-ups and its dense utilisation."""
    result = sat.study(Path("workloads") / "sat")
    for method, (of_all, of_one) in _TARGETS.items():
        title = f"{METHODS[method].title} {_SPARSITY} over dense training, {result['architecture']}"
        mean = next(m for m in result["means"] if (m["method"], m["sparsity"]) == (method, _SPARSITY))
        rows = [row for row in result["rows"] if (row["method"], row["sparsity"]) == (method, _SPARSITY)]
        row = next(row for row in rows if row["network"] == _ALONE)
        for what, found, target in (
            (f"mean over {mean['networks']} networks", mean, of_all),
            (_ALONE, row, of_one),
        ):
            yield Measurement(
                f"{title}: {what}",
                f"{found['speedup']:.3f}x (array ceiling {found['machine_ceiling']:.3f}x, "
                f"ideal {found['speedup_ceiling']:.3f}x)",
                target,
                _COMMAND,
            )
    dense = next(row for row in result["rows"] if (row["network"], row["method"]) == (_ALONE, "dense"))
    yield Measurement(
        f"utilisation of a dense training iteration, {_ALONE}", f"{dense['utilization']:.1%}", "at least 93 %", _COMMAND
    )
