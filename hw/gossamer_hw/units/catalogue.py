"""The units that can be had alone, their Verilog and what one must know to connect them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gossamer_hw.array.element import ElementParameters
from gossamer_hw.prune.topn import TopN
from gossamer_hw.render.compositor import Compositor
from gossamer_hw.render.exponential import ExponentialUnit
from gossamer_hw.render.row_decoder import RowDecoder
from gossamer_hw.render.row_encoder import RowEncoder
from gossamer_hw.render.sampler import CUBE_BITS, Sampler, pair_layout
from gossamer_hw.units.element_unit import ElementUnit
from gossamer_hw.units.stream_unit import Field, StreamUnit
from gossamer_hw.verilog import emit_verilog, tidied
from gossamer_models.architecture import Array
from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import (
    COMPOSITOR_CYCLES,
    EXPONENTIAL_CYCLES,
    LATTICE_CYCLES,
    decoder_cycles,
    encoder_cycles,
)

__all__ = ["DEFAULT_COMPONENTS", "UNITS", "UnitText", "compositor_unit", "sampler_unit", "unit_text"]

DEFAULT_COMPONENTS = 16

_TILE_PIXELS = 80 * 80


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a unit is built and described.

    Members
    -------
    build : from the array's parameters and the components of a row.
    says : what it computes.
    latency : in words.
    meanings : of every field and setting.
    """

    build: Callable[[Array, int], StreamUnit]
    says: str
    latency: Callable[[Array, int], str]
    meanings: Mapping[str, str]


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
    return StreamUnit(TopN(), inputs=("word", "count"), outputs=("entries",), settings=("keep", "of"))


def _element(array: Array, components: int) -> StreamUnit:
    inputs = ("word", "value", "index", "word_valid", "entry_valid", "first", "last")
    return StreamUnit(ElementUnit(_parameters(array)), inputs=inputs, outputs=("sum",), paced=True)


def _exponential(array: Array, components: int) -> StreamUnit:
    return StreamUnit(ExponentialUnit(), inputs=("x",), outputs=("power",))


def _compositor(array: Array, components: int) -> StreamUnit:
    return compositor_unit(_TILE_PIXELS)


def compositor_unit(pixels: int) -> StreamUnit:
    """Return a compositor of so many pixels between streams."""
    return StreamUnit(
        Compositor(pixels=pixels),
        inputs=("item", "pixel", "amount", "colour"),
        outputs=("found_pixel", "finished", "shaded", "ended", "result"),
        settings=("cut", "threshold"),
    )


def _sampler(array: Array, components: int) -> StreamUnit:
    return sampler_unit(_TILE_PIXELS)


def sampler_unit(pixels: int) -> StreamUnit:
    """Return a sampler of so many pixels between streams."""
    return StreamUnit(
        Sampler(pixels=pixels),
        inputs=("pair", "cube", "final"),
        outputs=("pixel", "index", "point"),
        settings=("step_length", "origin", "cubes"),
    )


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


def _pair(pixels: int) -> str:
    bits = (f"{field.width} bits of {name}" for name, field in pair_layout(pixels))
    return ", ".join(bits)


UNITS: Mapping[str, _Kind] = {
    "sparse-encoder": _Kind(
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
    "sparse-decoder": _Kind(
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
    "prune": _Kind(
        _prune,
        "Keeps the N largest magnitudes of every M consecutive elements of a word, ties to the lower index.",
        lambda array, components: f"{TopN.latency} cycles",
        {
            "word": "eight fp16 numbers, element 0 lowest",
            "count": "how many of them are real, the first ones",
            "entries": "eight entries of 20 bits: 16 of fp16 value, 3 of index, 1 of valid; valid ones first, by index",
            "keep": "N",
            "of": "M: 1, 2, 4 or 8",
        },
    ),
    "pe": _Kind(
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
    "exponential": _Kind(
        _exponential,
        "Raises e to a power: a table of 32 powers of two and a polynomial, in fp32 operations that are rounded one by"
        " one, within 0.55 ulp.",
        lambda array, components: f"{EXPONENTIAL_CYCLES} cycles",
        {"x": "fp32", "power": "e to x, fp32; NaN of NaN"},
    ),
    "compositor": _Kind(
        _compositor,
        "Composes the samples of a tile's pixels front to back: weights, the light that is left, where a pixel ends,"
        " and colours. Only samples of pixels that have not ended and finished pixels give a result.",
        lambda array, components: f"{COMPOSITOR_CYCLES} cycles; items of one pixel enter {COMPOSE_CYCLES} cycles apart",
        {
            "item": "0: the pixel begins; 1: a sample; 2: the colour of a shaded sample; 3: the pixel is finished",
            "pixel": f"whose, below {_TILE_PIXELS}",
            "amount": "fp32: of a sample the share of the light that it leaves, of its colour its weight",
            "colour": "three of fp32: of a shaded sample, or of the background behind a finished pixel",
            "found_pixel": "the sample's, or the one that is finished",
            "finished": "a finished pixel's colour, not a sample's weight",
            "shaded": "the sample weighs more than the cut",
            "ended": "the sample has ended its pixel: all later ones are dropped",
            "result": "fp32: the sample's weight, or three of a finished pixel's colour",
            "cut": "samples that weigh no more are not shaded, fp32",
            "threshold": "a pixel ends behind the first sample that leaves less light, fp32; 0 never ends one",
        },
    ),
    "sampler": _Kind(
        _sampler,
        "Finds the samples of rays that lie in a cube. Rays of a cube enter up to its final one, each pixel at most"
        " once; then they take turns, a sample per cycle, and those in the cube are results.",
        lambda array, components: f"{LATTICE_CYCLES} cycles from a ray to its first sample",
        {
            "pair": f"a ray, lowest first: {_pair(_TILE_PIXELS)}; no pixel has its last sample before its first",
            "cube": f"{CUBE_BITS} bits of each of x, y and z, lowest first; the same for all rays up to the final one",
            "final": "the ray is the cube's last one",
            "pixel": "the sample's",
            "index": "the sample's place on its ray: k of t = (k + 1/2) step",
            "point": "where it lies in the box, three of fp32",
            "step_length": "distance of two samples, fp32",
            "origin": "the eye in coordinates of the box, three of fp32",
            "cubes": "cubes along each axis, three of fp32",
        },
    ),
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
        Numbers of a row, for the sparse units.

    Raises
    ------
    InputError
        There is no such unit, or it cannot have so many components.
    """
    if name not in UNITS:
        raise InputError(f"there is no unit {name!r}{did_you_mean(name, UNITS)}", ", ".join(UNITS))
    kind = UNITS[name]
    unit = kind.build(array, components)
    module = f"gossamer_{name.replace('-', '_')}"
    verilog = tidied(emit_verilog(unit, name=module))
    return UnitText(module, verilog, _description(module, kind, unit, kind.latency(array, components)))


def _description(module: str, kind: _Kind, unit: StreamUnit, latency: str) -> str:
    lines = [f"# {module}", "", kind.says, "", f"One item per cycle. Latency without backpressure: {latency}."]
    lines += ["`clk` rises; `rst` is synchronous, one cycle of it empties the unit.", ""]
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
