"""Encoded tables in a buffer, read between streams."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.render.operation import texel_layout
from gossamer_hw.render.table_reader import TableReader
from gossamer_hw.render.tables import Tables
from gossamer_hw.render.texel_fetch import COORDINATE_BITS
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.architecture import Architecture
from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float16, UInt8
from gossamer_models.render.encoding import BASE_BITS, BLOCK_ROWS, Layout, Table, encode
from gossamer_models.render.engine.patches import TABLE_ALIGNMENT, line_stream, patch_stream
from gossamer_models.render.field import LINE_AXIS, PLANE_AXES
from gossamer_models.timing.render_tables import TABLE_CYCLES, lines_cycles, patches_cycles, table_cycles
from tests.hw.render.machines import machine_of
from tests.hw.render.rows import decoded, packed, row_bytes, some_rows
from tests.hw.render.test_tables import PATCH, QUANTITIES
from tests.hw.units.case import Case, joined, laid, masks, stream_case
from tests.models.render.test_renderer import FIELD

__all__ = ["table_case", "tables_case"]

_REQUEST = ("address", "rows", "skip", "end")
_TABLES = ("address", "end", "lines", "density", "appearance", "texels")
_WRITE, _READ = 0, 1
_FILL = 0xA5
_EXPONENT = 0x7C00


class _Buffered(wiring.Component):
    """What reads encoded tables, beside its buffer.

    Parameters
    ----------
    reader, port, lines
        It, its read port, and how many lines the buffer has.
    start, done
        Its pulses.
    request
        What it is told, constant from one to the other.
    found, results
        Whether there is a result but `done`, and what belongs to one.
    broken
        Set somewhere up to `done` if the tables are none.

    Members
    -------
    valid, ready, item : a line is written, or tables are read; both wait while some are.
    line, data : which one, and its bits.
    step : everything moves on.
    found, done, broken : there is a result; it is the last one; something was broken.
    ... : one each of `request` and `results`.
    """

    def __init__(
        self,
        reader: Any,
        *,
        port: Any,
        lines: int,
        start: Value,
        done: Value,
        request: Mapping[str, Any],
        found: Value,
        results: Mapping[str, Any],
        broken: Value,
    ) -> None:
        self._reader, self._port, self._lines = reader, port, lines
        self._start, self._done, self._found, self._broken = start, done, found, broken
        self._request, self._results = (
            {name: Value.cast(value) for name, value in part.items()} for part in (request, results)
        )
        super().__init__(
            {
                "valid": In(1),
                "ready": Out(1),
                "item": In(1),
                "line": In(range(lines)),
                "data": In(len(port.data)),
                **{name: In(len(value)) for name, value in self._request.items()},
                "step": In(1),
                **{name: Out(len(value)) for name, value in self._results.items()},
                **dict.fromkeys(("found", "done", "broken"), Out(1)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Hold what is asked for, and what has been broken."""
        m = Module()
        m.submodules.reader = self._reader
        m.submodules.memory = memory = RowMemory(unit_bits=len(self.data), depth=self._lines)
        reads, broken = Signal(), Signal()
        enters = self.valid & self.ready
        m.d.comb += [
            self.ready.eq(~reads),
            self._start.eq(enters & (self.item == _READ)),
            memory.write_mask.eq(self.step & enters & (self.item == _WRITE)),
            memory.write_address.eq(self.line),
            memory.write_data.eq(self.data),
            memory.read_enable.eq(self.step & self._port.enable),
            memory.read_address.eq(self._port.address),
            self._port.data.eq(memory.read_data),
            self.found.eq(self._found | self._done),
            *(getattr(self, name).eq(value) for name, value in self._results.items()),
            self.done.eq(self._done),
            self.broken.eq(broken | self._broken),
        ]
        m.d.sync += [reads.eq(self._start | (reads & ~self._done)), broken.eq(~self._start & self.broken)]
        for name, given in self._request.items():
            asked, held = getattr(self, name), Signal(len(given), name=f"held_{name}")
            with m.If(self._start):
                m.d.sync += held.eq(asked)
            m.d.comb += given.eq(Mux(self._start, asked, held))
        return m


def _reader_unit(components: int, line_bytes: int, lines: int) -> StreamUnit:
    """Return a reader of one table between streams."""
    reader = TableReader(components=components, line_bytes=line_bytes, lines=lines)
    core = _Buffered(
        reader,
        port=reader.port,
        lines=lines,
        start=reader.start,
        done=reader.done,
        request={name: getattr(reader, name) for name in _REQUEST},
        found=reader.valid,
        results={"row": reader.valid} | {name: getattr(reader, name) for name in ("numbers", "malformed", "following")},
        broken=reader.broken,
    )
    outputs = ("row", "numbers", "malformed", "done", "broken", "following")
    return StreamUnit(core, inputs=("item", "line", "data", *_REQUEST), outputs=outputs)


def _tables_unit(architecture: Architecture, lines: int) -> StreamUnit:
    """Return what reads the tables of all lines or of a block's patches between streams."""
    tables = Tables(architecture)
    request = {name: getattr(tables.request, name) for name in _TABLES}
    core = _Buffered(
        tables,
        port=tables.vin,
        lines=lines,
        start=tables.request.start,
        done=tables.request.done,
        request=request,
        found=tables.texel.density | tables.texel.appearance,
        results={"texel": tables.texel},
        broken=tables.request.fault,
    )
    return StreamUnit(core, inputs=("item", "line", "data", *_TABLES), outputs=("texel", "done", "broken"))


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


