"""cocotb bench: items through stream units side by side, in step and under random pauses; their results left in a file.

Sources and sinks are cocotbext-axi's, which share nothing with the units. In step, neither pauses, and the cycles in
which items enter and results leave are left too.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


def _pauses(generator: Random) -> Iterator[bool]:
    """Stretches of different eagerness."""
    while True:
        often = generator.choice((0.0, 0.2, 0.5, 0.9))
        for _ in range(generator.randrange(1, 60)):
            yield generator.random() < often


class _Unit:
    """A unit between its source and its sink."""

    def __init__(self, dut: Any, name: str, items: list[bytes], results: int) -> None:
        self.name, self._dut, self._results = name, dut, results
        self._items = [int.from_bytes(item, "little") for item in items]
        self._ports = [
            (getattr(dut, f"{name}_{port}_tvalid"), getattr(dut, f"{name}_{port}_tready")) for port in _PORTS
        ]
        self._source, self._sink = (
            kind(AxiStreamBus.from_prefix(dut, f"{name}_{port}"), dut.clk, dut.rst, byte_lanes=1)
            for kind, port in zip((AxiStreamSource, AxiStreamSink), _PORTS, strict=True)
        )
        # A line per beat takes longer than the beat.
        for end in (self._source, self._sink):
            end.log.setLevel(logging.WARNING)

    def pause(self, seed: int) -> None:
        self._source.set_pause_generator(_pauses(Random(seed)))
        self._sink.set_pause_generator(_pauses(Random(seed + 1)))

    async def through(self) -> bytes:
        await self._source.send(AxiStreamFrame(tdata=self._items))
        size = len(getattr(self._dut, f"{self.name}_m_axis_tdata")) // 8
        found = b""
        while len(found) < size * self._results:
            frame = await self._sink.recv(compact=False)
            found += b"".join(int(one).to_bytes(size, "little") for one in frame.tdata)
        await self._source.wait()
        await ClockCycles(self._dut.clk, 40)
        assert self._sink.empty(), f"{self.name} gave more than {self._results} results"
        return found

    async def watch(self) -> tuple[list[int], list[int]]:
        """Return the cycles in which items enter and results leave, up to the last one of both."""
        cycles: tuple[list[int], list[int]] = [], []
        wanted, cycle = (len(self._items), self._results), 0
        while any(len(seen) < most for seen, most in zip(cycles, wanted, strict=True)):
            await RisingEdge(self._dut.clk)
            for seen, (valid, ready) in zip(cycles, self._ports, strict=True):
                if valid.value == 1 and ready.value == 1:
                    seen.append(cycle)
            cycle += 1
        return cycles


_PORTS = ("s_axis", "m_axis")


@cocotb.test()
async def every_unit(dut: Any) -> None:
    with np.load(os.environ["STIMULUS"]) as stimulus:
        names = [name for name in stimulus.files if not name.endswith("_results")]
        units = [
            _Unit(dut, name, [bytes(row) for row in stimulus[name]], int(stimulus[f"{name}_results"])) for name in names
        ]
    directory = Path(os.environ["RESULTS"])
    seed = int(os.environ["SEED"])
    Clock(dut.clk, 2, "ns").start()
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    watches = [cocotb.start_soon(unit.watch()) for unit in units]
    await _all_through(units, directory, "in_step")
    for unit, watch in zip(units, watches, strict=True):
        entered, left = await watch
        np.savez(directory / f"{unit.name}.npz", entered=entered, left=left)
    dut.rst.value = 1
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    for number, unit in enumerate(units):
        unit.pause(seed + 2 * number)
    await _all_through(units, directory, "paused")


async def _all_through(units: list[_Unit], directory: Path, way: str) -> None:
    tasks = [cocotb.start_soon(unit.through()) for unit in units]
    for unit, task in zip(units, tasks, strict=True):
        (directory / f"{unit.name}_{way}.bin").write_bytes(await with_timeout(task, 10, "ms"))
