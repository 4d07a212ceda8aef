"""The units that can be had alone, their Verilog and what one must know to connect them."""

from collections.abc import Mapping
from dataclasses import dataclass

from gossamer_hw.array.element import ElementParameters
from gossamer_hw.prune.topn import GROUP, TopN
from gossamer_hw.render.row_decoder import RowDecoder
from gossamer_hw.render.row_encoder import RowEncoder
from gossamer_hw.units.element_unit import ElementUnit
from gossamer_hw.units.kind import Kind
from gossamer_hw.units.render_units import RENDER_UNITS
from gossamer_hw.units.stream_unit import Field, StreamUnit
from gossamer_hw.verilog import emit_verilog, tidied
from gossamer_models.architecture import Array
from gossamer_models.errors import InputError, UnsupportedError, did_you_mean
from gossamer_models.render_engine import MAX_ENGINE_COMPONENTS
from gossamer_models.timing.render_units import decoder_cycles, encoder_cycles

__all__ = ["ARRAY_UNITS", "DEFAULT_COMPONENTS", "ROW_UNITS", "UNITS", "UnitText", "unit_text"]

DEFAULT_COMPONENTS = 16
ROW_UNITS = ("sparse-encoder", "sparse-decoder", "encoded-lane")
"""Units of rows of so many components as one likes."""
ARRAY_UNITS = ("pe", "prune")
"""Units that follow an architecture's array."""


@dataclass(frozen=True, slots=True)
class UnitText:
    """A unit's files: module name, Verilog-2001, and its description as Markdown."""

    module: str
    verilog: str
    description: str


def _encoder(array: Array, components: int) -> StreamUnit:
    return StreamUnit(
        RowEncoder(components=components), inputs=("numbers", "first"), outputs=("row", "length", "base", "end")
    )


def _decoder(array: Array, components: int) -> StreamUnit:
    return StreamUnit(RowDecoder(components=components), inputs=("row", "length"), outputs=("numbers", "malformed"))


def _prune(array: Array, components: int) -> StreamUnit:
    if array.group != GROUP:
        what = f"unit prune takes words of {GROUP} elements, not of {array.group}"
        raise UnsupportedError(what, f"array.group: {GROUP}")
    return StreamUnit(TopN(), inputs=("word", "count"), outputs=("entries",), settings=("keep", "of"))


def _element(array: Array, components: int) -> StreamUnit:
    inputs = ("word", "value", "index", "word_valid", "entry_valid", "first", "last")
    return StreamUnit(ElementUnit(_parameters(array)), inputs=inputs, outputs=("sum",), paced=True)


def _parameters(array: Array) -> ElementParameters:
    return ElementParameters(
        group=array.group,
        # With as many slots as the loop is long there is one interleave, so that no port has to choose it.
        slots=1 << (array.add_latency_cycles - 1).bit_length(),
        multiply_latency=array.multiply_latency_cycles,
        add_latency=array.add_latency_cycles,
    )


def _turns(array: Array) -> int:
    return _parameters(array).interleaves[0]


