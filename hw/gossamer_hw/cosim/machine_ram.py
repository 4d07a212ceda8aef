"""cocotbext-axi's memory as a machine's DRAM: an independent view of the protocol, with pauses on every channel."""

import random
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.cosim.machine_jobs import Job
from gossamer_hw.machine import MASTER

__all__ = ["Ram"]

_SIZE_BYTES = 1 << 24
_PAUSE = 0.4


class Ram:
    """Takes part from its construction on, in Python and in every cycle.

    Parameters
    ----------
    dut : the bench's top; its input ``external`` says whether this memory is used.
    """

    def __init__(self, dut: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from cocotbext.axi import AxiBus, AxiRam

            self._ram = AxiRam(AxiBus.from_prefix(dut, MASTER.rstrip("_")), dut.clk, dut.rst, size=_SIZE_BYTES)

    async def write(self, job: Job) -> None:
        """Make a job's changes, and pause anew from its seed on."""
        for change in job.changes:
            self._ram.write(change.address, change.data.tobytes())
        reads, writes = self._ram.read_if, self._ram.write_if
        channels = [reads.ar_channel, reads.r_channel, writes.aw_channel, writes.w_channel, writes.b_channel]
        for number, channel in enumerate(channels):
            channel.set_pause_generator(_pauses(job.seed * len(channels) + number))

    async def read(self, job: Job) -> NDArray[np.uint8]:
        """Return the DRAM that a job's machine is told of."""
        return np.frombuffer(self._ram.read(0, job.memory_bytes), np.uint8).copy()


def _pauses(seed: int) -> Iterator[bool]:
    generator = random.Random(seed)
    while True:
        yield generator.random() < _PAUSE
