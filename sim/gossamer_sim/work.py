"""Work: one kind of one instruction, as an engine sees it."""

from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import chain, count
from operator import attrgetter

from gossamer_models.actions import NO_ACTIONS, Actions, instruction_actions
from gossamer_models.architecture import Architecture
from gossamer_models.copies import copied
from gossamer_models.errors import GossamerError
from gossamer_models.isa.instructions import Gemm, Instruction, Load, Prune, Store, Vector, VectorOp
from gossamer_models.isa.tokens import Engine, Semaphore, consumer, producer
from gossamer_models.recorded import SweepCounts
from gossamer_models.timing.gemm import GemmCycles, gemm_cycles
from gossamer_models.timing.prune import prune_cycles
from gossamer_models.timing.sequencer import dealing
from gossamer_models.timing.transfer import transfer_shape
from gossamer_models.timing.vector import vector_cycles
from gossamer_sim.engines import ENGINES
from gossamer_sim.kinds import Template
from gossamer_sim.memory import MemoryModel, SharedWork
from gossamer_sim.places import PLACES, TOKENS, place_in_page, timing_fields, timing_key

__all__ = ["CostBook", "Kind", "Work", "WorkShop", "cost_book"]

_MAX_COSTS = 1 << 16
_MAX_TEMPLATES = 1 << 13
_READERS = {cls: attrgetter(*(name for name in timing_fields(cls) if name not in TOKENS)) for cls in PLACES}


