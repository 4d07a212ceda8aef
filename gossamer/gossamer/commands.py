"""What all commands share, ``gossamer`` and those behind ``make``: how arguments are read, and how a command ends.

Exit codes: 0 success, 1 a check failed, 2 bad input (one line on stderr), 130 interrupted, 141 nobody reads what is
printed.
"""

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import Final, ParamSpec, TextIO

from gossamer_models.errors import GossamerError, InputError, ToolError

__all__ = ["BAD_INPUT", "FAILED", "PASSED", "Parser", "command", "read_arguments"]

PASSED: Final = 0
FAILED: Final = 1
BAD_INPUT: Final = 2
_INTERRUPTED: Final = 130
_UNREAD: Final = 141

Arguments = ParamSpec("Arguments")


def command(run: Callable[Arguments, int]) -> Callable[Arguments, int]:
    """Return a command that ends with an exit code and at most one line on stderr, whatever ends it.

    A tool that failed has its own lines behind that one.

    Parameters
    ----------
    run : returns the exit code
    """

    @wraps(run)
    def main(*args: Arguments.args, **kwargs: Arguments.kwargs) -> int:
        _write_every_name()
        try:
            try:
                return run(*args, **kwargs)
            finally:  # --help ends here too
                if sys.stdout is not None:
                    sys.stdout.flush()
        except InputError as error:
            return _end(str(error), BAD_INPUT)
        except (GossamerError, ToolError) as error:
            return _end(str(error), FAILED)
        except MemoryError as error:
            return _end(f"what was asked for does not fit this machine's memory: {error}", BAD_INPUT)
        except BrokenPipeError:
            _drop(sys.stdout)
            return _UNREAD
        except OSError as error:
            _drop(sys.stdout)
            return _end(f"the system gave up: {error}", BAD_INPUT)
        except KeyboardInterrupt:
            return _end("interrupted", _INTERRUPTED)

    return main


def read_arguments(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Return what a command is given, none of it bytes that are no text: results hold names, and are UTF-8.

    Parameters
    ----------
    argv : arguments; None: those of the process

    Raises
    ------
    InputError
        An argument is no UTF-8.
    """
    arguments = parser.parse_args(argv)
    for given in vars(arguments).values():
        for each in given if isinstance(given, list) else [given]:
            if isinstance(each, str | Path):
                _check_text(str(each))
    return arguments


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{text[:80]!r} is no UTF-8", "a name in UTF-8, and a locale that reads it") from None


class Parser(argparse.ArgumentParser):
    """Reports a wrong argument as every other bad input: one line, exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        """Exit with one line."""
        self.exit(BAD_INPUT, f"gossamer: {' '.join(message.split())}; see {self.prog} --help\n")

    def _print_message(self, message: str, file: TextIO | None = None) -> None:  # type: ignore[override]
        """Print, and do not keep it silent if that fails."""
        stream: TextIO | None = file or sys.stderr
        if stream is not None:
            stream.write(message)


def _end(message: str, code: int) -> int:
    """Say why a command ends, where anybody can be told; return its exit code."""
    try:
        print(f"gossamer: {message}", file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)
    return code


def _drop(stream: TextIO | None) -> None:
    """Let nothing more be written to what takes nothing, at exit neither."""
    if stream is not None:
        with suppress(OSError, ValueError):  # it is no file
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write_every_name() -> None:
    """Let names hold what the terminal's encoding lacks: escapes are written in its place."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
