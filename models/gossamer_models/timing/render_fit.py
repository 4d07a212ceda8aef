"""Whether what a field keeps on chip fits the machine: weights, lines, and the operands of batches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.sparsity import Pattern
from gossamer_models.timing.render import rate_cycles

__all__ = ["Matrix", "check_lines", "check_shading"]

_HALVES = 2


@dataclass(frozen=True, slots=True)
class Matrix:
    """Sizes of the basis or of a layer, and the pattern of its weights along the inputs."""

    outputs: int
    inputs: int
    pattern: Pattern


def check_shading(architecture: Architecture, matrices: Sequence[Matrix]) -> None:
    """Refuse a network whose weights or batches do not fit.

    All weights stay in one half of the buffer of entries, each column with its own. Both halves of the buffer of words
    hold the products of two batches, one that is filled and one that the basis takes, and inputs and outputs of the
    layer that the array computes.

    Parameters
    ----------
    matrices : basis first, then the layers

    Raises
    ------
    DoesNotFitError
    """
    array, buffers, batch = architecture.array, architecture.buffers, architecture.render_engine.batch
    entries = sum(_column_entries(array.group, array.columns, matrix) for matrix in matrices)
    if entries > buffers.b_entries:
        raise DoesNotFitError(
            f"basis and network do not stay in the weights' buffer of {architecture.name}", entries, buffers.b_entries,
            "entries per column", "raise `buffers.b_entries`, or prune the network",
        )  # fmt: skip
    rows = rate_cycles(batch, array.rows)
    widths = [rate_cycles(width, array.group) for width in _widths(matrices)]
    words = rows * (_HALVES * widths[0] + max(before + after for before, after in pairwise(widths[1:])))
    if words > _HALVES * buffers.a_words:
        raise DoesNotFitError(
            f"batches of {batch} samples do not fit the operands' buffer of {architecture.name}", words,
            _HALVES * buffers.a_words, "words per row", "lower `render.batch` or raise `buffers.a_words`",
        )  # fmt: skip


def check_lines(architecture: Architecture, line_bytes: int) -> None:
    """Refuse lines, encoded, that are larger than their memory.

    Raises
    ------
    DoesNotFitError
    """
    held = architecture.render_engine.line_bytes
    if line_bytes > held:
        raise DoesNotFitError(
            f"the field's lines do not fit the render engine of {architecture.name}", line_bytes, held, "bytes",
            "raise `render.line_bytes`",
        )  # fmt: skip


def _column_entries(group: int, columns: int, matrix: Matrix) -> int:
    """Return the entries of a matrix that a column of the array holds."""
    words = rate_cycles(matrix.inputs, group)
    return rate_cycles(matrix.outputs, columns) * words * matrix.pattern.entries_per_word(group)


def _widths(matrices: Sequence[Matrix]) -> list[int]:
    """Return numbers per sample: products, inputs of the network, outputs of each layer."""
    basis, *layers = matrices
    return [basis.inputs, layers[0].inputs, *(layer.outputs for layer in layers)]
