"""The instructions: macro-operations of the engines, and the sequencer's loops.

An instruction names no iteration: :func:`gossamer_models.isa.loops.resolve` applies its modifiers to the loop
counters and gives the concrete instruction an engine executes. All sizes are in elements unless a name says
otherwise; base addresses count from the engine's current half of the buffer.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar

from gossamer_models.isa.fields import bits, structs
from gossamer_models.isa.header import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    LOOP_LEVELS,
    MAX_DIMS,
    MAX_STAGE_INSTRUCTIONS,
    NO_INDEX,
    NO_LEVEL,
    Instruction,
    Modifier,
    ModifierKind,
    Opcode,
)
from gossamer_models.isa.tokens import ADDRESS_BITS, TOKEN_BITS, Engine, Semaphore
from gossamer_models.isa.vector_ops import MODELLED_OPERATIONS, VectorOp

__all__ = [
    "INSTRUCTION_BYTES", "ISA_VERSION", "LOOP_LEVELS", "MAX_DIMS", "MAX_STAGE_INSTRUCTIONS", "MODELLED_OPERATIONS",
    "NO_INDEX", "NO_LEVEL",
    "Dataflow", "Dim", "EndLoop", "Format", "FoundMode", "Gemm", "Instruction", "Load", "Loop", "Modifier",
    "ModifierKind", "Opcode", "Prune", "PruneMode", "Stage", "Store", "Vector", "VectorFlag", "VectorOp",
]  # fmt: skip


class Format(IntEnum):
    """Element formats of a transfer or a vector operand."""

    FP16 = 0
    FP32 = 1
    BYTE = 2

    @property
    def bytes(self) -> int:
        """Size of one element."""
        return (2, 4, 1)[self]


_CONVERTED = {Format.FP16: Format.FP32, Format.FP32: Format.FP16}


@dataclass(frozen=True, slots=True)
class Dim:
    """One loop of a strided transfer; dimension 0 is innermost."""

    count: int = bits(16, "iterations; 0 encodes an unused dimension")
    mem_stride: int = bits(32, "bytes in DRAM from one iteration to the next")
    buf_stride: int = bits(24, "bytes in the buffer from one iteration to the next")
    axis: int = bits(2, "bounded axis that the index counts on: 0, 1, 2, or 3 for none")
    weight: int = bits(16, "what one iteration adds to the axis")


@dataclass(frozen=True, slots=True)
class Stage(Instruction):
    """Start of a stage: waits until all engines are idle, then sets halves to 0 and semaphores to `credits`."""

    opcode: ClassVar[Opcode] = Opcode.STAGE
    engine: ClassVar[Engine] = Engine.SEQUENCER

    length: int = bits(16, "instructions of the stage, this one not counted")
    credits: int = bits(TOKEN_BITS * len(Semaphore), "four bits per semaphore, semaphore 0 lowest")


@dataclass(frozen=True, slots=True)
class Loop(Instruction):
    """Repeat up to the matching END_LOOP."""

    opcode: ClassVar[Opcode] = Opcode.LOOP
    engine: ClassVar[Engine] = Engine.SEQUENCER

    level: int = bits(2, "loop level; nested loops use ascending levels")
    count: int = bits(32, "iterations, at least 1")


@dataclass(frozen=True, slots=True)
class EndLoop(Instruction):
    """Last instruction of a loop's body."""

    opcode: ClassVar[Opcode] = Opcode.END_LOOP
    engine: ClassVar[Engine] = Engine.SEQUENCER

    level: int = bits(2, "loop level")


@dataclass(frozen=True, slots=True)
class _Transfer(Instruction):
    """Strided copy between DRAM and a buffer.

    For every index vector: mem = mem_base + sum(index * mem_stride), buf = buf_base + sum(index * buf_stride).
    Dimensions are walked in their order, 0 innermost; dimension 0 is contiguous on both sides (strides of one element),
    but for operands of an attention, whose elements are scattered one by one (no RTL runs those).
    With ``convert`` the elements change their format on the way: fp32 is rounded to nearest even, overflows to infinity
    and keeps subnormals; NaN becomes 0x7FC00000 or 0x7E00.
    With ``transpose`` DRAM is seen as if every aligned block of 128 bytes, 8 x 8 fp16, were transposed.
    An element whose axis value (axis base + sum of index * weight) lies outside 0..bound-1 is not transferred:
    a load writes zero (and an invalid entry) in its place, a store leaves DRAM alone.
    """

    buffer: int = bits(4, "buffer, see the buffer table")
    format: int = bits(2, "element format in the buffer")
    index_dim: int = bits(4, "load to B: dimension that gives entries their index; 15 for none", default=NO_INDEX)
    transpose: int = bits(1, "load of fp16: 1 sees DRAM with every block of 8 x 8 transposed")
    convert: int = bits(1, "1: DRAM holds fp32 where `format` says fp16, and the other way round")
    mem_base: int = bits(ADDRESS_BITS, "DRAM byte address of index zero, which may lie outside the tensor", signed=True)
    buf_base: int = bits(24, "buffer byte address")
    axis0_base: int = bits(24, "start of axis 0", signed=True)
    axis0_bound: int = bits(24, "first value of axis 0 that is out of bounds", default=1)
    axis1_base: int = bits(24, "start of axis 1", signed=True)
    axis1_bound: int = bits(24, "first value of axis 1 that is out of bounds", default=1)
    axis2_base: int = bits(24, "start of axis 2", signed=True)
    axis2_bound: int = bits(24, "first value of axis 2 that is out of bounds", default=1)
    dims: tuple[Dim, ...] = structs(Dim, MAX_DIMS, "loops of the transfer")
    index_high: int = bits(
        4,
        "load to B: dimension whose steps add 8 each to that index; 15 for none",
        default=NO_INDEX,
    )

    @property
    def memory_format(self) -> Format:
        """Element format in DRAM."""
        held = Format(self.format)
        return _CONVERTED.get(held, held) if self.convert else held


