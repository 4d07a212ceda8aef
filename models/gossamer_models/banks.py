"""On-chip memories as energy and area see them: banks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gossamer_models.actions import entry_tag_bits
from gossamer_models.architecture import Architecture
from gossamer_models.render_engine import RenderEngine

__all__ = ["Banks", "memory_banks", "memory_component", "render_banks"]

_BANK_BITS: Final = 64
_HALVES: Final = 2
_PIXEL_NUMBERS: Final = 4
_AXIS_PAIRS: Final = 3


@dataclass(frozen=True, slots=True)
class Banks:
    """Equal banks of one memory: ``count`` of ``bytes``, all halves together."""

    count: int
    bytes: int


def memory_banks(architecture: Architecture) -> Mapping[str, Banks]:
    """Banks of each on-chip memory, both halves of a double buffer being memories of their own.

    Operand memories have a bank per row or column, the accumulators one per column. The others take as many banks of
    64 bits as the vector lanes' fp16 elements of one cycle fill. The parameters are not doubled.
    """
    array, buffers = architecture.array, architecture.buffers
    flat = max(architecture.vector.lanes * 16 // _BANK_BITS, 1)
    entry_bits = 16 + entry_tag_bits(array)
    return {
        "a": Banks(_HALVES * array.rows, 2 * array.group * buffers.a_words),
        "b": Banks(_HALVES * array.columns, -(-buffers.b_entries * entry_bits // 8)),
        "accumulator": Banks(_HALVES * array.columns, 4 * buffers.accumulator_words),
        "vector_in": Banks(_HALVES * flat, -(-buffers.vector_in_bytes // flat)),
        "vector_out": Banks(_HALVES * flat, -(-buffers.vector_out_bytes // flat)),
        "parameter": Banks(flat, -(-4 * buffers.parameter_words // flat)),
        "prune": Banks(_HALVES * flat, -(-3 * buffers.prune_entries // flat)),
    }


def render_banks(engine: RenderEngine) -> Mapping[str, Banks]:
    """Banks of the render engine: patches and lines by place, axes and quantity; numbers of a pixel apart."""
    return {
        "patch": Banks(_HALVES * engine.patch_banks, -(-engine.patch_bytes // engine.patch_banks)),
        "patch_table": Banks(_AXIS_PAIRS, -(-4 * engine.patch_table // _AXIS_PAIRS)),
        "line": Banks(engine.line_banks, -(-engine.line_bytes // engine.line_banks)),
        "pixel": Banks(_HALVES * _PIXEL_NUMBERS, 4 * engine.tile**2),
        "feature": Banks(engine.features, 4 * engine.tile**2),
    }


def memory_component(memory: str) -> str:
    """Part of the machine that a memory is printed as."""
    return "accumulators" if memory == "accumulator" else f"{memory}_memory"
