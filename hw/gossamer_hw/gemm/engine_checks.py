"""Which instructions the gemm engine refuses."""

from typing import Any

from amaranth.hdl import Cat, Mux, Value

from gossamer_models.architecture import Array
from gossamer_models.isa.instructions import NO_LEVEL
from gossamer_models.registers import Fault

__all__ = ["gemm_fault"]


def gemm_fault(operands: Any, array: Array) -> Value:
    """Return the code of :class:`~gossamer_models.registers.Fault` that an instruction earns, 0 for a legal one.

    ILLEGAL: weight-stationary; Lr beyond the array's ``chunks``; Li x Lj x Lr that the array does not interleave; no
    tiles, words, entries or words of a chunk; more valid rows than there are. ALIGNMENT: `acc_base` is no multiple of
    R. Bounds of buffers are not checked: addresses wrap around in a half.

    Parameters
    ----------
    operands
        Of a :class:`~gossamer_models.isa.instructions.Gemm`.
    array
        That it runs on.
    """
    g = operands
    turns = g.log2_li + g.log2_lj + g.log2_lr
    interleaved = Cat(turns == (li * lj).bit_length() - 1 for li, lj in array.interleaves).any()
    counts = (g.i2, g.i1, g.i0, g.j, g.r2, g.r1, g.r0, g.entries, g.chunk_words)
    empty = Cat(count == 0 for count in counts).any() | ((g.last_level != NO_LEVEL) & (g.entries_last == 0))
    beside = g.log2_lr >= array.chunks.bit_length()
    illegal = g.dataflow | beside | ~interleaved | empty | (g.rows_last > array.rows)
    misaligned = (g.acc_base & (array.rows - 1)).any()
    return Mux(illegal, Fault.ILLEGAL, Mux(misaligned, Fault.ALIGNMENT, Fault.NONE))
