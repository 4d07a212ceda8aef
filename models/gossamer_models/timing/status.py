"""How far each engine's timing is proven."""

from gossamer_models.architecture import Architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.isa.tokens import Engine
from gossamer_models.memories import HDL_MEMORIES
from gossamer_models.program import Program
from gossamer_models.rtl_limits import RtlGap

__all__ = ["MODELLED", "RTL_VERIFIED", "require_in_rtl", "rtl_lacks", "timing_status"]

RTL_VERIFIED = "RTL-verified"
MODELLED = "modelled"

_USE_DRAM = frozenset({Engine.SEQUENCER, Engine.LOAD, Engine.STORE})
"""Engines that read or write external memory."""
_USE_BUFFERS = frozenset(Engine) - {Engine.SEQUENCER}
"""Engines that read or write buffers."""


def rtl_lacks(program: Program) -> tuple[str, str] | None:
    """What a Program needs that no RTL has, and what to take instead; None for one that exists in RTL."""
    if not _prune_in_rtl(program):
        return f"program {program.name!r} prunes in a mode that no RTL has", "another method"
    if "ws" in program.dataflows:
        return f"program {program.name!r} is weight-stationary, which no RTL is", "--dataflow os"
    if names := ", ".join(program.modelled_operations):
        return f"no RTL has {names}, which program {program.name!r} needs", "a network without them"
    return None


def require_in_rtl(program: Program) -> None:
    """Check that a Program exists in RTL.

    Raises
    ------
    UnsupportedError
        It prunes in a mode, or has vector operations or a dataflow, that no RTL has.
    """
    if lacks := rtl_lacks(program):
        raise UnsupportedError(*lacks)


def _prune_in_rtl(program: Program) -> bool:
    """Whether all of its prune instructions keep the largest."""
    return all(item.mode == PruneMode.LARGEST for item in program.unlike_instructions() if isinstance(item, Prune))


def timing_status(architecture: Architecture, memory_model: str, program: Program) -> dict[Engine, str]:
    """Status of each engine.

    An engine's timing is proven where RTL of it exists for the architecture, and of every operation, mode and dataflow
    that the program asks of it. That of DMA and of the sequencer, which fetches, also depends on the memory: those in
    HDL are ``ideal`` and ``scripted``.
    """
    modelled = {engine for gap in architecture.rtl_gaps for engine in _concerned(gap)}
    if memory_model not in HDL_MEMORIES:
        modelled |= _USE_DRAM
    if "ws" in program.dataflows:
        modelled.add(Engine.GEMM)
    if not _prune_in_rtl(program):
        modelled.add(Engine.PRUNE)
    if program.modelled_operations:
        modelled.add(Engine.VECTOR)
    return {engine: MODELLED if engine in modelled else RTL_VERIFIED for engine in Engine}


def _concerned(gap: RtlGap) -> frozenset[Engine]:
    """Engines of which a limit of RTL keeps there from being any."""
    section, _, name = gap.path.partition(".")
    match section:
        case "memory":
            return _USE_DRAM
        case "vector" | "render":
            return frozenset({Engine.VECTOR})
        case "array" if name == "group":
            # The gemm engine alone is built, and compared, for words of 16 too.
            return _USE_BUFFERS - {Engine.GEMM}
        case "array":
            # A program says itself whether it is weight-stationary.
            return frozenset()
    return _USE_BUFFERS
