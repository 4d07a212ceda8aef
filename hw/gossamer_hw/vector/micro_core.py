"""Registers and arithmetic of the microcoded processor."""

from typing import Any

import numpy as np
from amaranth.hdl import Array, Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import delayed
from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Relaxed, Single
from gossamer_hw.numerics.rounder import Parts, Scaled, SingleRounder, take_apart
from gossamer_hw.row_memory import NEVER_MEET
from gossamer_hw.vector.micro_code import CONSTANTS, REGISTERS, SCALARS, Operation, micro_layout
from gossamer_hw.vector.micro_units import Divider, negated
from gossamer_hw.vector.stream_lane import LENT_LATENCY, Lent, Operands
from gossamer_models.numerics.formats import bits32
from gossamer_models.numerics.special import EXP_HIGH, EXP_LOW, RSQRT
from gossamer_models.timing.vector_micro import MICRO_THREADS

__all__ = ["MicroCore"]

_THREAD_BITS = (MICRO_THREADS - 1).bit_length()
_STEP_BITS = (len(EXP_HIGH) - 1).bit_length()
_CELL_BITS = (len(RSQRT) // 2 - 1).bit_length()
_HEAD_DROPPED_BITS = 18
_BIAS = 127


class MicroCore(wiring.Component):
    """Eight threads of sixteen registers; a microinstruction's operation for one thread per cycle.

    Cycle 0: registers are read. 1: constants and signs. 2 to 6: the operation. 7: the result is written, so that the
    thread's next microinstruction, eight cycles later, finds it.

    Members
    -------
    issue, micro, thread : cycle 0: a microinstruction for a thread.
    scalars : the instruction's constants.
    loaded : cycle 5: what a load has brought.
    stored : cycle 2: operand a, for stores.
    operands, lent : cycles 1 and 6: to and from a multiplier and an adder of another unit.
    """

    stored_cycle = 2
    loaded_cycle = 5

    issue: In(1)
    micro: In(micro_layout())
    thread: In(_THREAD_BITS)
    scalars: In(data.ArrayLayout(Single, len(SCALARS)))
    loaded: In(Relaxed)
    stored: Out(Relaxed)
    operands: Out(Operands)
    lent: In(Lent)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the stages; `self._micro[n]` and `self._thread[n]` are the operation in cycle n."""
        m = Module()
        self._micro: list[Any] = [self.micro]
        self._thread: list[Any] = [self.thread]
        live: list[Any] = [self.issue]
        for n in range(1, 8):
            self._micro.append(Signal(micro_layout(), name=f"micro_{n}"))
            self._thread.append(Signal(_THREAD_BITS, name=f"thread_{n}"))
            live.append(Signal(name=f"live_{n}"))
            m.d.sync += [
                self._micro[n].eq(self._micro[n - 1]),
                self._thread[n].eq(self._thread[n - 1]),
                live[n].eq(live[n - 1]),
            ]
        self._chosen = Signal(MICRO_THREADS)
        written, result = Signal(), Signal(Single)
        self._registers(m, live[7] & written, result)
        m.d.comb += self.stored.eq(self._a)
        simple = self._simple(m, live[2])
        parts = self._parts(m)
        table = self._table(m, parts)
        scaled = self._scale(m, parts, live[3])
        operation = self._micro[6].operation
        chosen, loaded = Signal(Relaxed), delayed(m, self.loaded, 1, name="loaded")
        with m.Switch(operation):
            for numbers, value in (
                ((Operation.ADD,), self.lent.sum),
                ((Operation.MULTIPLY,), self.lent.product),
                ((Operation.SIGNIFICAND, Operation.HEAD, Operation.ROOT_TABLE, Operation.EXP_HIGH,
                  Operation.EXP_LOW), table),
                ((Operation.SCALE_EXP, Operation.SCALE_ROOT, Operation.QUOTIENT), scaled),
                ((Operation.LOAD_PARAMETER, Operation.LOAD_HALF, Operation.LOAD_SINGLE), loaded),
            ):  # fmt: skip
                with m.Case(*numbers):
                    m.d.comb += chosen.eq(value)
            with m.Default():
                m.d.comb += chosen.eq(simple)
        m.d.sync += [
            result.eq(canonical(m, chosen)),
            written.eq(
                self._micro[6].writes
                & ((operation != Operation.MOVE_CHOSEN) | self._chosen.bit_select(self._thread[6], 1))
            ),
        ]
        return m

    def _registers(self, m: Module, written: Value, result: data.View) -> None:
        """Cycles 0, 1 and 7: registers, constants, signs; operands of cycle 2, for the other unit a cycle before."""
        # What is written belongs to another thread than what is read.
        m.submodules.file = file = memory.Memory(
            shape=Single, depth=REGISTERS * MICRO_THREADS, init=[], attrs=NEVER_MEET
        )
        write, reads = file.write_port(), [file.read_port() for _ in range(2)]
        micro = self._micro[1]
        m.d.comb += [
            write.en.eq(written),
            write.addr.eq(Cat(self._micro[7].d, self._thread[7])),
            write.data.eq(result),
        ]
        for read, number in zip(reads, (self.micro.a, self.micro.b), strict=True):
            m.d.comb += [read.en.eq(1), read.addr.eq(Cat(number, self.thread))]
        patterns: list[Any] = [Const(int(bits32(np.array(value, np.float32))), 32) for value in CONSTANTS.values()]
        patterns[-len(SCALARS) :] = [self.scalars[n].as_value() for n in range(len(SCALARS))]
        b = Signal(Single)
        m.d.comb += b.eq(Mux(micro.constant, Array(patterns)[micro.b], reads[1].data.as_value()))
        self._a, self._b = Signal(Relaxed, name="a"), Signal(Relaxed, name="b")
        m.d.comb += [
            self.operands.a.eq(negated(m, relax(m, reads[0].data), micro.minus_a)),
            self.operands.b.eq(negated(m, relax(m, b), micro.minus_b)),
        ]
        m.d.sync += [self._a.eq(self.operands.a), self._b.eq(self.operands.b)]

    def _simple(self, m: Module, live: Value) -> Any:
        """Cycle 2: what needs no more than a comparison; its result in cycle 6."""
        a, b, operation = self._a, self._b, self._micro[2].operation
        result = Signal(Relaxed, name="simple")
        a_magnitude, b_magnitude = (Cat(x.number.mantissa, x.number.exponent) for x in (a, b))
        both_zero = ~(a_magnitude | b_magnitude).any()
        above = Mux(a.number.sign, a_magnitude < b_magnitude, a_magnitude > b_magnitude)
        greater = Mux(a.number.sign ^ b.number.sign, b.number.sign & ~both_zero, above)
        equal = ((a.number.as_value() == b.number.as_value()) | both_zero) & ~a.nan & ~b.nan
        m.d.comb += result.eq(b)
        with m.Switch(operation):
            with m.Case(Operation.MAXIMUM):
                m.d.comb += result.eq(Mux(a.nan | (greater & ~b.nan), a.as_value(), b.as_value()))
            with m.Case(Operation.RECTIFY):
                m.d.comb += result.eq(Mux(a.nan | ~a.number.sign, a.as_value(), 0))
            with m.Case(Operation.CHOOSE):
                m.d.comb += [
                    result.eq(0),
                    result.number.sign.eq(1),
                    result.number.exponent.eq(Mux(equal, _BIAS, 0)),
                ]
                with m.If(live):
                    m.d.sync += self._chosen.bit_select(self._thread[2], 1).eq(equal)
        return delayed(m, result, LENT_LATENCY - 1, name="simple")

    def _parts(self, m: Module) -> Any:
        """Cycle 3: the operand that is taken apart."""
        of_b = Signal()
        m.d.sync += of_b.eq(self._micro[1].operation == Operation.SCALE_ROOT)
        operand = Signal(Relaxed, name="apart")
        m.d.comb += operand.eq(Mux(of_b, self._b.as_value(), self._a.as_value()))
        parts = Signal(Parts, name="parts_3")
        m.d.sync += parts.eq(take_apart(m, operand))
        return parts

    def _table(self, m: Module, parts: Any) -> Any:
        """Cycles 3 and 4: significands and tables; the result in cycle 6."""
        operation = self._micro[3].operation
        tables = np.concatenate([RSQRT, EXP_HIGH, EXP_LOW])
        rom = memory.Memory(shape=Single, depth=len(tables), init=[_fields(int(word)) for word in bits32(tables)])
        m.submodules.tables = rom
        read = rom.read_port()
        step = delayed(m, self._a.number.mantissa, 1, name="step")[:_STEP_BITS]
        significand = Signal(Relaxed)
        drop = Mux(operation == Operation.HEAD, Const(-1 << _HEAD_DROPPED_BITS, 23), Const(-1, 23))
        odd = parts.exponent[0]
        m.d.comb += [
            read.en.eq(1),
            read.addr.eq(
                Mux(
                    operation == Operation.ROOT_TABLE,
                    Cat(parts.mantissa[-_CELL_BITS:], odd),
                    len(RSQRT) + Cat(step, operation == Operation.EXP_LOW),
                )
            ),
            significand.number.mantissa.eq(parts.mantissa & drop),
            significand.number.exponent.eq(_BIAS + odd),
        ]
        looked = Signal(Relaxed)
        later = self._micro[4].operation
        kept = delayed(m, significand, 1, name="significand")
        is_significand = (later == Operation.SIGNIFICAND) | (later == Operation.HEAD)
        m.d.comb += looked.eq(Mux(is_significand, kept.as_value(), Cat(read.data.as_value(), 0)))
        return delayed(m, looked, 2, name="looked")

    def _scale(self, m: Module, parts: Any, live: Value) -> Any:
        """Cycle 3: powers of two and quotients; the result, rounded, in cycle 6."""
        m.submodules.divider, m.submodules.rounder = divider, rounder = Divider(), SingleRounder()
        operation = self._micro[3].operation
        a, b = delayed(m, self._a, 1, name="scaled_a"), delayed(m, self._b, 1, name="scaled_b")
        scaled = Signal(Scaled)
        m.d.comb += [
            divider.start.eq(live & (operation == Operation.DIVIDE)),
            divider.dividend.eq(parts),
            divider.divisor.eq(b),
            scaled.significand.eq(Cat(Const(0, 4), a.number.mantissa, 1)),
            scaled.sign.eq(a.number.sign),
            rounder.scaled.eq(scaled),
        ]
        with m.Switch(operation):
            with m.Case(Operation.QUOTIENT):
                m.d.comb += scaled.eq(divider.quotient)
            with m.Case(Operation.SCALE_EXP):
                power = b.number.mantissa[_STEP_BITS : _STEP_BITS + 9].as_signed()
                m.d.comb += [scaled.exponent.eq(a.number.exponent + power), scaled.nan.eq(a.nan)]
            with m.Case(Operation.SCALE_ROOT):
                m.d.comb += [
                    scaled.exponent.eq(a.number.exponent - (parts.exponent >> 1)),
                    scaled.nan.eq(parts.nan | (parts.sign & ~parts.zero)),
                    scaled.infinite.eq(parts.zero),
                    scaled.sign.eq(parts.sign),
                ]
                with m.If(parts.infinite):
                    m.d.comb += scaled.significand.eq(0)
        return rounder.rounded


def _fields(word: int) -> dict[str, int]:
    """Fields of a binary32 pattern."""
    return {"mantissa": word & 0x7FFFFF, "exponent": word >> 23 & 0xFF, "sign": word >> 31}
