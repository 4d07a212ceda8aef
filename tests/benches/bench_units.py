"""cocotb bench: items through stream units side by side, with random pauses, their results left in a file.

Sources and sinks are cocotbext-axi's, which share nothing with the units.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


def _pauses(generator: Random) -> Iterator[bool]:
    """Stretches of different eagerness."""
    while True:
        often = generator.choice((0.0, 0.2, 0.5, 0.9))
        for _ in range(generator.randrange(1, 60)):
            yield generator.random() < often


async def _through(dut: Any, name: str, items: list[bytes], results: int, seed: int) -> bytes:
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, f"{name}_s_axis"), dut.clk, dut.rst, byte_lanes=1)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, f"{name}_m_axis"), dut.clk, dut.rst, byte_lanes=1)
    source.set_pause_generator(_pauses(Random(seed)))
    sink.set_pause_generator(_pauses(Random(seed + 1)))
    whole = [int.from_bytes(item, "little") for item in items]
    await source.send(AxiStreamFrame(tdata=whole))
    size = len(getattr(dut, f"{name}_m_axis_tdata")) // 8
    found = b""
    while len(found) < size * results:
        frame = await sink.recv(compact=False)
        found += b"".join(int(one).to_bytes(size, "little") for one in frame.tdata)
    await ClockCycles(dut.clk, 40)
    assert sink.empty(), f"{name} gave more than {results} results"
    return found


@cocotb.test()
async def every_unit(dut: Any) -> None:
    with np.load(os.environ["STIMULUS"]) as stimulus:
        items = {
            name: [bytes(row) for row in stimulus[name]] for name in stimulus.files if not name.endswith("_results")
        }
        results = {name: int(stimulus[f"{name}_results"]) for name in items}
    seed = int(os.environ["SEED"])
    dut.rst.value = 1
    Clock(dut.clk, 2, "ns").start()
    await ClockCycles(dut.clk, 4)
    dut.rst.value = 0
    tasks = {
        name: cocotb.start_soon(_through(dut, name, items[name], results[name], seed + 2 * number))
        for number, name in enumerate(items)
    }
    found = {name: await with_timeout(task, 10, "ms") for name, task in tasks.items()}
    for name, text in found.items():
        (Path(os.environ["RESULTS"]) / f"{name}.bin").write_bytes(text)
