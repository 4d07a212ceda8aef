"""Work: one kind of one instruction, as an engine sees it."""

from collections.abc import Iterator
from dataclasses import dataclass

from gossamer_models.actions import NO_ACTIONS, Actions, instruction_actions
from gossamer_models.architecture import Architecture
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Prune, Store, Vector
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.timing.dma import TransferPlan
from gossamer_models.timing.dram import Epoch
from gossamer_models.timing.gemm import GemmCycles, gemm_cycles
from gossamer_models.timing.prune import prune_cycles
from gossamer_models.timing.transfer import transfer_shape
from gossamer_models.timing.vector import vector_cycles
from gossamer_sim.memory import MemoryModel

__all__ = ["Work", "WorkShop"]


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
    epoch: Epoch | TransferPlan | None = None
    size_bytes: int = 0
    gemm: GemmCycles | None = None
    actions: Actions = NO_ACTIONS


class WorkShop:
    """Makes the works of one stage, each once.

    Parameters
    ----------
    architecture : the machine.
    memory : its memory model.

    Members
    -------
    repeats : equal instructions cost the same, wherever in DRAM their operands lie.
    """

    def __init__(self, architecture: Architecture, memory: MemoryModel) -> None:
        self.works: list[Work] = []
        self._architecture = architecture
        self._memory = memory
        self.repeats = memory.repeats
        self._known: dict[tuple[object, ...], Work] = {}

    def make(self, position: int, instruction: Instruction) -> Work:
        """Work of a concrete instruction at a position in the stage.

        Raises
        ------
        GossamerError
            The instruction waits for or signals a semaphore whose end is another engine.
        """
        cycles, epoch, size_bytes, gemm = self._cost(instruction)
        waits, signals = tuple(_bits(instruction.wait)), tuple(_bits(instruction.signal))
        actions = instruction_actions(self._architecture.array, instruction)
        key = (position, waits, signals, cycles, epoch, size_bytes, gemm, actions)
        if key not in self._known:
            _check_ends(position, instruction)
            work = self._known[key] = Work(
                len(self.works), position, instruction.engine, waits, signals, cycles, epoch, size_bytes, gemm, actions
            )
            self.works.append(work)
        return self._known[key]

    def _cost(self, instruction: Instruction) -> tuple[int, Epoch | TransferPlan | None, int, GemmCycles | None]:
        if isinstance(instruction, Load | Store):
            shape = transfer_shape(instruction)
            cycles, epoch = self._memory.cost(instruction, shape)
            return cycles, epoch, shape.size_bytes, None
        if isinstance(instruction, Gemm):
            gemm = gemm_cycles(self._architecture.array, instruction)
            return gemm.total, None, 0, gemm
        if isinstance(instruction, Prune):
            return prune_cycles(self._architecture.vector, instruction), None, 0, None
        if isinstance(instruction, Vector):
            return vector_cycles(self._architecture, instruction), None, 0, None
        raise GossamerError(f"no engine executes {type(instruction).__name__}")


def _bits(mask: int) -> Iterator[int]:
    return (bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _check_ends(position: int, instruction: Instruction) -> None:
    ends = [(bit, consumer, "waits for") for bit in _bits(instruction.wait)]
    ends += [(bit, producer, "signals") for bit in _bits(instruction.signal)]
    for bit, end, verb in ends:
        semaphore = Semaphore(1 << bit)
        if end(semaphore) != instruction.engine:
            raise GossamerError(
                f"instruction {position} on {instruction.engine.name} {verb} {semaphore.name}, "
                f"which belongs to {end(semaphore).name}"
            )
