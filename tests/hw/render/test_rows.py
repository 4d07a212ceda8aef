"""Encoder and decoder of rows against golden, bit for bit, one row per cycle."""

import numpy as np
import pytest

from gossamer_hw.render.row_decoder import RowDecoder
from gossamer_hw.render.row_encoder import RowEncoder
from gossamer_models.errors import InputError
from gossamer_models.render.encoding import Layout, encode
from gossamer_models.timing.render_units import decoder_cycles, encoder_cycles
from tests.hw.render.rows import decoded, packed, pipelined, row_bytes, some_rows

SEED = 17
SIZES = [1, 5, 8, 16, 48]


@pytest.mark.parametrize("components", SIZES)
def test_encoder_writes_the_table(components: int) -> None:
    rows = some_rows(components, SEED, each=6)
    table = encode(rows)
    unit = RowEncoder(components=components)
    assert unit.latency == encoder_cycles(components)
    items = [{"numbers": packed(row), "valid": 1, "first": int(n == 0)} for n, row in enumerate(rows)]
    found = pipelined(unit, items, ("row", "length", "base", "end"), unit.latency)
    for n, one in enumerate(found):
        text = row_bytes(table, n)
        wanted = (int.from_bytes(text, "little"), len(text), int(table.bases[n // 16]), int(table.ends[n]))
        assert one == wanted, f"seed {SEED}, row {n}"


def test_encoder_begins_tables_anew_and_does_not_count_bubbles() -> None:
    rows = some_rows(16, SEED, each=3)
    unit = RowEncoder(components=16)
    items, wanted = [], []
    for first, last in ((0, 7), (7, 8), (8, 31)):
        table = encode(rows[first:last])
        for n in range(last - first):
            items += [{"numbers": packed(rows[first + n]), "valid": 1, "first": int(n == 0)}]
            items += [{"numbers": packed(rows[n]), "valid": 0, "first": n % 2}] * (n % 3)
            wanted += [(int(table.bases[n // 16]), int(table.ends[n]))] * (1 + n % 3)
    assert pipelined(unit, items, ("base", "end"), unit.latency) == wanted, f"seed {SEED}"


def equal_coordinates(layout: Layout, component: int) -> bytes:
    """A list, if two numbers are one, that names a component twice."""
    size = int(layout.coordinate_bytes(np.array(2)))
    return (component | component << layout.index_bits).to_bytes(size, "little") + b"\0\x3c" * 2


@pytest.mark.parametrize("components", SIZES)
def test_decoder_reads_what_golden_reads_and_refuses_what_it_refuses(components: int) -> None:
    rng = np.random.default_rng(SEED)
    rows = some_rows(components, SEED, each=6)
    table, layout = encode(rows), Layout(components)
    texts = [row_bytes(table, n) for n in range(len(rows))]
    good = len(texts)
    longest = max(map(len, texts))
    for text in texts[:good]:
        spoilt = bytearray(text)
        if spoilt:
            spoilt[rng.integers(min(len(spoilt), layout.bitmap_bytes + 1))] ^= 1 << int(rng.integers(8))
        texts += [bytes(spoilt), text[:-1], text + b"\1"[: longest - len(text)]]
    twice = [equal_coordinates(layout, int(c)) for c in rng.integers(components, size=4)]
    texts += [text for text in twice if len(text) <= longest]
    texts += [rng.bytes(int(rng.integers(longest + 1))) for _ in range(60)]
    unit = RowDecoder(components=components)
    assert unit.latency == decoder_cycles(components)
    # What lies behind a row in memory must not matter.
    items = [
        {"row": int.from_bytes((text + rng.bytes(longest))[:longest], "little"), "length": len(text)} for text in texts
    ]
    found = pipelined(unit, items, ("numbers", "malformed"), unit.latency)
    refused = 0
    for n, (text, (numbers, malformed)) in enumerate(zip(texts, found, strict=True)):
        wanted = decoded(layout, text)
        assert malformed == (wanted is None), f"seed {SEED}, row {n}: {text.hex()}"
        if wanted is None:
            refused += 1
        else:
            assert numbers == wanted, f"seed {SEED}, row {n}: {text.hex()}"
    assert not any(malformed for _, malformed in found[:good])
    assert refused > good // 2


def test_no_components() -> None:
    with pytest.raises(InputError, match="1 to 4096 components, not 0"):
        RowDecoder(components=0)
    with pytest.raises(InputError, match="1 to 4096 components, not 0"):
        RowEncoder(components=0)
