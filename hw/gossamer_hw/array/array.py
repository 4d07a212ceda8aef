"""The output-stationary array: processing elements, drain chains and accumulator banks."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.array.element import ElementParameters, ProcessingElement
from gossamer_hw.array.lane import DrainLane, lane_latency
from gossamer_hw.array.links import column_edge, column_link, row_edge, row_link
from gossamer_hw.array.sequencer import DrainSequencer, announced_chunks, chunk_target
from gossamer_hw.numerics.convert import normalise_half
from gossamer_hw.numerics.formats import Single
from gossamer_hw.verilog import add_shared

__all__ = ["ELEMENT_MODULE", "LANE_MODULE", "SystolicArray"]

ELEMENT_MODULE = "gossamer_element"
LANE_MODULE = "gossamer_lane"


class SystolicArray(wiring.Component):
    """R x C processing elements with `drain_ports` chains and accumulator banks per column.

    Step t enters row r in cycle t + r and column c in cycle t + c. It meets a word and an entry in every element; the
    sums of its chunk, one per slot, row and column, are then added to the banks of the column. Segment s of a column
    is rows s R/D to (s+1) R/D - 1 for D drain ports; its bank holds the result of row r and slot k of a chunk at
    ``(block + k) * R/D + r mod R/D``.

    Everything has a fixed latency; nothing flows back. The caller keeps chunks of a bank apart: the steps marked last
    of two chunks are at least ``interleave * R/D`` cycles apart.

    Parameters
    ----------
    rows, columns : R and C, powers of two.
    group : elements of a word, a power of two of at least 2.
    slots : S, accumulator slots of an element, a power of two.
    drain_ports : chains per column, divides `rows`.
    multiply_latency, add_latency : see :class:`~gossamer_hw.array.element.ProcessingElement`.
    accumulator_words : binary32 results per column, a multiple of `rows`.

    Members
    -------
    row : word for each row.
    column : entry step for each column.
    announce, chunk
        Where the sums of a chunk go, in the cycle in which its first step marked last enters column 0.
    interleave : index in :attr:`interleaves`, only where there is a choice; changes only while nothing is in flight.
    address, data
        All banks read together: ``data[s * C + c]`` is the number at the ``address`` of the cycle before in segment s
        of column c; undefined for banks that took a value then whose address has the same highest bit.

    Raises
    ------
    ValueError
        A parameter is out of range, or a chunk's sums would meet the previous chunk's inside a lane.
    """

    def __init__(
        self,
        *,
        rows: int,
        columns: int,
        group: int,
        slots: int,
        drain_ports: int,
        multiply_latency: int,
        add_latency: int,
        accumulator_words: int,
        chunks: int = 1,
    ) -> None:
        if rows < 1 or columns < 1 or drain_ports < 1 or rows % drain_ports:
            raise ValueError(f"`drain_ports` must divide `rows` ({rows!r}), not be {drain_ports!r}")
        if accumulator_words < rows or accumulator_words % rows:
            raise ValueError(f"`accumulator_words` must be a multiple of `rows` ({rows}), not {accumulator_words!r}")
        self._rows, self._columns, self._segments = rows, columns, drain_ports
        self._segment_rows = rows // drain_ports
        self._blocks = accumulator_words // rows
        self._chunks = chunks
        self._element = ElementParameters(
            group=group, slots=slots, multiply_latency=multiply_latency, add_latency=add_latency
        )
        self._interleaves = self._element.interleaves
        self._lane_latency = lane_latency(add_latency)
        self._bank_words = accumulator_words // drain_ports
        if self._interleaves[0] * self._segment_rows < self._lane_latency:
            raise ValueError(
                f"`drain_ports` must leave each at least {self._lane_latency} sums of a chunk, "
                f"not {self._interleaves[0] * self._segment_rows}"
            )
        if chunks > 1 and self._segment_rows < 2 * chunks:
            raise ValueError(f"`chunks` must be at most half of the {self._segment_rows} rows of a port, not {chunks}")
        members: dict[str, wiring.Member] = {
            "row": In(row_edge(group)).array(rows),
            "column": In(column_edge(group)).array(columns),
            "announce": In(1),
            "chunk": In(chunk_target(self._blocks)),
            "address": In(range(self._bank_words)),
            "data": Out(Single).array(drain_ports * columns),
        }
        if len(self._interleaves) > 1:
            members["interleave"] = In(range(len(self._interleaves)))
        if chunks > 1:
            members["beside"] = In(range(chunks.bit_length()))
        super().__init__(members)

    @property
    def interleaves(self) -> tuple[int, ...]:
        """Numbers of slots that may take turns."""
        return self._interleaves

    def latency(self, interleave: int) -> int:
        """Cycles from a chunk's first step marked last, at the edge of column 0, until all banks hold all its sums."""
        return self.first_sum_latency(self._segments - 1, interleave) + (
            self._segment_rows * interleave - 1 + self._columns - 1 + self._lane_latency
        )

    def first_sum_latency(self, segment: int, interleave: int) -> int:
        """Cycles from a chunk's first step marked last, at the edge, to its first sum at column 0's lane."""
        lowest_row = (segment + 1) * self._segment_rows - 1
        return 1 + lowest_row + self._element.sum_latency(interleave)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire edges, elements and lanes."""
        m = Module()
        elements = [[ProcessingElement(self._element) for _ in range(self._columns)] for _ in range(self._rows)]
        for r, row in enumerate(elements):
            for c, element in enumerate(row):
                add_shared(m, platform, element, name=f"element_{r}_{c}", module=ELEMENT_MODULE)
                if len(self._interleaves) > 1:
                    m.d.comb += element.interleave.eq(self.interleave)
        self._wire_rows(m, elements)
        self._wire_columns(m, elements)
        for segment in range(self._segments):
            rows = elements[segment * self._segment_rows : (segment + 1) * self._segment_rows]
            self._wire_segment(m, platform, segment, rows)
        return m

    def _wire_rows(self, m: Module, elements: list[list[ProcessingElement]]) -> None:
        for r, row in enumerate(elements):
            edge = Signal(row_link(self._element.group), name=f"row_edge_{r}")
            for i, half in enumerate(self.row[r].word):
                m.d.sync += edge.word[i].eq(normalise_half(m, half))
            m.d.sync += edge.valid.eq(self.row[r].valid)
            for element in row:
                m.d.comb += element.a.eq(edge)
                edge = element.a_next

    def _wire_columns(self, m: Module, elements: list[list[ProcessingElement]]) -> None:
        for c, column in enumerate(self.column):
            edge = Signal(column_link(self._element.group), name=f"column_edge_{c}")
            m.d.sync += [getattr(edge, name).eq(getattr(column, name)) for name in ("index", "valid", "first", "last")]
            m.d.sync += edge.value.eq(normalise_half(m, column.value))
            for row in elements:
                m.d.comb += row[c].b.eq(edge)
                edge = row[c].b_next

    def _wire_segment(self, m: Module, platform: Any, segment: int, rows: list[list[ProcessingElement]]) -> None:
        m.submodules[f"sequencer_{segment}"] = sequencer = self._sequencer(m, segment)
        m.d.comb += sequencer.occupied.eq(rows[-1][0].drain_next.valid)
        target = sequencer.target
        for c in range(self._columns):
            for above, below in pairwise(rows):
                m.d.comb += below[c].drain.eq(above[c].drain_next)
            lane = DrainLane(words=self._bank_words, add_latency=self._element.add_latency)
            add_shared(m, platform, lane, name=f"lane_{segment}_{c}", module=LANE_MODULE)
            m.d.comb += [
                lane.link.eq(rows[-1][c].drain_next),
                lane.target.eq(target),
                lane.address.eq(self.address),
                self.data[segment * self._columns + c].eq(lane.data),
            ]
            target = lane.target_next

    def _sequencer(self, m: Module, segment: int) -> DrainSequencer:
        interleave = self._interleaves[0]
        depth = announced_chunks(interleave * self._segment_rows, self.first_sum_latency(segment, interleave))
        sequencer = DrainSequencer(
            rows=self._segment_rows, blocks=self._blocks, depth=depth, interleaves=self._interleaves,
            chunks=self._chunks,
        )  # fmt: skip
        m.d.comb += [sequencer.push.eq(self.announce), sequencer.chunk.eq(self.chunk)]
        if len(self._interleaves) > 1:
            m.d.comb += sequencer.interleave.eq(self.interleave)
        if self._chunks > 1:
            m.d.comb += sequencer.beside.eq(self.beside)
        return sequencer
