"""Hybrid encoding: exact round trips, bytes as the formulas say, a decoder of single bits that shares no code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.render.encoding import MAX_COMPONENTS, Layout, Policy, Table, decode, encode, ranks

POLICIES = list(Policy)


def random_rows(rows: int, components: int, density: float, seed: int) -> NDArray[np.float16]:
    """Any bit pattern, NaN and -0 included, with about `density` of them kept."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 1 << 16, (rows, components), dtype=np.uint16)
    return np.where(rng.random((rows, components)) < density, bits, np.uint16(0)).view(np.float16)


def adversarial(components: int) -> NDArray[np.float16]:
    """Empty, full, one element first, middle and last, alternating, all but one, -0 only, with empty rows between."""
    bits = np.zeros((20, components), dtype=np.uint16)
    bits[1] = 0x3C00
    bits[2, 0] = bits[3, components // 2] = bits[4, -1] = 0xFFFF
    bits[5, ::2] = bits[6, 1::2] = 0x0001
    bits[7] = 0x7E00
    bits[7, -1] = 0
    bits[8, 0] = bits[8, -1] = 0x8000
    bits[17] = 0xABCD
    return bits.view(np.float16)


def by_hand(data: bytes, rows: int, layout: Layout, row: int) -> list[int]:
    """The bit patterns of one row, read bit by bit as the module's text says."""
    components, policy = layout.components, layout.policy
    block, place = divmod(row, 16)
    header = int.from_bytes(data[block * layout.header_bytes : (block + 1) * layout.header_bytes], "little")
    base = header & 0xFFFFFFFF
    marked = policy is Policy.THRESHOLD
    width = layout.offset_bits + marked

    def field(number: int) -> int:
        return header >> (32 + number * width) & ((1 << width) - 1)

    begin = 0 if place == 0 else field(place - 1) >> marked
    end = field(place) >> marked
    text = data[-(-rows // 16) * layout.header_bytes :][base + begin : base + end]
    bits = max(1, (components - 1).bit_length())
    bitmap = (components + 7) // 8
    lists = [n for n in range(components + 1) if (n * bits + 7) // 8 + 2 * n == len(text)]
    smaller = bool(lists) and (lists[0] * bits + 7) // 8 < bitmap
    listed = {
        Policy.HYBRID: smaller,
        Policy.BITMAP: False,
        Policy.COORDINATES: True,
        Policy.THRESHOLD: bool(field(place) & 1),
    }[policy]
    packed = int.from_bytes(text if listed else text[:bitmap], "little")
    if listed:
        kept = [packed >> k * bits & ((1 << bits) - 1) for k in range(lists[0])]
    else:
        kept = [c for c in range(components) if packed >> c & 1]
    values = text[len(text) - 2 * len(kept) :]
    found = [0] * components
    for k, c in enumerate(kept):
        found[c] = int.from_bytes(values[2 * k : 2 * k + 2], "little")
    return found


@pytest.mark.fast_one_in(5)
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("components", [1, 2, 3, 8, 16, 48, 64, 100])
def test_every_sparsity_comes_back_bit_for_bit(policy: Policy, components: int) -> None:
    for percent in range(0, 101, 5):
        rows = random_rows(37, components, percent / 100, seed=percent)
        table = encode(rows, policy)
        np.testing.assert_array_equal(decode(table).view(np.uint16), rows.view(np.uint16), f"{percent} %")
        again = Table.from_bytes(table.to_bytes(), len(rows), table.layout)
        np.testing.assert_array_equal(decode(again).view(np.uint16), rows.view(np.uint16), f"{percent} %")


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("components", [1, 5, 16, 48])
def test_adversarial_rows_against_a_reader_of_single_bits(policy: Policy, components: int) -> None:
    rows = adversarial(components)
    table = encode(rows, policy)
    layout, data = table.layout, table.to_bytes()
    for row in range(len(rows)):
        found = by_hand(data, len(rows), layout, row)
        assert found == rows.view(np.uint16)[row].tolist(), row
    picked = np.array([17, 0, 17, 4, 16], dtype=np.int64)
    np.testing.assert_array_equal(decode(table, picked).view(np.uint16), rows[picked].view(np.uint16))


@given(
    components=st.integers(1, 70), rows=st.integers(0, 50), density=st.floats(0, 1), seed=st.integers(0, 1 << 32),
    policy=st.sampled_from(POLICIES),
)  # fmt: skip
def test_round_trip_and_size_in_closed_form(
    components: int, rows: int, density: float, seed: int, policy: Policy
) -> None:
    values = random_rows(rows, components, density, seed)
    table = encode(values, policy)
    data = table.to_bytes()
    counts = np.count_nonzero(values.view(np.uint16), axis=1).astype(np.int64)
    assert len(data) == table.layout.table_bytes(counts)
    found = decode(Table.from_bytes(data, rows, table.layout))
    np.testing.assert_array_equal(found.view(np.uint16), values.view(np.uint16))


@pytest.mark.parametrize("components", range(1, 130))
def test_no_row_is_longer_than_under_another_policy(components: int) -> None:
    counts = np.arange(components + 1)
    sizes = {policy: Layout(components, policy).row_bytes(counts) for policy in POLICIES}
    np.testing.assert_array_equal(sizes[Policy.HYBRID], np.minimum(sizes[Policy.BITMAP], sizes[Policy.COORDINATES]))
    assert (sizes[Policy.THRESHOLD] >= sizes[Policy.HYBRID]).all()
    for policy in (Policy.HYBRID, Policy.BITMAP, Policy.COORDINATES):
        layout = Layout(components, policy)
        by_length = layout.as_coordinates_by_length(sizes[policy])
        np.testing.assert_array_equal(by_length, layout.as_coordinates(counts))
        assert (np.diff(sizes[policy]) > 0).all()
    assert Layout(components).header_bytes <= min(Layout(components, policy).header_bytes for policy in POLICIES)


def test_sizes_by_hand() -> None:
    layout = Layout(48)
    assert (layout.index_bits, layout.bitmap_bytes, layout.offset_bits) == (6, 6, 11)
    assert layout.header_bytes == (32 + 16 * 11) // 8
    # 0 numbers: nothing; 5: ceil(30 / 8) + 10; 7: ceil(42 / 8) = 6 is no shorter than the bitmap; 48: 6 + 96
    assert layout.row_bytes(np.array([0, 5, 7, 48])).tolist() == [0, 14, 20, 102]
    assert Layout(16).header_bytes == (32 + 16 * 10) // 8


def test_the_threshold_lies_at_80_percent() -> None:
    assert Layout(10, Policy.THRESHOLD).as_coordinates(np.array([1, 2])).tolist() == [True, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:10], "has 10 bytes"),
        (lambda data: data[:-1], "its rows end elsewhere"),
        (lambda data: data + b"\0", "its rows end elsewhere"),
        (lambda data: b"\1" + data[1:], "do not follow each other"),
        (lambda data: data[:4] + b"\xfe\xff" + data[6:], "do not follow each other"),
    ],
)
def test_damaged_tables_are_refused(change, message: str) -> None:  # type: ignore[no-untyped-def]
    table = encode(random_rows(20, 16, 0.3, seed=1))
    with pytest.raises(InputError, match=message):
        Table.from_bytes(change(table.to_bytes()), 20, table.layout)


def test_coordinates_that_do_not_ascend_are_refused() -> None:
    rows = np.zeros((1, 16), dtype=np.float16)
    rows[0, 3] = rows[0, 9] = 1
    table = encode(rows, Policy.COORDINATES)
    table.payload[0] = 0x39
    with pytest.raises(InputError, match="must be ascending"):
        decode(table)


def test_a_bitmap_of_another_length_is_refused() -> None:
    rows = np.ones((1, 16), dtype=np.float16)
    table = encode(rows, Policy.BITMAP)
    table.payload[0] = 0
    with pytest.raises(InputError, match="does not have the length"):
        decode(table)


@pytest.mark.parametrize("components", [1, 8, 19])
def test_a_bitmap_s_rank_says_which_of_a_row_s_numbers_a_component_is(components: int) -> None:
    rows = np.concatenate([adversarial(components), random_rows(20, components, 0.4, seed=6)])
    table = encode(rows, Policy.BITMAP)
    held = rows.view(np.uint16) != 0
    for row, start, rank in zip(range(len(rows)), table.starts.tolist(), ranks(held), strict=True):
        numbers = table.payload[start + table.layout.bitmap_bytes :]
        for c in np.flatnonzero(held[row]).tolist():
            place = 2 * int(rank[c])
            assert int.from_bytes(numbers[place : place + 2].tobytes(), "little") == rows[row, c].view(np.uint16)


def test_wrong_arguments() -> None:
    with pytest.raises(InputError, match="1 to 4096 components, not 0"):
        Layout(0)
    with pytest.raises(InputError, match="matrix of float16"):
        encode(np.zeros((2, 3), dtype=np.float32))
    assert Layout(MAX_COMPONENTS).index_bits == 12
