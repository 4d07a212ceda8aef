"""What becomes of the bytes that loads bring in: which of them no engine reads before others take their place."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gossamer_models.architecture import Architecture
from gossamer_models.golden import executor, transfer
from gossamer_models.golden.state import Machine, Places
from gossamer_models.isa.instructions import Load
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.formats import Bool

__all__ = ["Fate", "WatchedMachine", "watch"]


@dataclass(slots=True)
class Fate:
    """Bytes of DRAM that loads of one stage brought to one buffer.

    Members
    -------
    loaded : all of them.
    null : unread, of entries that are not valid.
    zero : unread, 0, of no entry.
    unread : all other bytes that nothing has read.
    """

    loaded: int = 0
    null: int = 0
    zero: int = 0
    unread: int = 0


class WatchedMachine(Machine):
    """A machine that knows which loaded bytes have not been read.

    Members
    -------
    fates : by number of the stage, from 0 on in the order of execution, and buffer.
    """

    def __init__(self, architecture: Architecture, memory: NDArray[np.uint8], seed: int | None = None) -> None:
        super().__init__(architecture, memory, seed)
        self.fates: defaultdict[tuple[int, Buffer], Fate] = defaultdict(Fate)
        self._stage = -1
        self._marks = {buffer: np.zeros_like(self._buffers[buffer], np.bool_) for buffer in transfer.LOADED}

    def start_stage(self) -> None:
        self.count()
        super().start_stage()
        self._stage += 1

    def readable(
        self, engine: Engine, buffer: Buffer, unit: int = 1, places: Places = slice(None)
    ) -> NDArray[np.uint8]:
        self._take(engine, buffer, unit, places)
        return super().readable(engine, buffer, unit, places)

    def read_known(
        self, engine: Engine, buffer: Buffer, dtype: type[Any], address: int, count: int
    ) -> tuple[NDArray[Any], Bool]:
        self._take(engine, buffer, 1, slice(address, address + count * np.dtype(dtype).itemsize))
        return super().read_known(engine, buffer, dtype, address, count)

    def _take(self, engine: Engine, buffer: Buffer, unit: int, places: Places) -> None:
        if buffer in self._marks:
            marks = self._marks[buffer][self.half(engine, buffer)]
            marks[: len(marks) // unit * unit].reshape(-1, unit)[places] = False

    def load(self, instruction: Load) -> None:
        """Execute a load; what it overwrites unread is lost, what it brings from DRAM is marked."""
        buffer = Buffer(instruction.buffer)
        half, size = self.half(instruction.engine, buffer), np.dtype(transfer._dtypes(instruction)[1]).itemsize
        marks, brought = self._marks[buffer][half], np.zeros(self._marks[buffer].shape[1], np.bool_)
        target, found = np.zeros_like(brought), (-1, size)
        for block in transfer._blocks(instruction, indexed=False):
            target[: len(target) // size * size].reshape(found)[block.buffer] = True
            inside = True if block.inside is None else block.inside[:, None]
            brought[: len(brought) // size * size].reshape(found)[block.buffer] = inside
        self._lose(buffer, half, marks & target)
        transfer.load(self, instruction)
        marks[target] = brought[target]
        self.fates[self._stage, buffer].loaded += int(brought.sum())

    def count(self) -> None:
        """Count what a stage leaves unread, but for parameters, which outlive it."""
        for buffer in self._marks.keys() - {Buffer.PRM}:
            for half, marks in enumerate(self._marks[buffer]):
                self._lose(buffer, half, marks)
                marks[:] = False

    def _lose(self, buffer: Buffer, half: int, lost: NDArray[np.bool_]) -> None:
        places, fate = np.flatnonzero(lost), self.fates[self._stage, buffer]
        if buffer in (Buffer.B, Buffer.B_META):
            kinds = self._buffers[Buffer.B_META][half][places // (2 if buffer is Buffer.B else 1)]
            fate.null += int((kinds == 0).sum())
        else:
            kinds = self._buffers[buffer][half][places]
            fate.zero += int((kinds == 0).sum())
        fate.unread += int((kinds != 0).sum())


def watch(patch: pytest.MonkeyPatch) -> list[WatchedMachine]:
    """Let golden run on machines that watch; those of later runs are appended to the list."""
    machines: list[WatchedMachine] = []

    def machine(architecture: Architecture, memory: NDArray[np.uint8], seed: int | None) -> WatchedMachine:
        machines.append(WatchedMachine(architecture, memory, seed))
        return machines[-1]

    patch.setattr(executor, "Machine", machine)
    patch.setattr(executor, "load", WatchedMachine.load)
    return machines