@dataclass(frozen=True, slots=True)
class Cost:
    """What an instruction costs apart from its tokens; members as in :class:`Work`."""

    cycles: int
    epoch: SharedWork | None
    size_bytes: int
    gemm: GemmCycles | None
    actions: Actions


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Instructions of one engine, one cost and the same tokens; a book has each once."""

    engine: Engine
    waits: tuple[int, ...]
    signals: tuple[int, ...]
    cost: Cost


@dataclass(slots=True, eq=False)
class Work:
    """What executing an instruction costs; two iterations of an instruction with equal costs share one.

    Members
    -------
    number : index into the stage's works.
    place : index into ``ENGINES``.
    instruction : index into the stage's instructions.
    waits, signals : bit numbers of semaphores.
    cycles : from start to end, or to where the memory goes on with ``epoch``, what it calls the transfer.
    size_bytes : DRAM traffic.
    actions : what it does, counted.
    """

    number: int
    instruction: int
    engine: Engine
    place: int
    waits: tuple[int, ...]
    signals: tuple[int, ...]
    cycles: int
    epoch: SharedWork | None = None
    size_bytes: int = 0
    gemm: GemmCycles | None = None
    actions: Actions = NO_ACTIONS


class CostBook:
    """Costs of one machine's instructions; equal ones are worked out once if equal transfers cost the same.

    Parameters
    ----------
    remember : False works out every execution of every instruction, as the long way does.
    recorded : counts of the Program's sweeps.

    Members
    -------
    dealing : how the sequencer moves instructions.
    """

    def __init__(
        self,
        architecture: Architecture,
        memory: MemoryModel,
        *,
        remember: bool = True,
        recorded: tuple[SweepCounts, ...] = (),
    ) -> None:
        self._recorded = recorded
        self._remembers = memory.repeats and remember
        self._architecture = architecture
        self.dealing = dealing(architecture)
        self._memory = memory
        self._known: dict[tuple[object, ...], tuple[int, Cost]] = {}
        self._numbers: dict[Cost, int] = {}
        self._kinds: dict[tuple[Engine, int, int, int], Kind] = {}
        self._alike: dict[object, int] = {}
        self._next = count()
        self._templates: dict[tuple[int, ...], Template] = {}

    def number(self, instruction: Instruction) -> int:
        """Number that instructions share which differ in places alone."""
        key = timing_key(instruction)
        found = self._alike.get(key)
        if found is None:
            if len(self._alike) >= _MAX_TEMPLATES:
                self._alike.clear()
            found = self._alike[key] = next(self._next)
        return found

    def template(self, instruction: Instruction, counts: dict[int, int], number: int) -> Template:
        """Kinds of an instruction in loops of some counts.

        Parameters
        ----------
        number : as :meth:`number` gives it; instructions that share it share their kinds.

        Raises
        ------
        ValueError
            A modifier names a loop level that is not around the instruction.
        """
        if not self._remembers:
            return Template(instruction, counts, self.kind, dealing=self.dealing, repeats=False)
        key = number, *chain.from_iterable(counts.items())
        found = self._templates.get(key)
        if found is None:
            if len(self._templates) >= _MAX_TEMPLATES:
                self._templates.clear()
            found = self._templates[key] = Template(instruction, counts, self.kind, dealing=self.dealing)
        return found

    def kind(self, instruction: Instruction) -> Kind:
        """Kind of an instruction, whose modifiers do not count."""
        number, cost = self.cost(instruction)
        key = instruction.engine, int(instruction.wait), int(instruction.signal), number
        found = self._kinds.get(key)
        if found is None:
            waits, signals = _bits(int(instruction.wait)), _bits(int(instruction.signal))
            found = self._kinds[key] = Kind(instruction.engine, waits, signals, cost)
        return found

    def cost(self, instruction: Instruction) -> tuple[int, Cost]:
        """Number of a cost, and the cost, of an instruction whose modifiers do not count."""
        read = _READERS.get(type(instruction))
        if read is None or not self._remembers:
            return self._enter(instruction)
        key = type(instruction), place_in_page(instruction), *read(instruction)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MAX_COSTS:
                self._known.clear()
            found = self._known[key] = self._enter(instruction)
        return found

    def _enter(self, instruction: Instruction) -> tuple[int, Cost]:
        if instruction.modifiers:
            instruction = copied(instruction, modifiers=())
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
            cycles = prune_cycles(self._architecture.vector, instruction, self._architecture.array.group)
        elif isinstance(instruction, Vector):
            cycles = vector_cycles(self._architecture, instruction, self._counts(instruction))
        else:
            raise GossamerError(f"no engine executes {type(instruction).__name__}")
        return Cost(cycles, epoch, size_bytes, gemm, instruction_actions(self._architecture.array, instruction))

    def _counts(self, v: Vector) -> SweepCounts | None:
        sweeps = v.op == VectorOp.RENDER_SWEEP and v.size < len(self._recorded)
        return self._recorded[v.size] if sweeps else None


@lru_cache(maxsize=16)
def cost_book(architecture: Architecture, memory: MemoryModel, recorded: tuple[SweepCounts, ...] = ()) -> CostBook:
    """The book of a machine whose memory repeats; what one run has worked out serves all later ones."""
    return CostBook(architecture, memory, recorded=recorded)


class WorkShop:
    """Makes the works of one stage, each once.

    Parameters
    ----------
    costs : of the machine.
    """

    def __init__(self, costs: CostBook) -> None:
        self.works: list[Work] = []
        self.costs = costs
        self._known: dict[tuple[int, Kind], Work] = {}

    def make(self, position: int, kind: Kind) -> Work:
        """Work of an instruction of some kind at a position in the stage.

        Raises
        ------
        GossamerError
            The instruction waits for or signals a semaphore whose end is another engine.
        """
        key = position, kind
        work = self._known.get(key)
        if work is None:
            _check_ends(position, kind)
            cost = kind.cost
            work = self._known[key] = Work(
                len(self.works), position, kind.engine, ENGINES.index(kind.engine), kind.waits, kind.signals,
                cost.cycles, cost.epoch, cost.size_bytes, cost.gemm, cost.actions,
            )  # fmt: skip
            self.works.append(work)
        return work


@cache
def _bits(mask: int) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def _check_ends(position: int, kind: Kind) -> None:
    wrong = _wrong_end(kind.engine, kind.waits, kind.signals)
    if wrong is not None:
        raise GossamerError(f"instruction {position} on {kind.engine.name} {wrong}")


@cache
def _wrong_end(engine: Engine, waits: tuple[int, ...], signals: tuple[int, ...]) -> str | None:
    """What an engine's instruction does with a semaphore whose end is another engine."""
    ends = [(bit, consumer, "waits for") for bit in waits]
    ends += [(bit, producer, "signals") for bit in signals]
    for bit, end, verb in ends:
        semaphore = Semaphore(1 << bit)
        if end(semaphore) != engine:
            return f"{verb} {semaphore.name}, which belongs to {end(semaphore).name}"
    return None
