"""Bytes and runs of a transfer against plain enumeration."""

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gossamer_models.architecture import Memory
from gossamer_models.isa.instructions import Dim, Format, Load, Store
from gossamer_models.isa.tokens import Buffer
from gossamer_models.timing.transfer import (
    TransferShape,
    axis_span,
    ideal_transfer_cycles,
    start_cycles,
    transfer_shape,
)


def addresses(transfer: Load | Store) -> list[int]:
    """Address of every element in bounds, by the instruction's own words."""
    dims = [dim for dim in transfer.dims if dim.count]
    bounds = [(getattr(transfer, f"axis{n}_base"), getattr(transfer, f"axis{n}_bound")) for n in range(3)]
    found = []
    for index in product(*(range(dim.count) for dim in dims)):
        values = [base for base, _ in bounds]
        for dim, i in zip(dims, index, strict=True):
            if dim.axis < 3:
                values[dim.axis] += i * dim.weight
        if all(0 <= value < bound for value, (_, bound) in zip(values, bounds, strict=True)):
            found.append(transfer.mem_base + sum(i * dim.mem_stride for dim, i in zip(dims, index, strict=True)))
    return found


def stretches(found: list[int], element_bytes: int) -> int:
    places = set(found)
    return sum(place - element_bytes not in places for place in places)


dims = st.builds(
    Dim,
    count=st.integers(0, 5),
    mem_stride=st.sampled_from([2, 4, 6, 8, 10, 64, 96, 512]),
    axis=st.sampled_from([0, 1, 2, 3]),
    weight=st.integers(0, 6),
)
transfers = st.builds(
    Load,
    dims=st.lists(dims, max_size=5).map(tuple),
    axis0_base=st.integers(-8, 8),
    axis0_bound=st.integers(0, 12),
    axis1_base=st.integers(-8, 8),
    axis1_bound=st.integers(0, 12),
    axis2_base=st.integers(-2, 2),
    axis2_bound=st.integers(1, 12),
)


@given(transfers)
def test_bytes_equal_enumeration(transfer: Load) -> None:
    assert transfer_shape(transfer).size_bytes == 2 * len(addresses(transfer))


@given(transfers)
def test_runs_are_whole_and_never_fewer_than_stretches(transfer: Load) -> None:
    found, shape = addresses(transfer), transfer_shape(transfer)
    assert shape.runs * shape.run_bytes >= shape.size_bytes
    assert (shape.runs > 0) == bool(found)
    if len(set(found)) == len(found):
        assert shape.runs >= stretches(found, 2)


@example(base=-2, bound=9, width=2, channels=1, rows=2, apart=2)
@given(
    base=st.integers(-3, 6),
    bound=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.integers(1, 3),
    rows=st.integers(1, 4),
    apart=st.integers(0, 6),
)
def test_runs_of_a_clipped_image_row(base: int, bound: int, width: int, channels: int, rows: int, apart: int) -> None:
    """[row][x][block of 8]: x continues a run, and the image's edges cut it."""
    transfer = Load(
        dims=(
            Dim(count=8, mem_stride=2, axis=3),
            Dim(count=channels, mem_stride=16, axis=3),
            Dim(count=width, mem_stride=16 * channels, axis=0, weight=1),
            Dim(count=rows, mem_stride=4096, axis=0, weight=apart),
        ),
        axis0_base=base,
        axis0_bound=bound,
    )
    assert transfer_shape(transfer).runs == stretches(addresses(transfer), 2)


def test_dimension_order_is_free() -> None:
    inner = (Dim(count=8, mem_stride=16, axis=3), Dim(count=8, mem_stride=2, axis=3))
    assert transfer_shape(Load(dims=inner)) == TransferShape(128, 1, 128, 1, 0)
    assert transfer_shape(Load(dims=inner[::-1])) == transfer_shape(Load(dims=inner))


@given(transfers)
def test_stretches_begin_on_the_grain(transfer: Load) -> None:
    found, grain = set(addresses(transfer)), transfer_shape(transfer).grain_bytes
    heads = [place - transfer.mem_base for place in found if place - 2 not in found]
    assert all(head % grain == 0 if grain else head == 0 for head in heads)


def test_near_runs() -> None:
    dims = (Dim(count=32, mem_stride=4, axis=3), Dim(count=10, mem_stride=256, axis=3))
    shape = transfer_shape(Store(format=Format.FP32, dims=dims))
    assert shape == TransferShape(1280, 10, 128, 10, 256, 256)
    assert shape.pieces(64) == 20
    assert shape.pieces(512) == 10


def test_huge_dimensions_cost_nothing() -> None:
    digits = ((1 << 15, 1), (200, 1 << 15), (65535, 0))
    wide = tuple(Dim(count=count, mem_stride=2, axis=0, weight=weight) for count, weight in digits)
    shape = transfer_shape(Load(dims=wide, axis0_base=-7, axis0_bound=6_000_000))
    assert shape.size_bytes == 2 * 6_000_000 * 65535


def test_axis_span() -> None:
    dims = (Dim(count=3, mem_stride=2, axis=1, weight=2), Dim(count=4, mem_stride=6, axis=1, weight=5))
    span = axis_span(Load(dims=dims, axis1_bound=25), 1)
    assert (span.span, span.bound) == (19, 25)
    assert [span.whole(base) for base in (-1, 0, 5, 6)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("ports", "port_bits", "cycles"),
    [(1, 512, 64 + 20), (4, 512, 64 + 5), (4, 64, 64 + 40), (16, 512, 64 + 2), (1, 128, 64 + 80)],
)
def test_ideal_cycles(ports: int, port_bits: int, cycles: int) -> None:
    memory = Memory.model_validate({"ports": ports, "port_bits": port_bits})
    dims = (Dim(64, 2, 2), Dim(10, 256, 256))
    for transfer in (Load(buffer=Buffer.VIN, dims=dims), Store(buffer=Buffer.VOUT, dims=dims)):
        expected = cycles + start_cycles(transfer)
        assert ideal_transfer_cycles(memory, transfer, transfer_shape(transfer)) == expected


def test_nothing_in_bounds_asks_nothing_of_the_memory() -> None:
    load = Load(dims=(Dim(count=32, mem_stride=2, buf_stride=2, axis=3),), axis0_base=5)
    shape = transfer_shape(load)
    assert shape.size_bytes == 0
    assert ideal_transfer_cycles(Memory(ports=4), load, shape) == start_cycles(load)
    assert ideal_transfer_cycles(Memory(), load, shape) == start_cycles(load) + 1  # the zeros take their cycle
