"""Address mapping against digits taken apart one by one."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gossamer_models.architecture import AddressMapping, Memory
from gossamer_models.dram import load_dram
from gossamer_models.timing.dram_address import AddressMap, address_map

mappings = st.builds(
    AddressMapping,
    interleave_bytes=st.sampled_from([64, 256, 1024, 8192]),
    channel_fold=st.booleans(),
    order=st.sampled_from(list(permutations(("group", "column", "bank")))),
    bank_fold=st.booleans(),
)
maps = st.builds(
    lambda mapping, ports, kind: address_map(Memory(ports=ports, mapping=mapping), load_dram(kind)),
    mappings,
    st.sampled_from([1, 2, 4]),
    st.sampled_from(["ddr4", "lpddr4", "hbm2"]),
)


def bits(value: int, count: int) -> list[int]:
    return [value >> bit & 1 for bit in range(count)]


def place(found: AddressMap, burst: int) -> tuple[int, int, int]:
    """Channel, bank and row of one burst, by the documented rule and bit by bit."""
    chunk, offset = divmod(burst, found.interleave_bursts)
    width = found.channels.bit_length() - 1
    channel = chunk % found.channels
    if found.channel_fold:
        channel = sum((sum(bits(chunk, 48)[bit::width]) % 2) << bit for bit in range(width))
    left = chunk // found.channels * found.interleave_bursts + offset
    digits = {}
    for name, size in found.sizes:
        digits[name] = left % size
        left //= size
    bank = digits["group"] * dict(found.sizes)["bank"] + digits["bank"]
    if found.bank_fold:
        width = (dict(found.sizes)["group"] * dict(found.sizes)["bank"]).bit_length()  # one bit more than banks have
        code = [low ^ high for low, high in pairwise(bits(left, 49))]
        for bit in range(width - 1):
            bank ^= (sum(code[bit::width]) % 2) << bit
    return channel, bank, left


@given(maps, st.lists(st.integers(0, (1 << 34) - 1), min_size=1, max_size=20))
def test_places_bit_by_bit(found: AddressMap, bursts: list[int]) -> None:
    places = found.places(np.array(bursts))
    assert list(zip(*(part.tolist() for part in places), strict=True)) == [place(found, burst) for burst in bursts]


@given(maps)
@settings(max_examples=15)
def test_no_two_bursts_share_a_place(found: AddressMap) -> None:
    """Channel, bank, row and column: a row's bursts are as many as it has columns."""
    count = 4 * found.channels * found.size("group") * found.size("column") * found.size("bank")
    places = found.places(np.arange(count))
    _, counts = np.unique(np.stack(places), axis=1, return_counts=True)
    assert set(counts) == {found.size("column")}


@given(maps, st.integers(1, 200), st.integers(0, 300) | st.sampled_from([64, 512, 640, 4096]), st.integers(1, 20))
def test_busiest_channel_against_counting(found: AddressMap, run: int, stride: int, runs: int) -> None:
    bursts = np.concatenate([np.arange(run) + number * stride for number in range(runs)])
    counted = np.bincount(found.places(bursts).channel).max()
    answer = found.busiest(run, stride, runs)
    if run < found.channels * found.interleave_bursts:
        assert answer == counted  # longer runs hold whole rounds of the channels, which count alike
    assert abs(answer - counted) <= runs * found.interleave_bursts


@given(maps, st.integers(1, 5000))
def test_rows_of_a_stretch_against_counting(found: AddressMap, bursts: int) -> None:
    one = AddressMap(1, found.interleave_bursts, found.sizes, channel_fold=False, bank_fold=found.bank_fold)
    _, bank, row = one.places(np.arange(bursts))
    opened = len(set(zip(bank.tolist(), row.tolist(), strict=True)))
    assert opened <= one.rows(bursts) < opened + one.open_banks


@pytest.mark.parametrize("name", ["group", "bank"])
@given(found=maps, stride=st.integers(1, 1 << 14))
def test_steps_against_counting(name: str, found: AddressMap, stride: int) -> None:
    plain = AddressMap(1, 1 << 20, found.sizes, channel_fold=False, bank_fold=False)
    banks = plain.places(np.arange(256) * stride).bank
    values = banks // plain.size("bank") if name == "group" else banks % plain.size("bank")
    bound = plain.steps(name, stride)
    assert len(set(values.tolist())) <= bound <= plain.size(name)
