"""Work: one kind of one instruction, as an engine sees it."""

import dataclasses
from dataclasses import dataclass
from functools import cache, lru_cache
from operator import attrgetter

from gossamer_models.actions import NO_ACTIONS, Actions, instruction_actions
from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Prune, Store, Vector
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.timing.gemm import GemmCycles, gemm_cycles
from gossamer_models.timing.prune import prune_cycles
from gossamer_models.timing.transfer import transfer_shape
from gossamer_models.timing.vector import vector_cycles
from gossamer_sim.memory import MemoryModel, SharedWork
from gossamer_sim.places import PLACES, TOKENS, timing_fields

__all__ = ["CostBook", "Work", "WorkShop", "cost_book"]

_MAX_COSTS = 1 << 16
_READERS = {cls: attrgetter(*(name for name in timing_fields(cls) if name not in TOKENS)) for cls in PLACES}


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """What executing an instruction costs; two iterations of an instruction with equal costs share one.

    Members
    -------
    number : place in the stage's list of works.
    instruction : index into the stage's instructions.
    waits, signals : bit numbers of semaphores.
    cycles : from start to end, or to where the memory goes on with ``epoch``, what it calls the transfer.
    size_bytes : DRAM traffic.
    actions : what it does, counted.
    """

    number: int
    instruction: int
    engine: Engine
    waits: tuple[int, ...]
    signals: tuple[int, ...]
    cycles: int
    epoch: SharedWork | None = None
    size_bytes: int = 0
    gemm: GemmCycles | None = None
    actions: Actions = NO_ACTIONS


@dataclass(frozen=True, slots=True)
class Cost:
    """What an instruction costs apart from its tokens; members as in :class:`Work`."""

    cycles: int
    epoch: SharedWork | None
    size_bytes: int
    gemm: GemmCycles | None
    actions: Actions


class CostBook:
    """Costs of one machine's instructions; equal ones are worked out once if equal transfers cost the same."""

    def __init__(self, architecture: Architecture, memory: MemoryModel) -> None:
        self._architecture = architecture
        self._memory = memory
        self._known: dict[tuple[object, ...], tuple[int, Cost]] = {}
        self._numbers: dict[Cost, int] = {}

    def cost(self, instruction: Instruction) -> tuple[int, Cost]:
        """Number of a cost, and the cost, of an instruction whose modifiers do not count."""
        read = _READERS.get(type(instruction))
        if read is None or not self._memory.repeats:
            return self._enter(instruction)
        key = type(instruction), *read(instruction)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_COSTS:
                self._known.clear()
            found = self._known[key] = self._enter(instruction)
        return found

    def _enter(self, instruction: Instruction) -> tuple[int, Cost]:
        if instruction.modifiers:
            instruction = dataclasses.replace(instruction, modifiers=())
        cost = self._work_out(instruction)
        return self._numbers.setdefault(cost, len(self._numbers)), cost

    def _work_out(self, instruction: Instruction) -> Cost:
        cycles, epoch, size_bytes, gemm = 0, None, 0, None
        if isinstance(instruction, Load | Store):
            shape = transfer_shape(instruction)
            cycles, epoch = self._memory.cost(instruction, shape)
            size_bytes = shape.size_bytes
        elif isinstance(instruction, Gemm):
            gemm = gemm_cycles(self._architecture.array, instruction)
            cycles = gemm.total
        elif isinstance(instruction, Prune):
            cycles = prune_cycles(self._architecture.vector, instruction)
        elif isinstance(instruction, Vector):
            cycles = vector_cycles(self._architecture, instruction)
        else:
            raise GossamerError(f"no engine executes {type(instruction).__name__}")
        return Cost(cycles, epoch, size_bytes, gemm, instruction_actions(self._architecture.array, instruction))


@lru_cache(maxsize=16)
def cost_book(architecture: Architecture, memory: MemoryModel) -> CostBook:
    """The book of a machine whose memory repeats; what one run has worked out serves all later ones."""
    return CostBook(architecture, memory)


class WorkShop:
    """Makes the works of one stage, each once.

    Parameters
    ----------
    architecture : the machine.
    memory : its memory model.
    costs : what is known of the two already; nothing by default.

    Members
    -------
    repeats : equal instructions cost the same, wherever in DRAM their operands lie.
    """

    def __init__(self, architecture: Architecture, memory: MemoryModel, costs: CostBook | None = None) -> None:
        self.works: list[Work] = []
        self.repeats = memory.repeats
        self._costs = costs or CostBook(architecture, memory)
        self._known: dict[tuple[int, int, int, int], Work] = {}

    def make(self, position: int, instruction: Instruction) -> Work:
        """Work of an instruction at a position in the stage; its modifiers do not count.

        Raises
        ------
        GossamerError
            The instruction waits for or signals a semaphore whose end is another engine.
        """
        number, cost = self._costs.cost(instruction)
        key = position, instruction.wait, instruction.signal, number
        work = self._known.get(key)
        if work is None:
            _check_ends(position, instruction)
            waits, signals = _bits(int(instruction.wait)), _bits(int(instruction.signal))
            work = self._known[key] = Work(
                len(self.works), position, instruction.engine, waits, signals,
                cost.cycles, cost.epoch, cost.size_bytes, cost.gemm, cost.actions,
            )  # fmt: skip
            self.works.append(work)
        return work


@cache
def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _check_ends(position: int, instruction: Instruction) -> None:
    ends = [(bit, consumer, "waits for") for bit in _bits(int(instruction.wait))]
    ends += [(bit, producer, "signals") for bit in _bits(int(instruction.signal))]
    for bit, end, verb in ends:
        semaphore = Semaphore(1 << bit)
        if end(semaphore) != instruction.engine:
            raise GossamerError(
                f"instruction {position} on {instruction.engine.name} {verb} {semaphore.name}, "
                f"which belongs to {end(semaphore).name}"
            )
