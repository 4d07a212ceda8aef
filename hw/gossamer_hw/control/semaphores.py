"""Token counters between engines."""

from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_models.isa.tokens import TOKEN_BITS, Semaphore

__all__ = ["SEMAPHORES", "TOKEN_BITS", "Semaphores"]

SEMAPHORES = len(Semaphore)


class Semaphores(wiring.Component):
    """Counters of up to 15 tokens. What is given in one cycle is available in the next.

    Members
    -------
    load, credits : set all counters, four bits each, semaphore 0 lowest; nothing may be taken or given meanwhile.
    take : one token of each of these, which must be available.
    give : one token to each of these.
    available : semaphores that have a token.
    full : semaphores that have no room.
    overflow : semaphores that are given a token that they have no room for; they keep what they have.
    """

    load: In(1)
    credits: In(SEMAPHORES * TOKEN_BITS)
    take: In(SEMAPHORES)
    give: In(SEMAPHORES)
    available: Out(SEMAPHORES)
    full: Out(SEMAPHORES)
    overflow: Out(SEMAPHORES)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count."""
        m = Module()
        for number in range(SEMAPHORES):
            tokens = Signal(TOKEN_BITS, name=f"tokens_{number}")
            give, take = self.give[number], self.take[number]
            m.d.comb += [
                self.available[number].eq(tokens != 0),
                self.full[number].eq(tokens.all()),
                self.overflow[number].eq(give & ~take & self.full[number]),
            ]
            with m.If(self.load):
                m.d.sync += tokens.eq(self.credits.word_select(number, TOKEN_BITS))
            with m.Elif(give & ~take & ~self.full[number]):
                m.d.sync += tokens.eq(tokens + 1)
            with m.Elif(take & ~give):
                m.d.sync += tokens.eq(tokens - 1)
        return m
