"""A Program: what the compiler makes and every executor runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.isa.instructions import MODELLED_OPERATIONS, Dataflow, Gemm, Instruction, Vector, VectorOp
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.layouts import BLOCK
from gossamer_models.placement import unplaced
from gossamer_models.reads import Reads
from gossamer_models.recorded import SweepCounts

PAGE_BYTES: Final = 4096

TensorLayout = Literal["blocks", "turned", "images", "weights", "grouped", "channels", "halves", "entries", "raw"]


@dataclass(frozen=True, slots=True)
class Tensor:
    """Place and layout of one tensor in DRAM.

    Members
    -------
    address : byte address, a multiple of 128.
    size_bytes : bytes it takes there.
    layout : ``blocks`` activation [batch/8][y][x][c/8][8 batch][8 c] fp16, shape (batch, c, h, w); ``turned`` the same
        with blocks [8 c][8 batch]; ``images`` [batch/8][y][x][c][8 batch] fp16 of the same shape;
        ``weights`` fp32 [kh][kw][c_in/8][c_out/8][8 c_in][8 c_out], shape (c_out, c_in, kh, kw);
        ``grouped`` the same by bundles of groups, shape (groups, c_out / groups, c_in / groups, kh, kw);
        ``channels`` fp32 vector padded to 8, shape (c,); ``halves`` fp16 as its shape says;
        ``entries`` a compressed B operand (values fp16, then one metadata byte each) as its layer's GEMM reads it;
        ``raw`` bytes.
    shape : logical shape, unpadded.
    """

    name: str
    address: int
    size_bytes: int
    layout: TensorLayout
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How one product of a stage runs, and the search that chose it.

    Members
    -------
    sizes : name and value of each of the schedule's numbers: interleave and what a tile holds.
    examined : schedules that the search looked at, those that exceed a buffer included; at most ``limit``.
    cycles : predicted cycles of the product alone.
    joules : predicted energy of the product alone; None where cycles decide.
    """

    sizes: tuple[tuple[str, int], ...]
    examined: int
    limit: int
    cycles: int
    joules: float | None


@dataclass(frozen=True, slots=True)
class StageProgram:
    """One stage: instructions between two barriers, and what a report says of it.

    Members
    -------
    layer, stage : layer name and ff, bp, wu, update, ...
    credits : tokens each semaphore starts with.
    macs : useful multiply-adds (zeros of pruned weights, padding and ragged edges not counted).
    macs_dense : multiply-adds that the same stage takes without N:M.
    beside : layer whose BP runs while this stage's GEMMs do; none if empty.
    schedules : of its products, in order.
    reads : what it reads from DRAM, from shapes and schedules; None where no compiler says so.
    """

    layer: str
    stage: str
    instructions: Sequence[Instruction]
    credits: tuple[tuple[Semaphore, int], ...] = ()
    dataflow: str = "-"
    sparsity: str = "dense"
    macs: int = 0
    macs_dense: int = 0
    beside: str = ""
    schedules: tuple[Schedule, ...] = ()
    reads: Reads | None = None


@dataclass(slots=True)
class MemoryImage:
    """DRAM contents: a list of tensors, and bytes only if the image is filled.

    A symbolic image (``data`` is None) has addresses and sizes alone, so that a program for many gigabytes costs
    nothing to make and to simulate.

    Members
    -------
    word : elements per word of the machine, which channels of ``blocks``, ``weights`` and ``grouped`` are padded to.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    size_bytes: int = 0
    data: NDArray[np.uint8] | None = None
    word: int = BLOCK

    def allocate(self, name: str, size_bytes: int, layout: TensorLayout, shape: tuple[int, ...]) -> Tensor:
        """Append a tensor, aligned so that no tensor shares an AXI page with another.

        Raises
        ------
        InputError
            The name is taken: a layer is called as the program calls a tensor of its own.
        """
        if name in self.tensors:
            raise InputError(f"a layer is called {name!r}, as a tensor that the program needs itself", "another name")
        address = -(-self.size_bytes // PAGE_BYTES) * PAGE_BYTES
        tensor = Tensor(name, address, size_bytes, layout, shape)
        self.tensors[name] = tensor
        self.size_bytes = address + size_bytes
        return tensor

    def fill(self) -> None:
        """Give the image bytes, all zero."""
        self.data = np.zeros(self.size_bytes, np.uint8)


@dataclass(frozen=True, slots=True)
class Program:
    """Stages in order, the memory image they work on, and the architecture they were compiled for.

    Members
    -------
    recorded : counts of its sweeps, by the number of the job; golden's for the data in the image.
    """

    name: str
    architecture: str
    stages: tuple[StageProgram, ...]
    memory: MemoryImage
    recorded: tuple[SweepCounts, ...] = ()

    def unlike_instructions(self) -> Iterator[Instruction]:
        """Instructions of all stages, those of stages alike but for places once; places may be stand-ins."""
        bodies = (unplaced(stage.instructions) for stage in self.stages)
        return chain.from_iterable({id(body): body for body in bodies}.values())

    @property
    def dataflows(self) -> list[str]:
        """Names of the dataflows of its GEMM instructions, sorted; no RTL has ``ws``."""
        used = {item.dataflow for item in self.unlike_instructions() if isinstance(item, Gemm)}
        return sorted(Dataflow(dataflow).text for dataflow in used)

    @property
    def modelled_operations(self) -> list[str]:
        """Names of the vector operations that it uses and no RTL has, sorted."""
        used = {item.op for item in self.unlike_instructions() if isinstance(item, Vector)}
        return sorted(VectorOp(op).name for op in used & MODELLED_OPERATIONS)
