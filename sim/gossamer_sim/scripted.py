"""The memory ``scripted``: every burst waits for its ready gap and latency, which a hash of its number decides.

Bursts are numbered from the memory's reset on, over all stages, so nothing repeats: each instruction is walked through.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from gossamer_models.architecture import Memory
from gossamer_models.isa.instructions import Load, Store
from gossamer_models.timing.dma import TransferPlan, scripted_load_cycles, scripted_store_cycles, transfer_plan
from gossamer_models.timing.scripted import Direction, latencies, ready_gaps
from gossamer_models.timing.sequencer import Transaction, scripted_barrier_cycles
from gossamer_models.timing.transfer import TransferShape

if TYPE_CHECKING:
    import simpy

__all__ = ["ScriptedChannel", "ScriptedMemory"]


@dataclass(slots=True)
class _Script:
    """What is still to come on one direction of the port."""

    gaps: Iterator[int]
    latencies: Iterator[int]


@dataclass(frozen=True, slots=True)
class ScriptedMemory:
    """One port, from its reset on.

    Parameters
    ----------
    memory : latency and width count.
    seed : of the hash.
    """

    memory: Memory
    seed: int
    repeats: ClassVar[bool] = False
    _scripts: dict[Direction, _Script] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for direction in Direction:
            gaps, waits = ready_gaps(0, direction, self.seed), latencies(self.memory, 0, direction, self.seed)
            self._scripts[direction] = _Script(gaps, waits)

    def cost(self, transfer: Load | Store, shape: TransferShape) -> tuple[int, TransferPlan]:
        """No cycles before the walk, and the walk, whose bursts are numbered when it starts."""
        del shape
        return 0, transfer_plan(transfer, self.memory.port_bits // 8)

    def channel(self, environment: "simpy.Environment") -> "ScriptedChannel":
        """The port, to a stage."""
        return ScriptedChannel(environment, self._scripts)

    def lanes(self) -> None:
        """Nothing repeats here."""

    def barrier_cycles(self, address: int, instructions: int) -> int:
        """Cycles of a barrier whose stage lies at ``address``."""
        read = self._scripts[Direction.READ]
        return scripted_barrier_cycles(
            address, instructions, self.memory.port_bits // 8, map(Transaction, read.gaps, read.latencies)
        )


class ScriptedChannel:
    """Port of a :class:`ScriptedMemory` during one stage."""

    def __init__(self, environment: "simpy.Environment", scripts: dict[Direction, _Script]) -> None:
        self._environment = environment
        self._scripts = scripts

    def stream(self, work: TransferPlan, *, write: bool) -> "simpy.Event":
        """Start a transfer; the event fires in its last cycle."""
        script = self._scripts[Direction.WRITE if write else Direction.READ]
        cycles = (scripted_store_cycles if write else scripted_load_cycles)(work, script.gaps, script.latencies)
        return self._environment.timeout(cycles)

    def state(self, now: int) -> tuple[object, ...]:
        """The moment itself: no state comes twice."""
        return (now, object())
