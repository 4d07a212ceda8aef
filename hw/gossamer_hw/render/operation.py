"""What the operations of the render engine are wired to: the protocol between the engine's shell and its parts.

An *operation* is a component that executes one VECTOR operation. The shell (:mod:`gossamer_hw.render.engine`) starts it
and gives it, of what is shared, all that its members ask for by name; nothing else is needed to plug one in.

Every operation has the members of :func:`operation_members`: a pulse `start`, the instruction's operands, the picture's
constants and the tile's place, all constant up to a pulse `done`, with which `fault` counts. An operation that is not
at work keeps all ``enable`` and ``valid`` at 0 and may drive anything else. It is never started before what it needs
has been held (`NEEDS`): the shell refuses that by itself.

Members that an operation may have beside them:

vin : read port of VIN, lines of 4 L bytes, as :func:`gossamer_hw.vector.ports.read_port` says; no halves.
vout : write port of VOUT, see :func:`gossamer_hw.vector.ports.write_port`.
composing : items for the compositor, see :func:`composing`.
directions, views : read ports of the tile's rays, in the box and in the world: pixel to three numbers of binary32.
kept, kept_count : read port of the samples that the latest sweep kept, see :func:`kept_layout`, and how many.
tables : asks for encoded tables of VIN, see :func:`tables_request`; only one of an operation's reads VIN at a time.
texel : decoded texels of whatever tables are read, see :func:`texel_layout`; those that the lines' and the sweep's
    operation ask for come past all operations.
"""

from typing import Any, Final

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.layouts import operand_layout
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.render.compositor import CHANNELS, Item
from gossamer_hw.render.sampler import AXES
from gossamer_hw.render.table_reader import ADDRESS_BITS
from gossamer_hw.render.texel_fetch import COORDINATE_BITS
from gossamer_hw.vector.ports import read_port
from gossamer_models.architecture import Architecture
from gossamer_models.golden.vector_render import NO_PIXEL
from gossamer_models.isa.instructions import Vector
from gossamer_models.render.engine.view import INTEGERS, SINGLES
from gossamer_models.render_engine import RenderEngine
from gossamer_models.rtl_limits import LEAST_RENDER_LANES

__all__ = [
    "AXES", "TILE_BITS", "composing", "kept_layout", "kept_port", "operation_members", "ray_port", "sound_texels",
    "strange_pixel", "tables_request", "texel_layout", "texels_of", "tile_layout", "view_layout",
]  # fmt: skip

TILE_BITS: Final = 16
_WORD: Final = 32


def view_layout() -> data.StructLayout:
    """Layout of a picture's constants: the record of :class:`gossamer_models.render.engine.view.View`.

    What is one number there is one here, what is several is an array.
    """
    members: dict[str, Any] = {}
    for table, shape in ((SINGLES, Single), (INTEGERS, unsigned(_WORD))):
        for name, size in table.items():
            members[name] = data.ArrayLayout(shape, size) if size > 1 else shape
    return data.StructLayout(members)


def tile_layout() -> data.StructLayout:
    """Layout of a tile's place in the picture, in pixels, and how many it has."""
    place = dict.fromkeys(("left", "top", "width", "height"), unsigned(TILE_BITS))
    return data.StructLayout(place | {"pixels": unsigned(2 * TILE_BITS)})


def strange_pixel(m: Module, operation: Any, number: Value, listed: Value) -> Signal:
    """Return whether a list has named a pixel beyond the tile since the operation started.

    Parameters
    ----------
    number, listed : 32 bits of an entry, and whether they are one; counts from the next cycle on.
    """
    strange = Signal(name="strange_pixel")
    with m.If(operation.start):
        m.d.sync += strange.eq(0)
    with m.Elif(listed & (number != NO_PIXEL) & (number >= operation.tile.pixels)):
        m.d.sync += strange.eq(1)
    return strange


def texels_of(command: Any) -> list[Value]:
    """Return the texels along x, y and z of what an instruction reads tables of."""
    return [command.width, command.height, command.channel_low]


