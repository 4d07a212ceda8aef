"""A normalisation, an add and a ReLU applied to operand A on its way: DRAM, VIN, the vector engine, A.

The vector engine has one queue. What it applies for tile k + 1 must stand in front of the drain of tile k, or the array
would wait for both: its APPLY runs one tile ahead of the loops, and so does the store of what it applied. A first one
stands in front of the loops, and the last one inside them has nothing to do. Where what it applied is stored, it shares
a half of VOUT with the drain behind it, so that either is stored while the other half is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gossamer_compiler.activations import Activation
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_vector import load_parameters
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.statistics import Normalisation
from gossamer_models.architecture import Architecture
from gossamer_models.isa.fields import changed
from gossamer_models.isa.instructions import (
    Dim,
    Format,
    Gemm,
    Instruction,
    Load,
    Modifier,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import last, step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK

__all__ = ["Applied", "AppliedTiles", "Counter", "Offer", "ahead", "appliable", "factor_words"]

S = Semaphore

_ROWS = 0
"""Axis of loads and stores of tiles that counts rows of pixels."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a layer's operand A is made of.

    Members
    -------
    flags : ReLU or not.
    inputs : what is scaled and shifted, and what is added.
    target : where the result is stored as well; None if nothing else reads it.
    normalisation : has the addresses of scale and shift; None without one.
    """

    flags: VectorFlag
    inputs: tuple[Activation, ...]
    target: Activation | None
    normalisation: Normalisation | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A pass that a product may take over.

    Members
    -------
    inputs : maps that it reads.
    stored : whether its result is stored as well, 0 or 1.
    factors : words of scale and shift.
    """

    inputs: int
    stored: int
    factors: int


@dataclass(frozen=True, slots=True)
class Counter:
    """A loop around a tile: its level, its iterations, and what each of them adds to a field."""

    level: int
    count: int
    step: int


def factor_words(normalisation: Normalisation | None) -> int:
    """Words of PRM that scale and shift take; the last ones of the memory."""
    return 0 if normalisation is None else 2 * normalisation.channels


def appliable(gemm: ChannelGemm, architecture: Architecture, *, stored: bool) -> bool:
    """Whether the vector engine may make operand A of a product.

    With ``stored`` its tiles must have every pixel in them, and every sample of a block of eight must be real: what is
    not would not be zero in DRAM.
    """
    y, batch = gemm.y, gemm.source.batch
    every = y.low <= 0 and y.low + y.count >= y.step and y.outputs * y.step >= y.size
    machine = architecture.vector.feeds_array and architecture.queue_depth > 1
    return machine and gemm.grouping.groups == 1 and batch % BLOCK == 0 and (every or not stored)


def ahead(cls: type[Load | Store], name: str, base: int, loops: Sequence[Counter]) -> tuple[int, tuple[Modifier, ...]]:
    """A field's value and modifiers, so that it always has what its steps give it in the next iteration.

    Where inner loops end, LAST carries into the next one before any step is added. In the last iteration of all the
    field runs on past the end.

    Parameters
    ----------
    loops : outermost first; at least one.
    """
    changes: list[Modifier] = []
    value = start = base + loops[-1].step
    back = 0
    for place in range(len(loops) - 1, 0, -1):
        back += (loops[place].count - 1) * loops[place].step
        carried = base - back + loops[place - 1].step
        if carried != value:
            changes.append(last(cls, name, [loop.level for loop in loops[place:]], carried))
        value = carried
    steps = [step(cls, name, loop.level, loop.step) for loop in loops if loop.step]
    return start, (*changes, *steps)


