"""How far each engine's timing is proven."""

from gossamer_models.architecture import Architecture
from gossamer_models.isa.tokens import Engine

__all__ = ["HDL_MEMORIES", "MODELLED", "RTL_VERIFIED", "timing_status"]

RTL_VERIFIED = "RTL-verified"
MODELLED = "modelled"

HDL_MEMORIES = frozenset({"ideal", "scripted"})


def timing_status(architecture: Architecture, memory_model: str) -> dict[Engine, str]:
    """Status of each engine; DMA is proven for one port behind the memories that exist in HDL."""
    dma = RTL_VERIFIED if architecture.memory.ports == 1 and memory_model in HDL_MEMORIES else MODELLED
    return {
        Engine.LOAD: dma,
        Engine.STORE: dma,
        Engine.GEMM: RTL_VERIFIED,
        Engine.PRUNE: RTL_VERIFIED,
        Engine.VECTOR: RTL_VERIFIED,
    }
