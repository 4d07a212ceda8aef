"""The memory ``scripted``: ready gaps and latencies that are a hash of port, direction, transaction and seed.

The memory in ``hw/gossamer_hw/memory`` computes the same. Transactions of a port and direction are numbered from the
reset of the memory on.
"""

from collections.abc import Iterator
from enum import IntEnum
from itertools import count

from gossamer_models.architecture import Memory

__all__ = [
    "HASH_BITS", "HASH_FACTORS", "HASH_SHIFTS", "LATENCY_SHIFT", "MAX_GAP_CYCLES", "Direction", "latencies",
    "latency_cycles", "latency_span", "ready_gap_cycles", "ready_gaps", "transaction_hash",
]  # fmt: skip

HASH_BITS = 32
HASH_FACTORS = (0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35, 0x2C1B3C6D)
"""Odd multipliers of seed, channel, transaction, and of their sum's first mix."""
HASH_SHIFTS = (15, 13)
LATENCY_SHIFT = 8
MAX_GAP_CYCLES = 3

_MASK = (1 << HASH_BITS) - 1


class Direction(IntEnum):
    """Read or write half of a port."""

    READ = 0
    WRITE = 1


def transaction_hash(port: int, direction: Direction, transaction: int, seed: int) -> int:
    """Hash of a transaction, 32 bits."""
    of_seed, of_channel, of_transaction, of_mix = HASH_FACTORS
    mixed = (seed * of_seed + (2 * port + direction) * of_channel + transaction * of_transaction) & _MASK
    mixed ^= mixed >> HASH_SHIFTS[0]
    mixed = mixed * of_mix & _MASK
    return mixed ^ mixed >> HASH_SHIFTS[1]


def ready_gap_cycles(port: int, direction: Direction, transaction: int, seed: int) -> int:
    """Cycles from the one in which an address is offered to the one in which it is taken: mostly 0."""
    mixed = transaction_hash(port, direction, transaction, seed)
    return mixed & MAX_GAP_CYCLES if mixed & MAX_GAP_CYCLES + 1 else 0


def latency_span(memory: Memory) -> int:
    """Latencies are 1 to this power of two, the largest that is not above twice the ``ideal`` latency."""
    return 1 << (2 * memory.latency_cycles).bit_length() - 1


def latency_cycles(memory: Memory, port: int, direction: Direction, transaction: int, seed: int) -> int:
    """Cycles from the taken address to the first beat of a read, or from the last beat of a write to its response."""
    mixed = transaction_hash(port, direction, transaction, seed)
    return 1 + (mixed >> LATENCY_SHIFT & latency_span(memory) - 1)


def ready_gaps(port: int, direction: Direction, seed: int) -> Iterator[int]:
    """Yield the ready gaps of all transactions."""
    return (ready_gap_cycles(port, direction, n, seed) for n in count())


def latencies(memory: Memory, port: int, direction: Direction, seed: int) -> Iterator[int]:
    """Yield the latencies of all transactions."""
    return (latency_cycles(memory, port, direction, n, seed) for n in count())
