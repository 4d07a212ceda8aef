"""Random Programs for all engines, legal by construction: no deadlock, no race, nothing read that nothing has written.

A stage is a list of *units*, some of them in loops. A unit fills halves of scratchpads by loads, works on them and
stores what it made. Between two engines a pair of semaphores hands a half over and back, so that the order in which
engines take turns changes no bit; and as an instruction waits only for what earlier ones in program order signal,
nothing deadlocks. All that varies is drawn from one ``random.Random``: units, loops, sizes, places, flags, data,
buffers in one or two halves, and further tokens on semaphores that a stage does not need.
"""

import dataclasses
import random
from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import EndLoop, Instruction, Loop
from gossamer_models.isa.tokens import Buffer, Engine, Semaphore, consumer, producer
from gossamer_models.program import MemoryImage, Program, StageProgram
from tests.system.random_stage import INPUT_BYTES, LABELS_BYTES, WAYS, StageWriter
from tests.system.random_units import UNITS, again

__all__ = ["programs", "random_program", "random_programs"]

S = Semaphore

_SPECIALS = np.array([0x0000, 0x8000, 0x7C00, 0xFC00, 0x7E00, 0x0001, 0x83FF, 0x7BFF, 0xFBFF, 0x0400], np.uint16)
_SPECIAL_SHARE = 1 / 512
_CLASSES = 12
_MAX_TOKENS = 15
_MAX_STAGES, _MAX_GROUPS, _MAX_UNITS = 3, 2, 3
_DOUBLED = (Buffer.A, Buffer.B, Buffer.ACC, Buffer.VIN, Buffer.VOUT, Buffer.PRN)


def programs(architecture: Architecture) -> st.SearchStrategy[Program]:
    """Random Programs as a strategy of hypothesis; a failing one is shrunk by ``tests.system.shrink``."""
    return st.integers(0, (1 << 32) - 1).map(lambda seed: random_program(seed, architecture))


def random_programs(count: int, seed: int, architecture: Architecture) -> list[Program]:
    """Return ``count`` Programs of consecutive seeds."""
    return [random_program(seed + number, architecture) for number in range(count)]


def random_program(seed: int, architecture: Architecture, *, most_iterations: int = 8) -> Program:
    """Return the Program of a seed, its image filled; the name says the seed.

    Tensors: ``input``, which loads read, and ``output``, which stores write.

    Parameters
    ----------
    most_iterations : of nested loops together; a multiple of them is what a simulator may skip.
    """
    rng = random.Random(seed)
    stages, output = [], INPUT_BYTES
    cleared: set[int] = set()
    for number in range(rng.randint(1, _MAX_STAGES)):
        writer = _writer(rng, architecture, output, most_iterations, cleared)
        _fill(writer)
        stages.append(_finish(writer, f"stage{number}"))
        output = writer.output
    memory = MemoryImage()
    memory.allocate("input", INPUT_BYTES, "raw", (INPUT_BYTES,))
    memory.allocate("output", output - INPUT_BYTES, "raw", (output - INPUT_BYTES,))
    memory.data = np.concatenate([_data(seed), np.full(output - INPUT_BYTES, 0xA5, np.uint8)])
    return Program(f"random {seed}", architecture.name, tuple(stages), memory)


def _writer(
    rng: random.Random, architecture: Architecture, output: int, most_iterations: int, cleared: set[int]
) -> StageWriter:
    doubled = frozenset(buffer for buffer in _DOUBLED if rng.random() < 0.5)
    stores_parameters = rng.random() < 0.5
    feeds = architecture.vector.feeds_array and rng.random() < 0.4
    return StageWriter(rng, architecture, output, stores_parameters, doubled, most_iterations, cleared, feeds)


def _fill(w: StageWriter) -> None:
    """Append groups of units, each in up to two loops."""
    # STORED either says that PRM may change or that data may be read again.
    units = [unit for unit in UNITS if not (w.stores_parameters and unit is again)]
    for _ in range(w.rng.randint(1, _MAX_GROUPS)):
        outer, inner = (1 if w.rng.random() < share else max(3, w.most_iterations // 3) for share in (0.5, 0.7))
        with w.loop(outer), w.loop(inner):
            for _ in range(w.rng.randint(1, _MAX_UNITS)):
                while not w.attempt(w.rng.choice(units)):
                    pass


def _finish(w: StageWriter, name: str) -> StageProgram:
    """Credits, and tokens on semaphores that are not needed."""
    held = {way.free: w.rng.randint(1, 2) if buffer in w.doubled else 1 for buffer, way in WAYS.items()}
    if w.feeds:
        held[S.OPERAND_FREE] = held[S.A_FREE]
    if w.stores_parameters:
        held[S.STORED] = 1
    used = S(0)
    for item in w.items:
        used |= S(item.wait | item.signal)
    unused = [semaphore for semaphore in S if not semaphore & used]
    for semaphore in w.rng.sample(unused, w.rng.randint(0, len(unused))):
        held[semaphore] = _spend(w, semaphore)
    return StageProgram(name, "random", tuple(w.items), tuple((s, n) for s, n in held.items() if n))


def _spend(w: StageWriter, semaphore: Semaphore) -> int:
    """Let engines give and take tokens of a semaphore; return its credits."""
    takers, givers = _places(w.items, consumer(semaphore)), _places(w.items, producer(semaphore))
    credit = w.rng.randint(0, _MAX_TOKENS // 2)
    if takers and w.rng.random() < 0.7:
        place, times = w.rng.choice(takers)
        if times <= _MAX_TOKENS // 2:
            w.items[place] = dataclasses.replace(w.items[place], wait=w.items[place].wait | semaphore)
            credit = max(credit, times)
    if givers and w.rng.random() < 0.7:
        place, times = w.rng.choice(givers)
        if times <= _MAX_TOKENS // 2:
            w.items[place] = dataclasses.replace(w.items[place], signal=w.items[place].signal | semaphore)
    return credit


def _places(items: list[Instruction], engine: Engine) -> list[tuple[int, int]]:
    """Places of an engine's instructions, and how often each is executed."""
    return [(place, times) for place, times in _times(items) if items[place].engine is engine]


def _times(items: list[Instruction]) -> Iterator[tuple[int, int]]:
    counts = [1]
    for place, item in enumerate(items):
        if isinstance(item, Loop):
            counts.append(counts[-1] * item.count)
        elif isinstance(item, EndLoop):
            counts.pop()
        else:
            yield place, counts[-1]


def _data(seed: int) -> NDArray[np.uint8]:
    """Bytes of the input: fp16 numbers, some of them special, and class numbers at the end."""
    rng = np.random.default_rng(seed)
    halves = rng.standard_normal((INPUT_BYTES - LABELS_BYTES) // 2).astype(np.float16).view(np.uint16)
    special = rng.random(halves.size) < _SPECIAL_SHARE
    halves[special] = rng.choice(_SPECIALS, int(special.sum()))
    labels = rng.integers(0, _CLASSES, LABELS_BYTES // 4).astype(np.float32)
    return np.concatenate([halves.view(np.uint8), labels.view(np.uint8)])
