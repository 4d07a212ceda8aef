"""How many elements of a block are real, blocks side by side at any place of any plane."""

from itertools import product
from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.layouts import operand_bits
from gossamer_hw.prune.controller import PruneController
from gossamer_hw.prune.topn import GROUP
from gossamer_models.isa.instructions import Prune

SIDES = (1, 2, 3, 5)
LANES = 8


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
def test_real_elements(groups: int) -> None:
    """Indices carry from n0 to n1 and wrap in n1, of which there may be one; blocks may be fewer than `groups`."""
    dut = PruneController(groups=groups, lanes=LANES, block_bits=16)
    cases = [
        (Prune(n0=n0, n1=n1, n2=n2, axis=axis, valid=8 * real + rest), n0, n1, n2)
        for n0, n1, n2 in product(SIDES, SIDES, (1, 2))
        for axis, length in enumerate((n1, n0))
        for real, rest in ((length - 1, 3), (length, 0))
    ]

    async def drive(ctx: Any) -> None:
        for prune, n0, n1, n2 in cases:
            ctx.set(dut.instruction.as_value(), operand_bits(prune))
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(dut.latency - 1)
            blocks = [(i1, i0) for _ in range(n2) for i1 in range(n1) for i0 in range(n0)]
            expected = [min(max(prune.valid - GROUP * block[prune.axis], 0), GROUP) for block in blocks]
            found: list[int] = []
            while ctx.get(dut.step.active):
                enabled = [g for g in range(groups) if ctx.get(dut.step.enable[g])]
                found += [ctx.get(dut.step.count[g]) for g in enabled]
                assert ctx.get(dut.step.final) == (len(found) == len(blocks)), prune
                await ctx.tick()
            assert found == expected, prune

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