UNITS: Mapping[str, Kind] = {
    "sparse-encoder": Kind(
        _encoder,
        "Encodes one row of a sparse table per cycle as a bitmap or a list of coordinates, whichever is smaller; the"
        " format is that of docs/fields.md.",
        lambda array, components: f"{encoder_cycles(components)} cycles",
        {
            "numbers": "the row, fp16, component 0 lowest; a number is stored unless its 16 bits are all zero",
            "first": "the row is the first one of a table",
            "row": "bytes of the encoded row, the first one lowest, zeros beyond its length",
            "length": "bytes of the encoded row",
            "base": "header of the row's block of 16: where the block begins in the payload, in bytes",
            "end": "header of the row's block: where the row ends behind the base, in bytes",
        },
    ),
    "sparse-decoder": Kind(
        _decoder,
        "Decodes one encoded row per cycle: bitmap test and rank by population count for all components at once.",
        lambda array, components: f"{decoder_cycles(components)} cycles",
        {
            "row": "bytes of the encoded row, the first one lowest; those beyond its length do not count",
            "length": "bytes of the encoded row, which tell its format",
            "numbers": "the row, fp16, component 0 lowest; meaningless if malformed",
            "malformed": "the bytes are no encoding of a row",
        },
    ),
    "prune": Kind(
        _prune,
        "Keeps the N largest magnitudes of every M consecutive elements of a word, ties to the lower index.",
        lambda array, components: f"{TopN.latency} cycles",
        {
            "word": "eight fp16 numbers, element 0 lowest",
            "count": "how many of them are real, the first ones",
            "entries": "eight entries of 20 bits: 16 of fp16 value, 3 of index, 1 of valid; valid ones first, by index",
            "keep": "N: 1 to M",
            "of": "M: 1, 2, 4 or 8",
        },
    ),
    "pe": Kind(
        _element,
        "Adds word[index] * value, one step per item. Slots take turns, one per item; a chunk is the steps of one slot"
        " from first to last. Products of fp16 are exact, sums are fp32 in order; an invalid step adds +0. It moves on"
        " only with items: sums leave while further items, valid or not, come in.",
        lambda array, components: (
            f"{_parameters(array).sum_latency(_turns(array))} items, of which every {_turns(array)}th belongs to a slot"
        ),
        {
            "word": "the A word, fp16, element 0 lowest",
            "value": "the entry's value, fp16",
            "index": "the entry's place in the word",
            "word_valid": "the word counts",
            "entry_valid": "the entry counts",
            "first": "opens the slot's chunk: the sum starts at +0",
            "last": "closes the slot's chunk: its sum leaves",
            "sum": "sum of a chunk, fp32",
        },
    ),
    **RENDER_UNITS,
}


def unit_text(name: str, array: Array, *, components: int = DEFAULT_COMPONENTS) -> UnitText:
    """Return Verilog and description of a unit.

    Parameters
    ----------
    name
        One of :data:`UNITS`.
    array
        Whose processing element ``pe`` is.
    components
        Numbers of a row, for the units that have rows.

    Raises
    ------
    InputError
        There is no such unit, it cannot have so many components, or it does not exist for words of such a size.
    """
    if name not in UNITS:
        raise InputError(f"there is no unit {name!r}{did_you_mean(name, UNITS)}", ", ".join(UNITS))
    kind = UNITS[name]
    if not 1 <= components <= MAX_ENGINE_COMPONENTS:
        raise InputError(f"a unit's row must have 1 to {MAX_ENGINE_COMPONENTS} components, not {components}")
    unit = kind.build(array, components)
    module = f"gossamer_{name.replace('-', '_')}"
    verilog = tidied(emit_verilog(unit, name=module))
    return UnitText(module, verilog, _description(module, kind, unit, kind.latency(array, components)))


def _description(module: str, kind: Kind, unit: StreamUnit, latency: str) -> str:
    lines = [f"# {module}", "", kind.says, "", f"One item per cycle. Latency without backpressure: {latency}."]
    lines += [
        "Two AXI4-Stream ports: an item enters where `s_axis_tvalid` and `s_axis_tready` meet, a result leaves where"
        " `m_axis_tvalid` and `m_axis_tready` do; one that is offered stays until it leaves. Every field begins with a"
        " byte; bits between fields mean nothing.",
        "`clk` rises; `rst` is synchronous, one cycle of it empties the unit.",
        "",
    ]
    for port, fields in (("s_axis", unit.input_fields), ("m_axis", unit.output_fields)):
        lines += [f"## {port}_tdata", "", "| bits | field | meaning |", "| --- | --- | --- |"]
        lines += [f"| {_bits(field)} | {field.name} | {kind.meanings[field.name]} |" for field in fields]
        lines.append("")
    if settings := unit.setting_bits:
        lines += ["## Settings", "", "They change only while the unit is empty.", ""]
        lines += ["| port | bits | meaning |", "| --- | --- | --- |"]
        lines += [f"| {name} | {bits} | {kind.meanings[name]} |" for name, bits in settings.items()] + [""]
    return "\n".join(lines)


def _bits(field: Field) -> str:
    last = field.offset + field.bits - 1
    return f"{last}:{field.offset}" if field.bits > 1 else f"{field.offset}"
