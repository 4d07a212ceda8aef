"""Engines, buffers and the semaphores between them.

Each semaphore has one producer and one consumer engine. A *full* token says that a buffer half holds data, a
*free* token that its reader has done with it. An instruction waits for one token of every semaphore in its
``wait`` mask, takes them all at its start, and adds one to every semaphore in its ``signal`` mask at its end.
"""

from enum import IntEnum, IntFlag

__all__ = [
    "ADDRESS_BITS", "BUFFERS_IN_HALVES", "TOKEN_BITS", "Advance", "Buffer", "Engine", "Semaphore", "consumer",
    "producer",
]  # fmt: skip

ADDRESS_BITS = 40
"""Of a byte's address in DRAM."""

TOKEN_BITS = 4
"""Of a semaphore's counter, and of its first tokens in a STAGE."""


class Engine(IntEnum):
    """Units with an in-order instruction queue each; ``SEQUENCER`` consumes loop instructions itself."""

    SEQUENCER = 0
    LOAD = 1
    STORE = 2
    GEMM = 3
    PRUNE = 4
    VECTOR = 5


class Buffer(IntEnum):
    """On-chip memories, addressed flat in bytes (halves are separate address spaces).

    ======== ========================================== ======================================
    buffer   element                                     flat element index
    ======== ========================================== ======================================
    A        fp16                                        (word * R + row bank) * group + lane
    B        fp16 entry value                            entry * C + column bank
    B_META   one byte: bit 7 valid, low bits index       as B
    ACC      fp32                                        word * C + column bank
    VIN      fp16 or fp32                                linear
    VOUT     fp16 or fp32                                linear
    PRM      fp32, not doubled                           linear
    PRN      fp16 entry value                            linear
    PRN_META one byte: bit 7 valid, low bits index       linear
    ======== ========================================== ======================================
    """

    A = 0
    B = 1
    B_META = 2
    ACC = 3
    VIN = 4
    VOUT = 5
    PRM = 6
    PRN = 7
    PRN_META = 8


class Advance(IntFlag):
    """Buffers whose half the engine leaves when the instruction ends; each engine counts for itself."""

    A = 1
    B = 2
    ACC = 4
    VIN = 8
    VOUT = 16
    PRN = 32


BUFFERS_IN_HALVES: dict[Buffer, Advance] = {
    Buffer.A: Advance.A,
    Buffer.B: Advance.B,
    Buffer.B_META: Advance.B,
    Buffer.ACC: Advance.ACC,
    Buffer.VIN: Advance.VIN,
    Buffer.VOUT: Advance.VOUT,
    Buffer.PRN: Advance.PRN,
    Buffer.PRN_META: Advance.PRN,
}


class Semaphore(IntFlag):
    """Token counters, as masks; :func:`producer` and :func:`consumer` tell the engines at their ends."""

    A_FULL = 1 << 0
    A_FREE = 1 << 1
    B_FULL = 1 << 2
    B_FREE = 1 << 3
    ACC_FULL = 1 << 4
    ACC_FREE = 1 << 5
    VIN_FULL = 1 << 6
    VIN_FREE = 1 << 7
    VOUT_FULL = 1 << 8
    VOUT_FREE = 1 << 9
    WEIGHT_FULL = 1 << 10
    PRN_FULL = 1 << 11
    PRN_FREE = 1 << 12
    PRM_FULL = 1 << 13
    PRM_FREE = 1 << 14
    STORED = 1 << 15
    OPERAND_FULL = 1 << 16
    OPERAND_FREE = 1 << 17


_ENDS: dict[Semaphore, tuple[Engine, Engine]] = {
    Semaphore.A_FULL: (Engine.LOAD, Engine.GEMM),
    Semaphore.A_FREE: (Engine.GEMM, Engine.LOAD),
    Semaphore.B_FULL: (Engine.LOAD, Engine.GEMM),
    Semaphore.B_FREE: (Engine.GEMM, Engine.LOAD),
    Semaphore.ACC_FULL: (Engine.GEMM, Engine.VECTOR),
    Semaphore.ACC_FREE: (Engine.VECTOR, Engine.GEMM),
    Semaphore.VIN_FULL: (Engine.LOAD, Engine.VECTOR),
    Semaphore.VIN_FREE: (Engine.VECTOR, Engine.LOAD),
    Semaphore.VOUT_FULL: (Engine.VECTOR, Engine.STORE),
    Semaphore.VOUT_FREE: (Engine.STORE, Engine.VECTOR),
    Semaphore.WEIGHT_FULL: (Engine.VECTOR, Engine.PRUNE),
    Semaphore.PRN_FULL: (Engine.PRUNE, Engine.STORE),
    Semaphore.PRN_FREE: (Engine.STORE, Engine.PRUNE),
    Semaphore.PRM_FULL: (Engine.LOAD, Engine.VECTOR),
    Semaphore.PRM_FREE: (Engine.VECTOR, Engine.LOAD),
    Semaphore.STORED: (Engine.STORE, Engine.LOAD),
    Semaphore.OPERAND_FULL: (Engine.VECTOR, Engine.GEMM),
    Semaphore.OPERAND_FREE: (Engine.GEMM, Engine.VECTOR),
}


def producer(semaphore: Semaphore) -> Engine:
    """Engine that adds tokens to one semaphore."""
    return _ENDS[semaphore][0]


def consumer(semaphore: Semaphore) -> Engine:
    """Engine that takes tokens from one semaphore."""
    return _ENDS[semaphore][1]
