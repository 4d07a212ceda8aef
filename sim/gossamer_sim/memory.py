"""Memory models of the simulator: what a transfer costs, and how transfers that overlap slow each other."""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, get_args

from gossamer_models.architecture import Architecture, Memory
from gossamer_models.dram import load_dram
from gossamer_models.errors import InputError
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.memories import MEMORY_MODELS, REFERENCE_SUFFIX, MemoryModelName
from gossamer_models.timing.dma import TransferPlan
from gossamer_models.timing.dram import Dram, Epoch
from gossamer_models.timing.sequencer import barrier_cycles
from gossamer_models.timing.transfer import TransferShape, ideal_transfer_cycles, port_cycles, start_cycles
from gossamer_sim.bank_memory import BankMemory, BankTransfer
from gossamer_sim.lanes import Lanes
from gossamer_sim.scripted import ScriptedMemory

if TYPE_CHECKING:
    import simpy

__all__ = [
    "Channel", "EpochMemory", "IdealMemory", "MemoryModel", "SharedChannel", "SharedWork",
    "memory_model",
]  # fmt: skip

SharedWork = Epoch | TransferPlan | BankTransfer
"""What a transfer does on a channel that others share."""


class MemoryModel(Hashable, Protocol):
    """Cost of a transfer that has the memory to itself.

    Members
    -------
    repeats : equal transfers cost the same whenever they come.
    """

    repeats: ClassVar[bool]

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, SharedWork | None]:
        """Cycles to the end, or to where the channel goes on with what stands beside them."""
        ...

    def channel(self, environment: "simpy.Environment") -> "SharedChannel | None":
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

    def channel(self, environment: "simpy.Environment") -> None:
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

    dram: Dram
    repeats: ClassVar[bool] = True

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, Epoch | None]:
        """Cycles to the first burst, and the epoch; none if nothing is in bounds."""
        ports = port_cycles(self.dram.architecture.memory, transfer, shape)
        found = self.dram.epoch(shape, start_cycles(transfer), ports, write=isinstance(transfer, Store))
        return found.latency_cycles, found if found.bursts else None

    def barrier_cycles(self, address: int, instructions: int) -> int:
        """Cycles of a barrier with the latency of ``ideal``."""
        del address
        return barrier_cycles(self.dram.architecture.memory, instructions)

    def channel(self, environment: "simpy.Environment") -> "Channel":
        """A channel at rest."""
        return Channel(environment, self.dram)

    def lanes(self) -> "Lanes":
        """A channel at rest, without a clock."""
        return Lanes(self.dram.units, self.dram.shared_paces)


class SharedChannel(Protocol):
    """What the transfers of a stage share."""

    def stream(self, work: Any, *, write: bool) -> "simpy.Event":
        """Start a transfer's walk; the event fires in its last cycle."""
        ...

    def state(self, now: int) -> tuple[object, ...]:
        """All that decides the future of the transfers under way, in relative time."""
        ...


class Channel:
    """The channels (all alike, so one stands for them) with at most one read and one write on them.

    Between two events, the start or the end of an epoch, every active one advances at a constant pace of its own, so
    its end is known in closed form. At an event a burst in progress counts as not begun.

    Parameters
    ----------
    environment : clock, in cycles.
    dram : kind of memory and machine.
    """

    def __init__(self, environment: "simpy.Environment", dram: Dram) -> None:
        self._environment = environment
        self._dram = dram
        self._units = dram.units
        self._active: dict[bool, _Stream] = {}
        self._since = 0

    def stream(self, work: Epoch, *, write: bool) -> "simpy.Event":
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
        for stream in self._active.values():
            stream.bursts = max(stream.bursts - elapsed * self._units.per_cycle // stream.pace, 0)

    def _restart(self) -> None:
        read, write = self._active.get(False), self._active.get(True)
        if read and write:
            read.pace, write.pace = self._dram.shared_paces(read.epoch, write.epoch)
        else:
            for stream in self._active.values():
                stream.pace = stream.epoch.pace
        for stream in self._active.values():
            stream.turn += 1
            timer = self._environment.timeout(self._units.cycles(stream.bursts * stream.pace))
            timer.callbacks.append(partial(self._expire, stream, stream.turn))

    def _expire(self, stream: "_Stream", turn: int, _: "simpy.Event") -> None:
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
    """An active epoch: bursts still to come, units per burst, and the number of its latest timer."""

    epoch: Epoch
    write: bool
    bursts: int
    done: "simpy.Event"
    pace: int = 1
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
    if name.endswith(REFERENCE_SUFFIX) and name in MEMORY_MODELS:
        return name, BankMemory(architecture, load_dram(name.removesuffix(REFERENCE_SUFFIX)))
    if name == "scripted" and architecture.memory.ports == 1:
        return name, ScriptedMemory(architecture.memory, seed)
    if name == "scripted":
        ports = architecture.memory.ports
        what = f"memory model 'scripted' is for machines of one port; {architecture.name} has {ports}"
        raise InputError(what, f"one of {', '.join(get_args(MemoryModelName))}, or an architecture of one port")
    if name in MEMORY_MODELS:
        return name, EpochMemory(Dram(architecture, load_dram(name)))
    raise InputError(f"memory model must be one of {', '.join(MEMORY_MODELS)}, not {name!r}")
