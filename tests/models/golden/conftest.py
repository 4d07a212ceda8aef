"""A small machine to execute single instructions on."""

import numpy as np
import pytest

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.golden.state import Machine

MEMORY_BYTES = 1 << 14


@pytest.fixture
def architecture() -> Architecture:
    return load_architecture("wide-4x4")


@pytest.fixture
def machine(architecture: Architecture) -> Machine:
    return Machine(architecture, np.zeros(MEMORY_BYTES, np.uint8))
