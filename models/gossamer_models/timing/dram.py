"""DRAM behind the AXI ports: the epoch model, in integers alone.

Rules
-----
- There is one channel per AXI port; where an address lies, :mod:`gossamer_models.timing.dram_address` says.
- A DMA instruction is an *epoch*: all banks are closed at its start. It pays activate, column access and one burst
  as latency and then streams bursts at the largest of four paces: column to column, four activates per window,
  activate to activate, and row cycle per bank. Runs at a constant small stride share the rows of their stretch.
- Epochs of one direction never overlap. While a read and a write do, they alternate in quanta of 64 bursts until one
  of them ends. A switch costs the turn of the bus and, as often as the two may be expected in the same banks, closing
  and opening their rows.
- A burst takes no less than its beats on the AXI port.
- Refresh takes tRFC out of every tREFI: a clock is tREFI / (tREFI - tRFC) long. Time is counted in *units*, of
  which a clock and a cycle have whole numbers, and rounded up to cycles at the end of an epoch, so no remainder
  outlives its instruction.
"""

from dataclasses import dataclass
from functools import cached_property
from math import gcd

from gossamer_models.architecture import Architecture
from gossamer_models.dram import DramTable
from gossamer_models.timing.dram_address import PLACED_ROUNDS, AddressMap, address_map
from gossamer_models.timing.transfer import TransferShape

__all__ = ["QUANTUM_BURSTS", "Dram", "Epoch", "Units", "command_units", "units"]

QUANTUM_BURSTS = 64
_PLACED_RUNS = 64
_LEAST_UNITS = 256


