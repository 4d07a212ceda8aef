"""The machine that this runs on."""

import os

__all__ = ["memory_bytes"]


def memory_bytes() -> int:
    """Return how much memory this machine has, in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
