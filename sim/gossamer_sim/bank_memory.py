"""The memory ``ddr4-bank``: a stage's transfers, burst by burst, on channels of :mod:`gossamer_sim.bank_channel`."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from gossamer_models.architecture import Architecture
from gossamer_models.dram import DramTable
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.timing.dram import Units, command_units
from gossamer_models.timing.dram_address import address_map
from gossamer_models.timing.sequencer import barrier_cycles
from gossamer_models.timing.transfer import TransferShape, port_cycles, start_cycles
from gossamer_sim.bank_bursts import ChannelBursts, channel_bursts, transfer_runs
from gossamer_sim.bank_channel import BankChannel, Stream

if TYPE_CHECKING:
    import simpy

__all__ = ["BankChannels", "BankMemory", "BankTransfer"]


@dataclass(frozen=True, slots=True, eq=False)
class BankTransfer:
    """Bursts of a transfer on every channel, and the port's cycles on them."""

    channels: list[ChannelBursts]
    port_cycles: int


@dataclass(frozen=True, slots=True)
class BankMemory:
    """DRAM command by command; every transfer is walked, so nothing repeats.

    Parameters
    ----------
    architecture : clock, ports and address mapping count.
    table : kind of memory.
    refresh_clocks : from a stage's start to the first refresh; half an interval by default.
    """

    architecture: Architecture
    table: DramTable
    refresh_clocks: int | None = None
    repeats: ClassVar[bool] = False

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, BankTransfer | None]:
        """Cycles before the first burst is offered, and the bursts; none if nothing is in bounds."""
        memory = self.architecture.memory
        ports = port_cycles(memory, transfer, shape)
        if not shape.runs:
            return start_cycles(transfer) + ports, None
        runs = transfer_runs(transfer, ordered=memory.ports > 1)
        bursts = channel_bursts(address_map(memory, self.table), self.table.burst_bytes, runs)
        return start_cycles(transfer), BankTransfer(bursts, ports)

    def barrier_cycles(self, address: int, instructions: int) -> int:
        """Cycles of a barrier with the latency of ``ideal``."""
        del address
        return barrier_cycles(self.architecture.memory, instructions)

    def lanes(self) -> None:
        """Nothing repeats here."""

    def channel(self, environment: "simpy.Environment") -> "BankChannels":
        """Channels at rest."""
        return BankChannels(environment, self)


class BankChannels:
    """All channels of a stage.

    Parameters
    ----------
    environment : clock, in cycles.
    memory : kind of memory and machine.

    Attributes
    ----------
    channels : each with its state.
    """

    def __init__(self, environment: "simpy.Environment", memory: BankMemory) -> None:
        self._environment = environment
        self._units: Units = command_units(memory.table, memory.architecture.clock_hz)
        self._shortest = memory.table.timing_clocks.ccd_short * self._units.per_clock
        self.channels = [
            BankChannel(memory.table, self._units.per_clock, refresh_clocks=memory.refresh_clocks)
            for _ in range(memory.architecture.memory.ports)
        ]

    def stream(self, work: BankTransfer, *, write: bool) -> "simpy.Event":
        """Start a transfer's bursts; the event fires in the cycle after the last one's end."""
        now = self._advance()
        total = sum(len(bursts.banks) for bursts in work.channels)
        pace = -(-work.port_cycles * len(work.channels) * self._units.per_cycle // total)
        streams = [Stream(bursts, now, pace, write) for bursts in work.channels]
        for channel, stream in zip(self.channels, streams, strict=True):
            channel.add(stream)
        done = self._environment.event()
        self._environment.process(self._follow(streams, done))
        return done

    def state(self, now: int) -> tuple[object, ...]:
        """The moment itself: no state comes twice."""
        return (now, object())

    def _advance(self) -> int:
        now = int(self._environment.now) * self._units.per_cycle
        for channel in self.channels:
            channel.advance(now)
        return now

    def _follow(self, streams: list[Stream], done: "simpy.Event") -> Generator["simpy.Event", None, None]:
        """Wait for the earliest time at which all bursts can have been served, until they have."""
        while left := max(stream.remaining for stream in streams):
            shortest = (left - 1) * self._shortest
            yield self._environment.timeout(max(shortest // self._units.per_cycle, 1))
            self._advance()
        end = self._units.cycles(max(stream.end for stream in streams))
        yield self._environment.timeout(max(end - int(self._environment.now), 0))
        done.succeed()
