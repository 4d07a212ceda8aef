"""Pipeline depths of the gemm engine: what the RTL is built with and what an instruction costs beyond its steps."""

from gossamer_models.architecture import Array

__all__ = ["GEMM_START_CYCLES", "gemm_overhead_cycles", "stationary_overhead_cycles"]

# One cycle to accept, eight to find the first tile's box and first word, two to fetch operands.
GEMM_START_CYCLES = 11


def gemm_overhead_cycles(array: Array, slots: int, chunks: int = 1) -> int:
    """Cycles of a GEMM instruction beyond its issue and drain steps.

    Parameters
    ----------
    array : the array it runs on.
    slots : Li * Lj * Lr of the instruction.
    chunks : its Lr.

    Returns
    -------
    int
        Start of the address generator, which looks at one slot per cycle; skew over rows and columns; multiplier, adder
        and drain lane; the drain of the last chunk. Each chunk beside another one runs a turn of all slots behind it.
    """
    skew = array.rows + array.columns
    last_drain = slots * (array.rows // array.drain_ports)
    arithmetic = array.multiply_latency_cycles + 2 * array.add_latency_cycles
    return GEMM_START_CYCLES + slots + skew + arithmetic + last_drain + (chunks - 1) * slots


def stationary_overhead_cycles(array: Array, slots: int) -> int:
    """Cycles of a weight-stationary GEMM instruction beyond the passes of its tiles.

    Parameters
    ----------
    array : the array it runs on.
    slots : Li * Lj of the instruction.

    Returns
    -------
    int
        Start of the address generator as above; R entries of weights before the first point; multiplier, a chain of R
        adders, skew over columns, and the adder of the accumulators.
    """
    chain = array.multiply_latency_cycles + array.rows * array.add_latency_cycles
    return GEMM_START_CYCLES + slots + array.rows + chain + array.columns - 1 + array.add_latency_cycles
