"""cocotb bench of :class:`~gossamer_hw.gemm.machine.GemmMachine`: load, run, read, for every case of a file."""

import os
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, SimTimeoutError, with_timeout
from numpy.typing import NDArray

_PERIOD_NS = 2
_STEPS = ("rewind", "a_address", "a_data", "b_address", "b_data", "command", "limit", "read")


@cocotb.test()
async def every_case(dut: Any) -> None:
    """Run the cases of the file STIMULUS, leave their cycles and results in the file RESULTS."""
    with np.load(os.environ["STIMULUS"]) as stimulus:
        cases = dict(stimulus)
    bench = _Bench(dut)
    await bench.start()
    cycles, banks = [], []
    for number in range(int(cases["cases"])):
        case = {name: cases[f"{name}_{number}"] for name in _STEPS if f"{name}_{number}" in cases}
        if case["rewind"]:
            await bench.rewind()
        await bench.load(case)
        cycles.append(await bench.execute(int.from_bytes(case["command"].tobytes(), "little"), int(case["limit"])))
        banks.append(await bench.read(*case["read"].tolist()))
    np.savez(os.environ["RESULTS"], cycles=np.array(cycles), banks=np.concatenate(banks))


class _Bench:
    """Drives the machine; every method begins and ends just after a falling edge."""

    def __init__(self, dut: Any) -> None:
        self._dut = dut
        self._falling = FallingEdge(dut.clk)

    async def start(self) -> None:
        """Start the clock with all inputs clear."""
        for name in ("rst", "rewind", "instruction_valid", "a_enable", "b_enable", "accumulator_address"):
            getattr(self._dut, name).value = 0
        Clock(self._dut.clk, _PERIOD_NS, "ns").start()
        await self._falling

    async def rewind(self) -> None:
        """Return to half 0 of all buffers."""
        self._dut.rewind.value = 1
        await self._falling
        self._dut.rewind.value = 0

    async def load(self, case: dict[str, NDArray[Any]]) -> None:
        """Write all banks of one address per cycle."""
        for name, width in (("a", 16), ("b", len(self._dut.b_entries) // len(self._dut.b_enable))):
            if f"{name}_address" not in case:
                continue
            address, enable = getattr(self._dut, f"{name}_address"), getattr(self._dut, f"{name}_enable")
            port = self._dut.a_words if name == "a" else self._dut.b_entries
            enable.value = (1 << len(enable)) - 1
            for place, row in zip(case[f"{name}_address"].tolist(), case[f"{name}_data"].tolist(), strict=True):
                address.value = place
                port.value = sum(item << (width * i) for i, item in enumerate(row))
                await self._falling
            enable.value = 0

    async def execute(self, command: int, limit: int) -> int:
        """Run one instruction; return the cycles it took."""
        self._dut.instruction.value = command
        self._dut.instruction_valid.value = 1
        await self._falling
        self._dut.instruction_valid.value = 0
        try:
            await with_timeout(RisingEdge(self._dut.done), limit * _PERIOD_NS, "ns")
        except SimTimeoutError:
            raise TimeoutError(f"an instruction did not end within {limit} cycles") from None
        await self._falling
        return int(self._dut.cycles.value)

    async def read(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return `count` words of accumulators, shape (count, C)."""
        size = len(self._dut.accumulators) // 8
        found = bytearray()
        for address in range(first, first + count):
            self._dut.accumulator_address.value = address
            await self._falling
            found += int(self._dut.accumulators.value).to_bytes(size, "little")
        return np.frombuffer(bytes(found), np.uint32).reshape(count, -1)
