"""How far each engine's timing is proven."""

from gossamer_models.isa.tokens import Engine

__all__ = ["MODELLED", "RTL_VERIFIED", "TIMING_STATUS"]

RTL_VERIFIED = "RTL-verified"
MODELLED = "modelled"

TIMING_STATUS: dict[Engine, str] = {
    Engine.LOAD: MODELLED,
    Engine.STORE: MODELLED,
    Engine.GEMM: RTL_VERIFIED,
    Engine.PRUNE: MODELLED,
    Engine.VECTOR: MODELLED,
}
