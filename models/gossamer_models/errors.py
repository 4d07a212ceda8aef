"""Typed errors: whatever the user can cause is an `InputError`, one line long, that says what would be right."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["DoesNotFitError", "GossamerError", "InputError", "ToolError", "UnsupportedError", "did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the known name nearest to `name`, or nothing when none is near."""
    near = get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


class GossamerError(Exception):
    """Base of every error that this project raises on purpose, a tool's apart; ``str()`` is always one line."""

    def __str__(self) -> str:
        """Return the message with every run of white space folded into one blank."""
        return " ".join(self._message().split())

    def _message(self) -> str:
        return super().__str__()


class ToolError(Exception):
    """A tool that the project calls is missing or failed; ``str()`` is one line and then what the tool said."""


class InputError(GossamerError):
    """Something in the user's input is wrong.

    Parameters
    ----------
    what : str
        What is wrong, as in "must be greater than 0, not -3".
    expected : str, optional
        What would be right.
    source : str, optional
        File or built-in name that holds the fault.
    path : str, optional
        YAML path in that file, as in ``layers[2].kernel``.
    """

    def __init__(
        self, what: str, expected: str | None = None, source: str | None = None, path: str | None = None
    ) -> None:
        super().__init__(what, expected, source, path)
        self.what = what
        self.expected = expected
        self.source = source
        self.path = path

    def _message(self) -> str:
        where = "".join(f"{part}: " for part in (self.source, self.path) if part)
        return f"{where}{self.what}" + (f"; expected {self.expected}" if self.expected else "")


class DoesNotFitError(InputError):
    """A demand exceeds a bound of the machine.

    Parameters
    ----------
    what : str
        What does not fit, as in "layer 'conv1' does not fit the A buffer".
    demand, bound : int
        What is needed and what there is, in `unit`.
    unit : str
        Unit of both, as in "bytes".
    remedy : str
        What the user can change.
    source, path : str, optional
        As in `InputError`.
    """

    def __init__(
        self,
        what: str,
        demand: int,
        bound: int,
        unit: str,
        remedy: str,
        source: str | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(what, None, source, path)
        self.args = (what, demand, bound, unit, remedy, source, path)
        self.demand = demand
        self.bound = bound
        self.unit = unit
        self.remedy = remedy

    def _message(self) -> str:
        return f"{super()._message()}: needs {self.demand} {self.unit}, has {self.bound}; remedy: {self.remedy}"


class UnsupportedError(InputError):
    """The input is well formed, but asks for something that is not built."""
