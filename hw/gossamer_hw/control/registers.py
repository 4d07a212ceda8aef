"""The register block: :data:`gossamer_models.registers.REGISTERS` in hardware."""

from typing import Any

from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.control.axi_lite import AxiLiteBridge, AxiLiteSignature
from gossamer_models.architecture import Architecture
from gossamer_models.registers import (
    ADDRESS_BITS,
    ENGINES,
    REGISTER_SPACE_BYTES,
    REGISTERS,
    Access,
    Control,
    Fault,
    Interrupt,
    State,
    identification,
)

__all__ = ["COUNTER_BITS", "REGISTER_ADDRESS_BITS", "Registers", "results_layout", "settings_layout"]

COUNTER_BITS = 64
REGISTER_ADDRESS_BITS = (REGISTER_SPACE_BYTES - 1).bit_length()
_WORD_BITS = 32


def settings_layout() -> data.StructLayout:
    """Layout of what software sets, as in the register map.

    ``watchdog_written``: pulse in the first cycle in which ``watchdog`` is what was just written.
    """
    return data.StructLayout(
        {
            "program_base": ADDRESS_BITS,
            "program_stages": _WORD_BITS,
            "memory_size": ADDRESS_BITS,
            "watchdog": _WORD_BITS,
            "watchdog_written": 1,
        }
    )


def results_layout() -> data.StructLayout:
    """Layout of what software reads, as in the register map."""
    return data.StructLayout(
        {
            "state": State,
            "busy": len(ENGINES),
            "pending": len(ENGINES),
            "fault": Fault,
            "fault_engine": 3,
            "fault_index": 16,
            "stage": _WORD_BITS,
            "stages_done": _WORD_BITS,
            "executed": _WORD_BITS,
            "cycles": COUNTER_BITS,
            "busy_cycles": data.ArrayLayout(COUNTER_BITS, len(ENGINES)),
        }
    )


class Registers(wiring.Component):
    """Registers over AXI4-Lite.

    Parameters
    ----------
    architecture
        The build that the identification names.

    Members
    -------
    axi : the bus.
    command : pulses, as written to CONTROL.
    settings, results : see :func:`settings_layout` and :func:`results_layout`.
    ended : pulses that set bits of INTERRUPT_STATUS.
    clear : forget INTERRUPT_STATUS.
    irq : an enabled source is set.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._identification = identification(architecture)
        super().__init__(
            {
                "axi": In(AxiLiteSignature(REGISTER_ADDRESS_BITS)),
                "command": Out(len(Control)),
                "settings": Out(settings_layout()),
                "results": In(results_layout()),
                "ended": In(len(Interrupt)),
                "clear": In(1),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Connect every register of the map."""
        m = Module()
        m.submodules.bridge = bridge = AxiLiteBridge(address_bits=REGISTER_ADDRESS_BITS)
        wiring.connect(m, wiring.flipped(self.axi), bridge.axi)
        enable, happened = Signal(len(Interrupt)), Signal(len(Interrupt))
        written = {name: Signal(name=f"written_{name.lower()}") for name in REGISTERS}
        readable = self._readable(enable, happened)
        for name, register in REGISTERS.items():
            word = register.offset // 4
            m.d.comb += written[name].eq(bridge.write & (bridge.write_address == word))
            with m.If(bridge.read_address == word):
                m.d.comb += bridge.read_data.eq(readable.get(name, Const(0)))
            if register.access is Access.READ_WRITE:
                value = readable[name]
                with m.If(written[name]):
                    m.d.sync += value.eq((value & ~bridge.write_mask) | (bridge.write_data & bridge.write_mask))
        bits = bridge.write_data & bridge.write_mask
        m.d.sync += self.settings.watchdog_written.eq(written["WATCHDOG"])
        m.d.comb += [
            self.command.eq(Mux(written["CONTROL"], bits, 0)),
            self.irq.eq((enable & happened).any()),
        ]
        forgotten = Mux(written["INTERRUPT_STATUS"], bits, 0) | self.clear.replicate(len(happened))
        m.d.sync += happened.eq((happened & ~forgotten) | self.ended)
        return m

    def _readable(self, enable: Value, happened: Value) -> dict[str, Value]:
        """Values of all registers that can be read, by name."""
        settings, results = self.settings, self.results
        counters = {f"BUSY_{engine.name}": results.busy_cycles[place] for place, engine in enumerate(ENGINES)}
        status = {"STATE": results.state, "BUSY": results.busy, "PENDING": results.pending}
        wide = {
            "PROGRAM_BASE": settings.program_base,
            "MEMORY_SIZE": settings.memory_size,
            "CYCLES": results.cycles,
            **counters,
        }
        return {
            **{name: Const(value, _WORD_BITS) for name, value in self._identification.items()},
            **{f"{name}_LOW": value[:_WORD_BITS] for name, value in wide.items()},
            **{f"{name}_HIGH": value[_WORD_BITS:] for name, value in wide.items()},
            "STATUS": self._packed("STATUS", status),
            "FAULT": self._packed("FAULT", {"CODE": results.fault, "ENGINE": results.fault_engine}),
            "INTERRUPT_ENABLE": enable,
            "INTERRUPT_STATUS": happened,
            "PROGRAM_STAGES": settings.program_stages,
            "WATCHDOG": settings.watchdog,
            "FAULT_INDEX": results.fault_index,
            "STAGE": results.stage,
            "STAGES_DONE": results.stages_done,
            "EXECUTED": results.executed,
        }

    @staticmethod
    def _packed(name: str, values: dict[str, Any]) -> Value:
        """Register with its fields in their places."""
        parts: list[Value] = []
        for field in REGISTERS[name].fields:
            parts.append(Const(0, field.offset_bits - len(Cat(parts))))
            parts.append(Cat(values[field.name])[: field.width_bits])
        return Cat(parts)
