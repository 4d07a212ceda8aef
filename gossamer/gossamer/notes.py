"""What long work says of itself while it runs."""

from typing import Protocol

__all__ = ["Note", "silent"]


class Note(Protocol):
    """Called with what is being done, and which share of it is where that is known, for progress displays."""

    def __call__(self, text: str, share: float | None = None, /) -> None:
        """Say so."""


def silent(text: str, share: float | None = None) -> None:
    """Show nothing."""
