"""Committed documents that are generated: they are what ``make docs`` would write now."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gossamer_models.isa.reference import isa_reference
from gossamer_models.registers import register_reference

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "make"), [("isa.md", isa_reference), ("registers.md", register_reference)])
def test_document_is_up_to_date(name: str, make: Callable[[], str]) -> None:
    assert (DOCS / name).read_text() == make(), "run `make docs`"
