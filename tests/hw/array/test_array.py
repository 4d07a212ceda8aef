"""The array on random streams, in Amaranth's simulator: bits of every accumulator, and the cycles that they take."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal
from amaranth.sim import Simulator

from array_streams import Shape, edge_streams, expected_banks, random_chunks
from gossamer_hw.array.array import SystolicArray

SEED = 5
PARAMETERS: dict[str, int] = {"group": 8, "slots": 4, "multiply_latency": 3, "add_latency": 4}


def make(shape: Shape, **parameters: int) -> SystolicArray:
    return SystolicArray(
        rows=shape.rows,
        columns=shape.columns,
        drain_ports=shape.drain_ports,
        accumulator_words=shape.accumulator_words,
        **(PARAMETERS | {"group": shape.group} | parameters),
    )


def port(array: SystolicArray, name: str) -> Any:
    head, _, number = name.partition("__")
    member = getattr(array, head)
    member = member[int(number)] if number else member
    return member.as_value() if hasattr(member, "as_value") else member


def simulate(
    array: SystolicArray,
    shape: Shape,
    streams: list[dict[str, int]],
    wait: int,
    interleave: int,
    *,
    reset_after: int = 0,
) -> Any:
    """Play the streams, wait, and read the banks; first, if `reset_after`, so many cycles of them and a reset."""
    reset = Signal()
    words = shape.accumulator_words // shape.drain_ports
    banks = np.zeros((words, shape.drain_ports * shape.columns), np.uint32)

    async def play(ctx: Any, part: list[dict[str, int]]) -> None:
        for ports in part:
            for name, value in ports.items():
                ctx.set(port(array, name), value)
            await ctx.tick()

    async def drive(ctx: Any) -> None:
        if len(array.interleaves) > 1:
            ctx.set(array.interleave, array.interleaves.index(interleave))
        if reset_after:
            await play(ctx, streams[:reset_after])
            ctx.set(reset, 1)
            await play(ctx, [dict.fromkeys(streams[0], 0)])
            ctx.set(reset, 0)
        await play(ctx, streams)
        await ctx.tick().repeat(wait)
        for address in range(words):
            ctx.set(array.address, address)
            await ctx.tick()
            banks[address] = [ctx.get(data.as_value()) for data in array.data]

    simulator = Simulator(ResetInserter(reset)(array))
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    return banks.reshape(words, shape.drain_ports, shape.columns).transpose(1, 2, 0)


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [
        pytest.param(Shape(rows=2, columns=2, accumulator_words=16), {}, marks=pytest.mark.slow),
        pytest.param(Shape(rows=4, columns=2, drain_ports=2, accumulator_words=32), {}, marks=pytest.mark.slow),
        (Shape(rows=2, columns=4, group=4, accumulator_words=16), {"multiply_latency": 2, "add_latency": 3}),
        (Shape(rows=2, columns=2, interleave=4, accumulator_words=16), {"slots": 8}),
        pytest.param(
            Shape(rows=2, columns=2, interleave=8, accumulator_words=32),
            {"slots": 8, "multiply_latency": 5},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            Shape(rows=4, columns=1, interleave=2, accumulator_words=16),
            {"slots": 2, "add_latency": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_banks_hold_every_bit(shape: Shape, parameters: dict[str, int]) -> None:
    chunks = random_chunks(np.random.default_rng(SEED), shape, 6)
    array = make(shape, **parameters)
    streams, _ = edge_streams(shape, chunks)
    found = simulate(array, shape, streams, array.latency(shape.interleave), shape.interleave)
    expected = expected_banks(shape, chunks)
    assert np.array_equal(found, expected), f"seed {SEED}: {np.argwhere(found != expected)[:4].tolist()}"


@pytest.mark.slow
def test_one_cycle_of_reset_empties_the_array() -> None:
    """Whatever is in flight, the next sums find their places."""
    shape = Shape(rows=4, columns=2, accumulator_words=16)
    chunks = [replace(chunk, accumulate=False) for chunk in random_chunks(np.random.default_rng(SEED), shape, 2)]
    array = make(shape)
    streams, (closing, _) = edge_streams(shape, chunks)
    # Then marks are on their way from row to row.
    reset_after = closing + shape.interleave - 1
    found = simulate(array, shape, streams, array.latency(shape.interleave), shape.interleave, reset_after=reset_after)
    assert np.array_equal(found, expected_banks(shape, chunks))


@pytest.mark.slow
@pytest.mark.parametrize("drain_ports", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_latency_is_exact(drain_ports: int) -> None:
    """All sums are in the banks after `latency` cycles, and the last of them only then."""
    shape = Shape(rows=4, columns=2, drain_ports=drain_ports, accumulator_words=16)
    chunks = random_chunks(np.random.default_rng(SEED), shape, 1)
    expected = expected_banks(shape, chunks)
    array = make(shape)
    streams, (closing,) = edge_streams(shape, chunks)
    streams = streams[: closing + shape.interleave + max(shape.rows, shape.columns)]
    assert expected[-1, -1, last_address(shape)], "the last sum must differ from the empty bank"
    written = last_write_cycle(array, shape, streams)
    assert written - closing == array.latency(shape.interleave)


def last_address(shape: Shape) -> int:
    """Return the address of the last slot in the first row of a segment."""
    return (shape.interleave - 1) * (shape.rows // shape.drain_ports)


def last_write_cycle(array: SystolicArray, shape: Shape, streams: list[dict[str, int]]) -> int:
    """Return the first cycle in which the last sum to arrive can be read from its bank."""
    seen: list[int] = []

    async def drive(ctx: Any) -> None:
        ctx.set(array.address, last_address(shape))
        for t in range(len(streams) + 2 * array.latency(shape.interleave)):
            for name, item in streams[t].items() if t < len(streams) else ():
                ctx.set(port(array, name), item)
            if ctx.get(array.data[-1].as_value()):
                seen.append(t)
            await ctx.tick()

    simulator = Simulator(array)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    # The bank was read in the cycle before its data appeared.
    return seen[0] - 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"drain_ports": 3}, "`drain_ports` must divide `rows` \\(4\\), not be 3"),
        ({"drain_ports": 4}, "`drain_ports` must leave each at least 5 sums of a chunk, not 4"),
        ({"accumulator_words": 18}, "`accumulator_words` must be a multiple of `rows` \\(4\\), not 18"),
        ({"group": 6}, "`group` must be a power of two of at least 2, not 6"),
        ({"slots": 3}, "`slots` must be a power of two, not 3"),
        ({"multiply_latency": 1}, "`multiply_latency` must be at least 2, not 1"),
        ({"add_latency": 5}, "`add_latency` must be from 1 to 4, not 5"),
    ],
)
def test_parameters_out_of_range(changed: dict[str, int], message: str) -> None:
    parameters = PARAMETERS | {"rows": 4, "columns": 2, "drain_ports": 1, "accumulator_words": 32}
    with pytest.raises(ValueError, match=message):
        SystolicArray(**(parameters | changed))
