"""The golden executor: every bit of what a filled program computes, and no time.

Each engine takes instructions from its own queue in order; which engine goes next is free as far as the tokens allow.
A program whose tokens are right gives the same bits in every such order.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.golden.gemm_engine import gemm
from gossamer_models.golden.legality import check_legal
from gossamer_models.golden.prune import prune
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.golden.transfer import load, store
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Prune, Store, Vector
from gossamer_models.isa.loops import walk
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.program import Program, StageProgram
from gossamer_models.results import RunResult, StageRun

__all__ = ["Observer", "Step", "run"]

# Readers before writers: an instruction that does not wait for its data then finds an empty half and not, by luck of
# the order, the data.
_ENGINES = (Engine.STORE, Engine.PRUNE, Engine.VECTOR, Engine.GEMM, Engine.LOAD)


@dataclass(frozen=True, slots=True)
class Step:
    """Moment at which an observer is called: once before an instruction and once after it.

    Members
    -------
    stage : number of the stage in the program.
    position : how many instructions of the stage were dealt before this one.
    instruction : the concrete instruction.
    machine : state, to be read only.
    finished : whether the instruction has been executed.
    """

    stage: int
    position: int
    instruction: Instruction
    machine: Machine
    finished: bool


Observer = Callable[[Step], None]


def run(
    program: Program,
    architecture: Architecture,
    *,
    stages: slice | None = None,
    observer: Observer | None = None,
    seed: int | None = None,
) -> RunResult:
    """Execute a filled program in place.

    Parameters
    ----------
    program : instructions and the memory image, whose bytes are changed.
    architecture : machine that it was compiled for.
    stages : stages to execute; all by default.
    observer : called before and after each instruction.
    seed
        shuffles the choice among the engines that can go on, and says what scratchpads and flags hold at first; by
        default the choice is fixed, and they hold zeros. Behind a right program memory is the same either way.

    Raises
    ------
    ExecutionError
        The image is symbolic, the architecture is another, a stage deadlocks, or an instruction is illegal or leaves
        the bounds of a memory: the message names stage and instruction.
    """
    if program.memory.data is None:
        raise ExecutionError(f"the memory image of program {program.name!r} is symbolic: fill it before a run")
    if program.architecture != architecture.name:
        raise ExecutionError(f"program {program.name!r} is for {program.architecture!r}, not {architecture.name!r}")
    machine = Machine(architecture, program.memory.data, seed)
    order = None if seed is None else random.Random(seed)
    chosen = range(len(program.stages))[slice(None) if stages is None else stages]
    done = []
    for number in chosen:
        stage = program.stages[number]
        counts = _StageExecution(machine, stage, number, observer, order).run()
        done.append(StageRun(stage.layer, stage.stage, counts))
    return RunResult(program.name, program.architecture, "golden", tuple(done), program.memory)


@cache
def _semaphores(mask: int) -> tuple[Semaphore, ...]:
    return tuple(Semaphore(mask))


@cache
def _ends(engine: Engine) -> tuple[int, int]:
    """Masks of the semaphores that an engine may wait for and signal."""
    consumed = sum(semaphore for semaphore in Semaphore if consumer(semaphore) is engine)
    produced = sum(semaphore for semaphore in Semaphore if producer(semaphore) is engine)
    return consumed, produced


class _StageExecution:
    """Queues and tokens of one stage.

    The sequencer stops dealing at a full queue, as the machine does, so that an endless producer cannot run away; a
    queue holds one instruction more than `queue_depth` because the machine's engine holds the one it waits with.
    """

    def __init__(
        self,
        machine: Machine,
        stage: StageProgram,
        number: int,
        observer: Observer | None,
        order: random.Random | None,
    ) -> None:
        self._machine = machine
        self._stage = stage
        self._number = number
        self._observer = observer
        self._order = order
        self._tokens = dict.fromkeys(Semaphore, 0) | dict(stage.credits)
        self._queues: dict[Engine, deque[tuple[int, Instruction]]] = {engine: deque() for engine in _ENGINES}
        self._dealt = 0
        self._source: Iterator[Instruction] = walk(stage.instructions)
        self._next: Instruction | None = None

    def run(self) -> dict[Engine, int]:
        """Execute the stage; return the instructions that each engine executed."""
        counts: dict[Engine, int] = dict.fromkeys(_ENGINES, 0)
        self._machine.start_stage()
        self._fetch()
        while (engine := self._choice()) is not None:
            if engine is Engine.SEQUENCER:
                self._deal()
            else:
                self._execute(engine)
                counts[engine] += 1
        if any(self._queues.values()):
            raise ExecutionError(f"{self._where()}: deadlock: {self._waiting()}")
        return counts

    def _choice(self) -> Engine | None:
        """Engine that goes on: the first that can, or one of those in a random order; None if none can."""
        ready = self._ready()
        if self._order is None:
            return next(ready, None)
        found = list(ready)
        return self._order.choice(found) if found else None

    def _ready(self) -> Iterator[Engine]:
        """Engines that can go on, the sequencer first."""
        if self._next is not None and len(self._queues[self._next.engine]) <= self._machine.architecture.queue_depth:
            yield Engine.SEQUENCER
        for engine, queue in self._queues.items():
            if queue and all(self._tokens[semaphore] for semaphore in _semaphores(queue[0][1].wait)):
                yield engine

    def _fetch(self) -> None:
        """Take the next concrete instruction from the loops."""
        try:
            self._next = next(self._source, None)
        except ValueError as error:
            raise ExecutionError(f"{self._where()}, instruction {self._dealt}: {error}") from error
        if self._next is None:
            return
        engine = self._next.engine
        if engine not in self._queues:
            raise self._fault(self._dealt, self._next, "has no engine that could execute it")
        consumed, produced = _ends(engine)
        for name, mask, allowed in (("wait", self._next.wait, consumed), ("signal", self._next.signal, produced)):
            if mask & ~allowed:
                raise self._fault(
                    self._dealt,
                    self._next,
                    f"`{name}` must name semaphores of its engine, not {_names(mask & ~allowed)}",
                )

    def _deal(self) -> None:
        if self._next is not None:
            self._queues[self._next.engine].append((self._dealt, self._next))
            self._dealt += 1
            self._fetch()

    def _execute(self, engine: Engine) -> None:
        position, instruction = self._queues[engine].popleft()
        for semaphore in _semaphores(instruction.wait):
            self._tokens[semaphore] -= 1
        self._observe(position, instruction, finished=False)
        try:
            check_legal(self._machine.architecture, instruction)
            _dispatch(self._machine, instruction)
        except GossamerError as error:
            raise self._fault(position, instruction, str(error)) from error
        self._observe(position, instruction, finished=True)
        self._machine.advance(engine, instruction.advance)
        for semaphore in _semaphores(instruction.signal):
            self._tokens[semaphore] += 1

    def _observe(self, position: int, instruction: Instruction, *, finished: bool) -> None:
        if self._observer is not None:
            self._observer(Step(self._number, position, instruction, self._machine, finished))

    def _where(self) -> str:
        return f"stage {self._number} ({self._stage.layer} {self._stage.stage})"

    def _fault(self, position: int, instruction: Instruction, what: str) -> ExecutionError:
        return ExecutionError(f"{self._where()}, instruction {position} ({instruction.opcode.name}): {what}")

    def _waiting(self) -> str:
        heads = [(engine, *self._queues[engine][0]) for engine in sorted(_ENGINES) if self._queues[engine]]
        return "; ".join(
            f"{engine.name} instruction {position} ({instruction.opcode.name}) waits for "
            + _names(sum(s for s in _semaphores(instruction.wait) if not self._tokens[s]))
            for engine, position, instruction in heads
        )


def _names(mask: int) -> str:
    return ", ".join(str(semaphore.name) for semaphore in _semaphores(mask))


def _dispatch(machine: Machine, instruction: Instruction) -> None:
    match instruction:
        case Load():
            load(machine, instruction)
        case Store():
            store(machine, instruction)
        case Gemm():
            gemm(machine, instruction)
        case Prune():
            prune(machine, instruction)
        case Vector():
            vector(machine, instruction)
