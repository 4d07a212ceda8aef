"""When a transaction is taken and answered: fixed, or by the hash of the memory ``scripted``."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_models.architecture import Memory
from gossamer_models.timing.scripted import (
    HASH_BITS,
    HASH_FACTORS,
    HASH_SHIFTS,
    LATENCY_SHIFT,
    MAX_GAP_CYCLES,
    Direction,
    latency_span,
)

__all__ = ["TRANSACTION_BITS", "Script"]

TRANSACTION_BITS = 32


class Script(wiring.Component):
    """Ready gap and latency of the next transaction, see :mod:`gossamer_models.timing.scripted`.

    Parameters
    ----------
    memory
        Its latency counts.
    port, direction
        Of the transactions.

    Members
    -------
    scripted, seed : 0 for the ``ideal`` memory, which has no gaps and one latency.
    offered, taken : an address is offered; it is taken, which only may be where ``ready``.
    ready : the gap is over.
    transaction, latency : number of the transaction offered or to be offered next, and its latency.
    """

    def __init__(self, memory: Memory, *, port: int, direction: Direction) -> None:
        self._memory = memory
        self._channel = 2 * port + direction
        members = {"scripted": In(1), "seed": In(unsigned(HASH_BITS)), "offered": In(1), "taken": In(1)}
        latency_bits = max(latency_span(memory), memory.latency_cycles).bit_length()
        super().__init__(
            {
                **members,
                "ready": Out(1),
                "transaction": Out(unsigned(TRANSACTION_BITS)),
                "latency": Out(unsigned(latency_bits)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count transactions and the cycles that one has waited."""
        m = Module()
        of_seed, of_channel, of_transaction, of_mix = HASH_FACTORS
        total, product, mixed = (Signal(HASH_BITS, name=name) for name in ("total", "product", "mixed"))
        first, second = HASH_SHIFTS
        m.d.comb += [
            total.eq(self.seed * of_seed + self._channel * of_channel + self.transaction * of_transaction),
            product.eq((total ^ total >> first) * of_mix),
            mixed.eq(product ^ product >> second),
        ]
        waited, gap = Signal(range(MAX_GAP_CYCLES + 2)), Signal(range(MAX_GAP_CYCLES + 1))
        span = latency_span(self._memory)
        m.d.comb += [
            gap.eq(Mux(self.scripted & ((mixed & MAX_GAP_CYCLES + 1) != 0), mixed & MAX_GAP_CYCLES, 0)),
            self.ready.eq(waited >= gap),
            self.latency.eq(Mux(self.scripted, 1 + (mixed >> LATENCY_SHIFT & span - 1), self._memory.latency_cycles)),
        ]
        with m.If(self.taken):
            m.d.sync += [self.transaction.eq(self.transaction + 1), waited.eq(0)]
        with m.Elif(self.offered & ~self.ready):
            m.d.sync += waited.eq(waited + 1)
        return m
