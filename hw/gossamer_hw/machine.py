"""The whole machine: control unit, engines and scratchpads between an AXI4-Lite slave and an AXI4 master."""

from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, ResetInserter, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from gossamer_hw.axi import AxiReadSignature, AxiWriteSignature
from gossamer_hw.control.axi_lite import AxiLiteSignature
from gossamer_hw.control.control import Control
from gossamer_hw.control.registers import REGISTER_ADDRESS_BITS
from gossamer_hw.dma.load import LoadEngine
from gossamer_hw.dma.store import StoreEngine
from gossamer_hw.gemm.engine import GemmEngine
from gossamer_hw.prune.engine import PruneEngine
from gossamer_hw.scratchpads.scratchpads import Scratchpads
from gossamer_hw.vector.engine import VectorEngine
from gossamer_hw.verilog import VerilogTarget
from gossamer_models.architecture import Architecture
from gossamer_models.registers import ENGINES
from gossamer_models.rtl_limits import require_rtl

__all__ = ["MASTER", "SLAVE", "Machine", "events_layout"]

MASTER = "m_axi_"
SLAVE = "s_axil_"


def events_layout() -> data.StructLayout:
    """Layout of what happens in a cycle, for benches.

    Members
    -------
    accepted, done : bit per engine, in the order of :data:`~gossamer_models.registers.ENGINES`: it takes, it ends an
        instruction.
    rewind : a stage begins; the one before ended in the cycle before.
    """
    engines = unsigned(len(ENGINES))
    return data.StructLayout({"accepted": engines, "done": engines, "rewind": 1})


