"""cocotb bench: one word per cycle through the top-N networks of all patterns, their entries left in a file."""

import os
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test()
async def every_word(dut: Any) -> None:
    with np.load(os.environ["STIMULUS"]) as stimulus:
        words, counts = stimulus["words"].astype("<u2"), stimulus["counts"].tolist()
    size = len(dut.entries) // 8
    edge, results = RisingEdge(dut.clk), bytearray()
    dut.rst.value = 0
    Clock(dut.clk, 2, "ns").start()
    await edge
    for word, count in zip(words, counts, strict=True):
        dut.word.value = int.from_bytes(word.tobytes(), "little")
        dut.count.value = count
        await edge
        results += int(dut.entries.value).to_bytes(size, "little")
    Path(os.environ["RESULTS"]).write_bytes(results)
