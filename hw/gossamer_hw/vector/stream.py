"""Operations on elements of one place: FILL, DRAIN, APPLY, GRADIENT, UPDATE."""

from itertools import pairwise
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed_flags
from gossamer_hw.numerics.formats import Half
from gossamer_hw.vector.ports import PRM_READS, borrower_members, unit_members
from gossamer_hw.vector.reduce_rows import drained_layout
from gossamer_hw.vector.stream_channels import ROW, ChannelWalker, SampleWalker, samples_together, spread
from gossamer_hw.vector.stream_lane import StreamLane
from gossamer_hw.vector.stream_operands import PATH_MODULE, StreamPath, controls_of, has
from gossamer_hw.vector.stream_pairs import Group, PairReader
from gossamer_hw.vector.stream_sums import SumReader
from gossamer_hw.vector.stream_writer import Output, StreamWriter
from gossamer_hw.vector.update import UpdateReader
from gossamer_hw.verilog import add_shared
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Format, VectorFlag, VectorOp

__all__ = ["StreamUnit"]

_TAIL_CYCLES = PairReader.lead + StreamLane.latency + 2
"""From a reader's ``final`` to the last write: the second group of a pair, its way through a lane, fp16."""

_ROUNDED_CYCLES = SumReader.lead + StreamLane.latency + 1
"""From DRAIN's ``final`` to the cycle in which its last group is there in fp16."""

_EXTRA_DELAY = 1
"""Puts the writes of a second output between those of the first, whether pairs take two or three cycles."""


