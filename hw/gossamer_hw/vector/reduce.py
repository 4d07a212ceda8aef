"""REDUCE, and STATISTICS of DRAIN: exact sums over the elements of each channel."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.formats import Half
from gossamer_hw.vector.exact import (
    HALF_SCALE_BITS,
    ExactHalf,
    ExactProduct,
    ExactRound,
    exact_layout,
    term_layout,
    term_sum,
)
from gossamer_hw.vector.ports import unit_members
from gossamer_hw.vector.reduce_rows import RowTurner, drained_layout
from gossamer_hw.vector.reduce_store import SUMS, SumStore
from gossamer_hw.vector.stream_channels import ROW, ChannelWalker, SampleWalker
from gossamer_hw.vector.stream_operands import has, masked_half
from gossamer_hw.vector.stream_pairs import PairReader
from gossamer_hw.verilog import add_shared
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import VectorFlag, VectorOp
from gossamer_models.timing.vector_stream import summed_channels, turned_groups

__all__ = ["ReduceUnit", "most_channels"]

_ROUND_CYCLES = 2 + ExactRound.latency
"""From a sum asked for to the cycle in which its rounded value is written: memory, choice, rounding."""


def most_channels(architecture: Architecture) -> int:
    """Channels that there are sums for: as many as PRM could take both sums of, in whole blocks."""
    return max(architecture.buffers.parameter_words // (SUMS * ROW), 1) * ROW


class ReduceUnit(wiring.Component):
    """REDUCE on L lanes, which hold L / W samples of W = min(L, 8) channels, and STATISTICS beside DRAIN.

    Each lane's terms are exact integers, added up over the samples by a tree and then to the channels' sums in memory.
    After the last tile of a sweep (``size`` 1) one sum per cycle is rounded. An operand that is both factors
    (``source0`` equal to ``source1``) is read once. What is drained comes to the same lanes as
    :class:`~gossamer_hw.vector.reduce_rows.RowTurner` gives it. :mod:`gossamer_models.timing.vector_stream` has the
    cycles.

    Parameters
    ----------
    architecture
        Lanes, columns and buffer sizes count; there are sums for :func:`most_channels`. The instruction must be legal.

    Members
    -------
    drained : results of DRAIN.
    Others as :func:`~gossamer_hw.vector.ports.unit_members` says.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._lanes = lanes = architecture.vector.lanes
        super().__init__({**unit_members(architecture), "drained": In(drained_layout(lanes))})
        self._together = together = summed_channels(lanes)
        self._levels = (lanes // together).bit_length() - 1
        self._blocks = most_channels(architecture) // together
        self._pairs = PairReader(lanes=lanes, lines=1 << len(self.vin.address))
        self._rows = RowTurner(lanes=lanes, columns=architecture.array.columns)
        self._turns = turned_groups(lanes, architecture.array.columns)
        self._channels = ChannelWalker(lanes=lanes)
        self._samples = SampleWalker(lanes=lanes)
        self._store = SumStore(channels=together, blocks=self._blocks, levels=self._levels)
        self._round = ExactRound()

    @property
    def _log2_together(self) -> int:
        return self._together.bit_length() - 1

    @property
    def _settle_cycles(self) -> int:
        """From the last group to the cycle in which its sums are written back."""
        return ExactProduct.latency + self._levels + 1

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire reader, terms, sums, rounding."""
        m = Module()
        for name in ("pairs", "rows", "channels", "samples", "store", "round"):
            m.submodules[name] = getattr(self, f"_{name}")
        drains = self.command.op == VectorOp.DRAIN
        self._read(m, drains)
        m.d.comb += self._store.terms.eq(self._terms(m, platform, drains))
        # A pair's second group comes one cycle behind its first.
        last = delayed_flags(m, self._pairs.final, 1 + PairReader.lead, name="read")
        last_turned = delayed_flags(m, self.drained.final & drains, self._turns, name="turned")
        settled = delayed_flags(m, last | last_turned, self._settle_cycles, name="settled")
        reading, block, finished = self._finish(m, settled, drains)
        entered = delayed_flags(
            m,
            Cat(
                self._pairs.group.valid | self._rows.valid,
                Mux(drains, self._rows.block, self._channels.channel[self._log2_together :]),
            ),
            ExactProduct.latency + self._levels - 1,
            name="entered",
        )
        m.d.comb += [
            self._store.clear.eq((self.start & ~has(self.command, VectorFlag.ACCUMULATE)) | self.rewind),
            self._store.add.eq(entered[0]),
            self._store.read.eq(entered[0] | reading),
            self._store.block.eq(Mux(reading, block, entered[1:])),
            self.done.eq(finished),
        ]
        return m

    def _read(self, m: Module, drains: Value) -> None:
        """Start reader and walkers."""
        c, pairs, channels, samples = self.command, self._pairs, self._channels, self._samples
        log2_line = (4 * self._lanes).bit_length() - 1
        twice = has(c, VectorFlag.PRODUCT) & (c.source0 != c.source1)
        # Nothing is read before the cycle behind the start.
        m.d.sync += pairs.used.eq(Cat(Const(1, 1), twice, has(c, VectorFlag.MASK)))
        m.d.comb += [
            pairs.start.eq(self.start & ~drains),
            pairs.count.eq(c.count),
            *(pairs.source[n].eq(c[f"source{n}"][log2_line:]) for n in range(3)),
            self.vin.enable.eq(pairs.vin.enable),
            self.vin.address.eq(pairs.vin.address),
            pairs.vin.data.eq(self.vin.data),
            channels.start.eq(self.start),
            channels.low.eq(c.channel_low),
            channels.mid_period.eq(c.channel_mid_period),
            channels.mid_count.eq(c.channel_mid_count),
            channels.high_period.eq(c.channel_high_period),
            channels.step.eq(pairs.group.valid | self.drained.valid),
            samples.start.eq(self.start),
            samples.samples.eq(c.samples),
            samples.period.eq(c.sample_period),
            samples.step.eq(pairs.group.valid),
            self._rows.start.eq(self.start),
            self._rows.drained.eq(self.drained),
            self._rows.channel.eq(channels.channel),
        ]

    def _terms(self, m: Module, platform: Any, drains: Value) -> Value:
        """Terms of the group's channels, by kind of sum."""
        c, pairs = self.command, self._pairs
        halves: list[list[Any]] = [[] for _ in range(self._together)]
        products: list[list[Any]] = [[] for _ in range(self._together)]
        log2_lanes = self._lanes.bit_length() - 1
        tail = Signal(log2_lanes)
        m.d.comb += tail.eq(c.count - 1)
        squares = has(c, VectorFlag.PRODUCT) | drains
        for lane in range(self._lanes):
            first, second, mask = (pairs.halves[source][lane] for source in range(3))
            turned = self._rows.halves[lane].as_value()
            g, x = Signal(Half, name=f"g_{lane}"), Signal(Half, name=f"x_{lane}")
            masked = masked_half(m, first, mask, has(c, VectorFlag.MASK), has(c, VectorFlag.SIX))
            m.d.comb += [
                g.as_value().eq(Mux(drains, turned, masked.as_value())),
                x.as_value().eq(Mux(drains, turned, Mux(pairs.used[1], second.as_value(), first.as_value()))),
            ]
            read = pairs.group.valid & self._samples.real[lane // ROW] & (~pairs.group.last | (lane <= tail))
            live = self._rows.valid | read
            half, product = ExactHalf(), ExactProduct()
            add_shared(m, platform, half, name=f"half_{lane}", module="exact_half")
            add_shared(m, platform, product, name=f"product_{lane}", module="exact_product")
            m.d.comb += [
                half.a.eq(g),
                half.live.eq(live),
                product.a.eq(g),
                product.b.eq(x),
                product.live.eq(live & squares),
            ]
            halves[lane % self._together].append(half.term)
            products[lane % self._together].append(product.term)
        return Cat(self._tree(m, terms).as_value() for kind in (halves, products) for terms in kind)

    def _tree(self, m: Module, terms: list[Any]) -> Any:
        """Add up two by two, a register behind each level."""
        while len(terms) > 1:
            following = []
            for a, b in zip(terms[::2], terms[1::2], strict=True):
                total = term_sum(a, b)
                both = Signal(term_layout(len(total)), reset_less=True, name=f"sum_{len(total)}")
                m.d.sync += [
                    both.total.eq(total),
                    both.carry.eq(a.carry),
                    both.nan.eq(a.nan | b.nan),
                    both.plus.eq(a.plus | b.plus),
                    both.minus.eq(a.minus | b.minus),
                ]
                following.append(both)
            terms = following
        return terms[0]

    def _finish(self, m: Module, settled: Value, drains: Value) -> tuple[Value, Value, Value]:
        """Round all sums, one per cycle; return whether a block is asked for, which, and the end."""
        c, product = self.command, has(self.command, VectorFlag.PRODUCT) | drains
        rounds, together, log2_together = c.size == 1, self._together, self._log2_together
        active, item, block = Signal(), Signal(range(SUMS * together)), Signal(range(self._blocks))
        last_item, last, blocks = Signal(), Signal(), Signal(24)
        m.d.comb += [
            blocks.eq(c.channels >> log2_together),
            last_item.eq(item == Mux(product, SUMS * together - 1, together - 1)),
            last.eq(active & last_item & (block + 1 == blocks)),
        ]
        with m.If(settled):
            m.d.sync += [active.eq(rounds & (blocks != 0)), item.eq(0), block.eq(0)]
        with m.Elif(active):
            m.d.sync += [item.eq(Mux(last_item, 0, item + 1)), block.eq(block + last_item), active.eq(~last)]
        places = [Signal(24, name=f"place_{number}") for number in range(SUMS)]
        m.d.sync += [
            places[0].eq(Mux(drains, c.target1, c.parameter)),
            places[1].eq(Mux(drains, c.target2, c.parameter + c.channels)),
        ]
        word = (Mux(item[-1], places[1], places[0]) + Cat(item[:log2_together], block))[:24]
        self._write(m, active, item, word)
        ended = delayed_flags(m, last | (settled & rounds & (blocks == 0)), _ROUND_CYCLES, name="ended")
        return active, block, ended | (settled & ~rounds)

    def _write(self, m: Module, active: Value, item: Value, word: Value) -> None:
        """Choose a sum of the block, round it, write it, and look whether it is finite."""
        log2_lanes = self._lanes.bit_length() - 1
        arrived = delayed_flags(m, item, 1, name="item")
        chosen = Signal(exact_layout(), reset_less=True)
        held, products = self._store.settled, arrived[-1]
        channel = arrived[: self._log2_together]
        half, product = held.elements[channel], held.products[channel]
        high = Mux(products, product.high, half.high) + Mux(products, product.carry, half.carry)
        m.d.sync += [
            chosen.total.eq(Cat(Mux(products, product.low, Cat(Const(0, HALF_SCALE_BITS), half.low)), high)),
            *(chosen[flag].eq(Mux(products, product[flag], half[flag])) for flag in ("nan", "plus", "minus")),
        ]
        late = delayed_flags(m, Cat(active, word), _ROUND_CYCLES, name="word")
        rounded = self._round.rounded
        m.d.comb += [
            self._round.held.eq(chosen),
            self.prm_write.enable.eq(late[0]),
            self.prm_write.address.eq(late[1 + log2_lanes :]),
            self.prm_write.mask.eq(1 << late[1 : 1 + log2_lanes]),
            *(part.eq(rounded.as_value()) for part in self.prm_write.data),
            self.set.eq(late[0] & rounded.exponent.all()),
        ]
