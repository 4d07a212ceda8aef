"""What an instruction does, counted: multiply-adds, bits in and out of every memory, vector and prune operations.

Closed forms from the instruction and the array alone; an energy table gives each action its picojoules. Memories
count in bits, so that a row of any width can price them. Not counted: clock tree, address generators, sequencer,
instruction fetch, and what a vector lane does besides multiplying and adding in fp32.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from operator import attrgetter, mul
from typing import Self

from gossamer_models.architecture import Array
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import (
    Dataflow,
    Format,
    Gemm,
    Instruction,
    Load,
    Prune,
    PruneMode,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.tokens import Buffer
from gossamer_models.isa.vector_ops import RENDER_OPERATIONS
from gossamer_models.layouts import BLOCK
from gossamer_models.timing.boxes import boxes
from gossamer_models.timing.gemm import gemm_cycles, without_places
from gossamer_models.timing.transfer import transfer_shape
from gossamer_models.timing.weight_stationary import stationary_work

__all__ = ["NO_ACTIONS", "Actions", "entry_tag_bits", "instruction_actions"]

_HALF_BITS = 16
_SINGLE_BITS = 32
_PRUNED_METADATA_BITS = 8
_VIEW_WORDS = 64


@dataclass(frozen=True, slots=True)
class Actions:
    """Counted actions of an instruction or a stage.

    Members
    -------
    macs : multiply-adds of issued entry steps, one per processing element and step, valid or not.
    null_macs : the same of the null steps that pad a short chunk up to its drain, or a set of weights up to R entries.
    word_bits : bits of A words shifted from element to element, beyond the one operand a multiplier takes.
    chain_bits : bits of sums shifted down the drain chains, or of weights down their columns.
    a_read_bits ... prune_write_bits : traffic of each on-chip memory, from both of its sides.
    multiplications, additions : of the vector lanes, in fp32.
    comparisons : of the prune engine, in 15 bits.
    dram_read_bits, dram_write_bits : as DMA moves them; repeated reads of one address count each time.
    metadata_bits : those among them that are metadata of compressed operands.
    """

    macs: int = 0
    null_macs: int = 0
    word_bits: int = 0
    chain_bits: int = 0
    a_read_bits: int = 0
    a_write_bits: int = 0
    b_read_bits: int = 0
    b_write_bits: int = 0
    accumulator_read_bits: int = 0
    accumulator_write_bits: int = 0
    vector_in_read_bits: int = 0
    vector_in_write_bits: int = 0
    vector_out_read_bits: int = 0
    vector_out_write_bits: int = 0
    parameter_read_bits: int = 0
    parameter_write_bits: int = 0
    prune_read_bits: int = 0
    prune_write_bits: int = 0
    multiplications: int = 0
    additions: int = 0
    comparisons: int = 0
    dram_read_bits: int = 0
    dram_write_bits: int = 0
    metadata_bits: int = 0

    def as_dict(self) -> dict[str, int]:
        """Counts by name, in declared order."""
        return dict(zip(_NAMES, _values(self), strict=True))

    @classmethod
    def total(cls, counted: Iterable[tuple["Actions", int]]) -> Self:
        """Sum of actions, each taken a number of times."""
        rows = [(times, _values(actions)) for actions, times in counted]
        times = [times for times, _ in rows]
        return cls(*(sum(map(mul, times, column)) for column in zip(*(values for _, values in rows), strict=True)))


_NAMES = tuple(field.name for field in dataclasses.fields(Actions))
_values = attrgetter(*_NAMES)
NO_ACTIONS = Actions()
_MEMORIES: Mapping[Buffer, str] = {
    Buffer.A: "a", Buffer.B: "b", Buffer.B_META: "b", Buffer.ACC: "accumulator", Buffer.VIN: "vector_in",
    Buffer.VOUT: "vector_out", Buffer.PRM: "parameter", Buffer.PRN: "prune", Buffer.PRN_META: "prune",
}  # fmt: skip


def instruction_actions(array: Array, instruction: Instruction) -> Actions:
    """Actions of a concrete instruction (no modifiers), independent of data.

    Parameters
    ----------
    array : the array it runs on.
    instruction : addresses and tokens do not count.

    Raises
    ------
    GossamerError
        No engine executes such an instruction.
    """
    if isinstance(instruction, Gemm):
        count = _stationary if instruction.dataflow == Dataflow.WS else _gemm
        return count(array, without_places(instruction))
    if isinstance(instruction, Load):
        return _load(array, instruction)
    if isinstance(instruction, Store):
        return _store(instruction)
    if isinstance(instruction, Prune):
        return _prune(array, instruction)
    if isinstance(instruction, Vector):
        return _vector(instruction)
    raise GossamerError(f"no engine executes {type(instruction).__name__}")


def entry_tag_bits(array: Array) -> int:
    """Bits of an entry in a column bank besides its value: index within the word, and valid."""
    return (array.group - 1).bit_length() + 1


@lru_cache(maxsize=4096)
def _gemm(array: Array, g: Gemm) -> Actions:
    """Count an output-stationary GEMM.

    Per tile, with w words in its box, e entry steps over all chunks and n null steps:

    - macs = Li Lj Lr e R C, null_macs = Li Lj Lr n R C;
    - a word is read from every row bank where k = 0 and lj = 0: Li Lr w R words; valid for the row or not;
    - an entry is read from every column bank where li = 0: Lj Lr e C entries;
    - a chunk's sums go through the adder of their accumulator bank, which is read and written: Li Lj Lr R C words;
    - a word's registers change in all R C elements at each step if Li > 1, every Lj steps if only Lr > 1, else at each
      fetch;
    - a sum shifts through (R / drain_ports + 1) / 2 elements on average, Li Lj Lr + 1 registers each.
    """
    slots, cells = g.turns, array.rows * array.columns
    drain_steps = array.rows // array.drain_ports
    chunks = -(-(g.r2 * g.r1 * g.r0) // g.chunk_words)
    words = g.j * sum(tiles * prod(end - first for first, end in box) for box, tiles in boxes(g).items())
    cost = gemm_cycles(array, g)
    sums = g.tiles * chunks * slots * cells
    changes = words if g.li * g.lr == 1 else (cost.issue + cost.drain) // (g.lj if g.li == 1 else 1)
    return Actions(
        macs=cost.issue * cells,
        null_macs=cost.drain * cells,
        word_bits=changes * cells * (array.group - 1) * _HALF_BITS,
        chain_bits=sums * (drain_steps + 1) * (slots + 1) * _SINGLE_BITS // 2,
        a_read_bits=words * g.li * g.lr * array.rows * array.group * _HALF_BITS,
        b_read_bits=cost.issue // g.li * array.columns * (_HALF_BITS + entry_tag_bits(array)),
        accumulator_read_bits=sums * _SINGLE_BITS,
        accumulator_write_bits=sums * _SINGLE_BITS,
    )


@lru_cache(maxsize=4096)
def _stationary(array: Array, g: Gemm) -> Actions:
    """Count a weight-stationary GEMM.

    - a point takes a step in all R C elements per pass, null ones where its set has fewer than R entries;
    - a line of A is read per word and slot of a pass; each of the R rows keeps its word and reads it again, and the
      word's registers change in all C elements of the row;
    - an entry is read from every column bank per pass, and shifts through (R + 1) / 2 elements on average, D registers
      each, into one more;
    - sums enter at the top and leave below: one word read and one written per point and column, counted like the
      accumulators', which those of a chunk's last set are.
    """
    work, cells = stationary_work(array, g), array.rows * array.columns
    word_bits, entry_bits = array.group * _HALF_BITS, _HALF_BITS + entry_tag_bits(array)
    hops = array.rows * (array.rows + 1) // 2 * array.add_latency_cycles + array.rows
    sums = work.sums * array.columns * _SINGLE_BITS
    return Actions(
        macs=work.steps * array.columns,
        null_macs=work.points * cells - work.steps * array.columns,
        word_bits=work.points * (cells * (array.group - 1) * _HALF_BITS + 2 * array.rows * word_bits),
        chain_bits=work.passes * array.columns * hops * entry_bits,
        a_read_bits=work.lines * array.rows * word_bits,
        b_read_bits=work.entries * array.columns * entry_bits,
        accumulator_read_bits=sums,
        accumulator_write_bits=sums,
    )


def _load(array: Array, g: Load) -> Actions:
    """Count a load: in bounds, elements are read from DRAM; out of bounds too, elements are written to the buffer.

    A metadata byte becomes a tag of a B entry; so does the index that the load itself gives.
    """
    elements = prod(dim.count for dim in g.dims if dim.count)
    bits = 8 * Format(g.format).bytes
    if g.buffer == Buffer.B_META:
        bits = entry_tag_bits(array)
    elif g.buffer == Buffer.B and g.index_dim < len(g.dims):
        bits += entry_tag_bits(array)
    memory = f"{_MEMORIES[Buffer(g.buffer)]}_write_bits"
    moved = 8 * transfer_shape(g).size_bytes
    return Actions(
        dram_read_bits=moved, metadata_bits=moved if g.buffer == Buffer.B_META else 0, **{memory: elements * bits}
    )


def _store(g: Store) -> Actions:
    """Count a store: elements in bounds are read from the buffer and written to DRAM."""
    bits = 8 * transfer_shape(g).size_bytes
    metadata = bits if g.buffer == Buffer.PRN_META else 0
    read = bits // g.memory_format.bytes * Format(g.format).bytes
    return Actions(dram_write_bits=bits, metadata_bits=metadata, **{f"{_MEMORIES[Buffer(g.buffer)]}_read_bits": read})


def _prune(array: Array, g: Prune) -> Actions:
    """Count a prune, padding included: all blocks are read, N of M elements leave with a byte of metadata each.

    Every pair of a word's elements is compared, whatever M is, and twice where masks of both axes are found. Not
    counted, as no table prices them: sums and random words of unbiased sampling, sums of transposable masks, products
    of decay.
    """
    kept, each = g.stored
    elements = g.n2 * g.n1 * g.n0 * BLOCK * BLOCK
    turns = 2 if g.mode == PruneMode.MASKED else 1
    return Actions(
        vector_out_read_bits=elements * _HALF_BITS,
        prune_write_bits=elements * kept // each * (_HALF_BITS + _PRUNED_METADATA_BITS),
        comparisons=turns * elements * (array.group - 1) // 2,
    )


def _vector(g: Vector) -> Actions:
    """Count a vector instruction from the formula of its operation; per-channel parameters are read once per block."""
    op, flags = VectorOp(g.op), VectorFlag(g.flags)
    if op in _WINDOWS:
        return _pooling(op, g)
    if op in _CHANNELS:
        return _per_channel(g, *_CHANNELS[op])
    if op in RENDER_OPERATIONS:
        return _render(op, g)
    halves, singles, multiplications, additions, parameters = _OPERANDS[op]
    for flag in flags:
        more = _OPTIONS.get((op, flag), (0, 0, 0, 0))
        halves, multiplications = halves + more[0], multiplications + more[1]
        additions, parameters = additions + more[2], parameters + more[3]
    read = g.count * (halves * _HALF_BITS + singles * _SINGLE_BITS)
    sums = _sums(op, flags) if g.size == 1 else 0
    labels = g.count // g.channels if op == VectorOp.SOFTMAX_CROSS_ENTROPY else 0  # one in, one probability out
    to_a = bool(flags & VectorFlag.TO_A)
    return Actions(
        a_write_bits=g.count * _HALF_BITS * to_a,
        accumulator_read_bits=g.count * _SINGLE_BITS if op in _FROM_ACCUMULATORS else 0,
        vector_in_read_bits=read + labels * _SINGLE_BITS,
        vector_out_write_bits=g.count * _result_bits(op, g) + labels * _SINGLE_BITS,
        parameter_read_bits=(-(-g.count // BLOCK) * parameters + bool(flags & VectorFlag.SCALED)) * _SINGLE_BITS,
        parameter_write_bits=g.channels * sums * _SINGLE_BITS,
        multiplications=g.count * multiplications,
        additions=g.count * additions,
    )


_OPERANDS: Mapping[VectorOp, tuple[int, int, int, int, int]] = {
    VectorOp.FILL: (0, 0, 0, 0, 0),
    VectorOp.DRAIN: (0, 0, 0, 0, 0),
    VectorOp.APPLY: (1, 0, 0, 0, 0),
    VectorOp.REDUCE: (1, 0, 0, 0, 0),
    VectorOp.GRADIENT: (1, 0, 0, 0, 0),
    # At most: maximum, exponential, ordered sum, division, scale.
    VectorOp.SOFTMAX_CROSS_ENTROPY: (1, 0, 18, 18, 0),
    VectorOp.UPDATE: (0, 3, 4, 3, 0),
    # With the mean; what is computed once per row does not count.
    VectorOp.SOFTMAX: (0, 0, 9, 9, 0),
    VectorOp.SOFTMAX_GRADIENT: (1, 0, 3, 2, 0),
    VectorOp.LAYER_NORM: (2, 0, 3, 4, 2),
    VectorOp.LAYER_NORM_GRADIENT: (4, 0, 5, 4, 2),
    VectorOp.GELU: (1, 0, 3, 3, 0),
    VectorOp.GELU_GRADIENT: (2, 0, 3, 3, 0),
    VectorOp.SILU_GATE: (2, 0, 4, 3, 0),
    VectorOp.SILU_GATE_GRADIENT: (3, 0, 8, 5, 0),
    VectorOp.ROTARY: (2, 0, 2, 1, 0),
}  # fmt: skip
"""Per element: fp16 and fp32 operands, multiplications, additions, parameters."""

_OPTIONS: Mapping[tuple[VectorOp, VectorFlag], tuple[int, int, int, int]] = {
    (VectorOp.DRAIN, VectorFlag.AFFINE): (0, 0, 1, 1),
    (VectorOp.DRAIN, VectorFlag.STATISTICS): (0, 1, 0, 0),
    (VectorOp.APPLY, VectorFlag.AFFINE): (0, 1, 1, 2),
    (VectorOp.APPLY, VectorFlag.RESIDUAL): (1, 0, 1, 0),
    (VectorOp.REDUCE, VectorFlag.MASK): (1, 0, 0, 0),
    (VectorOp.REDUCE, VectorFlag.PRODUCT): (1, 1, 0, 0),
    (VectorOp.GRADIENT, VectorFlag.MASK): (1, 0, 0, 0),
    (VectorOp.GRADIENT, VectorFlag.AFFINE): (1, 2, 2, 3),
    (VectorOp.UPDATE, VectorFlag.SR_STE): (0, 1, 1, 0),
}
"""What an option adds per element: fp16 operands, multiplications, additions, parameters."""

_CHANNELS: Mapping[VectorOp, tuple[int, int, int, int]] = {
    VectorOp.NORM_FORWARD: (4, 4, 5 + 2 * 4, 3 + 2 * 1),  # two Newton steps of the reciprocal square root
    VectorOp.NORM_BACKWARD: (6, 5, 8, 2),
    VectorOp.LOSS_SCALE: (4, 4, 3, 1),
}
"""Per channel: parameters read and written, multiplications, additions."""

_FROM_ACCUMULATORS = frozenset({VectorOp.DRAIN, VectorOp.SOFTMAX, VectorOp.SOFTMAX_GRADIENT})
_TWO_RESULTS = frozenset({VectorOp.LAYER_NORM, VectorOp.SILU_GATE_GRADIENT})

_WINDOWS = frozenset({VectorOp.MAX_POOL, VectorOp.MAX_POOL_GRADIENT, VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT})


def _sums(op: VectorOp, flags: VectorFlag) -> int:
    """Sums per channel."""
    if op == VectorOp.REDUCE:
        return 1 + bool(flags & VectorFlag.PRODUCT)
    return 2 if flags & VectorFlag.STATISTICS else 0


def _result_bits(op: VectorOp, g: Vector) -> int:
    """Bits that an element writes to the output buffer."""
    if op == VectorOp.REDUCE:
        return 0
    if op == VectorOp.UPDATE:
        return 2 * _SINGLE_BITS + _HALF_BITS
    if op in (VectorOp.FILL, VectorOp.DRAIN):
        return 8 * Format(g.format).bytes
    results = 1 + bool(g.flags & VectorFlag.SECOND_OUTPUT or op in _TWO_RESULTS)
    return _HALF_BITS * (results - bool(g.flags & VectorFlag.TO_A))


def _per_channel(g: Vector, read: int, written: int, multiplications: int, additions: int) -> Actions:
    return Actions(
        parameter_read_bits=g.count * read * _SINGLE_BITS,
        parameter_write_bits=g.count * written * _SINGLE_BITS,
        multiplications=g.count * multiplications,
        additions=g.count * additions,
    )


def _render(op: VectorOp, g: Vector) -> Actions:
    """Count what a render operation moves between the engine and the buffers, but for a sweep, whose reads are data's.

    What happens inside the engine is priced per picture, by its counts.
    """
    padded = g.count * g.channels * _HALF_BITS
    listed = 2 * g.count * _SINGLE_BITS
    match op:
        case VectorOp.RENDER_LINES:
            return Actions(vector_in_read_bits=8 * g.count)
        case VectorOp.RENDER_TILE:
            return Actions(vector_in_read_bits=6 * g.count * _SINGLE_BITS)
        case VectorOp.RENDER_SUMS:
            return Actions(vector_in_read_bits=g.count * g.size * _SINGLE_BITS + listed)
        case VectorOp.RENDER_PRODUCTS | VectorOp.RENDER_PIXELS:
            return Actions(vector_out_write_bits=padded + listed)
        case VectorOp.RENDER_INPUTS:
            return Actions(vector_in_read_bits=listed, vector_out_write_bits=padded)
        case VectorOp.RENDER_COLOURS:
            return Actions(vector_in_read_bits=3 * g.count * _SINGLE_BITS + listed)
        case VectorOp.RENDER_FINISH:
            return Actions(vector_out_write_bits=3 * g.count * _SINGLE_BITS)
        case VectorOp.RENDER_VIEW:
            return Actions(vector_in_read_bits=_VIEW_WORDS * _SINGLE_BITS)
        case _:
            return NO_ACTIONS


def _pooling(op: VectorOp, g: Vector) -> Actions:
    """Count a pooling: a result reads all places of its window; a gradient, all windows that may hold its element.

    The arg max is computed again: MAX_POOL_GRADIENT also reads each element once per window.
    """
    if op in (VectorOp.MAX_POOL, VectorOp.AVG_POOL):
        reads = g.kernel * g.kernel_x
    else:
        stride = max(g.stride, 1)
        reads = -(-g.kernel // stride) * -(-g.kernel_x // stride)
    averages = op in (VectorOp.AVG_POOL, VectorOp.AVG_POOL_GRADIENT)
    operands = 2 if op == VectorOp.MAX_POOL_GRADIENT else 1
    return Actions(
        vector_in_read_bits=g.count * reads * operands * _HALF_BITS,
        vector_out_write_bits=g.count * _HALF_BITS,
        multiplications=g.count if averages else 0,
        additions=0 if op == VectorOp.MAX_POOL else g.count * reads,
    )