class Machine(wiring.Component):
    """Runs Programs that lie in DRAM.

    Parameters
    ----------
    architecture
        What to build, with one memory port.

    Members
    -------
    s_axil_... : registers, see :mod:`gossamer_models.registers`.
    m_axi_... : DRAM, without IDs; the fetch of instructions and the load engine take turns on the read channels.
    irq : interrupt, a level.

    Attributes
    ----------
    events : a signal, not a port; see :func:`events_layout`.

    Raises
    ------
    ValueError
        The machine cannot be built with these parameters.
    """

    def __init__(self, architecture: Architecture) -> None:
        require_rtl(architecture)
        self._control = Control(architecture)
        self._gemm, self._prune = GemmEngine(architecture), PruneEngine(architecture)
        self._load, self._store = LoadEngine(architecture), StoreEngine(architecture)
        self._vector = VectorEngine(architecture)
        self._scratchpads = Scratchpads(architecture, self._gemm, self._prune)
        self.events = Signal(events_layout())
        width_bytes = architecture.memory.port_bits // 8
        masters = {**AxiReadSignature(width_bytes).members, **AxiWriteSignature(width_bytes).members}
        slave = AxiLiteSignature(REGISTER_ADDRESS_BITS).flip().members
        super().__init__(
            {
                **{SLAVE + name: member for name, member in slave.items()},
                **{MASTER + name: member for name, member in masters.items()},
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: Any) -> Elaboratable:
        """Wire the parts."""
        m = Module()
        m.submodules.control = control = self._control
        clear = ResetInserter(control.clear)
        if isinstance(platform, VerilogTarget):
            platform.clear = control.clear
        parts = {engine.name.lower(): getattr(self, f"_{engine.name.lower()}") for engine in ENGINES}
        for name, part in {**parts, "scratchpads": self._scratchpads}.items():
            m.submodules[name] = clear(part)
        m.d.comb += self.irq.eq(control.irq)
        _lead(m, self, SLAVE, control.s_axil)
        for place, (name, engine) in enumerate(parts.items()):
            self._engine(m, place, name, engine)
        self._memory(m)
        self._load_port(m)
        self._store_port(m)
        self._vector_ports(m)
        self._prune_ports(m)
        return m

    def _engine(self, m: Module, place: int, name: str, engine: Any) -> None:
        """Instructions from the control unit, and what the engine says of them."""
        instruction = getattr(self._control, f"{name}_instruction")
        m.d.comb += [
            # Both sides make their layout from the same declaration.
            engine.instruction.payload.as_value().eq(instruction.payload.as_value()),
            engine.instruction.valid.eq(instruction.valid),
            instruction.ready.eq(engine.instruction.ready),
            engine.rewind.eq(self._control.rewind),
            self.events.accepted[place].eq(instruction.valid & instruction.ready),
            self.events.done[place].eq(engine.done),
            self.events.rewind.eq(self._control.rewind),
        ]
        # Registers beside the engine's own: they lie on the long way from an engine to all that waits for its end.
        done, fault = getattr(self._control, f"{name}_done"), getattr(self._control, f"{name}_fault")
        ended, failed = Signal(name=f"{name}_ended"), Signal.like(fault, name=f"{name}_failed")
        m.d.comb += [done.eq(ended), fault.eq(failed)]
        m.d.sync += [ended.eq(engine.ending & ~self._control.clear), failed.eq(engine.failing)]

    def _memory(self, m: Module) -> None:
        """Fetch and load share the read channels: no engine is busy while instructions are fetched."""
        fetch, load, fetching = self._control.fetch, self._load.axi, self._control.fetching
        for name, member in load.signature.members.items():
            port, ours, theirs = getattr(self, MASTER + name), getattr(fetch, name), getattr(load, name)
            if member.flow is Out:
                m.d.comb += port.eq(Mux(fetching, ours, theirs))
            elif name in ("arready", "rvalid"):
                m.d.comb += [ours.eq(port & fetching), theirs.eq(port & ~fetching)]
            else:
                m.d.comb += [ours.eq(port), theirs.eq(port)]
        _lead(m, self, MASTER, self._store.axi)
        for engine in (self._load, self._store):
            m.d.comb += [engine.stop.eq(self._control.stop), engine.memory_bytes.eq(self._control.memory_bytes)]

    def _load_port(self, m: Module) -> None:
        """From the load engine to all that it fills."""
        scratchpads, gemm = self._scratchpads, self._gemm
        m.d.comb += [
            scratchpads.load.eq(self._load.write),
            gemm.write_a.eq(scratchpads.gemm_a),
            gemm.write_values.eq(scratchpads.gemm_values),
            gemm.write_tags.eq(scratchpads.gemm_tags),
        ]

    def _store_port(self, m: Module) -> None:
        m.d.comb += [self._scratchpads.store.eq(self._store.read), self._store.data.eq(self._scratchpads.store_data)]

    def _vector_ports(self, m: Module) -> None:
        """Buffers and accumulators of the vector engine."""
        scratchpads, vector = self._scratchpads, self._vector
        for name in ("vin", "vout", "prm_write", *(("a",) if "a" in vector.signature.members else ())):
            wiring.connect(m, getattr(vector, name), getattr(scratchpads, f"vector_{name}"))
        for theirs, ours in zip(vector.prm, scratchpads.vector_prm, strict=True):
            wiring.connect(m, theirs, ours)
        m.d.comb += [
            self._gemm.accumulator_address.eq(Cat(vector.acc.address, vector.acc.half)),
            vector.acc.data.as_value().eq(self._gemm.accumulators),
        ]

    def _prune_ports(self, m: Module) -> None:
        scratchpads, prune = self._scratchpads, self._prune
        m.d.comb += [
            scratchpads.prune_enable.eq(prune.source_enable),
            scratchpads.prune_address.eq(prune.source_address),
            prune.source_words.eq(scratchpads.prune_words),
            scratchpads.prune_values.eq(prune.write_values),
            scratchpads.prune_metadata.eq(prune.write_metadata),
        ]


def _lead(m: Module, top: Any, prefix: str, port: Any) -> None:
    """Lead an interface out of the top."""
    for name, member in port.signature.members.items():
        outside, inside = getattr(top, prefix + name), getattr(port, name)
        m.d.comb += outside.eq(inside) if member.flow is Out else inside.eq(outside)
