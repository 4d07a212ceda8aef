"""A planted bug."""

from dataclasses import dataclass

__all__ = ["Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """A replacement in one source file.

    Members
    -------
    name : what goes wrong.
    file : path below the repository's root.
    old, new : the text replaced, which occurs exactly once in the file, and what stands there instead.
    caught_by : pytest's identifier of the test that must fail.
    """

    name: str
    file: str
    old: str
    new: str
    caught_by: str