class StreamUnit(wiring.Component):
    """FILL, DRAIN, APPLY, GRADIENT and UPDATE on L lanes.

    :func:`gossamer_models.timing.vector_stream.stream_cycles` has their cycles.
    A reader gives a group of L elements in a cycle; the lanes take it through y = (x0 y0 + x1 y1) + u; the writer puts
    results into lines. UPDATE goes through the lanes four times. The instruction must be legal. With STATISTICS another
    unit takes what is drained, and says when the instruction is done.

    Parameters
    ----------
    architecture
        Lanes, columns and buffer sizes count.

    Members
    -------
    drained : results of DRAIN with STATISTICS.
    borrowed : lanes that another unit has, a bit each, from the cycle behind its start on.
    operands, lent : what it gives them, and what they give it.
    Others as :func:`~gossamer_hw.vector.ports.unit_members` says.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._lanes = lanes = architecture.vector.lanes
        self._feeds_array = architecture.vector.feeds_array
        super().__init__(
            {
                **unit_members(architecture),
                "drained": Out(drained_layout(lanes)),
                "borrowed": In(lanes),
                **wiring.Signature(borrower_members(lanes)).flip().members,
            }
        )
        vin_lines, vout_lines = 1 << len(self.vin.address), 1 << len(self.vout.address)
        self._pairs = PairReader(lanes=lanes, lines=vin_lines)
        self._sums = SumReader(lanes=lanes, columns=architecture.array.columns, words=1 << len(self.acc.address))
        self._update = UpdateReader(lanes=lanes, lines=vin_lines)
        self._channels = ChannelWalker(lanes=lanes)
        self._samples = SampleWalker(lanes=lanes)
        self._writer = StreamWriter(lanes=lanes, lines=vout_lines)
        self._paths = [StreamPath() for _ in range(lanes)]

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire readers, lanes and writer."""
        m = Module()
        for name in ("pairs", "sums", "update", "channels", "samples", "writer"):
            m.submodules[name] = getattr(self, f"_{name}")
        for n, path in enumerate(self._paths):
            add_shared(m, platform, path, name=f"path_{n}", module=PATH_MODULE)
            m.d.comb += [
                path.borrowed.eq(self.borrowed[n]),
                path.operands.eq(self.operands[n]),
                self.lent[n].eq(path.lent),
            ]
        self._start_readers(m)
        m.d.comb += self.done.eq(
            delayed_flags(m, self._pairs.final | self._sums.final | self._update.final, _TAIL_CYCLES, name="final")
        )
        group = Signal(Group)
        m.d.comb += group.eq(self._pairs.group.as_value() | self._sums.group.as_value())
        output = self._outputs(m, group)
        self._feed(m)
        self._finish(m, output)
        self._extra(m, group)
        writer, counts = self._writer, has(self.command, VectorFlag.STATISTICS)
        m.d.comb += [
            self.drained.valid.eq(writer.rounded.half & counts),
            self.drained.halves.eq(writer.rounded_halves),
            self.drained.final.eq(delayed_flags(m, self._sums.final & counts, _ROUNDED_CYCLES, name="drained")),
        ]
        return m

    def _start_readers(self, m: Module) -> None:
        """Give each reader and walker its part of the instruction, and VIN to the one at work."""
        c, pairs, update = self.command, self._pairs, self._update
        log2_line = (4 * self._lanes).bit_length() - 1
        lines = [c[name][log2_line:] for name in ("source0", "source1", "source2")]
        updates, drains = c.op == VectorOp.UPDATE, c.op == VectorOp.DRAIN
        gradient = c.op == VectorOp.GRADIENT
        m.d.comb += [
            pairs.start.eq(self.start & ~updates & ~drains),
            update.start.eq(self.start & updates),
            self._sums.start.eq(self.start & drains),
            *(reader.count.eq(c.count) for reader in (pairs, update, self._sums)),
            *(source.eq(line) for source, line in zip(pairs.source, lines, strict=True)),
            update.weights.eq(lines[0]),
            update.velocities.eq(lines[1]),
            update.gradients.eq(lines[2]),
            update.keep.eq(c.keep),
            update.of.eq(c.of),
            self._sums.source.eq(c.source0),
            self.acc.enable.eq(self._sums.acc.enable),
            self.acc.address.eq(self._sums.acc.address),
            self._sums.acc.data.eq(self.acc.data),
            self.vin.enable.eq(pairs.vin.enable | update.vin.enable),
            self.vin.address.eq(Mux(updates, update.vin.address, pairs.vin.address)),
            pairs.vin.data.eq(self.vin.data),
            update.vin.data.eq(self.vin.data),
        ]
        # There a cycle before the start, as the command is.
        m.d.sync += [
            pairs.used[0].eq(c.op != VectorOp.FILL),
            pairs.used[1].eq(Mux(gradient, has(c, VectorFlag.AFFINE), has(c, VectorFlag.RESIDUAL))),
            pairs.used[2].eq(has(c, VectorFlag.MASK)),
        ]

    def _parameters(self, m: Module) -> list[Any]:
        """Each lane's parameters, together with the group that they belong to; shape [vector][lane]."""
        c, channels = self.command, self._channels
        ahead = Signal(Group)
        m.d.comb += [
            ahead.eq(self._pairs.ahead.as_value() | self._sums.ahead.as_value()),
            channels.start.eq(self.start),
            channels.low.eq(c.channel_low),
            channels.mid_period.eq(c.channel_mid_period),
            channels.mid_count.eq(c.channel_mid_count),
            channels.high_period.eq(c.channel_high_period),
            channels.step.eq(ahead.valid),
        ]
        spreads = []
        log2_lanes = self._lanes.bit_length() - 1
        for n in range(PRM_READS):
            base, word = Signal(24, name=f"parameter_{n}"), Signal(24, name=f"word_{n}")
            with m.If(self.start):
                m.d.sync += base.eq(c.parameter + (0, c.channels, c.channels << 1)[n])
            m.d.comb += [
                word.eq(base + channels.channel),
                self.prm[n].enable.eq(ahead.valid & has(c, VectorFlag.AFFINE)),
                self.prm[n].address.eq(word[log2_lanes:]),
            ]
            line = Signal(self.prm[n].data.shape(), name=f"line_{n}", reset_less=True)
            m.d.sync += line.eq(self.prm[n].data)
            first = delayed_flags(m, word[:log2_lanes], PairReader.lead, name=f"first_{n}")
            spreads.append(spread(m, line, c.channel_low, first, name=f"spread_{n}"))
        return spreads

    def _outputs(self, m: Module, group: Any) -> list[Any]:
        """What becomes of the groups that entered the lanes 0, 1, ... cycles ago."""
        c, update, samples = self.command, self._update, self._samples
        layout = data.StructLayout({"output": Output, "real": samples_together(self._lanes)})
        outputs = [Signal(layout, name=f"output_{n}") for n in range(StreamLane.latency + 1)]
        single = Mux(c.op == VectorOp.FILL, c.format, Mux(c.op == VectorOp.DRAIN, c.format, 0)) == Format.FP32
        odd = Signal()
        entering = outputs[0].output
        m.d.comb += [
            samples.start.eq(self.start),
            samples.samples.eq(c.samples),
            samples.period.eq(c.sample_period),
            samples.step.eq(group.valid | update.passing[2]),
            # The last pass of a group enters when the one before it leaves.
            outputs[0].real.eq(Mux(update.passing[3], outputs[-1].real, samples.real)),
            entering.single.eq((group.valid & single) | update.passing[2:].any()),
            entering.second.eq(update.passing[2]),
            entering.half.eq((group.valid & ~single) | update.passing[3]),
            entering.odd.eq(Mux(group.valid, group.odd, odd)),
            entering.last.eq(Mux(group.valid, group.last, update.last)),
        ]
        with m.If(self.start):
            m.d.sync += odd.eq(0)
        with m.Elif(update.passing[3]):
            m.d.sync += odd.eq(~odd)
        m.d.sync += [late.eq(before) for before, late in pairwise(outputs)]
        return outputs

    def _feed(self, m: Module) -> None:
        """Give every lane what it may compute from."""
        pairs, sums, update = self._pairs, self._sums, self._update
        controls = controls_of(m, self.command, update.passing, self.obeyed)
        parameters = self._parameters(m)
        taken = update.passing[1] & has(self.command, VectorFlag.SR_STE)
        take = delayed_flags(m, taken, StreamLane.take_delay, name="take")
        for n, path in enumerate(self._paths):
            inputs = path.inputs
            m.d.comb += [
                path.controls.eq(controls),
                path.take.eq(take),
                *(half.eq(source[n]) for half, source in zip(inputs.halves, pairs.halves, strict=True)),
                inputs.single.eq(sums.singles[n]),
                *(parameter.eq(vector[n]) for parameter, vector in zip(inputs.parameters, parameters, strict=True)),
                inputs.weight.eq(update.weight[n]),
                inputs.line.eq(update.line[n]),
                inputs.kept.eq(update.kept[n]),
            ]

    def _finish(self, m: Module, outputs: list[Any]) -> None:
        """Clip, look for what is not finite, mask, write."""
        c, writer, leaving = self.command, self._writer, outputs[-1]
        log2_line, log2_lanes = (4 * self._lanes).bit_length() - 1, self._lanes.bit_length() - 1
        tail = ((c.count - 1)[:log2_lanes] + 1)[: log2_lanes + 1]
        m.d.comb += [
            writer.start.eq(self.start),
            *(target.eq(c[f"target{n}"][log2_line:]) for n, target in enumerate(writer.target)),
            writer.half_target.eq(Mux(c.op == VectorOp.UPDATE, 2, 0)),
            writer.tail.eq(tail),
            writer.output.eq(leaving.output),
            self.vout.address.eq(writer.vout.address),
            self.vout.data.eq(writer.vout.data),
            self.vout.mask.eq(writer.vout.mask),
        ]
        self._write(m, log2_line)
        infinite = []
        clips = has(c, VectorFlag.RELU)
        caps = has(c, VectorFlag.SIX) & (c.op != VectorOp.GRADIENT)
        for n, path in enumerate(self._paths):
            value = path.result
            number = value.number
            clipped = clips & ~value.nan & (number.sign | ~Cat(number.mantissa, number.exponent).any())
            capped = caps & ~value.nan & ~number.sign & _reaches_six(number)
            counts = ~leaving.output.last | (n < tail)
            infinite.append(counts & ~clipped & ~capped & (value.nan | number.exponent.all()))
            real = leaving.real[n // ROW] & (c.op != VectorOp.FILL)
            m.d.comb += [
                writer.values[n].eq(value),
                writer.zero[n].eq(~real | clipped),
                writer.six[n].eq(capped),
            ]
        looked_at = (leaving.output.single | leaving.output.half) & (c.op == VectorOp.DRAIN)
        m.d.sync += self.set.eq(looked_at & Cat(infinite).any())

    def _write(self, m: Module, log2_line: int) -> None:
        """Write lines to VOUT, to A, or to both."""
        writer, c = self._writer, self.command
        if not self._feeds_array:
            m.d.comb += self.vout.enable.eq(writer.vout.enable)
            return
        to_a = has(c, VectorFlag.TO_A)
        m.d.comb += [
            self.vout.enable.eq(writer.vout.enable & (~to_a | has(c, VectorFlag.SECOND_OUTPUT))),
            self.a.enable.eq(writer.vout.enable & to_a),
            self.a.address.eq(c.target1[log2_line:] + writer.half_line),
            self.a.data.eq(writer.vout.data),
            self.a.mask.eq(writer.vout.mask),
        ]

    def _extra(self, m: Module, group: Any) -> None:
        """Write GRADIENT's second output."""
        writer = self._writer
        entering, extra = Signal(Output), Signal(data.ArrayLayout(Half, self._lanes), reset_less=True)
        wanted = group.valid & (self.command.op == VectorOp.GRADIENT) & has(self.command, VectorFlag.SECOND_OUTPUT)
        m.d.comb += [entering.half.eq(wanted), entering.odd.eq(group.odd), entering.last.eq(group.last)]
        real = self._samples.real
        m.d.sync += [
            half.eq(Mux(real[n // ROW], self._paths[n].gradient.as_value(), 0)) for n, half in enumerate(extra)
        ]
        m.d.comb += [
            writer.extra.eq(delayed_flags(m, entering.as_value(), _EXTRA_DELAY, name="extra")),
            writer.extra_halves.eq(extra),
        ]


def _reaches_six(number: Any) -> Value:
    """Whether a magnitude is at least 6: exponent field 129 and the mantissa's top bit; without a carry chain."""
    return number.exponent[7] & (number.exponent[1:7].any() | (number.exponent[0] & number.mantissa[-1]))
