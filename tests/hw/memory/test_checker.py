"""Every rule of the checker: broken once it is remembered, kept it is not."""

from typing import Any

import pytest
from amaranth.sim import Simulator

from gossamer_hw.axi import INCR
from gossamer_hw.memory.checker import AxiChecker, Rule

WIDTH = 16
ADDRESS = {"addr": 0x1000, "len": 1, "size": 4, "burst": INCR, "valid": 1}

Cycle = dict[str, int]


def address(channel: str, **changes: int) -> Cycle:
    """One cycle in which an address is taken, of two words unless told otherwise."""
    return {f"{channel}{name}": value for name, value in (ADDRESS | {"ready": 1} | changes).items()}


def word(channel: str, **changes: int) -> Cycle:
    """One cycle in which a word is taken."""
    return {f"{channel}{name}": value for name, value in ({"data": 7, "valid": 1, "ready": 1} | changes).items()}


ANSWER = {"bvalid": 1, "bready": 1}
READ = [address("ar"), word("r"), word("r", last=1)]
WRITE = [address("aw"), word("w"), word("w", last=1), ANSWER]
SINGLE = [address("aw", len=0) | word("w", last=1), ANSWER]
PAGE = 4096

CASES: dict[str, tuple[list[Cycle], Rule]] = {
    "a read": (READ, Rule(0)),
    "a write": (WRITE, Rule(0)),
    "a word with its address": ([*SINGLE, *WRITE, *SINGLE], Rule(0)),
    "waiting": ([address("ar", ready=0), *READ], Rule(0)),
    "up to the page's end": ([address("ar", addr=PAGE - 2 * WIDTH), *READ[1:]], Rule(0)),
    "read address taken back": ([address("ar", ready=0), {}], Rule.AR_STABLE),
    "read address changed": ([address("ar", ready=0), address("ar", addr=0x1010), *READ[1:]], Rule.AR_STABLE),
    "write address changed": ([address("aw", ready=0), address("aw", len=0), word("w", last=1)], Rule.AW_STABLE),
    "written word changed": ([address("aw"), word("w", ready=0), word("w", data=8)], Rule.W_STABLE),
    "strobes changed": ([address("aw"), word("w", ready=0), word("w", strb=8)], Rule.W_STABLE),
    "read word changed": ([address("ar"), word("r", ready=0), word("r", data=8)], Rule.R_STABLE),
    "answer taken back": ([*WRITE[:3], {"bvalid": 1}, {}], Rule.B_STABLE),
    "read across a page": ([address("ar", addr=PAGE - WIDTH)], Rule.AR_BURST),
    "write across a page": ([address("aw", addr=PAGE - WIDTH)], Rule.AW_BURST),
    "half an address": ([address("ar", addr=8)], Rule.AR_BURST),
    "narrow words": ([address("ar", size=3)], Rule.AR_BURST),
    "wrapping": ([address("aw", burst=2)], Rule.AW_BURST),
    "last word too early": ([address("aw"), word("w", last=1)], Rule.W_LAST),
    "last word unmarked": ([address("aw"), word("w"), word("w")], Rule.W_LAST),
    "read ends too early": ([address("ar"), word("r", last=1)], Rule.R_LAST),
    "read without an address": ([word("r", last=1, ready=0)], Rule.R_EARLY),
    "write without an address": ([word("w")], Rule.W_EARLY),
    "answer without a write": ([ANSWER], Rule.B_EARLY),
    "answer before the last word": ([address("aw"), word("w"), {"bvalid": 1}], Rule.B_EARLY),
    "one answer too many": ([*WRITE, ANSWER], Rule.B_EARLY),
}


@pytest.mark.parametrize("case", CASES)
def test_rule(case: str) -> None:
    cycles, broken = CASES[case]
    dut = AxiChecker(width_bytes=WIDTH)
    seen = []

    async def drive(ctx: Any) -> None:
        previous: Cycle = {}
        for cycle in [*cycles, {}]:
            for name in previous | cycle:
                ctx.set(getattr(dut, name), cycle.get(name, 0))
            previous = cycle
            await ctx.tick()
        seen.append(Rule(ctx.get(dut.violation)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    if broken:
        assert broken in seen[0], seen
    else:
        assert not seen[0], seen
