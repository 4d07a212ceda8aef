"""What all operations of the render engine refuse."""

import pytest

from gossamer_hw.render.engine import OPERATIONS
from gossamer_models.isa.vector_ops import VectorOp
from tests.hw.render.machines import machine_of


@pytest.mark.parametrize("op", sorted(OPERATIONS), ids=lambda op: op.name)
def test_a_line_holds_eight_features(op: VectorOp) -> None:
    with pytest.raises(ValueError, match="`lanes` must be at least 8, not 4"):
        OPERATIONS[op](machine_of(4))
