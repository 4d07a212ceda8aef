"""A watcher of an AXI4 port that remembers every broken rule."""

from enum import IntFlag
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.axi import INCR, AxiReadSignature, AxiWriteSignature, size_code
from gossamer_hw.memory.memory import OUTSTANDING

__all__ = ["AxiChecker", "Rule"]

_PAGE_BITS = 12


class Rule(IntFlag):
    """Rules of AXI4 that a port can break.

    ``..._STABLE``: what is offered stays, unchanged, until it is taken. ``..._BURST``: words of the whole port's width
    at ascending, aligned addresses, within 4 KiB. ``W_LAST``, ``R_LAST``: the mark is on the burst's last word and
    nowhere else. ``W_EARLY``, ``R_EARLY``, ``B_EARLY``: a word before its burst's address, a response before the
    burst's last word.
    """

    AR_STABLE = 1
    AW_STABLE = 2
    W_STABLE = 4
    R_STABLE = 8
    B_STABLE = 16
    AR_BURST = 32
    AW_BURST = 64
    R_LAST = 128
    W_LAST = 256
    R_EARLY = 512
    W_EARLY = 1024
    B_EARLY = 2048


class AxiChecker(wiring.Component):
    """Follow both directions of a port, all its signals as inputs.

    Parameters
    ----------
    width_bytes
        Of a word.

    Members
    -------
    araddr, ..., bready : the port's signals.
    violation : :class:`Rule` bits of all that was broken since the reset.
    """

    def __init__(self, *, width_bytes: int) -> None:
        self._width_bytes = width_bytes
        channels = {**AxiReadSignature(width_bytes).members, **AxiWriteSignature(width_bytes).members}
        super().__init__(
            {
                **{name: In(member.shape) for name, member in channels.items()},
                "violation": Out(unsigned(len(Rule))),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the rules; each sets its bit for good."""
        m = Module()
        for rule, channel in ((Rule.AR_STABLE, "ar"), (Rule.AW_STABLE, "aw")):
            self._stable(m, rule, channel, "addr", "len", "size", "burst")
            self._burst(m, channel)
        self._stable(m, Rule.W_STABLE, "w", "data", "strb", "last")
        self._stable(m, Rule.R_STABLE, "r", "data", "resp", "last")
        self._stable(m, Rule.B_STABLE, "b", "resp")
        read, write = self._words(m, "ar", "r"), self._words(m, "aw", "w")
        self._forbid(m, Rule.R_EARLY, self.rvalid & ~read)
        self._forbid(m, Rule.W_EARLY, self._taken("w") & ~write & ~self._taken("aw"))

        unanswered = Signal(range(2 * OUTSTANDING + 1))
        m.d.sync += unanswered.eq(unanswered + (self._taken("w") & self.wlast) - self._taken("b"))
        self._forbid(m, Rule.B_EARLY, self.bvalid & (unanswered == 0))
        return m

    def _taken(self, channel: str) -> Value:
        taken: Value = getattr(self, f"{channel}valid") & getattr(self, f"{channel}ready")
        return taken

    def _forbid(self, m: Module, rule: Rule, broken: Value) -> None:
        with m.If(broken):
            m.d.sync += self.violation[rule.bit_length() - 1].eq(1)

    def _stable(self, m: Module, rule: Rule, channel: str, *fields: str) -> None:
        """Compare with the cycle before if nothing was taken in it."""
        payload = Cat(getattr(self, f"{channel}{field}") for field in fields)
        before, waiting = Signal(len(payload), name=f"{channel}_before"), Signal(name=f"{channel}_waiting")
        valid = getattr(self, f"{channel}valid")
        m.d.sync += [before.eq(payload), waiting.eq(valid & ~self._taken(channel))]
        self._forbid(m, rule, waiting & (~valid | (payload != before)))

    def _burst(self, m: Module, channel: str) -> None:
        """Check an address and its length."""
        address, length = getattr(self, f"{channel}addr"), getattr(self, f"{channel}len")
        low = self._width_bytes.bit_length() - 1
        end = address[low:_PAGE_BITS] + length
        wrong = (
            (end >> _PAGE_BITS - low).any()
            | address[:low].any()
            | (getattr(self, f"{channel}size") != size_code(self._width_bytes))
            | (getattr(self, f"{channel}burst") != INCR)
        )
        self._forbid(m, Rule[f"{channel.upper()}_BURST"], getattr(self, f"{channel}valid") & wrong)

    def _words(self, m: Module, addresses: str, words: str) -> Value:
        """Count the words of each burst; return whether one is open.

        A write's first word may come with its address; then the length is the one on the bus.
        """
        m.submodules[f"{addresses}_lengths"] = lengths = SyncFIFO(width=8, depth=2 * OUTSTANDING)
        taken, last = self._taken(words), getattr(self, f"{words}last")
        beat = Signal(8, name=f"{words}_beat")
        length = Mux(lengths.r_rdy, lengths.r_data, getattr(self, f"{addresses}len"))
        through = taken & last & ~lengths.r_rdy
        m.d.comb += [
            lengths.w_data.eq(getattr(self, f"{addresses}len")),
            lengths.w_en.eq(self._taken(addresses) & ~through),
            lengths.r_en.eq(taken & last),
        ]
        with m.If(taken):
            m.d.sync += beat.eq(Mux(last, 0, beat + 1))
        self._forbid(m, Rule[f"{words.upper()}_LAST"], taken & (last != (beat == length)))
        opened: Value = lengths.r_rdy
        return opened
