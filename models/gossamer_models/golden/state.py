"""State of the machine as the instruction set shows it: DRAM, scratchpads in halves, and the engines' half pointers."""

from functools import cache
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.golden.render_state import RenderState
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import BUFFERS_IN_HALVES, Advance, Buffer, Engine
from gossamer_models.numerics.exact import FixedSum

__all__ = ["ExecutionError", "Machine", "buffer_bytes"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

_FLAGS: Final = 1 << next(leaf.width_bits for leaf in leaves(Vector) if leaf.path == "found")
"""Sticky flags that instructions can name."""


class ExecutionError(GossamerError):
    """A program cannot be executed: it deadlocks, leaves a memory's bounds or breaks a rule of the instruction set."""


def buffer_bytes(architecture: Architecture) -> dict[Buffer, int]:
    """Bytes of one half of each buffer (of the whole buffer for PRM), in its flat address space."""
    array, buffers = architecture.array, architecture.buffers
    entries = array.columns * buffers.b_entries
    return {
        Buffer.A: buffers.a_words * array.rows * array.group * 2,
        Buffer.B: entries * 2,
        Buffer.B_META: entries,
        Buffer.ACC: buffers.accumulator_words * array.columns * 4,
        Buffer.VIN: buffers.vector_in_bytes,
        Buffer.VOUT: buffers.vector_out_bytes,
        Buffer.PRM: buffers.parameter_words * 4,
        Buffer.PRN: buffers.prune_entries * 2,
        Buffer.PRN_META: buffers.prune_entries,
    }


class Machine:
    """DRAM and scratchpads, as bytes.

    Each engine counts the halves of a buffer for itself; both start at half 0 in each stage. A half that has not been
    written in the current stage holds nothing: reading it is an error. ``found`` holds the sticky flags that are
    set; they outlive stages, as does what the render engine holds.

    Parameters
    ----------
    architecture : sizes of the scratchpads and of the array.
    memory : DRAM, shape (bytes,), changed in place.
    seed : of what an earlier program has left in scratchpads and flags; zeros by default.
    """

    def __init__(self, architecture: Architecture, memory: NDArray[np.uint8], seed: int | None = None) -> None:
        self.architecture = architecture
        self.memory = memory
        self.sums: tuple[FixedSum, ...] = ()
        self.found: set[int] = set()
        self.render = RenderState()
        self._buffers: dict[Buffer, NDArray[np.uint8]] = {
            buffer: np.zeros((2 if buffer in BUFFERS_IN_HALVES else 1, size), np.uint8)
            for buffer, size in buffer_bytes(architecture).items()
        }
        if seed is not None:
            rng = np.random.default_rng(seed)
            for held in self._buffers.values():
                held[:] = rng.integers(0, 256, held.shape, np.uint8)
            self.found.update(np.flatnonzero(rng.integers(0, 2, _FLAGS)).tolist())
        self._halves: dict[tuple[Engine, Advance], int] = {}
        self._filled: set[tuple[Buffer, int]] = set()

    def start_stage(self) -> None:
        """Set every half pointer to 0, call all halves empty and clear the sums that REDUCE holds."""
        self._halves.clear()
        self._filled.clear()
        self.sums = ()

    def advance(self, engine: Engine, mask: int) -> None:
        """Let an engine go on to the other half of each buffer in the mask."""
        for buffer in _advances(mask):
            self._halves[engine, buffer] = 1 - self._halves.get((engine, buffer), 0)

    def half(self, engine: Engine, buffer: Buffer) -> int:
        """Half of a buffer that an engine is at."""
        advance = BUFFERS_IN_HALVES.get(buffer)
        return 0 if advance is None else self._halves.get((engine, advance), 0)

    def readable(self, engine: Engine, buffer: Buffer) -> NDArray[np.uint8]:
        """Return the bytes of an engine's current half, shape (bytes,), to be read.

        Raises
        ------
        ExecutionError
            Nothing was written to this half in the current stage. (PRM keeps its contents from stage to stage.)
        """
        half = self.half(engine, buffer)
        if buffer in BUFFERS_IN_HALVES and (buffer, half) not in self._filled:
            raise ExecutionError(f"reads half {half} of {buffer.name}, which nothing has filled in this stage")
        held: NDArray[np.uint8] = self._buffers[buffer][half]
        return held

    def writable(self, engine: Engine, buffer: Buffer) -> NDArray[np.uint8]:
        """Return the bytes of an engine's current half, shape (bytes,), to be written; the half counts as filled."""
        half = self.half(engine, buffer)
        self._filled.add((buffer, half))
        held: NDArray[np.uint8] = self._buffers[buffer][half]
        return held

    def read(self, engine: Engine, buffer: Buffer, dtype: type[_Scalar], address: int, count: int) -> NDArray[_Scalar]:
        """Return a copy of ``count`` consecutive elements at a byte address.

        Raises
        ------
        ExecutionError
            The address is not aligned, the end lies outside the buffer, or the half is empty.
        """
        return _span(self.readable(engine, buffer), buffer, dtype, address, count).copy()

    def write(self, engine: Engine, buffer: Buffer, address: int, values: NDArray[Any]) -> None:
        """Write consecutive elements at a byte address.

        Raises
        ------
        ExecutionError
            The address is not aligned or the end lies outside the buffer.
        """
        _span(self.writable(engine, buffer), buffer, values.dtype.type, address, values.size)[:] = values.ravel()


@cache
def _advances(mask: int) -> tuple[Advance, ...]:
    return tuple(Advance(mask))


def _span(data: NDArray[np.uint8], buffer: Buffer, dtype: type[_Scalar], address: int, count: int) -> NDArray[_Scalar]:
    size = np.dtype(dtype).itemsize
    if address % size:
        raise ExecutionError(f"address {address} in {buffer.name} must be a multiple of {size}")
    end = address + count * size
    if end > data.size:
        raise ExecutionError(f"bytes {address}..{end - 1} must lie in {buffer.name}, which has {data.size}")
    return data[address:end].view(dtype)
