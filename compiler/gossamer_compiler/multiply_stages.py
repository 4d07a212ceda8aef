"""Stages of a convolution or linear layer, each from all that decides it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gossamer_compiler.applied import Applied, factor_words
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.channel_tiles import WHOLE, ChannelMapping
from gossamer_compiler.emit_channels import emit_channel_gemm, emit_zero_phase
from gossamer_compiler.emit_gradient import Companion, emit_companion, emit_gradient_gemm
from gossamer_compiler.emit_turned import Halves, emit_turned_gemm
from gossamer_compiler.emit_update import emit_update
from gossamer_compiler.emit_vector import load_parameters
from gossamer_compiler.geometry import ChannelGemm, GradientGemm, Taps
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.objective import Choice
from gossamer_compiler.optimizer import Optimizer, emit_vector_update
from gossamer_compiler.product_reads import channel_reads, gradient_reads, reached_by_any, turned_reads
from gossamer_compiler.reads import Read, vector_read
from gossamer_compiler.sampled import Sampled
from gossamer_compiler.statistics import ColumnVectors, Statistics
from gossamer_compiler.turned import TurnedMapping
from gossamer_compiler.update_tiles import BackwardStream
from gossamer_compiler.weight_stream import Stream
from gossamer_compiler.weights import Weights
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.grouping import DENSE
from gossamer_models.isa.instructions import Load
from gossamer_models.program import StageProgram, Tensor
from gossamer_models.sparsity import Pattern

__all__ = [
    "BackPropagation", "FeedForward", "Phase", "TurnedBackPropagation", "TurnedPhase", "Update", "WeightGradient",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of BP; without taps it has neither a GEMM nor a stream."""

    y: Taps
    x: Taps
    gemm: ChannelGemm | None
    choice: Choice[ChannelMapping] | None
    stream: Stream | None


@dataclass(frozen=True, slots=True)
class FeedForward:
    """FF.

    Members
    -------
    bias : added while results leave the accumulators.
    statistics : of the results, for a normalisation.
    relu, single : as in :func:`~gossamer_compiler.emit_channels.emit_channel_gemm`.
    applied : what the inputs are made of on their way.
    """

    gemm: ChannelGemm
    choice: Choice[ChannelMapping]
    stream: Stream
    bias: Tensor | None
    statistics: Statistics | None
    relu: bool = False
    single: bool = False
    applied: Applied | None = None

    def emit(
        self, architecture: Architecture, layer: str, beside: Callable[[StageBuilder], None] | None = None
    ) -> StageProgram:
        """The stage; `beside` appends what runs while the array works, if the product is one tile."""
        builder = StageBuilder()
        builder.reads(*self._reads(architecture))
        emit_channel_gemm(
            builder, self.gemm, self.choice.mapping, self.stream, architecture,
            bias=None if self.bias is None else self._load_bias(self.bias, architecture, layer), relu=self.relu,
            single=self.single, statistics=self.statistics, applied=self.applied,
            beside=None if beside is None else partial(beside, builder),
        )  # fmt: skip
        dense = dataclasses.replace(self.gemm, pattern=DENSE)
        return builder.finish(
            layer, "ff", dataflow=_dataflow(self.choice.mapping), sparsity=_text(self.gemm.pattern),
            macs=self.gemm.macs(), macs_dense=dense.macs(), schedules=(self.choice.schedule,),
        )  # fmt: skip

    def _reads(self, architecture: Architecture) -> list[Read]:
        gemm, mapping, applied, real = self.gemm, self.choice.mapping, self.applied, self.gemm.target.channels
        inputs = () if applied is None else applied.inputs
        reads = channel_reads(gemm, mapping, self.stream, architecture.array, inputs)
        if applied is not None and applied.normalisation is not None:
            factors = applied.normalisation
            reads.append(vector_read(factors.factors, factor_words(factors), 2 * gemm.source.channels))
        padded = ColumnVectors.of(gemm, mapping, architecture).channels
        if self.bias is not None:
            reads.append(vector_read(self.bias.address, padded, real))
        if self.statistics is not None:
            reads.append(vector_read(self.statistics.normalisation.affine, 2 * padded, 2 * real))
        return reads

    def _load_bias(self, bias: Tensor, architecture: Architecture, layer: str) -> Load:
        """Bring the bias into PRM, each channel where its column reads it."""
        columns = ColumnVectors.of(self.gemm, self.choice.mapping, architecture)
        demand, bound = columns.words, architecture.buffers.parameter_words
        if demand > bound:
            raise DoesNotFitError(
                f"layer {layer!r}: its bias exceeds the parameter memory", demand, bound, "words",
                "raise buffers.parameter_words",
            )  # fmt: skip
        load = load_parameters(bias.address, columns.channels, 0, last_one=True)
        return dataclasses.replace(load, dims=columns.dims(1))


