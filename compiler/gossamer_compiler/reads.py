"""What a stage reads from DRAM, from shapes and schedules alone: no instruction is looked at.

A :class:`Read` counts the loads of one operand by what they bring; :func:`split` makes the parts of a stage of them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from gossamer_compiler.activations import Activation
from gossamer_models.isa.instructions import Vector
from gossamer_models.reads import Reads

__all__ = ["HALF_BYTES", "SINGLE_BYTES", "Read", "map_read", "split", "vector_read", "window_read"]

HALF_BYTES, SINGLE_BYTES = 2, 4


@dataclass(frozen=True, slots=True)
class Read:
    """Loads of one operand in a stage; each count is a part of the one before.

    Members
    -------
    place : byte address. Reads of equal place are of the same bytes, the smaller one's all among the other's.
    loaded : bytes that the loads bring.
    real : of those, of elements that there are, in place of what fills up words and blocks.
    used : of those, of elements that the load that brings them has a use for.
    different : of those, each once.
    """

    place: int
    loaded: int
    real: int
    used: int
    different: int


def split(reads: Iterable[Read]) -> Reads:
    """Parts of all reads of a stage; what several of them bring is compulsory once."""
    loaded = real = used = 0
    different: dict[int, int] = {}
    for read in reads:
        loaded, real, used = loaded + read.loaded, real + read.real, used + read.used
        different[read.place] = max(read.different, different.get(read.place, 0))
    compulsory = sum(different.values())
    return Reads(compulsory, used - compulsory, loaded - real, real - used)


def map_read(given: Activation) -> Read:
    """A whole feature map, once."""
    real = HALF_BYTES * given.batch * given.channels * given.pixels
    return Read(given.address, given.batch_blocks * given.slab_bytes, real, real, real)


def vector_read(place: int, padded: int, real: int) -> Read:
    """So many elements of fp32 vectors, once."""
    size = SINGLE_BYTES * real
    return Read(place, SINGLE_BYTES * padded, size, size, size)


def window_read(given: Activation, pooled: Activation, window: Vector) -> Read:
    """A whole feature map, once; of a pooling operation's input it uses what its windows reach."""
    found, (stride, padding) = map_read(given), (window.stride, window.padding)
    if given is pooled:
        return found
    rows = _in_windows(given.height, pooled.height, window.kernel, stride, padding)
    columns = _in_windows(given.width, pooled.width, window.kernel_x, stride, padding)
    used = HALF_BYTES * given.batch * given.channels * rows * columns
    return replace(found, used=used, different=used)


def _in_windows(size: int, windows: int, kernel: int, stride: int, padding: int) -> int:
    """Positions along an axis that lie in a window."""
    starts = range(-padding, windows * stride - padding, stride)
    return len({place for start in starts for place in range(max(start, 0), min(start + kernel, size))})
