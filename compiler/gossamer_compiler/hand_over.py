"""Maps that one pass of a stage stores and another one loads."""

from collections.abc import Sequence

from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.isa.loops import first, last
from gossamer_models.isa.tokens import Semaphore

__all__ = ["give_stored", "wait_stored"]


def wait_stored(loads: Sequence[Load], levels: Sequence[int]) -> list[Load]:
    """A tile's loads, the first of which takes a STORED token in the first iteration of ``levels``."""
    opening = first(Load, "wait", levels, Semaphore.STORED)
    return [changed(loads[0], modifiers=(*loads[0].modifiers, opening)), *loads[1:]]


def give_stored(stores: Sequence[Store], levels: Sequence[int]) -> list[Store]:
    """A tile's stores, the last of which gives a STORED token in the last iteration of ``levels``."""
    closing = last(Store, "signal", levels, Semaphore.STORED)
    return [*stores[:-1], changed(stores[-1], modifiers=(*stores[-1].modifiers, closing))]
