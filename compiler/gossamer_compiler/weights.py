"""Masters of a layer with what belongs to them, and what its update keeps of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from gossamer_compiler.reads import SINGLE_BYTES, Read, vector_read
from gossamer_models.grouping import Grouping
from gossamer_models.isa.instructions import PruneMode
from gossamer_models.layouts import BLOCK
from gossamer_models.methods import Masks, Method, Phase
from gossamer_models.program import Tensor
from gossamer_models.sparsity import Pattern

__all__ = ["PruneRule", "Weights"]


_MODES = {
    Masks.APART: (PruneMode.LARGEST, PruneMode.LARGEST),
    Masks.TRANSPOSABLE: (PruneMode.TRANSPOSABLE, PruneMode.TRANSPOSABLE),
    Masks.NESTED: (PruneMode.LARGEST, PruneMode.MASKED),
}
"""Of the prune engine, for FF and for BP."""


@dataclass(frozen=True, slots=True)
class PruneRule:
    """What the update keeps of a layer's weights.

    Members
    -------
    mode, backward_mode : of the prune engine for FF and for BP.
    decayed : N:M of mode decayed, whose entries are those of dense weights; None for others.
    factor : of mode decayed.
    """

    mode: PruneMode = PruneMode.LARGEST
    backward_mode: PruneMode = PruneMode.LARGEST
    decayed: Pattern | None = None
    factor: float = 0.0

    @classmethod
    def of(cls, method: Method, phase: Phase) -> Self:
        """What a method's update keeps in a phase of a run."""
        return cls(*_MODES[method.masks], phase.pattern if phase.factor else None, phase.factor)

    def forward(self, pattern: Pattern) -> dict[str, int]:
        """Fields of the Prune for FF, whose entries are of ``pattern``."""
        if self.decayed is not None:
            factor = int(np.float16(self.factor).view(np.uint16))
            return {"keep": self.decayed.n, "of": self.decayed.m, "mode": PruneMode.DECAYED, "factor": factor}
        return {"keep": pattern.n, "of": pattern.m, "mode": self.mode}

    def backward(self, pattern: Pattern) -> dict[str, int]:
        """Fields of the Prune for BP: decay is FF's."""
        return {"keep": pattern.n, "of": pattern.m, "mode": self.backward_mode}


@dataclass(frozen=True, slots=True)
class Weights:
    """Masters, momentum and gradient of one layer, [kh][kw][bundle][c_in/8][c_out/8][8][8] fp32.

    Of a bundle of several groups only the diagonal is ever written; the rest stays zero.

    Members
    -------
    shape : (c_out, c_in, kh, kw), all groups together.
    pattern : N:M of SR-STE's term.
    rule : what is kept for FF and BP.
    word : elements per word.
    grouping : groups of the channels; with one group there is one bundle.
    halves : dense fp16 copy in the same order, if BP reads one.
    """

    master: Tensor
    momentum: Tensor
    gradient: Tensor
    shape: tuple[int, int, int, int]
    pattern: Pattern
    grouping: Grouping
    rule: PruneRule
    word: int
    halves: Tensor | None = None

    def reads(self) -> list[Read]:
        """Masters, momentum and gradient once; what lies beside the diagonal of a bundle is no weight."""
        c_out, c_in, kh, kw = self.shape
        words, real = self.master.size_bytes // SINGLE_BYTES, c_out * c_in * kh * kw // self.grouping.groups
        tensors = self.master, self.momentum, self.gradient
        return [vector_read(tensor.address, words, real) for tensor in tensors]

    @property
    def word_blocks(self) -> int:
        """Blocks per word."""
        return self.word // BLOCK

    @property
    def bundle_in(self) -> int:
        """Blocks of a bundle's input channels."""
        return self.grouping.bundle_blocks(self.shape[1], self.word)

    @property
    def rows(self) -> int:
        """Rows of blocks of a tap: blocks of input channels, bundle after bundle."""
        return self.grouping.bundles * self.bundle_in

    @property
    def out_blocks(self) -> int:
        """Blocks of a bundle's output channels."""
        return self.grouping.bundle_blocks(self.shape[0], self.word)

    @property
    def single_words(self) -> bool:
        """Whether the rows of blocks of one word are a bundle."""
        return self.grouping.bundles > 1 and self.bundle_in == self.word_blocks
