"""Planes and lines at points out of encoded banks against golden: bits, and a point per cycle wherever points lie."""

import numpy as np
import pytest

from gossamer_hw.render.encoded_bank import EncodedBank
from gossamer_models.render.encoding import encode
from gossamer_models.timing.render_units import encoded_row_cycles
from tests.hw.render.rows import numbers, packed, pipelined
from tests.hw.units.test_stream_unit import check_in_step
from tests.hw.units.unit_cases import encoded_case

SEED = 67

pytestmark = pytest.mark.slow


def test_points() -> None:
    """Every item enters in the cycle behind the one before it: no two fetches ever meet in a bank."""
    case = encoded_case(1, (6, 5, 9), SEED, 60)
    assert check_in_step(case, SEED) == list(range(len(case.items)))


@pytest.mark.parametrize(("components", "rows"), [(3, 5), (16, 50), (48, 33)])
def test_rows_of_a_bank(components: int, rows: int) -> None:
    """Any row in any order; one with a byte too much, so that the next one lacks it, is told apart."""
    rng = np.random.default_rng(SEED)
    texels = numbers(rng, rows, components)
    texels[rng.random(texels.shape) < rng.random((rows, 1))] = 0
    bad = 2
    texels[bad - 1], texels[bad] = 0, 1
    table = encode(texels)
    table.ends[bad] += 1
    bank = EncodedBank(components=components, rows=rows, payload_bytes=len(table.payload))
    assert bank.latency == encoded_row_cycles(components)
    text, headers, each = table.to_bytes(), table.layout.headers_bytes(rows), table.layout.header_bytes
    idle = {"row": 0, "header_write": 0, "payload_write": 0, "place": 0, "data": 0}
    items = [
        idle | {"header_write": 1, "place": n, "data": int.from_bytes(text[n * each : (n + 1) * each], "little")}
        for n in range(headers // each)
    ]
    width = bank.sizes.word_bytes
    for n, place in enumerate(range(headers, len(text), width)):
        data = int.from_bytes(text[place : place + width], "little")
        items.append(idle | {"payload_write": 1, "place": n, "data": data})
    order = np.concatenate([np.arange(rows), rng.integers(0, rows, 60)])
    written = len(items)
    items += [idle | {"row": int(row)} for row in order]
    found = pipelined(bank, items, ("numbers", "malformed"), bank.latency)[written:]
    wrong = {bad, bad + 1}
    for row, (values, malformed) in zip(order.tolist(), found, strict=True):
        if row not in wrong:
            assert (values, malformed) == (packed(texels[row]), 0), f"seed {SEED}: row {row}"
    assert all(malformed for row, (_, malformed) in zip(order, found, strict=True) if row == bad), f"seed {SEED}"
