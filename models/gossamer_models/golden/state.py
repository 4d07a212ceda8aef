"""State of the machine as the instruction set shows it: DRAM, scratchpads in halves, and the engines' half pointers."""

from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.golden.render_state import RenderState
from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import Vector
from gossamer_models.isa.tokens import BUFFERS_IN_HALVES, Advance, Buffer, Engine
from gossamer_models.numerics.exact import FixedSum
from gossamer_models.numerics.formats import Bool

__all__ = ["ExecutionError", "Machine", "Places", "buffer_bytes"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

Places: TypeAlias = slice | NDArray[np.int64]
"""Numbers of units of a buffer: a range of them, or any, of any shape and as often as they like."""

_ALL: Final = slice(None)

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

    Each engine counts the halves of a buffer for itself; both start at half 0 in each stage. A byte that no instruction
    has written in the current stage (of PRM, which keeps its contents: since the begin) holds nothing, and an
    instruction that uses it is an error. It uses what its formula names, whether or not the numbers let the result
    depend on it: whole operands, also of samples, channels and entries that are not real, but no element that is out of
    bounds and nothing that lies beside an operand in the same line. Parameters by channel are an exception, as arrays
    have columns without a channel: DRAIN, APPLY, GRADIENT and NORM_FORWARD make of a channel whose parameters nothing
    has written results that count as not written either; where they set a flag or are summed, they are an error.

    ``found`` holds the sticky flags that are set; they outlive stages, as does what the render engine holds.

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
        self._written = {buffer: np.zeros(held.shape, np.bool_) for buffer, held in self._buffers.items()}

    def start_stage(self) -> None:
        """Set every half pointer to 0, call all halves empty and clear the sums that REDUCE holds."""
        self._halves.clear()
        for buffer in BUFFERS_IN_HALVES:
            self._written[buffer][:] = False
        self.sums = ()

    def advance(self, engine: Engine, mask: int) -> None:
        """Let an engine go on to the other half of each buffer in the mask."""
        for buffer in _advances(mask):
            self._halves[engine, buffer] = 1 - self._halves.get((engine, buffer), 0)

    def half(self, engine: Engine, buffer: Buffer) -> int:
        """Half of a buffer that an engine is at."""
        advance = BUFFERS_IN_HALVES.get(buffer)
        return 0 if advance is None else self._halves.get((engine, advance), 0)

    def held(self, engine: Engine, buffer: Buffer) -> NDArray[np.uint8]:
        """Return all bytes of an engine's current half, shape (bytes,), written or not, for those who only look."""
        held: NDArray[np.uint8] = self._buffers[buffer][self.half(engine, buffer)]
        return held

    def readable(self, engine: Engine, buffer: Buffer, unit: int = 1, places: Places = _ALL) -> NDArray[np.uint8]:
        """Return the bytes of an engine's current half, shape (bytes,), to be read at some places; by default at all.

        Parameters
        ----------
        unit : bytes of what ``places`` number from the half's begin on.
        places : within the buffer; what is read elsewhere means nothing.

        Raises
        ------
        ExecutionError
            A byte there was not written in the current stage, or, of PRM, since the begin.
        """
        half = self.half(engine, buffer)
        missing = _first_missing(_units(self._written[buffer][half], unit), places)
        if missing is not None:
            where = f"half {half} of {buffer.name}" if buffer in BUFFERS_IN_HALVES else buffer.name
            since = "in this stage" if buffer in BUFFERS_IN_HALVES else "since the begin"
            raise ExecutionError(f"reads byte {missing} of {where}, which nothing has written {since}")
        held: NDArray[np.uint8] = self._buffers[buffer][half]
        return held

    def writable(self, engine: Engine, buffer: Buffer, unit: int = 1, places: Places = _ALL) -> NDArray[np.uint8]:
        """Return the bytes of an engine's current half as :meth:`readable` does, to be written at all these places."""
        half = self.half(engine, buffer)
        written = _units(self._written[buffer][half], unit)
        # Scattering marks costs more than seeing that they are there, as they are in all turns of a loop but the first.
        if not written[_around(places)].all():
            written[places] = True
        held: NDArray[np.uint8] = self._buffers[buffer][half]
        return held

    def read(self, engine: Engine, buffer: Buffer, dtype: type[_Scalar], address: int, count: int) -> NDArray[_Scalar]:
        """Return a copy of ``count`` consecutive elements at a byte address.

        Raises
        ------
        ExecutionError
            The address is not aligned, the end lies outside the buffer, or a byte is read that nothing has written.
        """
        span = self._span(buffer, dtype, address, count)
        return self.readable(engine, buffer, places=span)[span].view(dtype).copy()

    def read_known(
        self, engine: Engine, buffer: Buffer, dtype: type[_Scalar], address: int, count: int
    ) -> tuple[NDArray[_Scalar], Bool]:
        """Return what :meth:`read` does, and which of the elements have been written; the others mean nothing."""
        span = self._span(buffer, dtype, address, count)
        marks = _units(self._written[buffer][self.half(engine, buffer)][span], np.dtype(dtype).itemsize)
        known: Bool = np.asarray(marks.all(axis=1))
        return self.held(engine, buffer)[span].view(dtype).copy(), known

    def write(
        self, engine: Engine, buffer: Buffer, address: int, values: NDArray[Any], known: Bool | None = None
    ) -> None:
        """Write consecutive elements at a byte address; those that are not ``known`` count as not written behind it.

        Raises
        ------
        ExecutionError
            The address is not aligned or the end lies outside the buffer.
        """
        span = self._span(buffer, values.dtype.type, address, values.size)
        self.writable(engine, buffer, places=span)[span].view(values.dtype)[:] = values.ravel()
        if known is not None:
            marks = self._written[buffer][self.half(engine, buffer)][span]
            _units(marks, values.itemsize)[~known.ravel()] = False

    def _span(self, buffer: Buffer, dtype: type[np.generic], address: int, count: int) -> slice:
        size, room = np.dtype(dtype).itemsize, self._buffers[buffer].shape[1]
        if address % size:
            raise ExecutionError(f"address {address} in {buffer.name} must be a multiple of {size}")
        end = address + count * size
        if end > room:
            raise ExecutionError(f"bytes {address}..{end - 1} must lie in {buffer.name}, which has {room}")
        return slice(address, end)


@cache
def _advances(mask: int) -> tuple[Advance, ...]:
    return tuple(Advance(mask))


def _units(marks: Bool, unit: int) -> Bool:
    """Marks of whole units, shape (units, bytes)."""
    return marks[: marks.size // unit * unit].reshape(-1, unit)


def _around(places: Places) -> slice:
    """Return a range that has all places."""
    if isinstance(places, slice):
        return places
    if not places.size:
        return slice(0)
    return slice(int(np.minimum.reduce(places, axis=None)), int(np.maximum.reduce(places, axis=None)) + 1)


def _first_missing(written: Bool, places: Places) -> int | None:
    """Return the first byte without a mark of the units at some places; None if all have theirs."""
    # Most of the time all is written around what is read, which is quickly seen.
    if written[_around(places)].all():
        return None
    used = np.zeros_like(written)
    used[places] = True
    missing = np.flatnonzero(used & ~written)
    return int(missing[0]) if missing.size else None
