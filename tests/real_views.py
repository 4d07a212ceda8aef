"""Real posed images, where there are some (docs/fields.md)."""

import os
from pathlib import Path

import pytest

__all__ = ["lego"]


def lego() -> Path:
    """Return the folder of the NeRF-synthetic pictures of `lego` at 200 x 200; skip the test where it is missing."""
    data = os.environ.get("GOSSAMER_DATA") or Path(__file__).parents[2] / "shared" / "data"
    folder = Path(data) / "lego_200"
    if not (folder / "transforms_train.json").exists():
        pytest.skip(f"{folder} is not there")
    return folder
