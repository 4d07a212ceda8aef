"""Stages of a convolution or linear layer: schedules, tensors, FF, BP, WU and update."""

import dataclasses
from collections.abc import Sequence
from functools import partial

from gossamer_compiler.activations import Activation
from gossamer_compiler.applied import Applied, Offer, appliable, factor_words
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_tiles import sums_ready
from gossamer_compiler.emit_turned import Halves
from gossamer_compiler.emit_vector import Pass, store_parameters
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Taps, backward_phases, forward_gemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.graph import Multiply
from gossamer_compiler.mapping_beside import Carrier, Carrying
from gossamer_compiler.multiply_stages import (
    BackPropagation,
    FeedForward,
    Phase,
    TurnedBackPropagation,
    TurnedPhase,
    Update,
    WeightGradient,
)
from gossamer_compiler.objective import Choice
from gossamer_compiler.optimizer import Optimizer
from gossamer_compiler.sampled import Sampled
from gossamer_compiler.scheduler import Scheduler
from gossamer_compiler.stage_book import stage_book
from gossamer_compiler.statistics import ColumnVectors, Normalisation, Statistics, statistics_of
from gossamer_compiler.update_tiles import BackwardStream
from gossamer_compiler.weight_stream import Stream, stream_of
from gossamer_compiler.weights import PruneRule, Weights
from gossamer_models.architecture import Architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.grouping import DENSE
from gossamer_models.isa.instructions import VectorFlag, VectorOp
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.program import MemoryImage, StageProgram, Tensor
from gossamer_models.sparsity import Pattern

__all__ = ["MultiplyLayer"]


