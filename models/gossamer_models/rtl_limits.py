"""What of an architecture exists whole in RTL: the one list of limits, for users and for what builds machines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, get_args

from gossamer_models.isa.fields import leaves
from gossamer_models.isa.instructions import Load

if TYPE_CHECKING:
    from gossamer_models.architecture import Architecture

__all__ = ["LEAST_RENDER_LANES", "RTL_LANES", "PortBits", "RtlGap", "require_rtl", "rtl_gaps"]

PortBits = Literal[64, 128, 256, 512]

LEAST_RENDER_LANES: Final = 8
"""Fewest lanes beside a render engine that executes Programs: sums of features come from a line of eight."""

RTL_GROUP: Final = 8
RTL_LANES: Final = 64
"""Most lanes of a vector engine."""

_LEAST_PORT_BITS: Final = 128
_RTL_PATCH: Final = 128
"""Most texels along a patch: a block keeps the square of it, three times."""

_BUFFER_BYTES: Final = 1 << next(leaf.width_bits for leaf in leaves(Load) if leaf.path == "buf_base")
"""Bytes of a buffer's half that instructions can name."""

_PARAMETER_WORDS: Final = 1 << 16
"""Of PRM: every channel or two that it has two sums for may take a flip-flop of their own."""


class RtlGap(NamedTuple):
    """A field that would have to be otherwise: its YAML path, its value, and what RTL has."""

    path: str
    found: str
    wanted: str

    def __str__(self) -> str:
        """What would be right."""
        return f"{self.path}: {self.wanted}"


def rtl_gaps(architecture: "Architecture") -> tuple[RtlGap, ...]:
    """What would have to be otherwise for the whole machine to exist in RTL."""
    return tuple(RtlGap(*gap) for holds, *gap in (*_shape(architecture), *_buffers(architecture)) if not holds)


def require_rtl(architecture: "Architecture", *paths: str) -> None:
    """Check what the fields at some paths, or all, hold.

    Raises
    ------
    ValueError
        RTL has no machine, or no such part of one, with one of these values.
    """
    for path, found, wanted in rtl_gaps(architecture):
        if not paths or path in paths:
            raise ValueError(f"`{path}` must be {wanted}, not {found}")


_Limit = tuple[bool, str, str, str]


def _shape(architecture: "Architecture") -> Iterator[_Limit]:
    """Array, lanes, port."""
    array, memory, lanes, render = (
        architecture.array, architecture.memory, architecture.vector.lanes, architecture.render,
    )  # fmt: skip
    # At most a word of every row.
    widths = [bits for bits in get_args(PortBits) if _LEAST_PORT_BITS <= bits <= 16 * RTL_GROUP * array.rows]
    yield memory.ports == 1, "memory.ports", str(memory.ports), "1"
    yield memory.port_bits in widths, "memory.port_bits", str(memory.port_bits), " or ".join(map(str, widths))
    yield array.group == RTL_GROUP, "array.group", str(array.group), str(RTL_GROUP)
    yield "ws" not in array.dataflows, "array.dataflows", f"[{', '.join(array.dataflows)}]", "[os]"
    powers = 1 <= lanes <= RTL_LANES and not lanes & (lanes - 1)
    yield powers, "vector.lanes", str(lanes), f"a power of two from 1 to {RTL_LANES}"
    if render is not None:
        yield render.in_rtl, "render", "an engine of several lanes", "an engine of one lane of each kind or none"
        yield render.patch <= _RTL_PATCH, "render.patch", str(render.patch), f"at most {_RTL_PATCH}"


def _buffers(architecture: "Architecture") -> Iterator[_Limit]:
    """Each has two of what its widest port takes, and no more than can be named."""
    array, vector, buffers = architecture.array, architecture.vector, architecture.buffers
    beat, line, row = architecture.memory.port_bits // 8, vector.line_bytes, 2 * RTL_GROUP * vector.prune_lanes
    sizes = (
        ("a_words", 2, 2 * array.group * array.rows),
        ("b_entries", max(1, beat // array.columns), 2 * array.columns),
        ("accumulator_words", 1, 4 * array.columns),
        ("vector_in_bytes", 2 * max(beat, line), 1),
        ("vector_out_bytes", 2 * max(beat, line, row), 1),
        # Metadata are a byte each.
        ("prune_entries", 2 * max(beat, row // 2), 2),
        ("parameter_words", 2 * max(beat, line) // 4, 4),
    )
    for name, least, unit_bytes in sizes:
        found, most = getattr(buffers, name), _BUFFER_BYTES // unit_bytes
        if name == "parameter_words":
            most = min(most, _PARAMETER_WORDS)
        yield found >= least, f"buffers.{name}", str(found), f"at least {least}"
        yield found <= most, f"buffers.{name}", str(found), f"at most {most}"
