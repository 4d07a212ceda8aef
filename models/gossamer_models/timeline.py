"""When everything happens: what the cycle simulator finds and reports show. All times are accelerator cycles."""

import dataclasses
from dataclasses import dataclass
from operator import attrgetter
from typing import Self

from gossamer_models.actions import NO_ACTIONS, Actions
from gossamer_models.isa.tokens import Engine

__all__ = ["Ledger", "SimResult", "Skip", "Span", "StageTiming"]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where the cycles of a stage go; the columns sum to the stage's cycles.

    Members
    -------
    ideal : useful multiply-adds over the array's peak, rounded up.
    padding : entry steps issued beyond that (ragged tiles, padded channels).
    drain : bubbles behind chunks shorter than their drain.
    fill : start and emptying of the gemm pipeline.
    dram : gemm idle, load or store busy.
    vector : otherwise, vector busy.
    prune : otherwise, prune busy.
    sync : all engines idle between the barriers.
    barrier : fetch of the stage's instructions while the engines are idle.
    """

    ideal: int = 0
    padding: int = 0
    drain: int = 0
    fill: int = 0
    dram: int = 0
    vector: int = 0
    prune: int = 0
    sync: int = 0
    barrier: int = 0

    @property
    def total(self) -> int:
        """Sum of the columns."""
        return sum(_columns(self))

    def as_dict(self) -> dict[str, int]:
        """Columns by name, in declared order."""
        return dict(zip(_COLUMNS, _columns(self), strict=True))

    def __add__(self, other: Self) -> "Ledger":
        mine, theirs = self.as_dict(), other.as_dict()
        return Ledger(**{name: mine[name] + theirs[name] for name in mine})


_COLUMNS = tuple(field.name for field in dataclasses.fields(Ledger))
_columns = attrgetter(*_COLUMNS)


@dataclass(frozen=True, slots=True)
class Span:
    """One execution of one instruction.

    Members
    -------
    instruction : index into the stage's instructions.
    start, end : first cycle of it and first cycle after it, counted from the stage's start.
    """

    engine: Engine
    instruction: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Skip:
    """Iterations that were added up instead of walked through because they repeat exactly.

    Members
    -------
    level, iterations : loop and number of its iterations left out.
    start, end : stretch they take, counted from the stage's start.
    """

    level: int
    iterations: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class StageTiming:
    """One stage.

    Members
    -------
    layer, stage : as in the Program.
    start, cycles : first cycle of the run that belongs to it, and how many do, the barrier included.
    busy_cycles : per engine, cycles it executed instructions.
    executed : per engine, instructions it executed.
    bytes_read, bytes_written : DRAM traffic.
    spans, skips : every instruction walked through, and what was left out; empty unless a trace was asked for.
    actions : what the executed instructions did, counted.
    """

    layer: str
    stage: str
    start: int
    cycles: int
    ledger: Ledger
    busy_cycles: dict[Engine, int]
    executed: dict[Engine, int]
    bytes_read: int
    bytes_written: int
    spans: tuple[Span, ...] = ()
    skips: tuple[Skip, ...] = ()
    actions: Actions = NO_ACTIONS


@dataclass(frozen=True, slots=True)
class SimResult:
    """One run of a Program on the cycle simulator.

    Members
    -------
    memory_model : see :mod:`gossamer_models.memories`.
    timing_status : per engine, ``RTL-verified`` or ``modelled``.
    """

    program: str
    architecture: str
    memory_model: str
    clock_hz: int
    stages: tuple[StageTiming, ...]
    timing_status: dict[Engine, str]

    @property
    def cycles(self) -> int:
        """Cycles of the whole run."""
        return sum(stage.cycles for stage in self.stages)

    @property
    def seconds(self) -> float:
        """Time at the architecture's clock."""
        return self.cycles / self.clock_hz

    @property
    def ledger(self) -> Ledger:
        """Sum of the stages' ledgers."""
        return sum((stage.ledger for stage in self.stages), Ledger())

    @property
    def bytes_read(self) -> int:
        """Bytes read from DRAM."""
        return sum(stage.bytes_read for stage in self.stages)

    @property
    def bytes_written(self) -> int:
        """Bytes written to DRAM."""
        return sum(stage.bytes_written for stage in self.stages)
