"""What swapping i and j of WU could save: gradients of outputs as operand A, inputs as operand B."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossamer_compiler.gradient_tiles import Unit
    from gossamer_models.architecture import Architecture
    from gossamer_models.network import Network

__all__ = ["least_cycles", "most_saved"]


def most_saved(network: "Network", batch: int, machine: "Architecture") -> int:
    """Cycles of an iteration that a swap saves in the layers where it has fewer :func:`least_cycles`."""
    from gossamer_compiler.gradient_tiles import unit_between
    from gossamer_compiler.graph import Multiply, build_graph
    from gossamer_models.layouts import words_of

    word, saved = machine.array.group, 0
    for node in build_graph(network, batch, word).nodes:
        if isinstance(node, Multiply):
            channels, (outputs, height, width) = node.in_shape[0], node.out_shape
            unit = unit_between(node.grouping, channels, outputs, word, machine.array)
            taps, words = node.window.kernel[0] * node.window.kernel[1], words_of(batch, word) * height * width
            as_built, swapped = (least_cycles(unit, taps, words, machine, swapped=swap) for swap in (False, True))
            saved += max(0, as_built - swapped)
    return saved


def least_cycles(unit: "Unit", taps: int, words: int, machine: "Architecture", *, swapped: bool) -> int:
    """Cycles that the array or the memory port takes for a dense WU at least.

    The array issues an entry of all words per cycle and tile of (R Li) x (C Lj) results, for any Li Lj that chunks side
    by side allow. Taps share no rows of a tile (only its Li blocks), and in operand B no load: its words lie in the
    order in which they are used. Fill, drain, starts of transfers and sizes of buffers are left out.

    Parameters
    ----------
    unit : channels that are multiplied with each other.
    words : of samples along r.
    swapped : whether inputs, and with them the taps, are operand B.
    """
    array, memory = machine.array, machine.memory
    word_bytes = 2 * array.group
    loaded = unit.outputs + unit.inputs * (taps if swapped else 1)

    def tiles(li: int, lj: int) -> int:
        if swapped:
            return _up(unit.outputs, array.rows * li) * _up(unit.inputs * taps, array.columns * lj)
        over_blocks = taps * _up(unit.inputs, array.rows * li)
        over_taps = _up(taps, li) * _up(unit.inputs, array.rows)
        return min(over_blocks, over_taps) * _up(unit.outputs, array.columns * lj)

    interleaves = {*array.interleaves, *((li, lj) for li, lj, _ in array.chunk_interleaves)}
    issued = words * array.group * min(li * lj * tiles(li, lj) for li, lj in interleaves)
    return unit.count * max(issued, words * word_bytes * loaded // memory.bytes_per_cycle)


def _up(size: int, step: int) -> int:
    return -(-size // step)
