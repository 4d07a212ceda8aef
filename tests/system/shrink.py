"""Makes a Program on which executors disagree small: drops stages, loops and instructions while they still disagree.

A smaller Program still writes all that its results come from: golden executes it on what others may have left too.
"""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.golden.executor import run
from gossamer_models.isa.instructions import EndLoop, Instruction, Loop
from gossamer_models.isa.loops import nest
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.program_file import SUFFIX, save_program

__all__ = ["Differs", "is_legal", "save", "save_shrunk", "shrink"]

Differs = Callable[[Program], bool]
"""Whether executors still disagree on a Program, which stays as it is."""

_log = logging.getLogger(__name__)
_ORDERS = 3


def save_shrunk(program: Program, architecture: Architecture, differs: Differs, folder: Path) -> Path:
    """Shrink a Program and save it, to be replayed by ``gossamer verify PROGRAM``; return its file."""
    return save(shrink(program, architecture, differs), architecture, folder)


def save(program: Program, architecture: Architecture, folder: Path) -> Path:
    """Save a Program as it is under its name; return its file."""
    path = folder / f"{program.name.replace(' ', '-')}{SUFFIX}"
    save_program(program, architecture, path)
    return path


def shrink(program: Program, architecture: Architecture, differs: Differs) -> Program:
    """Return the smallest Program found on which executors still disagree.

    Parameters
    ----------
    program : with data; executors disagree on it.
    differs : asked only about Programs that golden executes, with the same bits in several orders of the engines and
        whatever scratchpads held before.
    """
    changed = True
    while changed:
        changed = False
        for smaller in _smaller(program):
            if is_legal(smaller, architecture) and differs(smaller):
                program, changed = smaller, True
                _log.info("%s: %d instructions", program.name, sum(len(s.instructions) for s in program.stages))
                break
    return program


def is_legal(program: Program, architecture: Architecture) -> bool:
    """Whether golden executes a Program, in some orders and on some old contents of scratchpads to the same bits."""
    try:
        expected = _memory(program, architecture, None)
        return all(np.array_equal(_memory(program, architecture, order), expected) for order in range(_ORDERS))
    except GossamerError:
        return False


def _memory(program: Program, architecture: Architecture, order: int | None) -> NDArray[np.uint8]:
    held = program.memory
    if held.data is None:
        raise GossamerError(f"the image of program {program.name!r} is symbolic")
    data = held.data.copy()
    run(dataclasses.replace(program, memory=MemoryImage(held.tensors, held.size_bytes, data)), architecture, seed=order)
    return data


def _smaller(program: Program) -> Iterator[Program]:
    """Programs with a little less in them, those with much less first."""
    stages = program.stages
    for number in range(len(stages)):
        if len(stages) > 1:
            yield dataclasses.replace(program, stages=stages[:number] + stages[number + 1 :])
    for number, stage in enumerate(stages):
        for instructions in _fewer(tuple(stage.instructions)):
            yield dataclasses.replace(
                program, stages=(*stages[:number], _with(stage, instructions), *stages[number + 1 :])
            )


def _with(stage: StageProgram, instructions: Sequence[Instruction]) -> StageProgram:
    return dataclasses.replace(stage, instructions=tuple(instructions))


def _fewer(items: tuple[Instruction, ...]) -> Iterator[list[Instruction]]:
    """Shorter lists: without stretches from half to one instruction long, with shorter loops, without modifiers."""
    size = len(items) // 2
    while size:
        for start in range(0, len(items) - size + 1, max(1, size // 2)):
            rest = [*items[:start], *items[start + size :]]
            if _nests(rest):
                yield rest
        size //= 2
    for place, item in enumerate(items):
        if isinstance(item, Loop):
            if item.count > 1:
                yield [*items[:place], dataclasses.replace(item, count=1), *items[place + 1 :]]
        elif not isinstance(item, EndLoop):
            yield from _without(items, place)
            if item.modifiers:
                yield [*items[:place], dataclasses.replace(item, modifiers=()), *items[place + 1 :]]


def _nests(items: Sequence[Instruction]) -> bool:
    try:
        nest(items)
    except ValueError:
        return False
    return True


def _without(items: tuple[Instruction, ...], place: int) -> Iterator[list[Instruction]]:
    """Drop an instruction; its engine's next or former one takes its tokens over."""
    gone = items[place]
    if not (gone.wait or gone.signal or gone.advance):
        return  # a stretch of one
    rest = [*items[:place], *items[place + 1 :]]
    later = next((n for n in range(place, len(rest)) if rest[n].engine is gone.engine), None)
    former = next((n for n in range(place - 1, -1, -1) if rest[n].engine is gone.engine), None)
    for heir in (later, former):
        if heir is not None:
            old = rest[heir]
            tokens = {name: getattr(old, name) | getattr(gone, name) for name in ("wait", "signal", "advance")}
            yield [*rest[:heir], dataclasses.replace(old, **tokens), *rest[heir + 1 :]]
