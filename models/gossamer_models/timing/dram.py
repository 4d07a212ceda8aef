"""DRAM behind the AXI ports: the epoch model, in integers alone.

Rules
-----
- There is one channel per AXI port; addresses change channel every 1 KiB (XOR fold), bank group every burst, and
  rows of all bank groups fill together. A stretch of DRAM therefore opens one row in each bank group it reaches.
- A DMA instruction is an *epoch*: all banks are closed at its start. It pays activate, column access and one burst
  as latency and then streams bursts at the largest of four paces: column to column, four activates per window,
  activate to activate, and row cycle per bank. Runs at a constant small stride share the rows of their stretch.
- Epochs of one direction never overlap. While a read and a write do, they alternate in quanta of 64 bursts, with
  a turnaround of the bus at each switch, until one of them ends.
- A burst takes no less than its beats on the AXI port.
- Refresh takes tRFC out of every tREFI: a clock is tREFI / (tREFI - tRFC) long. Time is counted in *units*, of
  which a clock and a cycle have whole numbers, and rounded up to cycles at the end of an epoch, so no remainder
  outlives its instruction.
"""

from dataclasses import dataclass
from math import gcd

from gossamer_models.architecture import Architecture
from gossamer_models.timing.transfer import TransferShape

__all__ = ["DDR4_2400", "QUANTUM_BURSTS", "DramDevice", "Epoch", "Units", "epoch", "shared_pace", "units"]

QUANTUM_BURSTS = 64
CHANNEL_INTERLEAVE_BYTES = 1024


@dataclass(frozen=True, slots=True)
class DramDevice:
    """Timing of one DRAM channel, in memory clocks unless the name says otherwise.

    Members
    -------
    burst_bytes : bytes of one burst on the whole channel.
    row_bytes : bytes of a row over the whole channel.
    """

    name: str
    clock_hz: int
    burst_bytes: int
    row_bytes: int
    bank_groups: int
    banks_per_group: int
    burst: int
    cl: int
    cwl: int
    rcd: int
    rc: int
    rrd_short: int
    rrd_long: int
    faw: int
    ccd_short: int
    ccd_long: int
    wtr_long: int
    refi_ns: int
    rfc_ns: int

    @property
    def ccd(self) -> int:
        """Clocks from burst to burst when bursts rotate over the bank groups."""
        return self.ccd_short if self.bank_groups > 1 else self.ccd_long

    @property
    def turnaround(self) -> int:
        """Clocks lost by a switch from read to write and one back."""
        return (self.cl + self.burst + 2 - self.cwl) + (self.cwl + self.burst + self.wtr_long) - 2 * self.ccd_short


DDR4_2400 = DramDevice(
    name="DDR4-2400R x64, 8 Gb x8",
    clock_hz=1_200_000_000,
    burst_bytes=64,
    row_bytes=8192,
    bank_groups=4,
    banks_per_group=4,
    burst=4,
    cl=16,
    cwl=12,
    rcd=16,
    rc=55,
    rrd_short=4,
    rrd_long=6,
    faw=26,
    ccd_short=4,
    ccd_long=6,
    wtr_long=9,
    refi_ns=7800,
    rfc_ns=360,
)
"""JEDEC JESD79-4 speed bin 2400R with 8 Gb x8 devices, as tabulated by Ramulator 2 (``DDR4.cpp``, DDR4_2400R and
the tRRD, tFAW and tRFC tables beside it)."""


@dataclass(frozen=True, slots=True)
class Units:
    """Integer time base: units in an accelerator cycle, and in a memory clock dilated by refresh."""

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
    """

    latency_cycles: int
    bursts: int
    channel_pace: int
    port_pace: int

    @property
    def pace(self) -> int:
        """Units per burst when the channel is not shared."""
        return max(self.channel_pace, self.port_pace)


def units(device: DramDevice, clock_hz: int) -> Units:
    """Time base of a device behind an accelerator that runs at ``clock_hz``."""
    per_cycle = device.clock_hz * (device.refi_ns - device.rfc_ns)
    per_clock = clock_hz * device.refi_ns
    common = gcd(per_cycle, per_clock)
    return Units(per_cycle // common, per_clock // common)


def epoch(
    architecture: Architecture, device: DramDevice, shape: TransferShape, start_cycles: int, port_cycles: int
) -> Epoch:
    """Latency, bursts and paces of a transfer that has the memory to itself.

    Parameters
    ----------
    start_cycles, port_cycles : of the engine, see :mod:`gossamer_models.timing.transfer`.
    """
    if not shape.runs:
        return Epoch(start_cycles + port_cycles, 0, 1, 1)
    base = units(device, architecture.clock_hz)
    channels = architecture.memory.ports
    bursts = -(-shape.pieces(device.burst_bytes) // channels)
    activates = -(-_activates(device, channels, shape) // channels)
    clocks = max(
        bursts * device.ccd,
        -(-activates * device.faw // 4),
        activates * (device.rrd_short if device.bank_groups > 1 else device.rrd_long),
        -(-activates // (device.bank_groups * device.banks_per_group)) * device.rc,
    )
    return Epoch(
        latency_cycles=base.cycles((device.rcd + device.cl + device.burst) * base.per_clock) + start_cycles,
        bursts=bursts,
        channel_pace=-(-clocks * base.per_clock // bursts),
        port_pace=-(-port_cycles * base.per_cycle // bursts),
    )


def shared_pace(device: DramDevice, base: Units, read: Epoch, write: Epoch) -> int:
    """Units in which a read and a write that overlap advance by one burst each."""
    turnaround = -(-device.turnaround * base.per_clock // QUANTUM_BURSTS)
    return max(read.channel_pace + write.channel_pace + turnaround, read.port_pace, write.port_pace)


def _activates(device: DramDevice, channels: int, shape: TransferShape) -> int:
    """Rows opened over all channels."""
    each = shape.near_runs * _rows(device, channels, shape.run_bytes)
    if shape.near_stride_bytes:
        each = min(each, _rows(device, channels, shape.near_runs * shape.near_stride_bytes))
    return -(-shape.runs // shape.near_runs) * each


def _rows(device: DramDevice, channels: int, stretch_bytes: int) -> int:
    """Rows opened by a contiguous stretch, over all channels it reaches."""
    reached = min(channels, -(-stretch_bytes // CHANNEL_INTERLEAVE_BYTES))
    part_bytes = -(-stretch_bytes // reached)
    sets = -(-part_bytes // (device.bank_groups * device.row_bytes))
    return reached * sets * min(device.bank_groups, -(-part_bytes // device.burst_bytes))
