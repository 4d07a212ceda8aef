"""A run against its baseline: rates, ceilings and the checks that no cycle, byte or multiply-add went astray."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from gossamer_models.actions import NO_ACTIONS, Actions
from gossamer_models.architecture import Architecture
from gossamer_models.energy_model import EnergyModel, energy_model
from gossamer_models.errors import GossamerError
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import Program, Schedule, StageProgram
from gossamer_models.reads import NO_READS, Reads
from gossamer_models.timeline import Ledger, SimResult, StageTiming

__all__ = ["Comparison", "ConservationError", "Row", "RunReport", "Totals", "compare", "report_run"]


class ConservationError(GossamerError):
    """A result contradicts itself: a bug of the compiler or the simulator, never of the user's input."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a stage or a whole run takes.

    Members
    -------
    seconds : cycles at the architecture's clock.
    macs : useful multiply-adds.
    utilization : macs over what the array could do in these cycles, 0 to 1.
    dram_bytes : bytes read and written.
    energy_joules : None if the architecture names no energy table.
    """

    cycles: int
    seconds: float
    macs: int
    utilization: float
    dram_bytes: int
    energy_joules: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One stage of one layer.

    Members
    -------
    dataflow, sparsity : as the compiler chose; dataflow is ``-`` where no GEMM runs.
    beside : layer whose BP runs in the same stage; empty if none.
    energy : joules per component; None without a table.
    schedules : of the stage's products, and the searches that chose them.
    reads : what it reads from DRAM.
    """

    layer: str
    stage: str
    dataflow: str
    sparsity: str
    beside: str
    totals: Totals
    ledger: Ledger
    energy: Mapping[str, float] | None = None
    schedules: tuple[Schedule, ...] = ()
    reads: Reads = NO_READS

    @property
    def key(self) -> tuple[str, str]:
        """What the same stage of another run is found by."""
        return self.layer, self.stage

    @property
    def machine_cycles(self) -> int:
        """Cycles of the array's formula alone: issued entry steps and drain bubbles."""
        return self.ledger.ideal + self.ledger.padding + self.ledger.drain if self.totals.macs else 0


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run: its stages in order, and their sums.

    Members
    -------
    actions : what the whole run did, counted.
    energy : joules per component; None without a table.
    prune_cycles : of the prune engine, hidden behind others or not.
    reads : what it reads from DRAM.
    """

    program: str
    totals: Totals
    ledger: Ledger
    rows: tuple[Row, ...]
    actions: Actions = NO_ACTIONS
    energy: Mapping[str, float] | None = None
    prune_cycles: int = 0
    reads: Reads = NO_READS

    @property
    def machine_cycles(self) -> int:
        """Sum over the stages with a GEMM of what the array's formula alone gives."""
        return sum(row.machine_cycles for row in self.rows)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run and its baseline on the same machine.

    Members
    -------
    memory_model : memory model of both runs.
    timing_status : per engine name, ``RTL-verified`` or ``modelled``.
    energy : what actions cost; None if the architecture names no table.
    """

    run: RunReport
    baseline: RunReport
    architecture: str
    memory_model: str
    clock_hz: int
    timing_status: Mapping[str, str]
    energy: EnergyModel | None = None

    @property
    def speedup(self) -> float | None:
        """Baseline cycles over the run's; None if the run takes none."""
        return _ratio(self.baseline.totals.cycles, self.run.totals.cycles)

    @property
    def speedup_ceiling(self) -> float | None:
        """Ideal ceiling: useful multiply-adds of the baseline over those of the run."""
        return _ratio(self.baseline.totals.macs, self.run.totals.macs)

    @property
    def machine_ceiling(self) -> float | None:
        """Ceiling of this array: issue and drain cycles of the baseline's GEMMs over those of the run's."""
        return _ratio(self.baseline.machine_cycles, self.run.machine_cycles)

    @property
    def energy_ratio(self) -> float | None:
        """Energy of the baseline over that of the run; None while either is unknown."""
        ours, theirs = self.run.totals.energy_joules, self.baseline.totals.energy_joules
        return None if ours is None or theirs is None else _ratio(theirs, ours)


def compare(
    run: tuple[Program, SimResult], baseline: tuple[Program, SimResult], architecture: Architecture
) -> Comparison:
    """Compare two simulated programs of one machine.

    Raises
    ------
    ConservationError
        A result contradicts itself or its program, or the runs are of different machines.
    InputError
        The architecture's energy table cannot be loaded.
    """
    timing, reference = run[1], baseline[1]
    for what in ("architecture", "memory_model", "clock_hz"):
        if getattr(timing, what) != getattr(reference, what):
            raise ConservationError(f"runs differ in {what}: {getattr(timing, what)}, {getattr(reference, what)}")
    energy = energy_model(architecture, timing.memory_model)
    return Comparison(
        run=report_run(*run, architecture, energy),
        baseline=report_run(*baseline, architecture, energy),
        architecture=architecture.name,
        memory_model=timing.memory_model,
        clock_hz=timing.clock_hz,
        timing_status={engine.name.lower(): status for engine, status in timing.timing_status.items()},
        energy=energy,
    )


