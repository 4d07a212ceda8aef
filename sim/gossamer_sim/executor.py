"""Cycle executor: a Program in, the start and end of everything out."""

from gossamer_models.architecture import Architecture
from gossamer_models.copies import copied
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Instruction
from gossamer_models.placement import unplaced
from gossamer_models.program import Program, StageProgram
from gossamer_models.program_encoding import program_base
from gossamer_models.recorded import SweepCounts
from gossamer_models.timeline import SimResult, StageTiming
from gossamer_models.timing.status import timing_status
from gossamer_sim.memory import memory_model
from gossamer_sim.stage import StageRun, run_stage, timing
from gossamer_sim.work import CostBook, cost_book

__all__ = ["Simulator", "simulate"]


def simulate(
    program: Program,
    architecture: Architecture,
    *,
    memory: str | None = None,
    seed: int = 0,
    trace: bool = False,
    periodic: bool = True,
) -> SimResult:
    """Simulate a Program; no data is computed and no DRAM allocated.

    Parameters
    ----------
    program : its memory image may be symbolic.
    architecture : the machine it was compiled for.
    memory : one of ``MEMORY_MODELS`` of :mod:`gossamer_models.memories`; the architecture's own model by default.
    seed : of ``scripted``, whose bursts are numbered from the start of the simulator on.
    trace : whether to keep every instruction's start and end.
    periodic : whether to skip iterations that repeat exactly; the result is the same to the cycle.

    Raises
    ------
    GossamerError
        A stage deadlocks, is malformed or too long, or claims more multiply-adds than it issues.
    """
    return Simulator(architecture, memory=memory, seed=seed, trace=trace, periodic=periodic).run(program)


class Simulator:
    """Simulates Programs on one machine and keeps what it learns of stages: equal ones are walked through once.

    Parameters
    ----------
    architecture, memory, seed, trace, periodic : as in :func:`simulate`.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        memory: str | None = None,
        seed: int = 0,
        trace: bool = False,
        periodic: bool = True,
    ) -> None:
        self._architecture = architecture
        self._memory_name, self._memory = memory_model(architecture, memory, seed=seed)
        self._trace = trace
        self._periodic = periodic
        self._seen: dict[tuple[int, tuple[SweepCounts, ...]], tuple[tuple[Instruction, ...], tuple[int, ...]]] = {}
        # Numbers mean something in their own book alone, and the cache of books forgets.
        self._books: dict[tuple[SweepCounts, ...], CostBook] = {}
        self._known: dict[object, StageRun] = {}
        self._timings: dict[tuple[object, int], StageTiming] = {}

    def run(self, program: Program) -> SimResult:
        """Simulate one Program."""
        stages: list[StageTiming] = []
        start, address = 0, program_base(program)
        for stage in program.stages:
            timing = self._time(stage, start, address, program.recorded)
            stages.append(timing)
            start += timing.cycles
            address += (1 + len(stage.instructions)) * INSTRUCTION_BYTES
        return SimResult(
            program=program.name,
            architecture=self._architecture.name,
            memory_model=self._memory_name,
            clock_hz=self._architecture.clock_hz,
            stages=tuple(stages),
            timing_status=timing_status(self._architecture, self._memory_name, program),
        )

    def _time(self, stage: StageProgram, start: int, address: int, recorded: tuple[SweepCounts, ...]) -> StageTiming:
        if not self._memory.repeats:
            return self._timing(stage, self._run(stage, address, recorded), start)
        numbers = self._numbers(unplaced(stage.instructions), recorded)
        key = stage.credits, numbers, recorded
        run = self._known.get(key)
        if run is None:
            run = self._known[key] = self._run(stage, address, recorded, numbers, self._books[recorded])
        like = self._timings.get((key, stage.macs))
        if like is None:
            like = self._timings[key, stage.macs] = self._timing(stage, run, start)
        return copied(like, layer=stage.layer, stage=stage.stage, start=start)

    def _run(
        self,
        stage: StageProgram,
        address: int,
        recorded: tuple[SweepCounts, ...],
        numbers: tuple[int, ...] | None = None,
        book: CostBook | None = None,
    ) -> StageRun:
        return run_stage(
            stage, self._architecture, self._memory, address=address, trace=self._trace, periodic=self._periodic,
            recorded=recorded, numbers=numbers, book=book,
        )  # fmt: skip

    def _timing(self, stage: StageProgram, run: StageRun, start: int) -> StageTiming:
        return timing(stage, run, start, self._architecture.array.macs_per_cycle)

    def _numbers(self, instructions: tuple[Instruction, ...], recorded: tuple[SweepCounts, ...]) -> tuple[int, ...]:
        """What stages share whose instructions take part in timing alike."""
        seen = self._seen.get((id(instructions), recorded))
        if seen is None:
            book = self._books.get(recorded)
            if book is None:
                book = self._books[recorded] = cost_book(self._architecture, self._memory, recorded)
            seen = self._seen[id(instructions), recorded] = instructions, tuple(map(book.number, instructions))
        return seen[1]