@dataclass(frozen=True, slots=True)
class Load(_Transfer):
    """DRAM to buffer."""

    opcode: ClassVar[Opcode] = Opcode.LOAD
    engine: ClassVar[Engine] = Engine.LOAD


@dataclass(frozen=True, slots=True)
class Store(_Transfer):
    """Buffer to DRAM."""

    opcode: ClassVar[Opcode] = Opcode.STORE
    engine: ClassVar[Engine] = Engine.STORE


class Dataflow(IntEnum):
    """What stays in the array while a GEMM runs; the bits of its results do not depend on it."""

    OS = 0
    WS = 1

    @property
    def text(self) -> str:
        """Name in files and on the command line."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Gemm(Instruction):
    """Out[i, j] = sum over r of A[i, r] B[r, j] on blocks held in the buffers.

    Tiles run in the order j, i2, i1, i0 (innermost); a tile has Li x Lj slots, slot = lj * Li + li. Tile t,
    slot s, row r of column c ends at accumulator word acc_base + (t * Li * Lj + s) * R + r of bank c.

    A word address = a_base + i2 a_i2 + i1 a_i1 + i0 a_i0 + li a_li + j a_j + r2 a_r2 + r1 a_r1 + r0 a_r0 + lr a_lr.
    Entry k of column lj of word (r2, r1, r0) is at b_base + j b_j + r2 b_r2 + r1 b_r1 + r0 b_r0 + lr b_lr + k Lj + lj.

    Lr > 1 chunks of each slot run side by side: the r loops walk the words of every Lr-th chunk, and those of the
    lr-th chunk behind it lie lr strides further. They are added in the order of the chunks, lr fastest. The chunk
    length then divides r2 r1 r0 or exceeds it, and Li Lj Lr is what Li Lj is otherwise.

    Each coordinate q of y, x is q_base + i2 q_i2 + i1 q_i1 + i0 q_i0 + li q_li + (+-) (index of r level q_level
    << q_shift), and y has + lr y_lr. A word is valid for a slot if both coordinates lie in 0..size-1, li is below
    `li_last` in the last i0, and the row is below `rows_last` where `rows_level` says so. Per tile the r loops run
    over the smallest box of indices that holds every word valid for some slot; words outside it take no cycle.
    Chunks are counted in r positions, skipped ones included.

    Weight-stationary, PE row k holds entry k of R in the stream of a chunk, which may begin inside a word, and the
    points of a tile go by; points that do not exist take no cycle. Both dataflows add in the same order.
    """

    opcode: ClassVar[Opcode] = Opcode.GEMM
    engine: ClassVar[Engine] = Engine.GEMM

    log2_li: int = bits(3, "log2 of Li")
    log2_lj: int = bits(3, "log2 of Lj")
    entries: int = bits(5, "entries per word")
    entries_last: int = bits(5, "entries of a word at the last index of r level `last_level`")
    last_level: int = bits(2, "r level with a ragged last word; 3 for none", default=NO_LEVEL)
    chunk_words: int = bits(10, "r positions per chunk, at most 4096 / group")
    accumulate: int = bits(1, "1: add the first chunk to what the accumulators hold; 0: store it")
    i2: int = bits(16, "tiles along i, outermost level", default=1)
    i1: int = bits(16, "tiles along i, middle level", default=1)
    i0: int = bits(16, "tiles along i, innermost level, each of Li slots", default=1)
    j: int = bits(16, "tiles along j", default=1)
    r2: int = bits(16, "words along r, outermost level", default=1)
    r1: int = bits(16, "words along r, middle level", default=1)
    r0: int = bits(16, "words along r, innermost level", default=1)
    li_last: int = bits(5, "valid li slots in the last i0", default=1)
    rows_level: int = bits(
        2, "i level in whose last index rows are ragged (0: last valid li of last i0); 3 for none", default=NO_LEVEL
    )
    rows_last: int = bits(9, "valid rows there", default=1)
    a_base: int = bits(24, "word address of index zero, which may lie outside the image", signed=True)
    a_i2: int = bits(24, "A stride of i2", signed=True)
    a_i1: int = bits(24, "A stride of i1", signed=True)
    a_i0: int = bits(24, "A stride of i0", signed=True)
    a_li: int = bits(24, "A stride of li", signed=True)
    a_j: int = bits(24, "A stride of j", signed=True)
    a_r2: int = bits(24, "A stride of r2", signed=True)
    a_r1: int = bits(24, "A stride of r1", signed=True)
    a_r0: int = bits(24, "A stride of r0", signed=True)
    b_base: int = bits(24, "entry address")
    b_j: int = bits(24, "B stride of j")
    b_r2: int = bits(24, "B stride of r2", signed=True)
    b_r1: int = bits(24, "B stride of r1", signed=True)
    b_r0: int = bits(24, "B stride of r0")
    acc_base: int = bits(24, "accumulator word address")
    y_base: int = bits(20, "coordinate y of index zero", signed=True)
    y_i2: int = bits(16, "y per i2", signed=True)
    y_i1: int = bits(16, "y per i1", signed=True)
    y_i0: int = bits(16, "y per i0", signed=True)
    y_li: int = bits(16, "y per li", signed=True)
    y_level: int = bits(2, "r level that moves y; 3 for none", default=NO_LEVEL)
    y_shift: int = bits(3, "log2 of the step of y per index of that level")
    y_negative: int = bits(1, "1: y falls as that index grows")
    y_size: int = bits(20, "y is valid in 0..y_size-1", default=1)
    x_base: int = bits(20, "coordinate x of index zero", signed=True)
    x_i2: int = bits(16, "x per i2", signed=True)
    x_i1: int = bits(16, "x per i1", signed=True)
    x_i0: int = bits(16, "x per i0", signed=True)
    x_li: int = bits(16, "x per li", signed=True)
    x_level: int = bits(2, "r level that moves x; 3 for none", default=NO_LEVEL)
    x_shift: int = bits(3, "log2 of the step of x per index of that level")
    x_negative: int = bits(1, "1: x falls as that index grows")
    x_size: int = bits(20, "x is valid in 0..x_size-1", default=1)
    dataflow: int = bits(1, "0 output-stationary, 1 weight-stationary (modelled, no RTL: reserved there)")
    log2_lr: int = bits(2, "log2 of Lr")
    a_lr: int = bits(24, "A stride of lr", signed=True)
    b_lr: int = bits(24, "B stride of lr")
    y_lr: int = bits(16, "y per lr", signed=True)

    @property
    def li(self) -> int:
        """Slots along i."""
        return 1 << self.log2_li

    @property
    def lj(self) -> int:
        """Slots along j."""
        return 1 << self.log2_lj

    @property
    def lr(self) -> int:
        """Chunks side by side."""
        return 1 << self.log2_lr

    @property
    def turns(self) -> int:
        """Cycles between two steps of one slot."""
        return self.li * self.lj * self.lr

    @property
    def tiles(self) -> int:
        """Tiles that the instruction computes."""
        return self.j * self.i2 * self.i1 * self.i0


class PruneMode(IntEnum):
    """Which elements of a group a PRUNE keeps."""

    LARGEST = 0
    UNBIASED = 1
    TRANSPOSABLE = 2
    DECAYED = 3
    MASKED = 4


@dataclass(frozen=True, slots=True)
class Prune(Instruction):
    """Keep N of every M along one axis of blocks [n2][n1][n0][8][8] of fp16 in VOUT.

    ``axis`` 0 groups along n1 x first 8, ``axis`` 1 along n0 x second 8; `valid` counts the real elements
    along that axis. Entries leave as [n2][n1][n0][entry][8 of the other axis], values and metadata apart.
    Where a word is two blocks (group 16), n1 or n0 along the grouped axis is even and entries are counted by it halved.
    N = M keeps everything. ``mode`` 0 keeps the N largest; 1 draws N with a mean equal to the group, its random words
    numbered from `word` on in the order [n2][n1][n0][8 of the other axis]; 2 keeps 2 of 4 along both axes at once;
    3 keeps everything, what is not among the N largest times `factor`; 4, for `axis` 1, drops all but the N largest of
    every M along axis 0 first, and keeps of each word of W as many of what is left as entries have room, W N / M.
    """

    opcode: ClassVar[Opcode] = Opcode.PRUNE
    engine: ClassVar[Engine] = Engine.PRUNE

    keep: int = bits(5, "N")
    of: int = bits(5, "M")
    axis: int = bits(1, "axis of the groups")
    n2: int = bits(16, "blocks, outermost", default=1)
    n1: int = bits(16, "blocks, middle", default=1)
    n0: int = bits(16, "blocks, innermost", default=1)
    valid: int = bits(24, "real elements along the grouped axis")
    source: int = bits(24, "byte address in VOUT")
    values: int = bits(24, "byte address of the values in PRN")
    metadata: int = bits(24, "byte address of the metadata in PRN_META")
    mode: int = bits(3, "0 the N largest, 1 unbiased sampling, 2 transposable, 3 decayed, 4 masked along axis 0 first")
    seed: int = bits(32, "of unbiased sampling")
    word: int = bits(32, "number of the first random word; numbers are taken modulo 2^32")
    factor: int = bits(16, "fp16 pattern, of mode decayed")

    @property
    def stored(self) -> tuple[int, int]:
        """Entries per so many elements: (N, M), or one each where nothing is dropped."""
        return (1, 1) if self.mode == PruneMode.DECAYED else (self.keep, self.of)


class FoundMode(IntEnum):
    """What a vector operation does with its sticky found-inf flag; flags outlive stages."""

    NONE = 0
    SET = 1
    CLEAR_AND_SET = 2
    OBEY = 3


class VectorFlag(IntFlag):
    """Options of a vector operation."""

    RELU = 1
    AFFINE = 2
    RESIDUAL = 4
    MASK = 8
    SECOND_OUTPUT = 16
    PRODUCT = 32
    ACCUMULATE = 64
    SR_STE = 128
    STATISTICS = 256
    SCALED = 512
    TO_A = 1024
    SIX = 2048


@dataclass(frozen=True, slots=True)
class Vector(Instruction):
    """One operation of the closed list over `count` elements; see the operation's entry for its operands."""

    opcode: ClassVar[Opcode] = Opcode.VECTOR
    engine: ClassVar[Engine] = Engine.VECTOR

    op: int = bits(6, "operation")
    flags: int = bits(12, "options")
    format: int = bits(2, "format of the result")
    count: int = bits(32, "elements of the (first) result; per-channel operations: channels; RENDER_...: see there")
    source0: int = bits(24, "byte address in VIN; DRAIN: word address in ACC")
    source1: int = bits(24, "byte address in VIN")
    source2: int = bits(24, "byte address in VIN")
    target0: int = bits(24, "byte address in VOUT")
    target1: int = bits(24, "byte address in VOUT; DRAIN: word address in PRM; with TO_A: byte address in A")
    target2: int = bits(24, "byte address in VOUT; DRAIN: word address in PRM")
    parameter: int = bits(24, "word address in PRM; RENDER_...: number of the first sample or pixel")
    channels: int = bits(24, "channels, padded to whole blocks of 8", default=8)
    channel_low: int = bits(
        16, "channel = p % low + low ((p // mid_period) % mid_count + mid_count (p // high_period))", default=8
    )
    channel_mid_period: int = bits(32, "see channel_low", default=64)
    channel_mid_count: int = bits(16, "see channel_low", default=1)
    channel_high_period: int = bits(32, "see channel_low", default=0xFFFFFFFF)
    size: int = bits(32, "classes of a softmax; REDUCE, DRAIN: 1 writes the sums to PRM; RENDER_...: see there")
    samples: int = bits(24, "samples of the tile that are real; 0: all. Sample = p // sample_period * 8 + p % 64 // 8")
    sample_period: int = bits(32, "elements from one block of eight samples to the next", default=0xFFFFFFFF)
    height: int = bits(16, "pooling: input rows", default=1)
    width: int = bits(16, "pooling: input columns", default=1)
    kernel: int = bits(8, "pooling: window, rows; columns in kernel_x", default=1)
    kernel_x: int = bits(8, "pooling: window columns", default=1)
    stride: int = bits(8, "pooling: step", default=1)
    padding: int = bits(8, "pooling: padding")
    keep: int = bits(5, "UPDATE with SR_STE: N")
    of: int = bits(5, "UPDATE with SR_STE: M")
    scalar0: int = bits(32, "fp32 bit pattern")
    scalar1: int = bits(32, "fp32 bit pattern")
    scalar2: int = bits(32, "fp32 bit pattern")
    scalar3: int = bits(32, "fp32 bit pattern")
    scalar4: int = bits(32, "fp32 bit pattern")
    found: int = bits(12, "number of a sticky flag that says whether a gradient is not finite")
    found_mode: int = bits(2, "0 leave it alone, 1 set it if a result is not finite, 2 clear it first, 3 obey it")
