"""Pipeline depths of the gemm engine: what the RTL is built with and what an instruction costs beyond its steps."""

from gossamer_models.architecture import Array

__all__ = ["GEMM_START_CYCLES", "gemm_overhead_cycles"]

GEMM_START_CYCLES = 6


def gemm_overhead_cycles(array: Array, slots: int) -> int:
    """Cycles of a GEMM instruction beyond its issue and drain steps.

    Start of the address generator, skew over rows and columns, multiplier and adder, the drain of the last chunk
    and the accumulator's adder.
    """
    skew = array.rows + array.columns - 2
    last_drain = slots * (array.rows // array.drain_ports)
    return GEMM_START_CYCLES + skew + array.multiply_latency_cycles + 2 * array.add_latency_cycles + last_drain
