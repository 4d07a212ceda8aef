"""A component of fixed latency between two AXI4-Stream ports."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.verilog import Held

__all__ = ["Field", "StreamUnit"]

_BYTE = 8


@dataclass(frozen=True, slots=True)
class Field:
    """A member of the component in ``tdata``, from bit `offset` on; every field begins with a byte."""

    name: str
    offset: int
    bits: int


class StreamUnit(wiring.Component):
    """What a component makes of a stream, under backpressure.

    The component stands still while its result waits for ``m_axis_tready``: it runs behind an enable. Nothing is lost,
    doubled or reordered, and a stream that never waits passes in the component's own latency, one item per cycle.

    Parameters
    ----------
    core
        Takes its inputs in one cycle. Its member ``valid`` says which inputs are items, if it is an input, or which
        cycles give results, if it is an output; so does ``found``. Where neither does, a result follows its item by
        ``core.latency``. A core with ``ready`` lets items wait; one with ``step`` is told when it must stand still.
    inputs, outputs
        Members of the core in ``s_axis_tdata`` and ``m_axis_tdata``, lowest first.
    settings
        Inputs of the core that are ports beside the streams; they change only while the unit is empty.
    paced
        The core moves on only with items: for cores in which a cycle without an item would count.

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready : items, see :attr:`input_fields`.
    m_axis_tdata, m_axis_tvalid, m_axis_tready : results, see :attr:`output_fields`.
    """

    def __init__(
        self,
        core: Any,
        *,
        inputs: Iterable[str],
        outputs: Iterable[str],
        settings: Iterable[str] = (),
        paced: bool = False,
    ) -> None:
        self._core = core
        self._settings = tuple(settings)
        self._paced = paced
        self.input_fields = _fields(core, inputs)
        self.output_fields = _fields(core, outputs)
        super().__init__(
            {
                "s_axis_tdata": In(_width(self.input_fields)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "m_axis_tdata": Out(_width(self.output_fields)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                **{name: In(bits) for name, bits in self.setting_bits.items()},
            }
        )

    @property
    def setting_bits(self) -> dict[str, int]:
        """Width of every setting's port."""
        return {name: len(Value.cast(getattr(self._core, name))) for name in self._settings}

    def elaborate(self, platform: Any) -> Elaboratable:
        """Put the component behind an enable."""
        m = Module()
        core = self._core
        step, free = Signal(), Signal()
        m.submodules.core = Held(step, core)
        m.d.comb += [
            free.eq(~self.m_axis_tvalid | self.m_axis_tready),
            step.eq(free & (self.s_axis_tvalid if self._paced else 1)),
            self.s_axis_tready.eq(free & self._optional("ready", 1)),
        ]
        if "step" in core.signature.members:
            m.d.comb += core.step.eq(step)
        for field in self.input_fields:
            m.d.comb += _port(core, field).eq(self.s_axis_tdata[field.offset : field.offset + field.bits])
        for field in self.output_fields:
            m.d.comb += self.m_axis_tdata[field.offset : field.offset + field.bits].eq(_port(core, field))
        m.d.comb += [Value.cast(getattr(core, name)).eq(getattr(self, name)) for name in self._settings]
        result = self._result(m, step)
        # A core that moves on only with items would offer its last result twice.
        taken = Signal()
        with m.If(step):
            m.d.sync += taken.eq(0)
        with m.Elif(self.m_axis_tvalid & self.m_axis_tready):
            m.d.sync += taken.eq(1)
        m.d.comb += self.m_axis_tvalid.eq(result & ~taken)
        return m

    def _optional(self, name: str, otherwise: int) -> Any:
        return getattr(self._core, name) if name in self._core.signature.members else otherwise

    def _result(self, m: Module, step: Signal) -> Value:
        """Return whether the core shows a result."""
        members = self._core.signature.members
        if "valid" in members and members["valid"].flow is Out:
            return Value.cast(self._core.valid)
        if "valid" in members:
            m.d.comb += self._core.valid.eq(self.s_axis_tvalid)
        if "found" in members:
            return Value.cast(self._core.found)
        ages = [self.s_axis_tvalid]
        for age in range(self._core.latency):
            ages.append(Signal(name=f"valid_{age}"))
            with m.If(step):
                m.d.sync += ages[-1].eq(ages[-2])
        return ages[-1]


def _fields(core: Any, names: Iterable[str]) -> tuple[Field, ...]:
    fields: list[Field] = []
    for name in names:
        offset = fields[-1].offset + -(-fields[-1].bits // _BYTE) * _BYTE if fields else 0
        fields.append(Field(name, offset, len(Value.cast(getattr(core, name)))))
    return tuple(fields)


def _width(fields: tuple[Field, ...]) -> int:
    return -(-(fields[-1].offset + fields[-1].bits) // _BYTE) * _BYTE


def _port(core: Any, field: Field) -> Value:
    return Value.cast(getattr(core, field.name))
