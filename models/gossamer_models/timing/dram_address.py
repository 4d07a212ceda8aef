"""Addresses in DRAM: channel, bank group, bank and row of a burst, and how many rows a stretch of memory opens."""

from dataclasses import dataclass
from math import gcd
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gossamer_models.architecture import Memory
from gossamer_models.dram import DramTable

__all__ = ["PLACED_ROUNDS", "AddressMap", "Places", "address_map"]

PLACED_ROUNDS = 64
"""Rounds of the channels in which a stretch whose round is unknown is placed."""

Integers = NDArray[np.int64]


class Places(NamedTuple):
    """Channel, bank (of all groups, the group above) and row of each burst."""

    channel: Integers
    bank: Integers
    row: Integers


@dataclass(frozen=True, slots=True)
class AddressMap:
    """An architecture's address mapping on one kind of memory.

    Members
    -------
    channels, interleave_bursts : a channel holds ``interleave_bursts`` successive bursts.
    sizes : bank groups, columns (bursts of a row) and banks of a group, by name, in the address's order, lowest first.
    channel_fold, bank_fold : as in :class:`~gossamer_models.architecture.AddressMapping`.
    """

    channels: int
    interleave_bursts: int
    sizes: tuple[tuple[str, int], ...]
    channel_fold: bool
    bank_fold: bool

    @property
    def open_banks(self) -> int:
        """Banks over which a stretch of memory rotates within one row of each."""
        return self._below("column")

    @property
    def same_group_bursts(self) -> int:
        """Successive bursts of a channel that lie in one bank group."""
        return self._below("group")

    def rows(self, bursts: int) -> int:
        """Rows that ``bursts`` successive bursts of one channel open, the first one in a bank at a row's start."""
        return min(self.open_banks, bursts) * -(-bursts // (self.open_banks * self.size("column")))

    def size(self, name: str) -> int:
        """Values of the digit group, column or bank."""
        return dict(self.sizes)[name]

    def steps(self, name: str, stride_bursts: int) -> int:
        """Values that a digit takes, folding aside, on a walk at a constant stride; all if it changes channels."""
        size, below, round_bursts = self.size(name), self._below(name), self.channels * self.interleave_bursts
        if stride_bursts % round_bursts == 0:
            stride_bursts //= self.channels
        elif self.interleave_bursts % stride_bursts:
            return size
        return size // gcd(stride_bursts // below, size) if stride_bursts % below == 0 else size

    def period(self, stride_bursts: int) -> int:
        """Runs at a constant stride after which their channels repeat, or have met all alike."""
        if self.channel_fold:
            return 4 * self.channels
        round_bursts = self.channels * self.interleave_bursts
        return round_bursts // gcd(stride_bursts, round_bursts)

    def busiest(self, run_bursts: int, stride_bursts: int, runs: int) -> int:
        """Bursts on the busiest channel, of runs at a constant stride, the first one at address 0."""
        counts = [0] * self.channels
        rounds, rest = divmod(run_bursts, self.channels * self.interleave_bursts)
        for run in range(runs):
            self._count(counts, run * stride_bursts, rest)
        return runs * rounds * self.interleave_bursts + max(counts)

    def busiest_anywhere(self, run_bursts: int, first: int) -> int:
        """Bursts of one stretch on its busiest channel, summed over ``PLACED_ROUNDS`` places for it.

        Parameters
        ----------
        first : burst of a round at which it begins.
        """
        round_bursts = self.channels * self.interleave_bursts
        head = min(run_bursts, -first % round_bursts)
        rounds, tail = divmod(run_bursts - head, round_bursts)
        total = PLACED_ROUNDS * rounds * self.interleave_bursts
        for place in range(PLACED_ROUNDS):
            counts = [0] * self.channels
            end = (place + 1) * round_bursts
            self._count(counts, end + first % -round_bursts, head)
            self._count(counts, end + rounds * round_bursts, tail)
            total += max(counts)
        return total

    def places(self, bursts: Integers) -> Places:
        """Return where bursts lie, given their addresses in bursts."""
        chunk, offset = np.divmod(bursts, self.interleave_bursts)
        above, low = np.divmod(chunk, self.channels)
        channel = _fold(chunk, self.channels) if self.channel_fold else low
        rest = above * self.interleave_bursts + offset
        digits = {}
        for name, size in self.sizes:
            rest, digits[name] = np.divmod(rest, size)
        banks = self.size("bank") * self.size("group")
        bank = digits["group"] * self.size("bank") + digits["bank"]
        if self.bank_fold:
            bank = bank ^ _fold(rest ^ (rest >> 1), 2 * banks) % banks  # never at once back to the bank just left
        return Places(channel, bank, rest)

    def _count(self, counts: list[int], first: int, bursts: int) -> None:
        """Add successive bursts to those of each channel."""
        chunk, offset = divmod(first, self.interleave_bursts)
        while bursts > 0:
            here = min(bursts, self.interleave_bursts - offset)
            counts[self._channel(chunk)] += here
            chunk, offset, bursts = chunk + 1, 0, bursts - here

    def _channel(self, chunk: int) -> int:
        """Channel of a stretch of ``interleave_bursts``, given its number."""
        channel = chunk % self.channels
        while self.channel_fold and self.channels > 1 and chunk:
            chunk //= self.channels
            channel ^= chunk % self.channels
        return channel

    def _below(self, name: str) -> int:
        """Size of all digits below one."""
        product = 1
        for other, size in self.sizes:
            if other == name:
                break
            product *= size
        return product


def address_map(memory: Memory, table: DramTable) -> AddressMap:
    """Mapping of an architecture's ports, a channel each, on a kind of memory."""
    organisation, mapping = table.organisation, memory.mapping
    sizes = {
        "group": organisation.bank_groups,
        "column": organisation.row_bytes // table.burst_bytes,
        "bank": organisation.banks_per_group,
    }
    return AddressMap(
        channels=memory.ports,
        interleave_bursts=max(mapping.interleave_bytes // table.burst_bytes, 1),
        sizes=tuple((name, sizes[name]) for name in mapping.order),
        channel_fold=mapping.channel_fold,
        bank_fold=mapping.bank_fold,
    )


def _fold(values: Integers, size: int) -> Integers:
    """XOR of all digits to the base ``size``, a power of two."""
    folded = np.zeros_like(values)
    while size > 1 and values.any():
        folded ^= values % size
        values = values // size
    return folded