def sound_texels(operation: Any, first: Any, last: Any, most: int) -> Value:
    """Return whether a block's texels lie in the field, are those that the instruction says, and at most so many.

    Parameters
    ----------
    first, last : words of the block's record, of each axis.
    most : texels along an axis.
    """
    checks = []
    for a, b, texels, grid in zip(first, last, texels_of(operation.command), operation.view.grid, strict=True):
        checks += [a < b, b < grid, b + 1 - a == texels, texels <= most]
    return Cat(checks).all()


def operation_members(architecture: Architecture) -> dict[str, Any]:
    """Members of every operation; see the module.

    Raises
    ------
    ValueError
        There are fewer than `LEAST_RENDER_LANES`.
    """
    if architecture.vector.lanes < LEAST_RENDER_LANES:
        raise ValueError(f"`lanes` must be at least {LEAST_RENDER_LANES}, not {architecture.vector.lanes}")
    return {
        "start": In(1),
        "command": In(operand_layout(Vector)),
        "view": In(view_layout()),
        "tile": In(tile_layout()),
        "done": Out(1),
        "fault": Out(4),
    }


def composing(engine: RenderEngine) -> wiring.Signature:
    """Signature of a port to the compositor, seen from the operation.

    Members
    -------
    valid, ready : an item enters.
    item, pixel, amount, colour : see :class:`~gossamer_hw.render.compositor.Item`.
    found, result : the colour of a finished pixel, in the order of the items.
    """
    colour = data.ArrayLayout(Single, CHANNELS)
    return wiring.Signature(
        {
            "valid": Out(1),
            "ready": In(1),
            "item": Out(Item),
            "pixel": Out(range(engine.tile**2)),
            "amount": Out(Single),
            "colour": Out(colour),
            "found": In(1),
            "result": In(colour),
        }
    )


def ray_port(engine: RenderEngine) -> wiring.Signature:
    """Signature of a read port of directions: of a pixel, a cycle later and until the next read."""
    return read_port(engine.tile**2, data.ArrayLayout(Single, AXES))


def kept_layout(engine: RenderEngine) -> data.StructLayout:
    """Layout of a sample that a sweep keeps: its pixel in the tile, its weight, its place in the box."""
    return data.StructLayout(
        {"pixel": range(engine.tile**2), "weight": Single, "point": data.ArrayLayout(Single, AXES)}
    )


def kept_port(engine: RenderEngine) -> wiring.Signature:
    """Signature of a read port of the samples that are kept: of a number, a cycle later and until the next read."""
    return read_port(engine.kept, kept_layout(engine))


def texel_layout(engine: RenderEngine) -> data.StructLayout:
    """Layout of a decoded texel.

    Members
    -------
    density, appearance : there is one, of this quantity.
    line : it is one of a line, else of a plane.
    axes : its axis pair.
    column, row : its place in the part of the plane that the table holds; a line's texels are columns.
    numbers : its components, those of density lowest in place.
    malformed : the table is none.
    """
    return data.StructLayout(
        {
            "density": 1,
            "appearance": 1,
            "line": 1,
            "axes": range(AXES),
            "column": COORDINATE_BITS,
            "row": COORDINATE_BITS,
            "numbers": data.ArrayLayout(Half, max(engine.components)),
            "malformed": 1,
        }
    )


def tables_request() -> wiring.Signature:
    """Signature of a request for encoded tables, seen from the operation.

    The texels come past in any cycles up to `done`.

    Members
    -------
    start : a pulse; read tables.
    address, end : line of VIN at which the first one begins; byte behind the last one that they may have.
    lines : of lines, density of all three before appearance, else of planes, density before appearance of each.
    density, appearance : which of them are decoded; the others are passed over.
    texels : along x, y and z.
    done, fault : a pulse behind the last texel; whether the tables are none.
    """
    return wiring.Signature(
        {
            "start": Out(1),
            "address": Out(ADDRESS_BITS),
            "end": Out(ADDRESS_BITS),
            "lines": Out(1),
            "density": Out(1),
            "appearance": Out(1),
            "texels": Out(data.ArrayLayout(COORDINATE_BITS, AXES)),
            "done": In(1),
            "fault": In(1),
        }
    )
