"""The order in which a drain chain's values reach their accumulator bank."""

from itertools import product
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.lane import drain_target

__all__ = ["DrainSequencer", "announced_chunks", "chunk_target"]


def chunk_target(blocks: int) -> data.StructLayout:
    """Where the sums of a chunk go.

    ``block`` is the accumulator address of slot 0 divided by the array's rows, ``accumulate`` whether they are added to
    what is there.
    """
    return data.StructLayout({"block": range(blocks), "accumulate": 1})


def announced_chunks(values: int, latency: int) -> int:
    """Places for chunks that are announced and not through, one to spare.

    Parameters
    ----------
    values : of a chunk, which the next one is announced no sooner than so many cycles behind.
    latency : cycles from an announcement to the first value.
    """
    return -(-latency // values) + 2


class DrainSequencer(wiring.Component):
    """Gives every value of a drain chain its address: the rows from the last to the first, slots 0, 1, ... in each.

    The value of slot s and row r belongs at ``(block + s) * rows + r``. Chunks are taken in the order in which
    ``push`` announces them, each before its first value arrives. No latency, no flow control.

    Of Lr chunks side by side the first is announced. The others' values follow in the slots behind its own, each
    chunk a turn of all slots later, and are added at the same places.

    Parameters
    ----------
    rows
        Rows that the chain serves, a power of two.
    blocks
        Rows-sized blocks of the bank.
    depth
        Chunks announced and not yet begun.
    interleaves
        Numbers of slots that may take turns.
    chunks
        Largest Lr, a power of two.

    Members
    -------
    push, chunk : announces a chunk.
    occupied : a value is at the end of the chain.
    target : where it goes.
    interleave : index in `interleaves`, where there is a choice.
    beside : log2 of Lr, where there is a choice.
    """

    def __init__(self, *, rows: int, blocks: int, depth: int, interleaves: tuple[int, ...], chunks: int = 1) -> None:
        if rows < 1 or rows & (rows - 1):
            raise ValueError(f"`rows` must be a power of two, not {rows!r}")
        self._rows, self._blocks, self._depth, self._interleaves = rows, blocks, depth, interleaves
        self._chunks = chunks
        members: dict[str, wiring.Member] = {
            "push": In(1),
            "chunk": In(chunk_target(blocks)),
            "occupied": In(1),
            "target": Out(drain_target(blocks * rows)),
        }
        if len(interleaves) > 1:
            members["interleave"] = In(range(len(interleaves)))
        if chunks > 1:
            members["beside"] = In(range(chunks.bit_length()))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count rows and slots; the queue's head is the chunk on its way."""
        m = Module()
        layout = chunk_target(self._blocks)
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=self._depth)
        head = data.View(layout, queue.r_data)
        row = Signal(range(self._rows), init=self._rows - 1)
        slot = Signal(range(self._interleaves[-1]))
        turns = self._turns()
        announced: Value = self.occupied
        last_slot = turns - 1
        if self._chunks > 1:
            last_slot = (turns >> self.beside) - 1
            announced = self.occupied & (slot <= last_slot)
        place = Signal.like(self.target.address)
        row_ends = announced & (slot == last_slot)
        m.d.comb += [
            queue.w_en.eq(self.push),
            queue.w_data.eq(self.chunk),
            queue.r_en.eq(row_ends & (row == 0)),
            place.eq(Cat(row, (head.block + slot)[: len(head.block)])),
            self.target.address.eq(place),
            self.target.accumulate.eq(head.accumulate),
        ]
        going: Value = self.occupied
        if self._chunks > 1:
            begun = (row != self._rows - 1) | (slot != 0)
            going = going | begun | self._follow(m, announced, slot, place)
        with m.If(going):
            m.d.sync += slot.eq(Mux(slot == turns - 1, 0, slot + 1))
        with m.If(row_ends):
            m.d.sync += row.eq(row - 1)
        return m

    def _follow(self, m: Module, announced: Value, slot: Signal, place: Signal) -> Value:
        """Repeat places for the chunks beside; return whether values of theirs may still come."""
        most = self._interleaves[-1] * (self._chunks**2 - 1) // self._chunks
        left = Signal(range(most + 1))
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        places = [place]
        for age in range(most):
            places.append(Signal.like(place, name=f"place_{age}"))
            m.d.sync += places[-1].eq(places[-2])
        choices = product(enumerate(self._interleaves), range(1, self._chunks.bit_length()))
        for (index, turns), beside in choices:
            own = turns >> beside
            if not own:
                continue
            # A turn of all slots late, and its own slots behind.
            late = [chunk * (turns + own) for chunk in range(1 << beside)]
            chosen = self.beside == beside
            if len(self._interleaves) > 1:
                chosen = chosen & (self.interleave == index)
            with m.If(chosen & announced):
                m.d.sync += left.eq(late[-1])
            for chunk in range(1, 1 << beside):
                with m.If(chosen & (slot >> own.bit_length() - 1 == chunk)):
                    m.d.comb += [self.target.address.eq(places[late[chunk]]), self.target.accumulate.eq(1)]
        return left != 0

    def _turns(self) -> Value | int:
        if len(self._interleaves) == 1:
            return self._interleaves[0]
        return self._interleaves[0] << self.interleave