@dataclass(frozen=True, slots=True)
class Units:
    """Integer time base: units in an accelerator cycle, and in a memory clock."""

    per_cycle: int
    per_clock: int

    def cycles(self, amount: int) -> int:
        """Cycles that cover ``amount`` units."""
        return -(-amount // self.per_cycle)


@dataclass(frozen=True, slots=True)
class Epoch:
    """One DMA instruction as its channels see it.

    Members
    -------
    latency_cycles : cycles before the first burst, the engine's constant included.
    bursts : bursts on the busiest channel.
    channel_pace, port_pace : units per burst that the DRAM and the AXI port need.
    mean_pace : the first of them averaged over the channels, some of which may have fewer bursts.
    """

    latency_cycles: int
    bursts: int
    channel_pace: int
    port_pace: int
    mean_pace: int

    @property
    def pace(self) -> int:
        """Units per burst when the channel is not shared."""
        return max(self.channel_pace, self.port_pace)


def command_units(table: DramTable, clock_hz: int) -> Units:
    """Time base of a kind of memory behind an accelerator that runs at ``clock_hz``."""
    return _units(table.clock_hz, clock_hz)


def units(table: DramTable, clock_hz: int) -> Units:
    """Time base of the epoch model, whose clocks are dilated by refresh; paces are whole numbers of its fine units."""
    refresh = table.refresh_clocks
    found = _units(table.clock_hz * (refresh.interval - refresh.duration), clock_hz * refresh.interval)
    finer = -(-_LEAST_UNITS // found.per_cycle)
    return Units(found.per_cycle * finer, found.per_clock * finer)


def _units(per_cycle: int, per_clock: int) -> Units:
    common = gcd(per_cycle, per_clock)
    return Units(per_cycle // common, per_clock // common)


@dataclass(frozen=True)
class Dram:
    """A machine's channels by the epoch model.

    Parameters
    ----------
    architecture : clock, ports and address mapping count.
    table : kind of memory.
    """

    architecture: Architecture
    table: DramTable

    @cached_property
    def units(self) -> Units:
        """Time base."""
        return units(self.table, self.architecture.clock_hz)

    @cached_property
    def addresses(self) -> AddressMap:
        """Where bursts lie."""
        return address_map(self.architecture.memory, self.table)

    def epoch(self, shape: TransferShape, start_cycles: int, port_cycles: int, *, write: bool) -> Epoch:
        """Latency, bursts and paces of a transfer that has the memory to itself.

        Parameters
        ----------
        start_cycles, port_cycles : of the engine, see :mod:`gossamer_models.timing.transfer`.
        """
        if not shape.runs:
            return Epoch(start_cycles + port_cycles, 0, 1, 1, 1)
        base, timing = self.units, self.table.timing_clocks
        total = self._bursts(shape)
        bursts = self._busiest(shape, total)
        channel_pace = -(-self._clocks(shape, total, bursts) * base.per_clock // bursts)
        port_pace = self._port_pace(port_cycles, total, shape, write=write)
        pace = max(channel_pace, port_pace)
        opening, access = timing.rcd * base.per_clock, (timing.cwl if write else timing.cl) + self.table.burst_clocks
        if write:  # the port's later bursts do not wait for the first one's row
            opening = max(opening - (bursts - 1) * (pace - channel_pace), 0)
        before, moving = max(opening + access * base.per_clock - pace, 0), bursts * pace
        latency = base.cycles(before + moving) - base.cycles(moving)  # so that the end is rounded once
        mean_pace = -(-channel_pace * total // (bursts * self.addresses.channels))
        return Epoch(latency + start_cycles, bursts, channel_pace, port_pace, mean_pace)

    def shared_paces(self, read: Epoch, write: Epoch) -> tuple[int, int]:
        """Units per burst of a read and of a write that overlap.

        In turns of a quantum both advance alike, unless the port of one is slower still: then the other has what that
        one leaves. The busiest channel of one has what the other brings to a channel on average. A short epoch takes a
        whole turn. Where the other's port outruns its channel, a quantum stands in the queue before that turn, but for
        what is served during the short one's latency.
        """
        base, switch = self.units, self._switch_clocks * self.units.per_clock
        alike = max(read.channel_pace + write.mean_pace, read.mean_pace + write.channel_pace)

        def pace(mine: Epoch, other: Epoch) -> int:
            turns = -(-switch // min(mine.bursts, QUANTUM_BURSTS))
            slow = other.port_pace
            if slow <= alike + turns:
                return max(alike + turns, mine.port_pace)
            return max(-(-(mine.channel_pace + turns) * slow // (slow - other.mean_pace)), mine.port_pace)

        short, long = sorted((read, write), key=lambda epoch: epoch.bursts)
        turn, ahead = (min(epoch.bursts, QUANTUM_BURSTS) for epoch in (short, long))
        queued = ahead * long.mean_pace - short.latency_cycles * base.per_cycle
        if long.port_pace > long.channel_pace or queued <= turn * long.mean_pace:
            reading, writing = self._shared_port_pace(read, write), self._shared_port_pace(write, read)
            return max(pace(read, write), reading), max(pace(write, read), writing + self._wait_pace(read, write))
        whole = turn * short.channel_pace + queued + switch
        paces = max(-(-whole // turn), short.port_pace), -(-whole * long.channel_pace // queued)
        return paces if short is read else paces[::-1]

    def _shared_port_pace(self, mine: Epoch, other: Epoch) -> int:
        """Units per burst that a port needs where the other direction comes first after every other refresh.

        Up to a quantum of that waits by then; the port has gone on with its own queue meanwhile.
        """
        table, timing, clock = self.table, self.table.timing_clocks, self.units.per_clock
        refresh = table.refresh_clocks
        stop = (timing.rp + refresh.duration + timing.rcd + timing.cl + table.burst_clocks) * clock
        first = min(stop // other.port_pace, QUANTUM_BURSTS) * other.mean_pace + self._switch_clocks * clock
        queue = QUANTUM_BURSTS * mine.port_pace
        waits = max(stop + first - queue, 0) - max(stop - queue, 0)
        every = 2 * (refresh.interval - refresh.duration) * clock
        return -(-mine.port_pace * (every + waits) // every)

    def _wait_pace(self, read: Epoch, write: Epoch) -> int:
        """Units per burst that a short write waits at its end, where the channel outruns both ports.

        Then neither direction fills a quantum: the channel turns as soon as nothing waits, and a period of its turns is
        what both bring meanwhile and a switch. The last burst comes at any moment of one. Reads are asked for ahead of
        the port and need not wait; the turns of a long write are part of its pace.
        """
        mine, other = write.channel_pace * read.port_pace, read.mean_pace * write.port_pace
        whole, switch = write.port_pace * read.port_pace, self._switch_clocks * self.units.per_clock
        if write.bursts >= QUANTUM_BURSTS or mine + other >= whole:
            return 0
        quanta = QUANTUM_BURSTS * (write.channel_pace + read.mean_pace)
        period = min(switch * whole // (whole - mine - other), switch + quanta)
        return -(-period // (2 * write.bursts))

    @cached_property
    def _switch_clocks(self) -> int:
        """Clocks lost by a switch from read to write and one back."""
        table, timing = self.table, self.table.timing_clocks
        to_write = table.read_to_write - timing.ccd_short
        turn = table.write_recovery + max(timing.wtr_short, timing.wtr_long - self._others * timing.ccd_short)
        reopen = timing.rp + timing.rcd
        conflicts = self._conflict(timing.rtp + reopen, table.read_to_write)
        conflicts += self._conflict(table.write_recovery + timing.wr + reopen, turn)
        return to_write + turn - timing.ccd_short + -(-conflicts * self.addresses.open_banks // table.banks)

    @cached_property
    def _others(self) -> int:
        """Bursts in other bank groups between two in one, at least."""
        return self.table.organisation.bank_groups - 1 if self.addresses.same_group_bursts == 1 else 0

    def _conflict(self, reopen: int, turn: int) -> int:
        """Clocks beyond a turn of the bus until rows of the same banks are open.

        A direction rotates over its banks, so the first one needed is the one that has been left for longest.
        """
        timing, others = self.table.timing_clocks, self.addresses.open_banks - 1
        first = reopen - others * timing.ccd_short - turn
        last = first + others * (max(-(-timing.faw // 4), timing.rrd_short) - timing.ccd_short)
        return max(first, last, 0)

    def _bursts(self, shape: TransferShape) -> int:
        """Bursts over all channels: a run takes all those that it touches, wherever between two it begins."""
        size = self.table.burst_bytes
        grain = gcd(size, shape.grain_bytes)
        if shape.size_bytes == shape.runs * shape.run_bytes:
            touched = sum(-(-(offset + shape.run_bytes) // size) for offset in range(0, size, grain))
            return -(-shape.runs * touched * grain // size)
        return -(-(shape.size_bytes + shape.runs * (size - grain)) // size)

    def _busiest(self, shape: TransferShape, total: int) -> int:
        """Bursts on the busiest channel.

        Runs near each other are placed by their stride; several such groups are taken to even out. One stretch that
        comes over and over meets the same channels each time.
        """
        mean = -(-total // self.addresses.channels)
        if shape.near_runs < shape.runs:
            return mean
        if shape.runs > 1 and not shape.near_stride_bytes:
            run, first = -(-total // shape.runs), shape.start_bytes // self.table.burst_bytes
            found = self.addresses.busiest_anywhere(run, first)
            return max(mean, min(-(-found * shape.runs // PLACED_ROUNDS), total))
        stride = shape.near_stride_bytes // self.table.burst_bytes
        placed = min(shape.near_runs, self.addresses.period(stride), _PLACED_RUNS)
        found = self.addresses.busiest(-(-total // shape.runs), stride, placed)
        return max(mean, min(found * shape.runs // placed, total))

    def _port_pace(self, port_cycles: int, total: int, shape: TransferShape, *, write: bool) -> int:
        """Units per burst that the port needs, with what it waits for refreshes.

        A refresh stops the channel. Meanwhile a read goes on with data that have come ahead, a write with room in its
        queue; of both there is a queue at most. A read's bursts are asked for when its run's turn comes, so the first
        refresh may find fewer of them; from then on, having fallen behind, the port asks early enough.
        """
        table, timing, channels = self.table, self.table.timing_clocks, self.addresses.channels
        stop, lead = timing.rp + table.refresh_clocks.duration + timing.rcd, QUANTUM_BURSTS
        if not write:
            run = max(total // (shape.runs * channels), 1)
            lead = run // 2 if run <= lead else lead - lead * lead // (2 * run)
            stop += timing.cl + table.burst_clocks
        clock_hz, interval = self.architecture.clock_hz, table.refresh_clocks.interval
        cycles = port_cycles * channels
        clocks = cycles * table.clock_hz // clock_hz
        every = max(stop - QUANTUM_BURSTS * clocks // total, 0)
        once = max(stop - lead * clocks // total, 0) - every
        waits = every * clocks + once * min(clocks, interval * channels)
        whole = table.clock_hz * interval
        return -(-(cycles * whole + waits * clock_hz) * self.units.per_cycle // (total * whole))

    def _clocks(self, shape: TransferShape, total: int, bursts: int) -> int:
        """Clocks of the busiest channel's bursts, refresh and ports aside."""
        timing = self.table.timing_clocks
        activates = -(-self._activates(shape) * bursts // total)
        rotates = self.addresses.same_group_bursts < self.table.organisation.bank_groups
        apart = timing.rrd_short if rotates else timing.rrd_long
        windows, rest = divmod(activates - 1, 4)
        return max(
            self._column_clocks(shape, bursts) + self._reopen_clocks(shape, bursts),
            windows * max(timing.faw, 4 * apart) + rest * apart + timing.ccd_short,
            (-(-activates // self._banks(shape)) - 1) * timing.rc + timing.ccd_short,
        )

    def _reopen_clocks(self, shape: TransferShape, bursts: int) -> int:
        """Clocks lost where a stretch goes on in other rows of all banks that it rotates over."""
        addresses, timing = self.addresses, self.table.timing_clocks
        if addresses.open_banks < self.table.banks:
            return 0  # it goes on in other banks, whose rows are opened meanwhile
        run_bytes = self.table.burst_bytes * addresses.channels
        sets = shape.run_bytes // (run_bytes * self.table.banks * addresses.size("column"))
        lost = self._conflict(timing.rtp + timing.rp + timing.rcd, timing.ccd_short)
        return bursts * run_bytes // shape.run_bytes * max(sets - 1, 0) * lost

    def _banks(self, shape: TransferShape) -> int:
        """Banks that runs near each other reach."""
        if self.addresses.bank_fold or not shape.near_stride_bytes:
            return self.table.banks
        stride = max(shape.near_stride_bytes // self.table.burst_bytes, 1)
        reached = self.addresses.steps("group", stride) * self.addresses.steps("bank", stride)
        return min(reached * min(self.addresses.open_banks, self._bursts(shape) // shape.runs), self.table.banks)

    def _column_clocks(self, shape: TransferShape, bursts: int) -> int:
        """Clocks of column commands alone: those that change the bank group may follow each other sooner."""
        timing, addresses = self.table.timing_clocks, self.addresses
        if self.table.organisation.bank_groups == 1:
            return bursts * timing.ccd_long
        together = addresses.same_group_bursts
        stride = shape.near_stride_bytes // self.table.burst_bytes
        if stride and shape.run_bytes <= self.table.burst_bytes:
            together = bursts if addresses.steps("group", stride) == 1 else max(together // stride, 1)
        return bursts * timing.ccd_long - bursts // together * (timing.ccd_long - timing.ccd_short)

    def _activates(self, shape: TransferShape) -> int:
        """Rows opened over all channels."""
        if shape.runs > 1 and not shape.near_stride_bytes and shape.near_runs == shape.runs:
            return self._rows(shape.run_bytes)  # opened once, then read over and over
        each = shape.near_runs * self._rows(shape.run_bytes)
        if shape.near_stride_bytes:
            each = min(each, self._rows(shape.near_runs * shape.near_stride_bytes))
        return -(-shape.runs // shape.near_runs) * each

    def _rows(self, stretch_bytes: int) -> int:
        """Rows opened by a contiguous stretch, over all channels it reaches."""
        bursts = -(-stretch_bytes // self.table.burst_bytes)
        reached = min(self.addresses.channels, -(-bursts // self.addresses.interleave_bursts))
        return reached * self.addresses.rows(-(-bursts // reached))
