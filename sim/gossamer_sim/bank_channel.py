"""One channel of DRAM command by command: the reference that the epoch model is measured against.

Rules
-----
- Reads and writes wait in a queue each, of as many bursts as a quantum, and are served in order. A burst enters when
  its port offers it and its queue has room: a read leaves when the port has taken its data, a write when its
  column command is given.
- The controller goes on with one direction until a quantum is served or nothing of it waits, then turns to the other
  if that waits. Nothing of either: it takes what comes first.
- A row stays open until another one of its bank is needed. The row of a waiting burst is opened ahead of its turn, as
  soon as the bank, the bursts before it and tRRD, tFAW, tRC, tRAS, tRP, tRTP and tWR let it.
- Column commands keep tCCD, tRCD, tWTR and the bus' turn; commands themselves take no bus.
- Once per tREFI all rows are closed and all banks rest for tRFC.

Time is in units of which a clock and a cycle of the machine have whole numbers; nothing is rounded to clocks.
"""

from collections import deque
from dataclasses import dataclass, field

from gossamer_models.dram import DramTable
from gossamer_models.timing.dram import QUANTUM_BURSTS
from gossamer_sim.bank_bursts import ChannelBursts

__all__ = ["BankChannel", "Stream"]

_LONG_AGO = -(1 << 60)
_NEVER = 1 << 60
_CLOSED = -1


@dataclass(slots=True, eq=False)
class Stream:
    """One transfer's bursts on a channel.

    Members
    -------
    bursts : which.
    base, pace : start, and time in which the port moves a burst.
    write : the port offers a write when it moves it; a read as soon as it would move the first of its run, did it
        never wait.
    served : bursts whose column command is given.
    arrival : time at which the next burst is in its queue; ``_NEVER`` once all are served.
    end : time of the last served burst's end.
    left : when the latest bursts left the queue, oldest first.
    """

    bursts: ChannelBursts
    base: int
    pace: int
    write: bool
    served: int = 0
    arrival: int = 0
    end: int = 0
    left: deque[int] = field(default_factory=lambda: deque(maxlen=QUANTUM_BURSTS))

    def __post_init__(self) -> None:
        self.end = self.base
        self.arrival = self.base if self.bursts.banks else _NEVER

    @property
    def remaining(self) -> int:
        """Bursts still to be served."""
        return len(self.bursts.banks) - self.served

    def leave(self, left: int, end: int) -> None:
        """Note that the next burst leaves its queue and ends, and when the one behind it will have entered."""
        self.end = end
        self.served += 1
        self.left.append(left)
        if not self.remaining:
            self.arrival = _NEVER
            return
        head = self.base + self.bursts.heads[self.served] * self.pace
        offered = self.arrival + self.pace if self.write else head
        room = self.left[0] if self.served >= QUANTUM_BURSTS else _LONG_AGO
        self.arrival = max(self.arrival, offered, room)


