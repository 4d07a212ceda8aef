"""What long work says of itself while it runs."""

from collections.abc import Callable

__all__ = ["Note", "silent"]

Note = Callable[[str], None]
"""Called with what is being done, for progress displays."""


def silent(text: str) -> None:
    """Show nothing."""
