"""How far each engine's timing is proven."""

from gossamer_models.architecture import Architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program

__all__ = ["HDL_MEMORIES", "MODELLED", "RTL_VERIFIED", "require_in_rtl", "rtl_lacks", "timing_status"]

RTL_VERIFIED = "RTL-verified"
MODELLED = "modelled"

HDL_MEMORIES = frozenset({"ideal", "scripted"})


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

    DMA is proven for one port behind the memories that exist in HDL, the vector engine where RTL of every operation
    exists that the program uses, the array where it is output-stationary.
    """
    dma = RTL_VERIFIED if architecture.memory.ports == 1 and memory_model in HDL_MEMORIES else MODELLED
    return {
        Engine.LOAD: dma,
        Engine.STORE: dma,
        Engine.GEMM: MODELLED if "ws" in program.dataflows else RTL_VERIFIED,
        Engine.PRUNE: RTL_VERIFIED if _prune_in_rtl(program) else MODELLED,
        Engine.VECTOR: MODELLED if program.modelled_operations else RTL_VERIFIED,
    }
