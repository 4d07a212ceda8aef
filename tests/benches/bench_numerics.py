"""cocotb bench: one vector per cycle through multiplier and adder, results left in a file."""

import os
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge


@cocotb.test()
async def every_vector(dut: Any) -> None:
    stimulus = np.load(os.environ["STIMULUS"])
    inputs = [(getattr(dut, name), stimulus[name].tolist()) for name in ("x", "y", "valid", "a", "b")]
    count = len(stimulus["a"])
    latency = int(stimulus["latency"])
    products, totals = [], []
    dut.rst.value = 0
    Clock(dut.clk, 2, "ns").start()
    await RisingEdge(dut.clk)
    for t in range(count + latency + 1):
        for port, values in inputs:
            if t < count:
                port.value = values[t]
        await RisingEdge(dut.clk)
        products.append(int(dut.product.value))
        totals.append(int(dut.total.value))
    np.savez(os.environ["RESULTS"], product=np.array(products, np.uint32), total=np.array(totals, np.uint32))