class MultiplyLayer:
    """One convolution or linear layer on one machine.

    Parameters
    ----------
    source, target : its feature maps.
    forward_pattern, backward_pattern : N:M of FF (and of SR-STE's term) and of BP.
    rule : what the update keeps of its weights; those of a decaying mask are dense for FF.
    scheduler : decides on its schedules.
    applied : what its input can be made of on its way.
    summed : a batch normalisation reads its output, and wants its statistics.

    Members
    -------
    applied : None if its input is read as it is.
    """

    def __init__(
        self,
        node: Multiply,
        source: Activation,
        target: Activation,
        forward_pattern: Pattern,
        backward_pattern: Pattern,
        memory: MemoryImage,
        architecture: Architecture,
        rule: PruneRule,
        scheduler: Scheduler,
        applied: Applied | None = None,
        *,
        summed: bool = False,
    ) -> None:
        self.node, self.source, self.target, self.architecture = node, source, target, architecture
        self.scheduler = scheduler
        # Words that several groups share keep each column's own group whole.
        dense = node.grouping.diagonal
        self._patterns = (DENSE, DENSE) if dense else (forward_pattern, backward_pattern)
        if dense or node.first:
            rule = PruneRule()
        self._memory, self._book = memory, stage_book(architecture)
        self.forward = forward_gemm(source, target, node.window, self._patterns[0], node.grouping, summed=summed)
        self.forward_choice = scheduler.channels(self.forward, node.name, offer=self._offer(applied))
        if self.forward_choice.mapping.applies and not self._bias_fits_beside(applied):
            self.forward_choice = scheduler.channels(self.forward, node.name)
        self.applied = applied if self.forward_choice.mapping.applies else None
        self.forward_stream = self._stream("forward", self.forward, self.forward_choice.mapping)
        shape = (node.out_shape[0], node.in_shape[0], *node.window.kernel)
        master, momentum, gradient = (self._master(part, shape) for part in ("weight", "momentum", "gradient"))
        self.weights = Weights(master, momentum, gradient, shape, self._patterns[0], node.grouping, rule, memory.word)
        self.bias = [self._vector(part) for part in ("bias", "bias.momentum", "bias.gradient")] if node.bias else []
        self.phases: list[Phase] = []
        self.turned: TurnedBackPropagation | None = None
        self.sampled: Sampled | None = None
        """Gradient of its output for WU, pruned along the batch; None if WU takes the dense one."""
        self._planned: tuple[GradientGemm, Choice[GradientMapping]] | None = None

    def _offer(self, applied: Applied | None) -> Offer | None:
        if applied is None or not appliable(self.forward, self.architecture, stored=applied.target is not None):
            return None
        return Offer(len(applied.inputs), int(applied.target is not None), factor_words(applied.normalisation))

    def _bias_fits_beside(self, applied: Applied | None) -> bool:
        """Whether the bias leaves room for scale and shift in the parameter memory."""
        words = 0 if applied is None else factor_words(applied.normalisation)
        if self.node.bias:
            words += ColumnVectors.of(self.forward, self.forward_choice.mapping, self.architecture).words
        return words <= self.architecture.buffers.parameter_words

    def _stream(self, name: str, gemm: ChannelGemm, mapping: ChannelMapping) -> Stream:
        empty = Tensor("", 0, 0, "entries", ())
        layout = stream_of(gemm, mapping, self.architecture, empty)
        size = 3 * layout.j_tiles * layout.tile_entries
        shape = (layout.j_tiles, layout.words, layout.entries, layout.lj, layout.columns)
        tensor = self._memory.allocate(f"{self.node.name}.{name}", size, "entries", shape)
        return stream_of(gemm, mapping, self.architecture, tensor)

    def _master(self, part: str, shape: tuple[int, int, int, int]) -> Tensor:
        (c_out, c_in, kh, kw), grouping = shape, self.node.grouping
        word = self._memory.word
        blocks = grouping.bundles * grouping.bundle_blocks(c_in, word) * grouping.bundle_blocks(c_out, word)
        size, name = kh * kw * blocks * BLOCK * BLOCK * 4, f"{self.node.name}.{part}"
        if grouping.groups == 1:
            return self._memory.allocate(name, size, "weights", shape)
        grouped = (grouping.groups, c_out // grouping.groups, c_in // grouping.groups, kh, kw)
        return self._memory.allocate(name, size, "grouped", grouped)

    def _vector(self, part: str) -> Tensor:
        channels = self.node.out_shape[0]
        return self._memory.allocate(
            f"{self.node.name}.{part}", 4 * blocks_of(channels, self._memory.word) * BLOCK, "channels", (channels,)
        )

    def plan_backward(self, gradient: Activation, target: Activation, pruned: Sampled | None = None) -> None:
        """Schedule BP and allocate its weights; the update writes them, so this comes before :meth:`update`.

        Parameters
        ----------
        pruned : entries along the channels of ``gradient``: they are operand B then, and ``target`` is turned.
        """
        pattern = self._patterns[1] if pruned is None else pruned.pattern
        phases = list(backward_phases(gradient, target, self.node.window, pattern, self.node.grouping))
        real = [number for number, (_, _, gemm) in enumerate(phases) if gemm is not None]
        if not real:
            raise UnsupportedError(
                f"layer {self.node.name!r}: no tap of its kernel reaches the image", "less padding or a smaller stride"
            )
        if pruned is not None:
            self.turned = self._turned_phases(phases, real, pruned)
            return
        for number, (y, x, gemm) in enumerate(phases):
            if gemm is None:
                self.phases.append(Phase(y, x, None, None, None))
                continue
            choice = self.scheduler.channels(gemm, self.node.name, (number == real[0], number == real[-1]))
            stream = self._stream(f"backward.{number}", gemm, choice.mapping)
            self.phases.append(Phase(y, x, gemm, choice, stream))

    def _turned_phases(
        self, phases: Sequence[tuple[Taps, Taps, ChannelGemm | None]], real: Sequence[int], pruned: Sampled
    ) -> TurnedBackPropagation:
        weights = self.weights
        copy = self._memory.allocate(f"{self.node.name}.halves", weights.master.size_bytes // 2, "halves",
                                     (weights.master.size_bytes // 4,))  # fmt: skip
        self.weights = dataclasses.replace(weights, halves=copy)
        planned = []
        for number, (y, x, gemm) in enumerate(phases):
            edges = number == real[0], number == real[-1]
            choice = None if gemm is None else self.scheduler.turned(gemm, self.node.name, edges)
            planned.append(TurnedPhase(y, x, gemm, choice))
        halves = Halves(copy, weights.shape[3], weights.rows, weights.out_blocks)
        return TurnedBackPropagation(tuple(planned), halves, pruned)

    def statistics(self, normalisation: Normalisation) -> Statistics | None:
        """How FF can give the normalisation that reads its output its statistics; None if it cannot."""
        if self.bias:
            return None
        taken = 0 if self.applied is None else factor_words(self.applied.normalisation)
        return statistics_of(normalisation, self.forward, self.forward_choice.mapping, self.architecture, taken)

    def feed_forward(self, statistics: Statistics | None = None) -> StageProgram:
        """FF, the bias added while results leave the accumulators; with ``statistics`` they are summed there."""
        bias = self.bias[0] if self.bias else None
        work = FeedForward(
            self.forward, self.forward_choice, self.forward_stream, bias, statistics, applied=self.applied
        )
        return self._book.stage(work, self.node.name, "ff")

    def back_propagate(self) -> StageProgram:
        """BP, phase by phase; pixels without taps get zeros."""
        if self.turned is not None:
            return self._book.stage(self.turned, self.node.name, "bp")
        return self._book.stage(BackPropagation(tuple(self.phases), self._patterns[1]), self.node.name, "bp")

    def weight_gradient(
        self, gradient: Activation, chain: str = "", carried: tuple[Sequence[Companion], Carrying] | None = None
    ) -> StageProgram:
        """WU, and the bias' gradient; beside it the passes of another layer's BP, ``chain``."""
        gemm, choice = self._gradient_gemm(gradient)
        companions: Sequence[Companion] = ()
        behind = self._bias_sums(gradient) if self.bias else None
        if carried is not None:
            companions, carrying = carried
            choice = carrying.choice
            if self.bias and carrying.own:
                companions, behind = [*companions, self._bias_sums(gradient, share=len(companions))], None
        work = WeightGradient(gemm, choice, tuple(companions), behind)
        return self._book.stage(work, self.node.name, "wu", beside=chain)

    def _bias_sums(self, gradient: Activation, share: int = 0) -> Companion:
        """The bias' gradient; ``share`` if beside others."""
        sums = Pass(
            VectorOp.REDUCE, VectorFlag.ACCUMULATE, {0: gradient}, gives_sums=not share, checked=True
        )  # fmt: skip
        store = store_parameters(self.bias[2].address, self.bias[2].size_bytes // 4, 0)
        return Companion((), sums, (sums_ready(), store) if share else (store,), share)

    def carrier(self, gradient: Activation) -> Carrier:
        """WU as passes of other layers see it."""
        own = partial(self._bias_sums, gradient) if self.bias else None
        return self.scheduler.carrier(*self._gradient_gemm(gradient), own)

    def _gradient_gemm(self, gradient: Activation) -> tuple[GradientGemm, Choice[GradientMapping]]:
        """WU and its schedule; asked for as often as passes look for a layer that can carry them."""
        known = self._planned
        if known is None or known[0].gradient is not gradient or known[0].sampled is not self.sampled:
            gemm = GradientGemm(
                self.source, gradient, self.weights.gradient, self.node.window, self.node.grouping, self.sampled
            )
            known = self._planned = gemm, self.scheduler.gradient(gemm, self.node.name)
        return known

    def update(self, optimizer: Optimizer, stage: str = "update") -> StageProgram:
        """Weight update and both compressed copies; ``stage`` names it."""
        backward = [
            BackwardStream(phase.stream, phase.gemm.kept, phase.y, phase.x)
            for phase in self.phases
            if phase.stream and phase.gemm
        ]
        if self._patterns[0].is_dense:
            optimizer = dataclasses.replace(optimizer, sr_ste=0.0)
        work = Update(
            self.weights, optimizer, self.forward_stream, self.forward.kept, tuple(backward), tuple(self.bias)
        )  # fmt: skip
        return self._book.stage(work, self.node.name, stage)
