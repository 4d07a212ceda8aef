"""Plots drawn by a process of their own, which loads what drawing takes while the simulation still runs."""

import gc
import io
import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, cast

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

    from gossamer_reports.result import Result

__all__ = ["Artist"]

_COPIES: Final = sys.platform == "linux"
"""Whether a process that has loaded Matplotlib may be copied: other systems' libraries do not all bear that."""


class Artist:
    """A process that draws the plots of one simulation; used in a ``with`` statement.

    It is ready when asked, if the simulation has taken as long as its start (half a second). On Linux a copy of it then
    draws one of the figures. An error inside the ``with`` ends both.
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
            self._process.terminate()
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


def _serve() -> None:
    """Draw what standard input asks for; nothing if it ends before."""
    _get_ready()
    line = sys.stdin.readline()
    if not line:
        return
    from gossamer_reports.plots import FIGURES

    path = Path(json.loads(line))
    result = json.loads(path.read_text(encoding="utf-8"))
    here, *others = [(name,) for name in FIGURES] if _COPIES else [tuple(FIGURES)]
    copies = []
    for names in others:
        try:
            copies.append(_copy(result, path.parent, names))
        except OSError:  # no room for another process
            here += names

    def end(*_: object) -> None:
        for copy in copies:
            copy.terminate()
        sys.exit(1)

    signal.signal(signal.SIGTERM, end)
    try:
        _draw(result, path.parent, here)
    finally:
        for copy in copies:
            copy.join()
    if any(copy.exitcode for copy in copies):
        sys.exit(1)


def _copy(result: "Result", directory: Path, names: tuple[str, ...]) -> "BaseProcess":
    """A copy of this process, which draws some figures."""
    from multiprocessing import get_context

    copy = get_context("fork").Process(target=_draw, args=(result, directory, names))
    copy.start()
    return copy


def _draw(result: "Result", directory: Path, names: tuple[str, ...]) -> None:
    """Draw some figures; a file that cannot be written ends the process with one line."""
    from gossamer_reports.plots import save_plots

    try:
        save_plots(result, directory, names)
    except OSError as error:
        sys.exit(error.strerror or str(error))


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
    _serve()