def report_run(
    program: Program, timing: SimResult, architecture: Architecture, energy: EnergyModel | None = None
) -> RunReport:
    """Join what a program computes with how long that takes.

    Raises
    ------
    ConservationError
        A ledger does not sum to its cycles, a figure is negative, an array does more than it can, loads bring other
        bytes than the stage's parts say, or the stages are not those of the program.
    """
    names = [(stage.layer, stage.stage) for stage in program.stages]
    if names != [(stage.layer, stage.stage) for stage in timing.stages]:
        raise ConservationError(f"the timing of {timing.program!r} has other stages than program {program.name!r}")
    for name, count in Counter(names).items():
        if count > 1:
            raise ConservationError(f"program {program.name!r} has {count} stages called {' '.join(name)}")
    pairs = zip(program.stages, timing.stages, strict=True)
    rows = tuple(_row(stage, stage_timing, architecture, timing.clock_hz, energy) for stage, stage_timing in pairs)
    actions = Actions.total((stage.actions, 1) for stage in timing.stages)
    components = None if energy is None else energy.components(actions)
    totals = _totals(
        timing.cycles,
        sum(row.totals.macs for row in rows),
        timing.bytes_read + timing.bytes_written,
        architecture,
        timing.clock_hz,
        components,
    )
    prune_cycles = sum(stage.busy_cycles.get(Engine.PRUNE, 0) for stage in timing.stages)
    reads = Reads.sum(row.reads for row in rows)
    return RunReport(program.name, totals, timing.ledger, rows, actions, components, prune_cycles, reads)


def _row(
    stage: StageProgram, timing: StageTiming, architecture: Architecture, clock_hz: int, energy: EnergyModel | None
) -> Row:
    _check(stage, timing, architecture)
    _check_actions(stage, timing)
    reads = _checked_reads(stage, timing)
    components = None if energy is None else energy.components(timing.actions)
    dram_bytes = timing.bytes_read + timing.bytes_written
    totals = _totals(timing.cycles, stage.macs, dram_bytes, architecture, clock_hz, components)
    return Row(
        stage.layer,
        stage.stage,
        stage.dataflow,
        stage.sparsity,
        stage.beside,
        totals,
        timing.ledger,
        components,
        stage.schedules,
        reads,
    )


def _checked_reads(stage: StageProgram, timing: StageTiming) -> Reads:
    """What the compiler says that the stage reads: as much as the simulator counted, load by load."""
    where, reads = f"{stage.layer} {stage.stage}", stage.reads
    if reads is None:
        raise ConservationError(f"{where}: nothing says what its loads bring")
    if reads.total != timing.bytes_read or reads.least < 0:
        parts = ", ".join(f"{value} {name}" for name, value in reads.as_dict().items())
        raise ConservationError(
            f"{where}: its loads bring {timing.bytes_read} bytes, by shapes and schedule {reads.total} ({parts})"
        )
    return reads


def _check_actions(stage: StageProgram, timing: StageTiming) -> None:
    moved = timing.actions.dram_read_bits, timing.actions.dram_write_bits
    if moved != (8 * timing.bytes_read, 8 * timing.bytes_written):
        raise ConservationError(
            f"{stage.layer} {stage.stage}: counted actions read and write {moved} bits of external memory, "
            f"not {timing.bytes_read} and {timing.bytes_written} bytes"
        )
    if stage.macs > timing.actions.macs:
        raise ConservationError(
            f"{stage.layer} {stage.stage}: {stage.macs} multiply-adds exceed the {timing.actions.macs} counted"
        )


def _check(stage: StageProgram, timing: StageTiming, architecture: Architecture) -> None:
    where = f"{stage.layer} {stage.stage}"
    figures = timing.ledger.as_dict() | {
        "cycles": timing.cycles,
        "bytes_read": timing.bytes_read,
        "bytes_written": timing.bytes_written,
        "macs": stage.macs,
    }
    for name, value in figures.items():
        if value < 0:
            raise ConservationError(f"{where}: {name} is {value}")
    if timing.ledger.total != timing.cycles:
        raise ConservationError(f"{where}: the ledger sums to {timing.ledger.total}, not to {timing.cycles} cycles")
    for engine, busy in timing.busy_cycles.items():
        if not 0 <= busy <= timing.cycles:
            raise ConservationError(f"{where}: {engine.name} is busy for {busy} of {timing.cycles} cycles")
    if stage.macs > timing.cycles * architecture.array.macs_per_cycle:
        raise ConservationError(
            f"{where}: {stage.macs} multiply-adds exceed the array's peak in {timing.cycles} cycles"
        )
    if stage.macs > stage.macs_dense:
        raise ConservationError(f"{where}: {stage.macs} multiply-adds exceed the {stage.macs_dense} of dense training")


def _totals(
    cycles: int,
    macs: int,
    dram_bytes: int,
    architecture: Architecture,
    clock_hz: int,
    components: Mapping[str, float] | None,
) -> Totals:
    peak = cycles * architecture.array.macs_per_cycle
    joules = None if components is None else sum(components.values())
    return Totals(cycles, cycles / clock_hz, macs, macs / peak if peak else 0.0, dram_bytes, joules)


def _ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None
