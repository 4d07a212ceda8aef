"""Bursts of a transfer against its elements, one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.architecture import Memory
from gossamer_models.dram import load_dram
from gossamer_models.isa.instructions import Dim, Load
from gossamer_models.timing.dram_address import address_map
from gossamer_sim.bank_bursts import channel_bursts, transfer_runs

dims = st.builds(
    Dim,
    count=st.integers(0, 5),
    mem_stride=st.sampled_from([2, 4, 8, 10, 64, 96, 512, 4096]),
    axis=st.sampled_from([0, 1, 3]),
    weight=st.integers(0, 6),
)
transfers = st.builds(
    Load,
    dims=st.lists(dims, max_size=5).map(tuple),
    mem_base=st.integers(0, 1 << 20),
    axis0_base=st.integers(-8, 8),
    axis0_bound=st.integers(0, 12),
    axis1_base=st.integers(-8, 8),
    axis1_bound=st.integers(0, 12),
    axis2_bound=st.just(1),
)


def elements(transfer: Load) -> list[int]:
    """Address of every element in bounds, outermost dimension first."""
    dims = [dim for dim in reversed(transfer.dims) if dim.count]
    bounds = ((transfer.axis0_base, transfer.axis0_bound), (transfer.axis1_base, transfer.axis1_bound))
    found = []
    for index in product(*(range(dim.count) for dim in dims)):
        values = [base for base, _ in bounds]
        for dim, place in zip(dims, index, strict=True):
            if dim.axis < 2:
                values[dim.axis] += place * dim.weight
        if all(0 <= value < bound for value, (_, bound) in zip(values, bounds, strict=True)):
            found.append(transfer.mem_base + sum(i * dim.mem_stride for i, dim in zip(index, dims, strict=True)))
    return found


@given(transfers)
def test_runs_hold_the_elements_in_order(transfer: Load) -> None:
    starts, sizes = transfer_runs(transfer, ordered=False)
    spread = [
        at for start, size in zip(starts.tolist(), sizes.tolist(), strict=True) for at in range(start, start + size, 2)
    ]
    assert spread == elements(transfer)
    assert not any(start == end for start, end in zip(starts[1:].tolist(), (starts + sizes)[:-1].tolist(), strict=True))


@given(transfers)
def test_order_of_strides_holds_the_same_elements(transfer: Load) -> None:
    starts, sizes = transfer_runs(transfer, ordered=True)
    spread = [
        at for start, size in zip(starts.tolist(), sizes.tolist(), strict=True) for at in range(start, start + size, 2)
    ]
    assert sorted(spread) == sorted(elements(transfer))


def test_runs_become_bursts_of_their_channels() -> None:
    """Two runs: from the middle of one burst into the next, and three whole bursts across a channel's end."""
    table = load_dram("ddr4")
    addresses = address_map(Memory(ports=2), table)
    runs = np.array([96, 1024 - 64]), np.array([64, 192])
    first, second = channel_bursts(addresses, table.burst_bytes, runs)
    assert [len(first.banks), len(second.banks)] == [3, 2]
    assert first.heads == [0, 0, 2]
    assert second.heads == [0, 0]
    assert (first.banks, second.banks) == ([4, 8, 12], [0, 4])
    assert set(first.rows + second.rows) == {0}


@pytest.mark.parametrize("ordered", [False, True])
def test_nothing_in_bounds(ordered: bool) -> None:
    empty = Load(dims=(Dim(count=4, mem_stride=2, axis=0, weight=1),), axis0_base=9, axis0_bound=4)
    starts, sizes = transfer_runs(empty, ordered=ordered)
    assert starts.size == sizes.size == 0
