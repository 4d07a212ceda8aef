"""Encoded tables in a buffer, read between streams."""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.render.table_reader import TableReader
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import UInt8
from gossamer_models.render.encoding import BASE_BITS, BLOCK_ROWS, Layout, Table, encode
from gossamer_models.render.engine.patches import TABLE_ALIGNMENT
from gossamer_models.timing.render_tables import table_cycles
from tests.hw.render.rows import decoded, row_bytes, some_rows
from tests.hw.units.case import Case, stream_case

__all__ = ["table_case"]

_REQUEST = ("address", "rows", "skip", "end")
_WRITE, _READ = 0, 1
_FILL = 0xA5
_EXPONENT = 0x7C00


class _Reader(wiring.Component):
    """A :class:`TableReader` beside its buffer.

    Parameters
    ----------
    components, line_bytes, lines
        See there.

    Members
    -------
    valid, ready, item : a line is written, or a table is read; both wait while one is.
    line, data : which one, and its bytes.
    address, rows, skip, end : of a table.
    step : everything moves on.
    found : there is a row, or the table ends.
    row, numbers, malformed : a row.
    done, broken, following : the table ends, was broken somewhere, and where the next one begins.
    """

    def __init__(self, *, components: int, line_bytes: int, lines: int) -> None:
        self._reader = TableReader(components=components, line_bytes=line_bytes, lines=lines)
        self._lines, self._line_bits = lines, 8 * line_bytes
        members = self._reader.signature.members
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "item": In(1),
                "line": In(range(lines)),
                "data": In(self._line_bits),
                **{name: In(members[name].shape) for name in _REQUEST},
                "step": In(1),
                "found": Out(1),
                "row": Out(1),
                **{name: Out(members[name].shape) for name in ("numbers", "malformed", "done", "broken", "following")},
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Hold what is asked for, and what has been broken."""
        m = Module()
        m.submodules.reader = reader = self._reader
        m.submodules.memory = memory = RowMemory(unit_bits=self._line_bits, depth=self._lines)
        reads, broken = Signal(), Signal()
        enters = self.valid & self.ready
        m.d.comb += [
            self.ready.eq(~reads),
            reader.start.eq(enters & (self.item == _READ)),
            memory.write_mask.eq(self.step & enters & (self.item == _WRITE)),
            memory.write_address.eq(self.line),
            memory.write_data.eq(self.data),
            memory.read_enable.eq(self.step & reader.port.enable),
            memory.read_address.eq(reader.port.address),
            reader.port.data.eq(memory.read_data),
            self.found.eq(reader.valid | reader.done),
            self.row.eq(reader.valid),
            self.numbers.eq(reader.numbers),
            self.malformed.eq(reader.malformed),
            self.done.eq(reader.done),
            self.broken.eq(broken | reader.broken),
            self.following.eq(reader.following),
        ]
        m.d.sync += [reads.eq(reader.start | (reads & ~reader.done)), broken.eq(~reader.start & self.broken)]
        for name in _REQUEST:
            asked, given = Value.cast(getattr(self, name)), Value.cast(getattr(reader, name))
            held = Signal(len(asked), name=f"held_{name}")
            with m.If(reader.start):
                m.d.sync += held.eq(asked)
            m.d.comb += given.eq(Mux(reader.start, asked, held))
        return m


def _tables(components: int, rng: np.random.Generator, seed: int) -> Iterator[tuple[bytes, int]]:
    """Yield bytes of tables and their rows: of every kind of row, of about a block, and some with a wrong bit."""
    rows = some_rows(components, seed, 6)
    yield encode(rows).to_bytes(), len(rows)
    # Numbers of a field, without those that are not finite.
    finite = np.where(np.isfinite(rows), rows, np.float16(2))
    for count in (1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, len(rows)):
        yield encode(finite[:count]).to_bytes(), count
    layout = Layout(components)
    for count in [BLOCK_ROWS + 3] * 12 + [BLOCK_ROWS] * 4:
        text = bytearray(encode(rng.permutation(finite)[:count]).to_bytes())
        bit = int(rng.integers(8 * min(layout.headers_bytes(count) + 4, len(text))))
        text[bit // 8] ^= 1 << bit % 8
        yield bytes(text), count


def _end(text: UInt8, rows: int, layout: Layout) -> int:
    """Return the bytes of a table, as its last header says."""
    headers = layout.headers_bytes(rows)
    last = int.from_bytes(text[headers - layout.header_bytes : headers].tobytes(), "little")
    stop = last >> BASE_BITS + (BLOCK_ROWS - 1) * layout.offset_bits & ((1 << layout.offset_bits) - 1)
    return headers + (last & ((1 << BASE_BITS) - 1)) + stop


class _Expected:
    """Results of tables in the order in which they are read, and which of their bits count."""

    def __init__(self, unit: StreamUnit, components: int) -> None:
        self._layout = Layout(components)
        self._mask = {field.name: ((1 << field.bits) - 1) << field.offset for field in unit.output_fields}
        self.results: list[tuple[int, ...]] = []
        self.cares: list[int] = []
        self.verdicts: set[tuple[bool, bool]] = set()

    def read(self, text: UInt8, rows: int, address: int, end: int, *, skip: bool) -> None:
        """Add what comes of a table in memory from `text` on, whose bytes end before `end`."""
        size = _end(text, rows, self._layout)
        table = self._table(text[:size], rows) if address + size <= end else None
        # Of a table that is passed over its last header says where it ends; nothing else counts.
        broken = address + size > end if skip else table is None
        if not skip:
            for n in range(rows):
                self._row(table, n)
        following = 0 if broken else address + -(-size // TABLE_ALIGNMENT) * TABLE_ALIGNMENT
        self._add((0, 0, 0, 1, int(broken), following), "row", "done", "broken", *(() if broken else ("following",)))
        self.verdicts.add((skip, broken))

    def _table(self, text: UInt8, rows: int) -> Table | None:
        try:
            return Table.from_bytes(text.tobytes(), rows, self._layout)
        except InputError:
            return None

    def _row(self, table: Table | None, row: int) -> None:
        numbers = None if table is None else decoded(self._layout, row_bytes(table, row))
        halves = range(0, 16 * self._layout.components, 16)
        if numbers is None or any(numbers >> n & _EXPONENT == _EXPONENT for n in halves):
            # Of a broken table no row means anything.
            self._add((1, 0, 1, 0, 0, 0), "row", "done", *(() if table is None else ("malformed",)))
        else:
            self._add((1, numbers, 0, 0, 0, 0), "row", "done", "malformed", "numbers")

    def _add(self, result: tuple[int, ...], *counts: str) -> None:
        self.results.append(result)
        self.cares.append(sum(self._mask[name] for name in counts))


def table_case(components: int, line_bytes: int, seed: int) -> Case:
    """Tables are written and read, some passed over, some with a wrong bit or one byte more than there may be.

    The first one begins at the second line, which is no multiple of what they are aligned to where a line is shorter.
    """
    rng = np.random.default_rng(seed)
    first, texts = line_bytes, list(_tables(components, rng, seed))
    places = [first]
    for text, _ in texts:
        places.append(places[-1] + -(-len(text) // TABLE_ALIGNMENT) * TABLE_ALIGNMENT)
    lines = -(-places[-1] // line_bytes)
    memory = np.full(lines * line_bytes, _FILL, np.uint8)
    for place, (text, _) in zip(places[:-1], texts, strict=True):
        memory[place : place + len(text)] = np.frombuffer(text, np.uint8)
    unit = StreamUnit(
        _Reader(components=components, line_bytes=line_bytes, lines=lines),
        inputs=("item", "line", "data", *_REQUEST),
        outputs=("row", "numbers", "malformed", "done", "broken", "following"),
    )
    items: list[tuple[int, ...]] = [
        (_WRITE, n, int.from_bytes(line.tobytes(), "little"), 0, 0, 0, 0)
        for n, line in enumerate(memory.reshape(lines, line_bytes))
    ]
    expected, asked = _Expected(unit, components), []
    for place, (text, rows) in zip(places[:-1], texts, strict=True):
        for skip, end in product((False, True), (memory.size, place + len(text) - 1)):
            asked.append((len(items), rows, skip))
            items.append((_READ, 0, 0, place, rows, int(skip), end))
            expected.read(memory[place:], rows, place, end, skip=skip)
    kinds = {(skip, broken) for skip in (False, True) for broken in (False, True)}
    assert expected.verdicts == kinds, f"seed {seed}: no table is {kinds - expected.verdicts}"

    def leaving(entered: Sequence[int]) -> list[int]:
        cycles = []
        for item, rows, skip in asked:
            sizes = [] if skip else range(1, rows + 1)
            cycles += [entered[item] + table_cycles(n, components, line_bytes, decoded=True) - 1 for n in sizes]
            cycles.append(entered[item] + table_cycles(rows, components, line_bytes, decoded=not skip))
        return cycles

    case = stream_case(unit, items, expected.results, leaving, steady=False)
    case.cares.extend(expected.cares)
    return case
