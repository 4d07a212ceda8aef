"""Which instructions the prune engine refuses."""

from typing import Any

from amaranth.hdl import Cat, Mux, Value

from gossamer_hw.prune.topn import GROUP
from gossamer_models.isa.instructions import PruneMode
from gossamer_models.registers import Fault

__all__ = ["prune_fault"]

_SIZES = tuple(1 << n for n in range(GROUP.bit_length()))
_SOURCE_WORD_BYTES = 2 * GROUP
_TARGET_WORD_BYTES = {"values": 2 * GROUP, "metadata": GROUP}


def prune_fault(operands: Any, lanes: int) -> Value:
    """Return the code of :class:`~gossamer_models.registers.Fault` that an instruction earns, 0 for a legal one.

    ILLEGAL: another mode than LARGEST, which alone exists in hardware; M none of 1, 2, 4, 8; not 1 <= N <= M; no
    blocks; `valid` zero or more than the axis has. ALIGNMENT: `source` is no multiple of 16 L bytes, `values` of 16 or
    `metadata` of 8. Bounds of buffers are not checked.

    Parameters
    ----------
    operands
        Of a :class:`~gossamer_models.isa.instructions.Prune`.
    lanes
        L.
    """
    p = operands
    pattern = Cat(p.of == size for size in _SIZES).any() & (p.keep != 0) & (p.keep <= p.of)
    empty = Cat(size == 0 for size in (p.n2, p.n1, p.n0, p.valid)).any()
    beyond = p.valid > GROUP * Mux(p.axis, p.n0, p.n1)
    illegal = (p.mode != PruneMode.LARGEST) | ~pattern | empty | beyond
    places = {"source": _SOURCE_WORD_BYTES * lanes, **_TARGET_WORD_BYTES}
    misaligned = Cat((p[name] & (size - 1)).any() for name, size in places.items()).any()
    return Mux(illegal, Fault.ILLEGAL, Mux(misaligned, Fault.ALIGNMENT, Fault.NONE))
