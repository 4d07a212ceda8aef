"""cocotb bench: play the array's ports cycle by cycle, then read its banks into a file."""

import os
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test()
async def play(dut: Any) -> None:
    with np.load(os.environ["STIMULUS"], allow_pickle=True) as stimulus:
        streams, names = stimulus["streams"], stimulus["names"].tolist()
        wait, words, banks = (int(stimulus[name]) for name in ("wait", "words", "banks"))
    ports = [getattr(dut, name) for name in names]
    dut.rst.value = 0
    Clock(dut.clk, 2, "ns").start()
    await RisingEdge(dut.clk)
    for step in streams:
        for port, value in zip(ports, step, strict=True):
            port.value = value
        await RisingEdge(dut.clk)
    for _ in range(wait):
        await RisingEdge(dut.clk)
    data = [getattr(dut, f"data__{n}") for n in range(banks)]
    found = np.zeros((words, banks), np.uint32)
    for address in range(words + 1):
        dut.address.value = min(address, words - 1)
        await RisingEdge(dut.clk)
        # What an edge shows was read at the edge before.
        if address:
            found[address - 1] = [int(item.value) for item in data]
    np.save(os.environ["RESULTS"], found)
