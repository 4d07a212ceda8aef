"""When Python looks for garbage."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collection_paused"]


@contextmanager
def collection_paused() -> Iterator[None]:
    """Look for no garbage: nearly all of the many objects that a simulation makes stay, or hold no cycle."""
    running = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if running:
            if not gc.get_freeze_count():
                # Both together make all objects old ones, without looking at any.
                gc.freeze()
                gc.unfreeze()
            gc.enable()
