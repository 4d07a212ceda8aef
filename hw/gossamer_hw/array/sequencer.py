"""The order in which a drain chain's values reach their accumulator bank."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.lane import drain_target

__all__ = ["DrainSequencer", "chunk_target"]


def chunk_target(blocks: int) -> data.StructLayout:
    """Where the sums of a chunk go.

    ``block`` is the accumulator address of slot 0 divided by the array's rows, ``accumulate`` whether they are added to
    what is there.
    """
    return data.StructLayout({"block": range(blocks), "accumulate": 1})


class DrainSequencer(wiring.Component):
    """Gives every value of a drain chain its address: the rows from the last to the first, slots 0, 1, ... in each.

    The value of slot s and row r belongs at ``(block + s) * rows + r``. Chunks are taken in the order in which
    ``push`` announces them, each before its first value arrives. No latency, no flow control.

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

    Members
    -------
    push, chunk : announces a chunk.
    occupied : a value is at the end of the chain.
    target : where it goes.
    interleave : index in `interleaves`, where there is a choice.
    """

    def __init__(self, *, rows: int, blocks: int, depth: int, interleaves: tuple[int, ...]) -> None:
        if rows < 1 or rows & (rows - 1):
            raise ValueError(f"`rows` must be a power of two, not {rows!r}")
        self._rows, self._blocks, self._depth, self._interleaves = rows, blocks, depth, interleaves
        members: dict[str, wiring.Member] = {
            "push": In(1),
            "chunk": In(chunk_target(blocks)),
            "occupied": In(1),
            "target": Out(drain_target(blocks * rows)),
        }
        if len(interleaves) > 1:
            members["interleave"] = In(range(len(interleaves)))
        super().__init__(members)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count rows and slots; the queue's head is the chunk on its way."""
        m = Module()
        layout = chunk_target(self._blocks)
        m.submodules.queue = queue = SyncFIFO(width=layout.size, depth=self._depth)
        head = data.View(layout, queue.r_data)
        row = Signal(range(self._rows), init=self._rows - 1)
        slot = Signal(range(self._interleaves[-1]))
        last_slot = self._last_slot()
        m.d.comb += [
            queue.w_en.eq(self.push),
            queue.w_data.eq(self.chunk),
            queue.r_en.eq(self.occupied & (row == 0) & (slot == last_slot)),
            self.target.address.eq(Cat(row, (head.block + slot)[: len(head.block)])),
            self.target.accumulate.eq(head.accumulate),
        ]
        with m.If(self.occupied):
            m.d.sync += slot.eq(Mux(slot == last_slot, 0, slot + 1))
            with m.If(slot == last_slot):
                m.d.sync += row.eq(row - 1)
        return m

    def _last_slot(self) -> Value | int:
        if len(self._interleaves) == 1:
            return self._interleaves[0] - 1
        return (self._interleaves[0] << self.interleave) - 1
