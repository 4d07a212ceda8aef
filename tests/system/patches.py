"""Schedules of WU with explicit patches alone, or without, in place of the best of both."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gossamer_compiler import mapping_gradient
from gossamer_compiler.geometry import GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_models.architecture import Architecture

__all__ = ["leaving"]


def forget() -> None:
    """Let no search remember what an earlier one found."""
    for known in (mapping_gradient._searched, mapping_gradient._searched_actions, mapping_gradient._best_gradient):
        known.cache_clear()


@contextmanager
def leaving(*, patches: bool) -> Iterator[None]:
    """Leave schedules with patches, or those without, in the search of what has both."""
    families = mapping_gradient._gradient_families

    def some(gemm: GradientGemm, architecture: Architecture) -> list[GradientMapping]:
        found = list(families(gemm, architecture))
        return [family for family in found if family.patches == patches] or found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mapping_gradient, "_gradient_families", some)
        forget()
        yield
    forget()
