"""Cycles of the control unit: fetch of a stage, dealing of its instructions, first and last cycle of a run.

A run's cycle 0 is the one in which the start command is taken; a stage ends in cycle E = max(last ``done`` of an
engine, the sequencer's first look behind the stage's last instruction); the next stage's barrier counts from E, and the
run is over in the last stage's E. So a run takes the sum over its stages of barrier_cycles(...) + (E - first dealing
cycle), which is what the register CYCLES shows.

Dealing: the sequencer looks at an instruction in some cycle c, its first one in the stage's first dealing cycle. It
puts it into its engine's queue in cycle c + deal_cycles(instruction) - 1, or in the first later one that has a free
slot; a loop instruction is over in cycle c + LOOP_CYCLES - 1 or c + END_LOOP_CYCLES - 1. It looks at the following one
in the cycle behind that.

Where instructions move as words (:class:`Dealing`), the first of W words goes to the queue in cycle
c + deal_cycles(instruction) - W, or in the first later one that has a free slot, and the others follow one by one; with
the last the instruction is in the queue. Every look at an instruction, a header too, takes W cycles more; but the words
of one that follows a dealt one have been read meanwhile, and it takes W + 2 cycles less.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from gossamer_models.architecture import Architecture, Memory
from gossamer_models.isa.instructions import INSTRUCTION_BYTES, Instruction, Modifier

__all__ = [
    "BARRIER_CYCLES", "BODY_CYCLES", "DEAL_CYCLES", "END_LOOP_CYCLES", "LOOP_CYCLES", "MODIFIER_CYCLES",
    "RESOLVE_CYCLES", "WORDS_RESOLVE_CYCLES", "Dealing", "Transaction", "barrier_cycles", "deal_cycles", "dealing",
    "fetch_bursts", "scripted_barrier_cycles",
]  # fmt: skip

LOOP_CYCLES = 3
END_LOOP_CYCLES = 3
DEAL_CYCLES = 4
"""Read, latch, decode, deal."""

_READ_CYCLES = 2
"""Of these: read, latch."""

RESOLVE_CYCLES = 4
"""Latency of the modifiers' pipeline, paid by instructions that have any."""

MODIFIER_CYCLES = 4
"""A modifier of an instruction that lies as words."""

WORDS_RESOLVE_CYCLES = 2
"""Latency behind the last of them."""

BARRIER_CYCLES = 7
"""Barrier of a stage without instructions beyond latency and beats: rewind, fetch and decode of the header."""

BODY_CYCLES = 2
"""Fetch of the instructions beyond latency and beats."""

_PAGE_BYTES = 4096
_MAX_BEATS = 256
_EMPTY = Modifier()


@dataclass(frozen=True, slots=True)
class Transaction:
    """How a memory treats one burst.

    Members
    -------
    gap_cycles : from the first cycle in which its address is offered to the one in which that is taken.
    latency_cycles : from there to its first beat, later if the burst before is not through by then.
    """

    gap_cycles: int
    latency_cycles: int


@dataclass(frozen=True, slots=True)
class Dealing:
    """How instructions move through the sequencer.

    Members
    -------
    words : in which an instruction is read and dealt; 0 if it moves whole.
    """

    words: int = 0

    @property
    def loop_cycles(self) -> int:
        """Cycles of a LOOP that has not been read ahead."""
        return LOOP_CYCLES + self.words

    @property
    def end_loop_cycles(self) -> int:
        """Cycles of an END_LOOP that has not been read ahead."""
        return END_LOOP_CYCLES + self.words

    @property
    def ahead_cycles(self) -> int:
        """Cycles less of any instruction behind one that an engine executes: it has been read meanwhile."""
        return self.words + _READ_CYCLES if self.words else 0

    @property
    def fill_cycles(self) -> int:
        """Cycles from the one that needs a free slot to the one in which the instruction is in the queue."""
        return max(self.words - 1, 0)

    def slot_cycles(self, instruction: Instruction) -> int:
        """Cycles from the first look at an engine's instruction to the one that needs a free slot, both counted.

        Not read ahead.
        """
        count = len(instruction.modifiers)
        while count and not instruction.modifiers[count - 1].kind and instruction.modifiers[count - 1] == _EMPTY:
            count -= 1
        if not count:
            return DEAL_CYCLES + self.words
        if not self.words:
            return DEAL_CYCLES + RESOLVE_CYCLES + count
        return DEAL_CYCLES + self.words + WORDS_RESOLVE_CYCLES + MODIFIER_CYCLES * count


_WHOLE = Dealing()


def dealing(architecture: Architecture) -> Dealing:
    """How a machine's sequencer moves instructions."""
    return Dealing(8 * INSTRUCTION_BYTES // architecture.memory.port_bits if architecture.serial_dealing else 0)


def deal_cycles(instruction: Instruction, how: Dealing = _WHOLE) -> int:
    """Cycles of dealing an engine's instruction, which has not been read ahead, into a queue that has a free slot."""
    return how.slot_cycles(instruction) + how.fill_cycles


def barrier_cycles(memory: Memory, instructions: int) -> int:
    """Cycles from a stage's end to the next one's first dealing cycle, behind an ideal memory.

    Parameters
    ----------
    memory : its latency and width count.
    instructions : of the stage, the header not counted.
    """
    ideal = Transaction(0, memory.latency_cycles)
    width = memory.port_bits // 8
    return scripted_barrier_cycles(0, instructions, width, iter(lambda: ideal, None))


def scripted_barrier_cycles(address: int, instructions: int, width: int, transactions: Iterator[Transaction]) -> int:
    """:func:`barrier_cycles` behind a memory that treats every burst in its own way.

    Parameters
    ----------
    address : of the stage's header.
    instructions : of the stage.
    width : bytes of a beat.
    transactions : taken from, one per burst, in order.
    """
    cycles = BARRIER_CYCLES + _fetch_cycles(address, INSTRUCTION_BYTES, width, transactions)
    if instructions:
        body = _fetch_cycles(address + INSTRUCTION_BYTES, instructions * INSTRUCTION_BYTES, width, transactions)
        cycles += BODY_CYCLES + body
    return cycles


def fetch_bursts(address: int, size_bytes: int, width: int) -> Iterator[tuple[int, int]]:
    """Yield address and beats of the bursts that fetch a range.

    A burst ends where an aligned block of 4 KiB, or of 256 beats where that is less, does.
    """
    block, end = min(_PAGE_BYTES, _MAX_BEATS * width), address + size_bytes
    while address < end:
        burst_end = min(end, (address // block + 1) * block)
        yield address, (burst_end - address) // width
        address = burst_end


def _fetch_cycles(address: int, size_bytes: int, width: int, transactions: Iterator[Transaction]) -> int:
    """Cycles from the one in which the first address is offered to the one behind the last beat."""
    offered = free = 0
    for _, beats in fetch_bursts(address, size_bytes, width):
        transaction = next(transactions)
        taken = offered + transaction.gap_cycles
        offered = taken + 1
        free = max(taken + transaction.latency_cycles, free) + beats
    return free
