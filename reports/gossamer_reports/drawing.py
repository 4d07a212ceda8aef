"""Plots drawn by a process of their own, which loads what drawing takes while the simulation still runs."""

import gc
import io
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Self, cast

__all__ = ["Artist"]


class Artist:
    """A process that draws the plots of one simulation; used in a ``with`` statement.

    It is ready when asked, if the simulation has taken as long as its start (half a second). An error inside the
    ``with`` ends it.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "gossamer_reports.drawing"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def draw(self, result: Path) -> None:
        """Ask for the plots of a saved result, beside it, and do not wait for them."""
        with suppress(BrokenPipeError):  # of a process that has failed: ``finish`` says so
            stream = cast(IO[str], self._process.stdin)
            stream.write(f"{json.dumps(str(result))}\n")
            stream.flush()

    def finish(self) -> None:
        """Wait until the plots are written.

        Raises
        ------
        OSError
            They could not be.
        """
        _, said = self._process.communicate()
        if self._process.returncode:
            raise OSError(said.strip().rpartition("\n")[2] or "the process that draws has ended")


def _serve() -> int:
    """Draw what standard input asks for; nothing if it ends before."""
    _get_ready()
    line = sys.stdin.readline()
    if not line:
        return 0
    from gossamer_reports.plots import save_plots

    result = Path(json.loads(line))
    try:
        save_plots(json.loads(result.read_text(encoding="utf-8")), result.parent)
    except OSError as error:
        sys.stderr.write(f"{error.strerror or error}\n")
        return 1
    return 0


def _get_ready() -> None:
    """Load modules, fonts and writers, which takes as long as the drawing of a small network."""
    from matplotlib.figure import Figure

    import gossamer_reports.plots  # noqa: F401

    figure = Figure()
    figure.suptitle("ready")
    for kind in ("png", "svg"):
        figure.savefig(io.BytesIO(), format=kind)


if __name__ == "__main__":
    gc.disable()  # it draws once, and keeps nearly all that it makes until then
    sys.exit(_serve())
