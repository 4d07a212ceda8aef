"""What a bench does for GEMM cases: operands to write, the instruction to start, results to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gossamer_hw.layouts import operand_bits
from gossamer_models.architecture import Architecture
from gossamer_models.errors import InputError, UnsupportedError
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Dataflow, Gemm
from gossamer_models.isa.tokens import Advance
from gossamer_models.numerics.formats import Float16, UInt8
from gossamer_models.timing.gemm import gemm_cycles

__all__ = ["GemmCase", "stimulus_of"]

_ADVANCE_BITS = 8
_VALUE_BITS = 16

UInt32 = NDArray[np.uint32]


@dataclass(frozen=True, slots=True, eq=False)
class GemmCase:
    """One instruction, and what is loaded before it into the halves that the engine is at.

    Members
    -------
    instruction : concrete, without modifiers; ``advance`` moves the engine to the other halves for the next case.
    a : words, shape (words, R, group); None leaves the buffer as it is.
    values, metadata : entries, shape (entries, C), metadata as buffer B_META has it; None leaves them.
    rewind : return to half 0 of all buffers first.
    """

    instruction: Gemm
    a: Float16 | None = None
    values: Float16 | None = None
    metadata: UInt8 | None = None
    rewind: bool = False


def stimulus_of(architecture: Architecture, cases: Sequence[GemmCase]) -> dict[str, Any]:
    """What the bench loads, for all cases."""
    preload = _Preload(architecture)
    stimulus: dict[str, Any] = {"cases": np.array(len(cases))}
    for number, case in enumerate(cases):
        _check(architecture, case.instruction)
        stimulus |= {f"{name}_{number}": value for name, value in preload.steps(case).items()}
    return stimulus


def _check(architecture: Architecture, g: Gemm) -> None:
    array, words = architecture.array, architecture.buffers.accumulator_words
    if g.dataflow != Dataflow.OS:
        raise UnsupportedError("no RTL has the weight-stationary dataflow", "--dataflow os")
    if g.lr == 1 and (g.li, g.lj) not in array.interleaves:
        raise InputError(f"Li x Lj must be one of {array.interleaves}, not {(g.li, g.lj)}")
    if g.lr > 1 and (g.li, g.lj, g.lr) not in array.chunk_interleaves:
        raise InputError(f"Li x Lj x Lr must be one of {array.chunk_interleaves}, not {(g.li, g.lj, g.lr)}")
    if g.modifiers:
        raise InputError("an instruction must be concrete, without modifiers")
    if g.acc_base % array.rows or g.acc_base + g.tiles * g.li * g.lj * array.rows > words:
        raise InputError(
            f"accumulators of {g.tiles} tiles from a multiple of {array.rows} on must end within {words} words"
        )


class _Preload:
    """Follows the engine's halves and what the buffers hold, to write only differences."""

    def __init__(self, architecture: Architecture) -> None:
        array, buffers = architecture.array, architecture.buffers
        self._array, self._buffers = array, buffers
        self._held: dict[Advance, NDArray[Any]] = {
            Advance.A: np.zeros((2, buffers.a_words, array.rows * array.group), np.uint16),
            Advance.B: np.zeros((2, buffers.b_entries, array.columns), np.uint32),
        }
        self._halves = Advance(0)

    def steps(self, case: GemmCase) -> dict[str, NDArray[Any]]:
        """Return what the bench does for a case, by name."""
        g = case.instruction
        if case.rewind:
            self._halves = Advance(0)
        command = g.advance | operand_bits(g) << _ADVANCE_BITS
        steps = {
            "rewind": np.array(case.rewind),
            "command": np.frombuffer(command.to_bytes(INSTRUCTION_BYTES, "little"), np.uint8),
            "limit": np.array(2 * gemm_cycles(self._array, g).total + 1000),
            "read": self._read(g),
        }
        if case.a is not None:
            steps |= self._difference("a", Advance.A, self._a_rows(case.a))
        if case.values is not None and case.metadata is not None:
            steps |= self._difference("b", Advance.B, self._b_rows(case.values, case.metadata))
        self._halves ^= Advance(g.advance)
        return steps

    def _read(self, g: Gemm) -> NDArray[np.int64]:
        """First word of the results and their number."""
        half = (Advance.ACC in self._halves) << (self._buffers.accumulator_words - 1).bit_length()
        first = g.acc_base + half
        return np.array([first, g.tiles * g.li * g.lj * self._array.rows])

    def _difference(self, name: str, buffer: Advance, rows: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Addresses to write, over all banks, and what to write there."""
        half = int(buffer in self._halves)
        held = self._held[buffer][half]
        if len(rows) > len(held):
            raise InputError(f"buffer {name.upper()} holds {len(held)} addresses, not {len(rows)}")
        changed = np.flatnonzero((held[: len(rows)] != rows).any(axis=1))
        held[changed] = rows[changed]
        address_bits = (len(held) - 1).bit_length()
        return {f"{name}_address": changed + (half << address_bits), f"{name}_data": rows[changed]}

    def _a_rows(self, words: Float16) -> NDArray[np.uint16]:
        shape = (self._array.rows, self._array.group)
        if words.ndim != 3 or words.shape[1:] != shape:
            raise InputError(f"A must have the shape (words, {shape[0]}, {shape[1]}), not {words.shape}")
        return np.ascontiguousarray(words).view(np.uint16).reshape(len(words), -1)

    def _b_rows(self, values: Float16, metadata: UInt8) -> UInt32:
        if values.ndim != 2 or values.shape[1] != self._array.columns or values.shape != metadata.shape:
            shapes = f"{values.shape} and {metadata.shape}"
            raise InputError(f"B must have twice the shape (entries, {self._array.columns}), not {shapes}")
        index = metadata & (self._array.group - 1)
        valid = metadata >> 7
        place = (self._array.group - 1).bit_length()
        tags = index.astype(np.uint32) | valid.astype(np.uint32) << np.uint32(place)
        rows: UInt32 = np.ascontiguousarray(values).view(np.uint16) | tags << np.uint32(_VALUE_BITS)
        return rows
