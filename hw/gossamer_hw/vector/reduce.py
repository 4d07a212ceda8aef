"""REDUCE: exact sums over the elements of each channel."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring

from gossamer_hw.numerics.formats import Half
from gossamer_hw.prune.block import delay
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
from gossamer_hw.vector.reduce_store import CHANNELS, SUMS, SumStore
from gossamer_hw.vector.stream_channels import ROW, ChannelWalker, SampleWalker
from gossamer_hw.vector.stream_operands import has, masked_half
from gossamer_hw.vector.stream_pairs import PairReader
from gossamer_hw.verilog import add_shared
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import VectorFlag
from gossamer_models.registers import Fault

__all__ = ["ReduceUnit"]

_ROUND_CYCLES = 2 + ExactRound.latency
"""From a sum asked for to the cycle in which its rounded value is written: memory, choice, rounding."""


class ReduceUnit(wiring.Component):
    """REDUCE on L lanes, which hold L / 8 samples of eight channels; ``channel_low`` must be 8.

    Each lane's terms are exact integers, added up over the samples by a tree and then to the channels' sums in memory.
    After the last tile of a sweep (``size`` 1) one sum per cycle is rounded. An operand that is both factors
    (``source0`` equal to ``source1``) is read once. :func:`gossamer_models.timing.vector_stream.reduce_cycles` has the
    cycles.

    Parameters
    ----------
    architecture
        Lanes and buffer sizes count; there are sums for ``parameter_words`` / 2 channels, more are a fault.

    Members
    -------
    As :func:`~gossamer_hw.vector.ports.unit_members` says.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._lanes = lanes = architecture.vector.lanes
        super().__init__(unit_members(architecture))
        self._levels = (lanes // ROW).bit_length() - 1
        self._blocks = max(architecture.buffers.parameter_words // (SUMS * CHANNELS), 1)
        self._pairs = PairReader(lanes=lanes, lines=1 << len(self.vin.address))
        self._channels = ChannelWalker(lanes=lanes)
        self._samples = SampleWalker(lanes=lanes)
        self._store = SumStore(blocks=self._blocks, levels=self._levels)
        self._round = ExactRound()

    @property
    def _settle_cycles(self) -> int:
        """From the reader's ``final`` to the cycle in which the last sum is written back."""
        return 1 + PairReader.lead + ExactProduct.latency + self._levels + 1

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire reader, terms, sums, rounding."""
        m = Module()
        for name in ("pairs", "channels", "samples", "store", "round"):
            m.submodules[name] = getattr(self, f"_{name}")
        refused = Signal()
        m.d.comb += refused.eq(self.start & (self.command.channels > CHANNELS * self._blocks))
        self._read(m, refused)
        m.d.comb += self._store.terms.eq(self._terms(m, platform))
        settled = delay(m, self._pairs.final, self._settle_cycles, name="settled")
        reading, block, finished = self._finish(m, settled)
        entered = delay(
            m,
            Cat(self._pairs.group.valid, self._channels.channel[3:]),
            ExactProduct.latency + self._levels - 1,
            name="entered",
        )
        fresh = self.start & ~has(self.command, VectorFlag.ACCUMULATE)
        m.d.comb += [
            self._store.clear.eq(fresh | self.rewind),
            self._store.add.eq(entered[0]),
            self._store.read.eq(entered[0] | reading),
            self._store.block.eq(Mux(reading, block, entered[1:])),
        ]
        m.d.sync += self.fault.eq(Mux(refused, Fault.BUFFER, Fault.NONE))
        late = Signal()
        m.d.sync += late.eq(refused)
        m.d.comb += self.done.eq(finished | late)
        return m

    def _read(self, m: Module, refused: Value) -> None:
        """Start reader and walkers."""
        c, pairs, channels, samples = self.command, self._pairs, self._channels, self._samples
        log2_line = (4 * self._lanes).bit_length() - 1
        m.d.comb += [
            pairs.start.eq(self.start & ~refused),
            pairs.count.eq(c.count),
            *(pairs.source[n].eq(c[f"source{n}"][log2_line:]) for n in range(3)),
            pairs.used.eq(Cat(1, has(c, VectorFlag.PRODUCT) & (c.source0 != c.source1), has(c, VectorFlag.MASK))),
            self.vin.enable.eq(pairs.vin.enable),
            self.vin.address.eq(pairs.vin.address),
            pairs.vin.data.eq(self.vin.data),
            channels.start.eq(self.start),
            channels.low.eq(c.channel_low),
            channels.mid_period.eq(c.channel_mid_period),
            channels.mid_count.eq(c.channel_mid_count),
            channels.high_period.eq(c.channel_high_period),
            channels.step.eq(pairs.group.valid),
            samples.start.eq(self.start),
            samples.samples.eq(c.samples),
            samples.period.eq(c.sample_period),
            samples.step.eq(pairs.group.valid),
        ]

    def _terms(self, m: Module, platform: Any) -> Value:
        """Terms of the group's channels, by kind of sum."""
        c, pairs = self.command, self._pairs
        halves: list[list[Any]] = [[] for _ in range(CHANNELS)]
        products: list[list[Any]] = [[] for _ in range(CHANNELS)]
        log2_lanes = self._lanes.bit_length() - 1
        tail = Signal(log2_lanes)
        m.d.comb += tail.eq(c.count - 1)
        for lane in range(self._lanes):
            first, second, mask = (pairs.halves[source][lane] for source in range(3))
            g = masked_half(m, first, mask, has(c, VectorFlag.MASK))
            x = Signal(Half, name=f"x_{lane}")
            m.d.comb += x.as_value().eq(Mux(pairs.used[1], second.as_value(), first.as_value()))
            live = pairs.group.valid & self._samples.real[lane // ROW] & (~pairs.group.last | (lane <= tail))
            half, product = ExactHalf(), ExactProduct()
            add_shared(m, platform, half, name=f"half_{lane}", module="exact_half")
            add_shared(m, platform, product, name=f"product_{lane}", module="exact_product")
            m.d.comb += [
                half.a.eq(g),
                half.live.eq(live),
                product.a.eq(g),
                product.b.eq(x),
                product.live.eq(live & has(c, VectorFlag.PRODUCT)),
            ]
            halves[lane % CHANNELS].append(half.term)
            products[lane % CHANNELS].append(product.term)
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

    def _finish(self, m: Module, settled: Value) -> tuple[Value, Value, Value]:
        """Round all sums, one per cycle; return whether a block is asked for, which, and the end."""
        c, product = self.command, has(self.command, VectorFlag.PRODUCT)
        rounds = c.size == 1
        active, item, block = Signal(), Signal(range(SUMS * CHANNELS)), Signal(range(self._blocks))
        last_item, last, blocks = Signal(), Signal(), Signal(24)
        m.d.comb += [
            blocks.eq(c.channels >> 3),
            last_item.eq(item == Mux(product, SUMS * CHANNELS - 1, CHANNELS - 1)),
            last.eq(active & last_item & (block + 1 == blocks)),
        ]
        with m.If(settled):
            m.d.sync += [active.eq(rounds & (blocks != 0)), item.eq(0), block.eq(0)]
        with m.Elif(active):
            m.d.sync += [item.eq(Mux(last_item, 0, item + 1)), block.eq(block + last_item), active.eq(~last)]
        word = (c.parameter + Mux(item[3], c.channels, 0) + Cat(item[:3], block))[:24]
        self._write(m, active, item, word)
        ended = delay(m, last | (settled & rounds & (blocks == 0)), _ROUND_CYCLES, name="ended")
        return active, block, ended | (settled & ~rounds)

    def _write(self, m: Module, active: Value, item: Value, word: Value) -> None:
        """Choose a sum of the block, round it, write it, and look whether it is finite."""
        log2_lanes = self._lanes.bit_length() - 1
        arrived = delay(m, item, 1, name="item")
        chosen = Signal(exact_layout(), reset_less=True)
        held, channel = self._store.held, arrived[:3]
        half, product = held.elements[channel], held.products[channel]
        m.d.sync += [
            chosen.total.eq(Mux(arrived[3], product.total, half.total << HALF_SCALE_BITS)),
            *(chosen[flag].eq(Mux(arrived[3], product[flag], half[flag])) for flag in ("nan", "plus", "minus")),
        ]
        late = delay(m, Cat(active, word), _ROUND_CYCLES, name="word")
        rounded = self._round.rounded
        m.d.comb += [
            self._round.held.eq(chosen),
            self.prm_write.enable.eq(late[0]),
            self.prm_write.address.eq(late[1 + log2_lanes :]),
            self.prm_write.mask.eq(1 << late[1 : 1 + log2_lanes]),
            *(part.eq(rounded.as_value()) for part in self.prm_write.data),
            self.set.eq(late[0] & rounded.exponent.all()),
        ]
