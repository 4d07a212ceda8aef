"""Assembles the instructions of one stage."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from gossamer_compiler.reads import Read, split
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError, UnsupportedError
from gossamer_models.isa.instructions import LOOP_LEVELS, EndLoop, Instruction, Loop
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.program import Schedule, StageProgram

__all__ = ["CREDITS", "StageBuilder", "stored"]

CREDITS: tuple[tuple[Semaphore, int], ...] = tuple(
    (semaphore, 2)
    for semaphore in (
        Semaphore.A_FREE,
        Semaphore.B_FREE,
        Semaphore.ACC_FREE,
        Semaphore.VIN_FREE,
        Semaphore.VOUT_FREE,
        Semaphore.PRN_FREE,
        Semaphore.OPERAND_FREE,
    )
)
"""Every double-buffered memory starts with both halves free."""


class StageBuilder:
    """Instructions of a stage in the making; loops nest by ``with``."""

    def __init__(self) -> None:
        self._instructions: list[Instruction] = []
        self._reads: list[Read] = []
        self._depth = 0

    def add(self, *instructions: Instruction) -> None:
        """Append instructions."""
        self._instructions.extend(instructions)

    def reads(self, *reads: Read) -> None:
        """Say what loads of the stage bring; every load must be said by shapes and schedule, for the run's check."""
        self._reads.extend(reads)

    @contextmanager
    def loop(self, count: int) -> Iterator[int]:
        """Repeat what is added inside ``count`` times; gives the loop's level."""
        level = self._depth
        if level >= LOOP_LEVELS:
            raise UnsupportedError(f"a stage has at most {LOOP_LEVELS} nested loops")
        self._instructions.append(Loop(level=level, count=count))
        self._depth += 1
        yield level
        self._depth -= 1
        self._instructions.append(EndLoop(level=level))

    def finish(
        self,
        layer: str,
        stage: str,
        *,
        dataflow: str = "-",
        sparsity: str = "dense",
        macs: int = 0,
        macs_dense: int = 0,
        beside: str = "",
        schedules: tuple[Schedule, ...] = (),
    ) -> StageProgram:
        """Close the stage."""
        return StageProgram(
            layer,
            stage,
            tuple(self._instructions),
            CREDITS,
            dataflow,
            sparsity,
            macs,
            macs_dense,
            beside,
            schedules,
            split(self._reads),
        )


def stored(stages: Iterable[StageProgram], architecture: Architecture) -> tuple[StageProgram, ...]:
    """Return the stages of a Program, each of which the machine's instruction memory holds whole.

    Raises
    ------
    DoesNotFitError
        One is longer.
    """
    found, most = tuple(stages), architecture.stage_instructions
    for stage in found:
        if (length := len(stage.instructions)) > most:
            what = f"stage {stage.stage} of layer {stage.layer!r} does not fit the instruction memory"
            raise DoesNotFitError(what, length, most, "instructions", "a smaller batch, or raise stage_instructions")
    return found
