"""Memory models of the simulator: what a transfer costs, and how transfers that overlap slow each other."""

from collections.abc import Generator, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import simpy

from gossamer_models.architecture import Architecture, Memory
from gossamer_models.errors import InputError
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.timing.dma import TransferPlan
from gossamer_models.timing.dram import DDR4_2400, DramDevice, Epoch, epoch, shared_pace, units
from gossamer_models.timing.sequencer import barrier_cycles
from gossamer_models.timing.transfer import TransferShape, ideal_transfer_cycles, port_cycles, start_cycles
from gossamer_sim.lanes import Lanes
from gossamer_sim.scripted import ScriptedMemory

__all__ = ["MEMORY_MODELS", "Channel", "EpochMemory", "IdealMemory", "MemoryModel", "SharedChannel", "memory_model"]

MEMORY_MODELS = ("ideal", "ddr4", "scripted")


class MemoryModel(Hashable, Protocol):
    """Cost of a transfer that has the memory to itself.

    Members
    -------
    repeats : equal transfers cost the same whenever they come.
    """

    repeats: ClassVar[bool]

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, Epoch | TransferPlan | None]:
        """Cycles to the end, or to where the channel goes on with what stands beside them."""
        ...

    def channel(self, environment: simpy.Environment) -> "SharedChannel | None":
        """What a stage's transfers share, if anything."""
        ...

    def lanes(self) -> "Lanes | None":
        """The same where no clock runs; only called if transfers repeat."""
        ...

    def barrier_cycles(self, address: int, instructions: int) -> int:
        """Cycles from a stage's end to the next one's first dealing cycle; its header lies at ``address``."""
        ...


@dataclass(frozen=True, slots=True)
class IdealMemory:
    """Fixed latency, one beat per port and cycle; reads and writes do not meet."""

    memory: Memory
    repeats: ClassVar[bool] = True

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, None]:
        """Cycles from start to end, and no epoch."""
        return ideal_transfer_cycles(self.memory, transfer, shape), None

    def channel(self, environment: simpy.Environment) -> None:
        """Nothing is shared."""
        del environment

    def lanes(self) -> None:
        """Nothing is shared."""

    def barrier_cycles(self, address: int, instructions: int) -> int:
        """Cycles of a barrier, wherever the stage lies."""
        del address
        return barrier_cycles(self.memory, instructions)


@dataclass(frozen=True, slots=True)
class EpochMemory:
    """DRAM by the rules of :mod:`gossamer_models.timing.dram`."""

    architecture: Architecture
    device: DramDevice
    repeats: ClassVar[bool] = True

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, Epoch | None]:
        """Cycles to the first burst, and the epoch; none if nothing is in bounds."""
        ports = port_cycles(self.architecture.memory, transfer, shape)
        found = epoch(self.architecture, self.device, shape, start_cycles(transfer), ports)
        return found.latency_cycles, found if found.bursts else None

    def barrier_cycles(self, address: int, instructions: int) -> int:
        """Cycles of a barrier with the latency of ``ideal``."""
        del address
        return barrier_cycles(self.architecture.memory, instructions)

    def channel(self, environment: simpy.Environment) -> "Channel":
        """A channel at rest."""
        return Channel(environment, self)

    def lanes(self) -> "Lanes":
        """A channel at rest, without a clock."""
        base = units(self.device, self.architecture.clock_hz)
        return Lanes(base, lambda read, write: (shared_pace(self.device, base, read, write),) * 2)


class SharedChannel(Protocol):
    """What the transfers of a stage share."""

    def stream(self, work: Any, *, write: bool) -> simpy.Event:
        """Start a transfer's walk; the event fires in its last cycle."""
        ...

    def state(self, now: int) -> tuple[object, ...]:
        """All that decides the future of the transfers under way, in relative time."""
        ...


class Channel:
    """The channels (all alike, so one stands for them) with at most one read and one write on them.

    Between two events, the start or the end of an epoch, every active one advances at a constant pace, so its end
    is known in closed form. At an event a burst in progress counts as not begun.

    Parameters
    ----------
    environment : clock, in cycles.
    memory : device and machine.
    """

    def __init__(self, environment: simpy.Environment, memory: EpochMemory) -> None:
        self._environment = environment
        self._device = memory.device
        self._units = units(memory.device, memory.architecture.clock_hz)
        self._active: dict[bool, _Stream] = {}
        self._pace = 1
        self._since = 0

    def stream(self, work: Epoch, *, write: bool) -> simpy.Event:
        """Start streaming; the event fires in the cycle after the last burst."""
        self._advance()
        stream = _Stream(work, write, work.bursts, self._environment.event())
        self._active[write] = stream
        self._restart()
        return stream.done

    def state(self, now: int) -> tuple[object, ...]:
        """All that decides the future of the active epochs, in relative time."""
        if not self._active:
            return ()
        return now - self._since, *((write, s.epoch, s.bursts) for write, s in sorted(self._active.items()))

    def _advance(self) -> None:
        elapsed = int(self._environment.now) - self._since
        self._since += elapsed
        done = elapsed * self._units.per_cycle // self._pace
        for stream in self._active.values():
            stream.bursts = max(stream.bursts - done, 0)

    def _restart(self) -> None:
        epochs = [stream.epoch for _, stream in sorted(self._active.items())]
        self._pace = shared_pace(self._device, self._units, *epochs) if len(epochs) == 2 else epochs[0].pace
        for stream in self._active.values():
            stream.turn += 1
            cycles = self._units.cycles(stream.bursts * self._pace)
            self._environment.process(self._expire(stream, stream.turn, cycles))

    def _expire(self, stream: "_Stream", turn: int, cycles: int) -> Generator[simpy.Event, None, None]:
        yield self._environment.timeout(cycles)
        if stream.turn != turn:
            return  # a later event changed the pace and set a new timer
        self._advance()
        stream.turn += 1
        del self._active[stream.write]
        stream.done.succeed()
        if self._active:
            self._restart()


@dataclass(slots=True)
class _Stream:
    """An active epoch: bursts still to come, and the number of its latest timer."""

    epoch: Epoch
    write: bool
    bursts: int
    done: simpy.Event
    turn: int = 0


def memory_model(architecture: Architecture, name: str | None = None, *, seed: int = 0) -> tuple[str, MemoryModel]:
    """Name and memory model of an architecture, or of the name that overrides its own; ``seed`` is of ``scripted``.

    Raises
    ------
    InputError
        There is no such model.
    """
    name = name or architecture.memory.model
    if name == "ideal":
        return name, IdealMemory(architecture.memory)
    if name == "ddr4":
        return name, EpochMemory(architecture, DDR4_2400)
    if name == "scripted" and architecture.memory.ports == 1:
        return name, ScriptedMemory(architecture.memory, seed)
    if name == "scripted":
        raise InputError("memory model 'scripted' is for machines of one port", "memory.ports: 1")
    raise InputError(f"memory model must be one of {', '.join(MEMORY_MODELS)}, not {name!r}")
