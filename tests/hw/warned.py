"""What Amaranth warns of, such as parts that are built for nothing."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["warned"]


@contextmanager
def warned() -> Iterator[list[str]]:
    """Fill a list with what is said of objects that the block makes; nothing is looked for among older ones."""
    messages: list[str] = []
    gc.freeze()  # tests before may keep designs whose objects take seconds to go through
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield messages
        gc.collect()
    messages += [str(warning.message) for warning in caught]
