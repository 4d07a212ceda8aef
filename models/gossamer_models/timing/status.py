"""How far each engine's timing is proven."""

from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program

__all__ = ["HDL_MEMORIES", "MODELLED", "RTL_VERIFIED", "prune_in_rtl", "timing_status"]

RTL_VERIFIED = "RTL-verified"
MODELLED = "modelled"

HDL_MEMORIES = frozenset({"ideal", "scripted"})


def prune_in_rtl(program: Program) -> bool:
    """Whether all of a Program's prune instructions exist in RTL: those that keep the largest."""
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
        Engine.PRUNE: RTL_VERIFIED if prune_in_rtl(program) else MODELLED,
        Engine.VECTOR: MODELLED if program.modelled_operations else RTL_VERIFIED,
    }
