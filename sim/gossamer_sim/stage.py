"""One stage on the machine, from barrier to barrier, and the ledger of its cycles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gossamer_models.actions import Actions
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError, GossamerError
from gossamer_models.isa.tokens import Engine
from gossamer_models.placement import unplaced
from gossamer_models.program import StageProgram
from gossamer_models.recorded import SweepCounts
from gossamer_models.timeline import Ledger, Skip, Span, StageTiming
from gossamer_models.timing.sequencer import dealing
from gossamer_sim.dataflow import DataflowMachine, DisorderError
from gossamer_sim.engines import ENGINES, Tally
from gossamer_sim.machine import Machine
from gossamer_sim.memory import MemoryModel
from gossamer_sim.sequencer import Sequencer, compile_stage
from gossamer_sim.walk import walk
from gossamer_sim.work import CostBook, Work, WorkShop, cost_book

if TYPE_CHECKING:
    import simpy

__all__ = ["StageRun", "ledger", "run_stage", "timing"]


@dataclass(frozen=True, slots=True)
class StageRun:
    """What a stage's run leaves behind.

    Members
    -------
    works, executed : each work, and how often it ran.
    occupancy : cycles per set of busy engines, from the barrier to the last end; index as in ``Machine``.
    barrier_cycles : fetch before the first instruction is dealt.
    spans, skips : counted from the start of the barrier.
    actions : of all executions together.
    """

    works: tuple[Work, ...]
    executed: tuple[int, ...]
    occupancy: tuple[int, ...]
    barrier_cycles: int
    spans: tuple[Span, ...]
    skips: tuple[Skip, ...]
    actions: Actions

    def per_engine(self, amount: Callable[[Work], int]) -> dict[Engine, int]:
        """Sum of an amount over all executions, per engine."""
        sums = [0] * len(ENGINES)
        for work, times in zip(self.works, self.executed, strict=True):
            sums[work.place] += times * amount(work)
        return dict(zip(ENGINES, sums, strict=True))


def run_stage(
    stage: StageProgram,
    architecture: Architecture,
    memory: MemoryModel,
    *,
    address: int = 0,
    trace: bool = False,
    periodic: bool = True,
    environment: "simpy.Environment | None" = None,
    recorded: tuple[SweepCounts, ...] = (),
    numbers: tuple[int, ...] | None = None,
    book: CostBook | None = None,
) -> StageRun:
    """Run one stage on a machine of its own.

    Parameters
    ----------
    address : DRAM address of the stage's header.
    trace, periodic : as in :func:`gossamer_sim.executor.simulate`.
    environment : SimPy's kernel, at time 0. By default a fresh one, or none where the shortcuts hold: the same times
        then follow without a clock, see :mod:`gossamer_sim.dataflow`.
    recorded : counts of the Program's sweeps.
    numbers : of the stage's instructions in `book`, if they are known.
    book : costs of the machine; by default those that all runs share.

    Raises
    ------
    GossamerError
        The stage deadlocks, is malformed or too long.
    """
    name = f"stage {stage.layer}.{stage.stage}"
    _check_length(name, stage, architecture)
    how = dealing(architecture)
    tokens = {semaphore.bit_length() - 1: count for semaphore, count in stage.credits}
    barrier = memory.barrier_cycles(address, len(stage.instructions)) + how.words
    if periodic and memory.repeats and environment is None:
        try:
            shop = WorkShop(book or cost_book(architecture, memory, recorded))
            return _without_clock(stage, architecture, memory, shop, tokens, barrier, numbers, trace=trace)
        except DisorderError:
            pass  # the long way says what is wrong, and when
        except (GossamerError, ValueError) as error:
            raise GossamerError(f"{name}: {error}") from error
    import simpy

    environment = environment or simpy.Environment()
    shop = WorkShop(CostBook(architecture, memory, remember=periodic, recorded=recorded))
    channel = memory.channel(environment)
    depth, fill_cycles = architecture.queue_depth, how.fill_cycles
    machine = Machine(environment, depth, tokens, shop.works, channel, fill_cycles=fill_cycles, trace=trace)
    sequencer = Sequencer(machine, periodic=periodic and memory.repeats)
    try:
        environment.process(sequencer.run(compile_stage(stage.instructions, shop)))
        environment.run()
    except (GossamerError, ValueError) as error:
        raise GossamerError(f"{name}: {error}") from error
    if not sequencer.done or machine.waiting():
        raise GossamerError(f"{name} deadlocks at cycle {machine.now()}: {'; '.join(machine.waiting())}")
    machine.close()
    return _stage_run(shop, Tally(machine.tally.occupancy, machine.executed()), barrier, machine.spans, machine.skips)


def _without_clock(
    stage: StageProgram,
    architecture: Architecture,
    memory: MemoryModel,
    shop: WorkShop,
    tokens: dict[int, int],
    barrier: int,
    numbers: tuple[int, ...] | None,
    *,
    trace: bool,
) -> StageRun:
    fill_cycles = dealing(architecture).fill_cycles
    machine = DataflowMachine(
        architecture.queue_depth, tokens, shop.works, memory.lanes(), fill_cycles=fill_cycles, trace=trace
    )
    walk(machine, compile_stage(unplaced(stage.instructions), shop, numbers))
    machine.close()
    return _stage_run(shop, machine.total(), barrier, machine.spans, machine.skips)


def _stage_run(
    shop: WorkShop, tally: Tally, barrier: int, spans: Sequence[Span] | None, skips: Sequence[Skip]
) -> StageRun:
    return StageRun(
        works=tuple(shop.works),
        executed=tuple(tally.executed),
        occupancy=tuple(tally.occupancy),
        barrier_cycles=barrier,
        spans=tuple(Span(s.engine, s.instruction, s.start + barrier, s.end + barrier) for s in spans or ()),
        skips=tuple(Skip(s.level, s.iterations, s.start + barrier, s.end + barrier) for s in skips),
        actions=Actions.total((work.actions, times) for work, times in zip(shop.works, tally.executed, strict=True)),
    )


def ledger(stage: StageProgram, run: StageRun, macs_per_cycle: int) -> Ledger:
    """Account for every cycle of a stage.

    Raises
    ------
    GossamerError
        The stage claims more useful multiply-adds than its gemm instructions issue.
    """
    ideal = -(-stage.macs // macs_per_cycle)
    issue = run.per_engine(lambda work: work.gemm.issue if work.gemm else 0)[Engine.GEMM]
    if ideal > issue:
        raise GossamerError(
            f"stage {stage.layer}.{stage.stage} claims {stage.macs} multiply-adds, but {issue} issued steps "
            f"do at most {issue * macs_per_cycle}"
        )
    idle = {"dram": 0, "vector": 0, "prune": 0, "sync": 0}
    for busy, cycles in enumerate(run.occupancy):
        column = _COLUMNS[busy]
        if column:
            idle[column] += cycles
    return Ledger(
        ideal=ideal,
        padding=issue - ideal,
        drain=run.per_engine(lambda work: work.gemm.drain if work.gemm else 0)[Engine.GEMM],
        fill=run.per_engine(lambda work: work.gemm.overhead if work.gemm else 0)[Engine.GEMM],
        barrier=run.barrier_cycles,
        **idle,
    )


def timing(stage: StageProgram, run: StageRun, start: int, macs_per_cycle: int) -> StageTiming:
    """Record of a stage that starts at a cycle of the whole run."""
    account = ledger(stage, run, macs_per_cycle)
    size_bytes = run.per_engine(lambda work: work.size_bytes)
    return StageTiming(
        layer=stage.layer,
        stage=stage.stage,
        start=start,
        cycles=account.total,
        ledger=account,
        busy_cycles={
            engine: sum([run.occupancy[busy] for busy in sets]) for engine, sets in zip(ENGINES, _HOLDING, strict=True)
        },
        executed=run.per_engine(lambda work: 1),
        bytes_read=size_bytes[Engine.LOAD],
        bytes_written=size_bytes[Engine.STORE],
        spans=run.spans,
        skips=run.skips,
        actions=run.actions,
    )


def _column(busy: int) -> str | None:
    """Ledger column of a set of busy engines, None if gemm is among them."""
    engines = {engine for place, engine in enumerate(ENGINES) if busy >> place & 1}
    if Engine.GEMM in engines:
        return None
    if engines & {Engine.LOAD, Engine.STORE}:
        return "dram"
    if Engine.VECTOR in engines:
        return "vector"
    return "prune" if Engine.PRUNE in engines else "sync"


_SETS = range(1 << len(ENGINES))
_COLUMNS = tuple(_column(busy) for busy in _SETS)
_HOLDING = tuple([busy for busy in _SETS if busy >> place & 1] for place in range(len(ENGINES)))
"""Sets of busy engines that each engine is one of."""


def _check_length(name: str, stage: StageProgram, architecture: Architecture) -> None:
    length = len(stage.instructions)
    if length > architecture.stage_instructions:
        what = f"{name} does not fit the instruction memory"
        raise DoesNotFitError(what, length, architecture.stage_instructions, "instructions", "split the stage in two")