class AppliedTiles:
    """Instructions that make operand A of the tiles of one stage.

    Parameters
    ----------
    load : brings the first tile to A, as it would without anything to apply.
    samples, rows : from one tile to the next; rows are those of source pixels.
    row_bytes : of a row of pixels on chip.
    elements : of a tile on chip.
    """

    def __init__(
        self,
        applied: Applied,
        gemm: ChannelGemm,
        architecture: Architecture,
        load: Load,
        *,
        samples: int,
        rows: int,
        row_bytes: int,
        elements: int,
    ) -> None:
        self._applied, self._gemm, self._architecture, self._load = applied, gemm, architecture, load
        self._samples, self._rows, self._row_bytes, self._elements = samples, rows, row_bytes, elements
        self._parameter = architecture.buffers.parameter_words - factor_words(applied.normalisation)

    def before(self) -> list[Instruction]:
        """In front of the loops: factors, the first tile."""
        found: list[Instruction] = []
        apply, wanted = self._apply(), self._applied.normalisation
        if wanted is not None:
            found.append(load_parameters(wanted.factors, factor_words(wanted), self._parameter, last_one=True))
            apply = changed(apply, wait=apply.wait | S.PRM_FULL)
        target = self._applied.target
        return [*found, apply, *([] if target is None else [self._store(target)])]

    def tile(
        self, loops: Sequence[tuple[int, int]], load: Load, gemm: Gemm, drain: Vector, store: Store
    ) -> list[Instruction]:
        """Inside: operands of this tile, its product, the next tile, and the results of this one.

        Parameters
        ----------
        loops : (level, iterations) of the loops over columns, samples and rows of pixels.
        load, gemm, drain, store : of a tile, as they would be without anything to apply.
        """
        product = changed(
            gemm, wait=gemm.wait & ~S.A_FULL | S.OPERAND_FULL, signal=gemm.signal & ~S.A_FREE | S.OPERAND_FREE
        )
        apply = changed(self._apply(), modifiers=(last(Vector, "count", [level for level, _ in loops], 0),))
        target = self._applied.target
        if target is None:
            return [*self._loads(load), product, apply, drain, store]
        behind = self._architecture.vector.align(2 * self._elements)
        return [
            *self._loads(load),
            product,
            changed(apply, advance=apply.advance & ~Advance.VOUT),
            changed(self._next_store(target, loops), signal=0, advance=0),
            changed(drain, wait=drain.wait & ~S.VOUT_FREE, target0=behind),
            changed(store, buf_base=store.buf_base + behind),
        ]

    def behind(self) -> Load:
        """Behind the loops: what the APPLY that has nothing to do waits for."""
        return Load(
            wait=S.VIN_FREE, signal=S.VIN_FULL, advance=Advance.VIN, buffer=Buffer.VIN, format=Format.FP16,
            mem_base=self._applied.inputs[0].address, dims=(Dim(BLOCK * BLOCK, 2, 2),),
        )  # fmt: skip

    def _loads(self, load: Load) -> list[Load]:
        """A tile's operands, one behind the other."""
        inputs, offset = self._applied.inputs, load.mem_base - self._gemm.source.address
        end = len(inputs) - 1
        return [
            changed(
                load, wait=0 if place else S.VIN_FREE, signal=S.VIN_FULL if place == end else 0,
                advance=Advance.VIN if place == end else 0, buffer=Buffer.VIN, mem_base=source.address + offset,
                buf_base=place * 2 * self._elements,
            )
            for place, source in enumerate(inputs)
        ]  # fmt: skip

    def _apply(self) -> Vector:
        applied, source, added = self._applied, self._gemm.source, len(self._applied.inputs) > 1
        flags = VectorFlag(applied.flags) | VectorFlag.TO_A
        flags |= VectorFlag.AFFINE if applied.normalisation is not None else VectorFlag(0)
        flags |= VectorFlag.RESIDUAL if added else VectorFlag(0)
        waits, signals = S.VIN_FULL | S.OPERAND_FREE, S.VIN_FREE | S.OPERAND_FULL
        advance = Advance.VIN | Advance.A
        if applied.target is not None:
            flags |= VectorFlag.SECOND_OUTPUT
            waits, signals, advance = waits | S.VOUT_FREE, signals | S.VOUT_FULL, advance | Advance.VOUT
        return Vector(
            wait=waits, signal=signals, advance=advance, op=VectorOp.APPLY, flags=flags, format=Format.FP16,
            count=self._elements, source1=2 * self._elements if added else 0, parameter=self._parameter,
            channels=source.channel_blocks * BLOCK, channel_low=self._gemm.word,
            channel_mid_period=self._architecture.array.rows * self._gemm.word, channel_mid_count=self._gemm.tap_words,
        )  # fmt: skip

    def _store(self, target: Activation) -> Store:
        """The rows of pixels of the first tile that no other tile stores."""
        load, y = self._load, self._gemm.y
        dims = [dim for dim in load.dims if dim.axis != _ROWS]
        rows = plain(self._rows, target.row_bytes, self._row_bytes, _ROWS, 1)
        return Store(
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            mem_base=target.address, buf_base=-y.low * self._row_bytes, axis0_bound=y.size,
            axis1_bound=load.axis1_bound, dims=merge([*dims, *rows]),
        )  # fmt: skip

    def _next_store(self, target: Activation, loops: Sequence[tuple[int, int]]) -> Store:
        """Those of the next tile; none in the last iteration."""
        outer, (b, b_count), (y, y_count) = loops
        slabs = self._samples // BLOCK * target.slab_bytes
        steps = {
            "mem_base": (target.address, slabs, self._rows * target.row_bytes),
            "axis0_base": (0, 0, self._rows),
            "axis1_base": (0, self._samples, 0),
        }
        fields: dict[str, Any] = {}
        modifiers: list[Modifier] = []
        for name, (base, per_block, per_row) in steps.items():
            around = [Counter(*outer, 0)] if outer[1] > 1 else []
            nest = [*around, Counter(b, b_count, per_block), Counter(y, y_count, per_row)]
            fields[name], changes = ahead(Store, name, base, nest)
            modifiers += changes
        if outer[1] > 1:
            modifiers.append(last(Store, "axis2_bound", [level for level, _ in loops], 0))
        return changed(self._store(target), modifiers=tuple(modifiers), **fields)
