"""Which channel and which sample the elements of a group belong to."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = [
    "BLOCK", "CHANNEL_BITS", "ROW", "ChannelWalker", "SampleWalker", "channel_misaligned", "samples_together", "spread",
]  # fmt: skip

BLOCK = 64
"""Elements of a block, eight samples of eight channels."""

ROW = 8
"""Elements of one sample in a block."""

_ROW_BITS = 3

CHANNEL_BITS = 24
"""Width of a channel's number."""


def samples_together(lanes: int) -> int:
    """Return how many samples the elements of a group belong to."""
    return max(lanes // ROW, 1)


class ChannelWalker(wiring.Component):
    """Smallest channel of each group, without a multiplication per group.

    channel(p) = p % low + low ((p // mid_period) % mid_count + mid_count (p // high_period)); low is a power of two,
    the periods are multiples of L or not below the number of elements. Lane l has the channel
    ``channel + l % min(low, L)``.

    Parameters
    ----------
    lanes
        L, a power of two.

    Members
    -------
    start : begin with the first group; the inputs below are constant from now on to the end.
    low, mid_period, mid_count, high_period : of the formula.
    step : go on to the next group; from the cycle after ``start`` on.
    channel : of lane 0.
    """

    def __init__(self, *, lanes: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "low": In(16),
                "mid_period": In(32),
                "mid_count": In(16),
                "high_period": In(32),
                "step": In(1),
                "channel": Out(CHANNEL_BITS),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count every period down, and its term up."""
        m = Module()
        low_term, mid_term, high_term, high_step = (
            Signal(CHANNEL_BITS, name=f"{n}_term") for n in ("low", "mid", "high", "step")
        )
        mid, mid_left, high_left = Signal(16), Signal(32), Signal(32)
        m.d.comb += self.channel.eq(low_term + mid_term + high_term)
        with m.If(self.start):
            m.d.sync += [
                low_term.eq(0),
                mid_term.eq(0),
                high_term.eq(0),
                high_step.eq(self.low * self.mid_count),
                mid.eq(0),
            ]
            m.d.sync += [mid_left.eq(self.mid_period), high_left.eq(self.high_period)]
        with m.Elif(self.step):
            m.d.sync += low_term.eq((low_term + self._lanes) & (self.low - 1)[:16])
            m.d.sync += [mid_left.eq(mid_left - self._lanes), high_left.eq(high_left - self._lanes)]
            with m.If(_at_most(mid_left, self._lanes)):
                wraps = mid + 1 == self.mid_count
                m.d.sync += [mid.eq(Mux(wraps, 0, mid + 1)), mid_term.eq(Mux(wraps, 0, mid_term + self.low))]
                m.d.sync += mid_left.eq(self.mid_period)
            with m.If(_at_most(high_left, self._lanes)):
                m.d.sync += [high_term.eq(high_term + high_step), high_left.eq(self.high_period)]
        return m


class SampleWalker(wiring.Component):
    """Which samples of each group are real.

    sample(p) = p // period * 8 + p % 64 // 8; the period is a multiple of L or not below the number of elements.

    Parameters
    ----------
    lanes
        L, a power of two up to 64.

    Members
    -------
    start : begin with the first group; the inputs below are constant from now on to the end.
    samples : those that are real, the first ones; 0 for all.
    period : elements from one block of eight samples to the next.
    step : go on to the next group; from the cycle after ``start`` on.
    real : bit n: the lanes 8 n to 8 n + 7, or all of fewer, hold elements of a real sample.
    """

    def __init__(self, *, lanes: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "start": In(1),
                "samples": In(24),
                "period": In(32),
                "step": In(1),
                "real": Out(samples_together(lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Count the period down, and samples up."""
        m = Module()
        first, left, element = Signal(32), Signal(32), Signal(range(BLOCK))
        row = element[_ROW_BITS:]
        for n in range(samples_together(self._lanes)):
            m.d.comb += self.real[n].eq((self.samples == 0) | (first + (row + n)[:3] < self.samples))
        with m.If(self.start):
            m.d.sync += [first.eq(0), element.eq(0), left.eq(self.period)]
        with m.Elif(self.step):
            m.d.sync += [element.eq(element + self._lanes), left.eq(left - self._lanes)]
            with m.If(_at_most(left, self._lanes)):
                m.d.sync += [first.eq(first + ROW), left.eq(self.period)]
        return m


def _at_most(left: Value, lanes: int) -> Value:
    """Whether a number is at most a power of two: without the carry chain that a comparison becomes."""
    return ~left[lanes.bit_length() - 1 :].any() | (left == lanes)


def spread(m: Module, words: Any, low: Value, first: Value, *, name: str) -> Any:
    """Give every lane its channel's word: one level of two-way choices per bit of a lane's number.

    Parameters
    ----------
    words
        Line of as many words as there are lanes.
    low
        Power of two: channels before they repeat.
    first
        Place in the line of lane 0's word, a multiple of min(low, lanes).

    Returns
    -------
    View
        Lane l has ``words[first + l % low]``.
    """
    lanes = words.shape().length
    width = len(words.as_value()) // lanes
    line = [words.as_value()[width * n : width * (n + 1)] for n in range(lanes)]
    for bit in reversed(range(lanes.bit_length() - 1)):
        repeats = low[: bit + 1].any()
        following = []
        for lane in range(lanes):
            word = Signal(width, name=f"{name}_{bit}_{lane}")
            upper = Mux(repeats, first[bit], lane >> bit & 1)
            m.d.comb += word.eq(Mux(upper, line[lane | 1 << bit], line[lane & ~(1 << bit)]))
            following.append(word)
        line = following
    return data.View(words.shape(), Cat(line))


def channel_misaligned(command: Any, lanes: int, together: Value) -> Value:
    """Whether a group's channels are not a power of two of neighbours in one line of PRM.

    Parameters
    ----------
    together
        Power of two: elements in which a period must not end.
    """
    low_mask = (command.channel_low - 1)[:16]
    wide_mask = low_mask & (lanes - 1)
    periods = (command.channel_mid_period, command.channel_high_period)
    return (
        (command.channel_low & low_mask).any()
        | ((command.parameter | command.channels) & wide_mask).any()
        | Cat((period & (together - 1)).any() & (period < command.count) for period in periods).any()
    )
