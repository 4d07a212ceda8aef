"""Planes and lines at points out of encoded banks against golden: bits, and a point per cycle wherever points lie."""

import pytest

from gossamer_hw.render.encoded_bank import EncodedBank
from gossamer_models.timing.render_units import encoded_row_cycles
from tests.hw.units.test_stream_unit import check_in_step
from tests.hw.units.texel_cases import bank_case, encoded_case

SEED = 67

pytestmark = pytest.mark.slow


def test_points() -> None:
    """Every item enters in the cycle behind the one before it: no two fetches ever meet in a bank."""
    case = encoded_case(1, (6, 5, 9), SEED, 60, spoilt=True)
    assert check_in_step(case, SEED) == list(range(len(case.items)))


@pytest.mark.parametrize(("components", "rows"), [(3, 5), (16, 50)])
def test_rows_of_a_bank(components: int, rows: int) -> None:
    assert EncodedBank(components=components, rows=rows, payload_bytes=1).latency == encoded_row_cycles(components)
    check_in_step(bank_case(components, rows, SEED, 60), SEED)