class BankChannel:
    """State of a channel: banks, bus, queues and the controller's direction.

    Parameters
    ----------
    table : kind of memory.
    per_clock : units of a clock.
    refresh_clocks : clocks to the first refresh; half an interval by default, which is the mean.

    Attributes
    ----------
    activates : rows opened so far.
    """

    def __init__(self, table: DramTable, per_clock: int, *, refresh_clocks: int | None = None) -> None:
        timing = table.timing_clocks
        self._bank_bits = table.organisation.banks_per_group.bit_length() - 1
        self._t = {
            name: value * per_clock for name, value in timing.model_dump(exclude={"source", "bus_turn"}).items()
        } | {"read_to_write": table.read_to_write * per_clock, "written": table.write_recovery * per_clock}
        self._burst = table.burst_clocks * per_clock
        self._interval = table.refresh_clocks.interval * per_clock
        self._duration = table.refresh_clocks.duration * per_clock
        self._refresh = self._interval // 2 if refresh_clocks is None else refresh_clocks * per_clock
        self._open = [_CLOSED] * table.banks
        self._activate_from = [_LONG_AGO] * table.banks
        self._precharge_from = [_LONG_AGO] * table.banks
        self._column_from = [_LONG_AGO] * table.banks
        self._group_from = [_LONG_AGO] * table.organisation.bank_groups
        self._written = [_LONG_AGO] * table.organisation.bank_groups
        self._bus_from = _LONG_AGO
        self._latest_activates: deque[int] = deque([_LONG_AGO] * 4, maxlen=4)
        self._latest_group = 0
        self._latest_column = _LONG_AGO
        self._now = 0
        self._write = False
        self._run = 0
        self._streams: list[Stream | None] = [None, None]
        self.activates = 0

    def add(self, stream: Stream) -> None:
        """Start a stream; the one before it in its direction has been served."""
        self._streams[stream.write] = stream

    def advance(self, until: int) -> None:
        """Take all decisions that fall before ``until``."""
        while True:
            here, there = self._streams[self._write], self._streams[not self._write]
            arrival = here.arrival if here else _NEVER
            other = there.arrival if there else _NEVER
            now = max(self._now, min(arrival, other))
            if now >= until:
                return
            self._now = now
            while self._now >= self._refresh:
                self._rest()
            if other <= self._now and (arrival > self._now or self._run >= QUANTUM_BURSTS):
                self._turn()
                here = there
            elif self._run >= QUANTUM_BURSTS:
                self._run = 0
            if here is not None:
                self._serve(here)

    def _turn(self) -> None:
        """Change the bus' direction."""
        t = self._t
        self._write, self._run = not self._write, 0
        if self._write:
            self._bus_from = self._latest_column + t["read_to_write"]
        else:
            self._bus_from = self._latest_column + t["written"] + t["wtr_short"]
            self._group_from = [
                max(start, end + t["wtr_long"]) for start, end in zip(self._group_from, self._written, strict=True)
            ]

    def _serve(self, stream: Stream) -> None:
        """Give the commands of a stream's next burst."""
        t, number, entered = self._t, stream.served, stream.arrival
        bank, row = stream.bursts.banks[number], stream.bursts.rows[number]
        group = bank >> self._bank_bits
        if self._open[bank] != row:
            self._activate(bank, group, entered)
            self._open[bank] = row
        column = max(entered, self._column_from[bank], self._group_from[group], self._bus_from)
        self._now = self._latest_column = column
        self._group_from[group] = column + t["ccd_long"]
        self._bus_from = column + t["ccd_short"]
        if self._write:
            left, end = column, column + t["written"]
            self._written[group] = end
            closing = end + t["wr"]
        else:
            left = end = max(column + t["cl"] + self._burst, stream.end + stream.pace)
            closing = column + t["rtp"]
        self._precharge_from[bank] = max(self._precharge_from[bank], closing)
        self._run += 1
        stream.leave(left, end)

    def _activate(self, bank: int, group: int, entered: int) -> None:
        """Open a row, after closing the bank's former one."""
        t, latest = self._t, self._latest_activates
        apart = t["rrd_long"] if group == self._latest_group else t["rrd_short"]
        start = max(entered, self._activate_from[bank], latest[-1] + apart, latest[0] + t["faw"])
        if self._open[bank] != _CLOSED:
            start = max(start, max(entered, self._precharge_from[bank]) + t["rp"])
        latest.append(start)
        self.activates += 1
        self._latest_group = group
        self._activate_from[bank] = start + t["rc"]
        self._precharge_from[bank] = start + t["ras"]
        self._column_from[bank] = start + t["rcd"]

    def _rest(self) -> None:
        """Close all rows and refresh."""
        closed = max(self._refresh, *self._precharge_from) + self._t["rp"]
        ready = max(closed, *self._activate_from) + self._duration
        self._open = [_CLOSED] * len(self._open)
        self._activate_from = [ready] * len(self._open)
        self._refresh += self._interval
