"""What a GEMM stage reads, reduces and writes, before any schedule.

FF and BP of a convolution are the same problem (:class:`ChannelGemm`): words run along channels, r runs over
(taps down, taps across, channel word). BP of a strided convolution is one such problem per phase of the stride.
WU (:class:`GradientGemm`) has words along the batch and r over (batch word, y, x). Both repeat per bundle of groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gossamer_compiler.activations import Activation
from gossamer_compiler.sampled import Sampled
from gossamer_models.grouping import UNGROUPED, Grouping
from gossamer_models.layouts import BLOCK
from gossamer_models.program import Tensor
from gossamer_models.roles import channel_chunk_words, gradient_chunk_words
from gossamer_models.sparsity import Pattern, entries_in_last_word

__all__ = ["PIXEL", "ChannelGemm", "GradientGemm", "Taps", "Window", "backward_phases", "forward_gemm", "forward_taps"]


@dataclass(frozen=True, slots=True)
class Window:
    """Kernel, stride and padding of a convolution as (down, across)."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    @property
    def taps(self) -> int:
        """Taps of the kernel."""
        return self.kernel[0] * self.kernel[1]


PIXEL = Window((1, 1), (1, 1), (0, 0))
"""Window of a single pixel."""


@dataclass(frozen=True, slots=True)
class Taps:
    """One spatial axis of a channel GEMM: source = origin + step * output + direction * tap.

    Members
    -------
    count : taps along the axis; the kernel index of tap t is ``first + pitch * t``.
    outputs : output positions; the target index of position o is ``offset + spread * o``.
    size : source positions, 0..size-1 are real.
    """

    count: int
    first: int
    pitch: int
    origin: int
    step: int
    direction: int
    outputs: int
    offset: int
    spread: int
    size: int

    @property
    def low(self) -> int:
        """Lowest source position that output 0 reaches, real or not."""
        return self.origin if self.direction > 0 else self.origin - self.count + 1

    def extent(self, outputs: int) -> int:
        """Source positions that ``outputs`` neighbours reach."""
        return (outputs - 1) * self.step + self.count

    def strip(self, strips: int) -> "Taps":
        """One of several equal strips of the outputs; its source positions count from the first one that it reaches.

        All of them are real: what lies beyond the image must be there as zeros.
        """
        if strips == 1:
            return self
        outputs = -(-self.outputs // strips)
        return replace(self, outputs=outputs, origin=self.origin - self.low, size=self.extent(outputs))

    @property
    def reaching(self) -> int:
        """Outputs from which any tap reaches a real source position."""
        begins = [self.low + self.step * output for output in range(self.outputs)]
        return sum(begin < self.size and begin + self.count > 0 for begin in begins)

    def valid_pairs(self) -> int:
        """Pairs (output, tap) whose source position is real."""
        total = 0
        for tap in range(self.count):
            base = self.origin + self.direction * tap
            first = max(0, -(base // self.step))
            final = min(self.outputs - 1, (self.size - 1 - base) // self.step)
            total += max(0, final - first + 1)
        return total


@dataclass(frozen=True, slots=True)
class ChannelGemm:
    """FF, or one phase of BP.

    Members
    -------
    source, target : operand A and the result.
    y, x : taps down and across.
    pattern : N:M of operand B along the channels of ``source``.
    grouping : groups of the channels on both sides.
    summed : results are summed per channel as they drain, so all those of a block of columns follow each other.
    """

    source: Activation
    target: Activation
    y: Taps
    x: Taps
    pattern: Pattern
    grouping: Grouping = UNGROUPED
    summed: bool = False

    @property
    def word(self) -> int:
        """Elements per word."""
        return self.source.word

    @property
    def kept(self) -> Pattern:
        """N:M of operand B within words, of a column's own group where several share a word."""
        return self.grouping.kept(self.source.channels, self.pattern, self.word)

    @property
    def tap_words(self) -> int:
        """Words per tap."""
        return self.grouping.bundle_words(self.source.channels, self.word)

    @property
    def bundle_targets(self) -> int:
        """Result channels of a bundle."""
        return self.grouping.bundle_channels(self.target.channels)

    @property
    def words(self) -> int:
        """Words along r, padding taps included."""
        return self.y.count * self.x.count * self.tap_words

    @property
    def chunk_words(self) -> int:
        """Chunk length, a property of the layer."""
        return channel_chunk_words(self.words, self.word)

    @property
    def entries(self) -> int:
        """Entries per word."""
        return self.kept.entries_per_word(self.word)

    @property
    def entries_last(self) -> int:
        """Entries of the last word of each tap."""
        if self.grouping.bundles > 1:
            return self.entries
        return entries_in_last_word((self.source.channels - 1) % self.word + 1, self.kept, self.word)

    def strip(self, strips: tuple[int, int]) -> "ChannelGemm":
        """The part that one row bank computes if the image is cut into strips (down, across)."""
        down, across = strips
        if down == across == 1:
            return self
        return replace(self, y=self.y.strip(down), x=self.x.strip(across))

    def macs(self) -> int:
        """Multiply-adds of kept weights on real positions."""
        if self.grouping.diagonal:
            terms = self.source.channels // self.grouping.groups
        else:
            terms = (self.tap_words - 1) * self.entries + self.entries_last
        positions = self.y.valid_pairs() * self.x.valid_pairs()
        return self.source.batch * positions * terms * self.target.channels


@dataclass(frozen=True, slots=True)
class GradientGemm:
    """WU: gradient of the weights, laid out as the masters, from the layer's input and its output's gradient.

    Members
    -------
    sampled : entries of the gradient, pruned along the batch; None if WU is dense.
    """

    source: Activation
    gradient: Activation
    target: Tensor
    window: Window
    grouping: Grouping = UNGROUPED
    sampled: Sampled | None = None

    @property
    def word(self) -> int:
        """Samples per word."""
        return self.source.word

    @property
    def entries(self) -> int:
        """Entries per word of samples."""
        return self.sampled.entries if self.sampled else self.word

    @property
    def block_entries(self) -> int:
        """Entries that a block of eight samples holds in DRAM."""
        return self.sampled.entries if self.sampled else BLOCK

    @property
    def chunk_words(self) -> int:
        """Chunk length, a property of the layer."""
        return gradient_chunk_words(self.gradient.height, self.gradient.width, self.word)

    @property
    def last_entries(self) -> int:
        """Entries of the last word."""
        return self.sampled.last_entries if self.sampled else (self.gradient.batch - 1) % self.word + 1

    @property
    def entry_bytes(self) -> int:
        """Bytes of an entry in DRAM: a value, and metadata unless its place tells the index."""
        return 3 if self.sampled else 2

    def patched(self) -> "GradientGemm":
        """The same of explicit patches: an input of the output's size, whose channels are [kh][kw][c_in]."""
        channels = self.window.taps * self.source.channel_blocks * BLOCK
        source = replace(self.source, channels=channels, height=self.gradient.height, width=self.gradient.width)
        return replace(self, source=source, window=PIXEL)

    def macs(self) -> int:
        """Multiply-adds on real positions, of kept samples."""
        pairs = self.source.channels // self.grouping.groups * self.gradient.channels
        samples = (self.gradient.batch_words - 1) * self.entries + self.last_entries
        return samples * self.positions() * pairs

    def positions(self) -> int:
        """Pairs (output, tap) whose source position is real."""
        y, x = (forward_taps(self.window, axis, self.source, self.gradient) for axis in (0, 1))
        return y.valid_pairs() * x.valid_pairs()


def forward_gemm(
    source: Activation,
    target: Activation,
    window: Window,
    pattern: Pattern,
    grouping: Grouping = UNGROUPED,
    *,
    summed: bool = False,
) -> ChannelGemm:
    """FF of a convolution or linear layer."""
    y, x = (forward_taps(window, axis, source, target) for axis in (0, 1))
    return ChannelGemm(source, target, y, x, pattern, grouping, summed)


def backward_phases(
    gradient: Activation, target: Activation, window: Window, pattern: Pattern, grouping: Grouping = UNGROUPED
) -> Iterator[tuple[Taps, Taps, ChannelGemm | None]]:
    """BP of a convolution, one entry per phase of the stride; None where no tap reaches the phase."""
    for phase_y in range(window.stride[0]):
        for phase_x in range(window.stride[1]):
            y = _backward_taps(window, 0, phase_y, gradient.height, target.height)
            x = _backward_taps(window, 1, phase_x, gradient.width, target.width)
            if y.outputs and x.outputs:
                yield y, x, ChannelGemm(gradient, target, y, x, pattern, grouping) if y.count and x.count else None


def forward_taps(window: Window, axis: int, source: Activation, target: Activation) -> Taps:
    """One axis of FF, 0 down or 1 across."""
    size, outputs = ((a.height, a.width)[axis] for a in (source, target))
    return Taps(
        count=window.kernel[axis], first=0, pitch=1,
        origin=-window.padding[axis], step=window.stride[axis], direction=1,
        outputs=outputs, offset=0, spread=1, size=size,
    )  # fmt: skip


def _backward_taps(window: Window, axis: int, phase: int, size: int, outputs: int) -> Taps:
    """Positions y = phase + stride * o get taps k = first + stride * t from source (y + padding - k) / stride."""
    kernel, stride, padding = window.kernel[axis], window.stride[axis], window.padding[axis]
    first = (phase + padding) % stride
    return Taps(
        count=max(0, -(-(kernel - first) // stride)), first=first, pitch=stride,
        origin=(phase + padding - first) // stride, step=1, direction=-1,
        outputs=max(0, -(-(outputs - phase) // stride)), offset=phase, spread=stride, size=size,
    )  # fmt: skip