def _written(memory: UInt8, line_bytes: int, more: int) -> list[tuple[int, ...]]:
    """Return the items that write a buffer; each has so many fields of a request."""
    lines = enumerate(memory.reshape(-1, line_bytes))
    return [(_WRITE, n, int.from_bytes(line.tobytes(), "little"), *[0] * more) for n, line in lines]


class _Expected:
    """Results of tables in the order in which they are read, and which of their bits count."""

    def __init__(self, unit: StreamUnit, components: int) -> None:
        self._layout = Layout(components)
        self._masks = masks(unit)
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
        self.cares.append(sum(self._masks[name] for name in counts))


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
    unit = _reader_unit(components, line_bytes, lines)
    items = _written(memory, line_bytes, len(_REQUEST))
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


@dataclass(frozen=True, slots=True, eq=False)
class _Reading:
    """Tables that are read: of lines, or of patches one quantity; whether the first row is none; texels on the axes."""

    stream: UInt8
    texels: tuple[int, int, int]
    quantity: int | None
    broken: bool = False

    def wants(self, quantity: int) -> bool:
        """Return whether density or appearance is decoded."""
        return self.quantity is None or self.quantity == quantity

    def _tables(self) -> Iterator[tuple[int, int, Float16]]:
        """Yield quantity, axis pair and texels of every table, in order."""
        for quantity, pair in product(range(2), range(3)) if self.quantity is None else ():
            yield quantity, pair, QUANTITIES[quantity].lines[pair].astype(np.float16)[None]
        for (pair, (a, b)), quantity in product(enumerate(PLANE_AXES), range(2)) if self.quantity is not None else ():
            plane = QUANTITIES[quantity].planes[pair]
            yield quantity, pair, plane[PATCH.span(b), PATCH.span(a)].astype(np.float16)

    def decoded(self) -> Iterator[dict[str, int]]:
        """Yield the texels that come."""
        first = True
        for quantity, pair, texels in self._tables():
            for row, column in np.ndindex(texels.shape[:2]) if self.wants(quantity) else ():
                place = {"line": int(self.quantity is None), "axes": pair, "column": column, "row": row}
                kind = {"density": 1 - quantity, "appearance": quantity, "malformed": int(first and self.broken)}
                yield kind | place | {"numbers": packed(texels[row, column])}
                first = False

    def cycles(self, line_bytes: int) -> Iterator[int]:
        """Yield when texels come, then when the tables end, behind their start."""
        start, components = 0, [factors.components for factors in QUANTITIES]
        for quantity, _, texels in self._tables():
            start += TABLE_CYCLES
            rows, each = texels.shape[0] * texels.shape[1], components[quantity]
            for n in range(rows) if self.wants(quantity) else ():
                yield start + table_cycles(n + 1, each, line_bytes, decoded=True) - 1
            start += table_cycles(rows, each, line_bytes, decoded=self.wants(quantity))
        if self.quantity is None:
            yield lines_cycles(self.texels, components, line_bytes)
        else:
            yield patches_cycles(self.texels, components, line_bytes, self.quantity)


def tables_case(lanes: int) -> Case:
    """Lines, patches of either quantity, then lines of which the last number of the first row is infinite."""
    architecture, line_bytes = machine_of(lanes), 4 * lanes
    lines, patches = line_stream(*QUANTITIES), np.concatenate([patch_stream(*QUANTITIES, n, PATCH) for n in range(3)])
    infinite = lines.copy()
    end = Layout(QUANTITIES[0].components).headers_bytes(FIELD.grid[LINE_AXIS[0]]) + int(infinite[4])
    infinite[end - 2 : end] = 0, 0x7C
    readings = [_Reading(lines, FIELD.grid, None), _Reading(infinite, FIELD.grid, None, broken=True)]
    readings[1:1] = [_Reading(patches, PATCH.counts, quantity) for quantity in range(2)]
    parts = [np.pad(one.stream, (line_bytes, -one.stream.size % line_bytes), constant_values=_FILL) for one in readings]
    memory = np.concatenate(parts)
    unit = _tables_unit(architecture, memory.size // line_bytes)
    layout = texel_layout(architecture.render_engine)
    bits = masks(unit)
    numbers = laid(layout, {"numbers": (1 << layout["numbers"].width) - 1})
    items, asked, place = _written(memory, line_bytes, len(_TABLES)), [], line_bytes
    results: list[tuple[int, ...]] = []
    cares: list[int] = []
    for one, part in zip(readings, parts, strict=True):
        wanted = [int(one.wants(quantity)) for quantity in range(2)]
        texels = joined(one.texels, COORDINATE_BITS)
        asked.append(len(items))
        request = (place // line_bytes, place + one.stream.size, int(one.quantity is None), *wanted, texels)
        items.append((_READ, 0, 0, *request))
        place += part.size
        for values in one.decoded():
            results.append((laid(layout, values), 0, 0))
            cares.append(bits["done"] | bits["texel"] & ~(numbers if values["malformed"] else 0))
        results.append((0, 1, int(one.broken)))
        cares.append(bits["done"] | bits["broken"])

    def leaving(entered: Sequence[int]) -> list[int]:
        taken = zip(asked, readings, strict=True)
        return [entered[item] + cycle for item, one in taken for cycle in one.cycles(line_bytes)]

    case = stream_case(unit, items, results, leaving, steady=False)
    case.cares.extend(cares)
    return case