@dataclass(frozen=True, slots=True)
class BackPropagation:
    """BP, phase by phase; pixels without taps get zeros."""

    phases: tuple[Phase, ...]
    pattern: Pattern

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage."""
        builder = StageBuilder()
        macs = macs_dense = 0
        choices: list[Choice[ChannelMapping]] = []
        pixels = reached_by_any([phase.gemm for phase in self.phases if phase.gemm is not None])
        any_gemm = next(phase.gemm for phase in self.phases if phase.gemm is not None)
        for phase in self.phases:
            if phase.gemm is None or phase.choice is None or phase.stream is None:
                emit_zero_phase(builder, phase.y, phase.x, any_gemm)
                continue
            mapping = phase.choice.mapping
            builder.reads(*channel_reads(phase.gemm, mapping, phase.stream, architecture.array, pixels=pixels))
            emit_channel_gemm(builder, phase.gemm, mapping, phase.stream, architecture)
            macs += phase.gemm.macs()
            macs_dense += dataclasses.replace(phase.gemm, pattern=DENSE).macs()
            choices.append(phase.choice)
        flows = dict.fromkeys(_dataflow(choice.mapping) for choice in choices)
        return builder.finish(
            layer, "bp", dataflow=", ".join(flows), sparsity=_text(self.pattern), macs=macs, macs_dense=macs_dense,
            schedules=tuple(choice.schedule for choice in choices),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class TurnedPhase:
    """One phase of BP with the gradient as operand B; without taps it has no GEMM."""

    y: Taps
    x: Taps
    gemm: ChannelGemm | None
    choice: Choice[TurnedMapping] | None


@dataclass(frozen=True, slots=True)
class TurnedBackPropagation:
    """BP with the gradient as operand B, pruned along its channels.

    Members
    -------
    weights : operand A.
    pruned : operand B.
    """

    phases: tuple[TurnedPhase, ...]
    weights: Halves
    pruned: Sampled

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage."""
        builder = StageBuilder()
        gemms: list[ChannelGemm] = []
        choices: list[Choice[TurnedMapping]] = []
        pixels = reached_by_any([phase.gemm for phase in self.phases if phase.gemm is not None])
        any_gemm = next(phase.gemm for phase in self.phases if phase.gemm is not None)
        for phase in self.phases:
            if phase.gemm is None or phase.choice is None:
                emit_zero_phase(builder, phase.y, phase.x, any_gemm)
                continue
            mapping = phase.choice.mapping
            builder.reads(*turned_reads(phase.gemm, mapping, self.weights, self.pruned, architecture.array, pixels))
            emit_turned_gemm(builder, phase.gemm, mapping, self.weights, self.pruned, architecture)
            gemms.append(phase.gemm)
            choices.append(phase.choice)
        flows = dict.fromkeys(f"os {choice.mapping.li}x{choice.mapping.lj}, turned" for choice in choices)
        return builder.finish(
            layer, "bp", dataflow=", ".join(flows), sparsity=_text(self.pruned.pattern),
            macs=sum(gemm.macs() for gemm in gemms),
            macs_dense=sum(dataclasses.replace(gemm, pattern=DENSE).macs() for gemm in gemms),
            schedules=tuple(choice.schedule for choice in choices),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class WeightGradient:
    """WU.

    Members
    -------
    companions : passes of other layers that run beside it.
    apart : what follows it.
    """

    gemm: GradientGemm
    choice: Choice[GradientMapping]
    companions: tuple[Companion, ...]
    apart: Companion | None

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage."""
        builder = StageBuilder()
        builder.reads(*gradient_reads(self.gemm, self.choice.mapping, architecture.array))
        emit_gradient_gemm(builder, self.gemm, self.choice.mapping, architecture, self.companions)
        if self.apart is not None:
            emit_companion(builder, self.apart, architecture, layer)
        sampled = self.gemm.sampled
        return builder.finish(
            layer, "wu", dataflow=_dataflow(self.choice.mapping), sparsity=_text(sampled.pattern if sampled else DENSE),
            macs=self.gemm.macs(), macs_dense=dataclasses.replace(self.gemm, sampled=None).macs(),
            schedules=(self.choice.schedule,),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Update:
    """Weight update and both compressed copies.

    Members
    -------
    forward_pattern : N:M within words of the copy for FF.
    bias : the bias with its momentum and gradient; empty without one.
    """

    weights: Weights
    optimizer: Optimizer
    forward: Stream
    forward_pattern: Pattern
    backward: tuple[BackwardStream, ...]
    bias: tuple[Tensor, ...]

    def emit(self, architecture: Architecture, layer: str) -> StageProgram:
        """The stage."""
        builder = StageBuilder()
        emit_update(
            builder, self.weights, self.optimizer, self.forward, self.forward_pattern, self.backward, architecture,
            layer,
        )  # fmt: skip
        if self.bias:
            words = self.bias[0].size_bytes // 4, self.weights.shape[0]
            emit_vector_update(builder, self.optimizer, self.bias, words, architecture, layer)
        return builder.finish(layer, "update")


def _dataflow(mapping: ChannelMapping | GradientMapping) -> str:
    text = f"{mapping.dataflow.text} {mapping.li}x{mapping.lj}"
    if isinstance(mapping, GradientMapping) and mapping.lr > 1:
        text += f"x{mapping.lr}"
    if isinstance(mapping, GradientMapping) and mapping.patches:
        text += ", patches"
    if isinstance(mapping, ChannelMapping) and mapping.strips != WHOLE:
        text += f", strips {mapping.down}x{mapping.across}"
    if isinstance(mapping, ChannelMapping) and mapping.applies:
        text += ", applied on load"
    if isinstance(mapping, ChannelMapping) and mapping.inputs_stay:
        text += ", inputs stay"
    return text


def _text(pattern: Pattern) -> str:
    return "dense" if pattern.is_dense else str(pattern)
