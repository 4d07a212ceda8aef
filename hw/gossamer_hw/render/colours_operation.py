"""RENDER_COLOURS: results of the network's last layer become colours of samples, for the compositor to add up."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from gossamer_hw.numerics.bits import delayed, delayed_flags
from gossamer_hw.render.compositor import CHANNELS, Item
from gossamer_hw.render.operation import composing, operation_members, strange_pixel
from gossamer_hw.render.sigmoid import SigmoidUnit
from gossamer_hw.vector.ports import buffer_members
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.layouts import BLOCK
from gossamer_models.registers import Fault
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import COMPOSITOR_CYCLES

__all__ = ["ColoursOperation"]

_WORD_BITS = 32
_ENTRY_BITS = 64
_LAST_TURN = COMPOSE_CYCLES - 1


class ColoursOperation(wiring.Component):
    """Colours of samples and their list, a sample in ``COMPOSE_CYCLES`` cycles: two of one pixel never meet.

    A sample's results and its entry of the list are read in its first two cycles; its three channels pass one
    :class:`~gossamer_hw.render.sigmoid.SigmoidUnit`. :func:`gossamer_models.timing.vector_render.render_cycles` has the
    cycles; ``done`` comes when the compositor holds the last sum.

    Parameters
    ----------
    architecture
        With a render engine, whose sizes count.

    Members
    -------
    See :mod:`~gossamer_hw.render.operation`; items never wait. A pixel beyond the tile is a fault of the buffer.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._lanes = architecture.vector.lanes
        super().__init__(
            {
                **operation_members(architecture),
                "vin": buffer_members(architecture, halves=False)["vin"],
                "composing": Out(composing(architecture.render_engine)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Read, compute, put together."""
        m = Module()
        m.submodules.sigmoid = sigmoid = SigmoidUnit()
        running, turn, sample, ends = self._turns(m)
        results, entry = self._read(m, running, turn, sample)
        m.d.comb += sigmoid.x.as_value().eq(results[:_WORD_BITS])

        # The third channel is taken when the entry is one cycle old.
        shares = [delayed(m, sigmoid.share.as_value(), CHANNELS - 1 - n, name=f"share_{n}") for n in range(CHANNELS)]
        lag = 1 + sigmoid.latency
        then = delayed(m, entry, lag, name="entry")
        found, done = (
            delayed_flags(m, flag, cycles, name=name)
            for flag, cycles, name in (
                (running & (turn == _LAST_TURN), lag, "found"),
                (ends, lag + COMPOSITOR_CYCLES, "ending"),
            )
        )
        strange = strange_pixel(m, self, entry[:_WORD_BITS], running & (turn == _LAST_TURN))
        empty = Signal()
        m.d.sync += empty.eq(self.start & (self.command.count == 0))
        m.d.comb += [
            self.composing.valid.eq(found & (then[:_WORD_BITS] != NO_PIXEL)),
            self.composing.item.eq(Item.COLOUR),
            self.composing.pixel.eq(then[:_WORD_BITS]),
            self.composing.amount.as_value().eq(then[_WORD_BITS:]),
            self.composing.colour.as_value().eq(Cat(shares)),
            self.done.eq(done | empty),
            self.fault.eq(Mux(strange, Fault.BUFFER, Fault.NONE)),
        ]
        return m

    def _turns(self, m: Module) -> tuple[Value, Value, Value, Value]:
        """Return whether a sample is read, in which turn, its number, and whether this is the last turn of all."""
        left, sample, turn = Signal(len(self.command.count)), Signal(24), Signal(range(COMPOSE_CYCLES))
        last = Signal()
        m.d.comb += last.eq((left != 0) & (turn == _LAST_TURN))
        with m.If(self.start):
            m.d.sync += [left.eq(self.command.count), sample.eq(0), turn.eq(0)]
        with m.Elif(left != 0):
            m.d.sync += [turn.eq(Mux(last, 0, turn + 1)), sample.eq(sample + last), left.eq(left - last)]
        return left != 0, turn, sample, last & (left == 1)

    def _read(self, m: Module, running: Value, turn: Value, sample: Value) -> tuple[Value, Value]:
        """Read a sample's results in turn 0, its entry in turn 1.

        Return the results, of which a channel goes per cycle from turn 2 on, and the entry, which stays for four.
        """
        line, entries_bits = self.vin.data, (self._lanes // 2).bit_length() - 1
        row, entry = (self.command.source0 >> 5) + sample, (self.command.source1 >> 3) + sample
        rows_bits = (self._lanes // BLOCK).bit_length() - 1
        taken = line.word_select(row[:rows_bits], BLOCK * _WORD_BITS) if rows_bits else line
        results, listed = Signal(CHANNELS * _WORD_BITS, reset_less=True), Signal(_ENTRY_BITS, reset_less=True)
        m.d.comb += [
            self.vin.enable.eq(running & (turn < 2)),
            self.vin.address.eq(Mux(turn == 0, row >> rows_bits, entry >> entries_bits)),
        ]
        m.d.sync += results.eq(Mux(turn == 1, taken[: len(results)], results >> _WORD_BITS))
        with m.If(turn == 2):
            m.d.sync += listed.eq(line.word_select(entry[:entries_bits], _ENTRY_BITS))
        return results, listed
