"""DRAM tables: organisation and timing of one channel, every group of figures with its source.

Ready tables lie in ``dram/*.yaml``, one per kind of memory: a memory model bears its table's name.
"""

from functools import lru_cache
from typing import Annotated, Self

from pydantic import Field, model_validator

from gossamer_models.loading import load_model
from gossamer_models.schema import Schema

__all__ = ["DramTable", "Organisation", "Refresh", "Timing", "load_dram"]

Clocks = Annotated[int, Field(ge=1, le=1 << 16)]
Text = Annotated[str, Field(min_length=1)]


class Organisation(Schema):
    """What a channel consists of.

    Members
    -------
    channel_bits : width of the data bus.
    burst_length : transfers per burst, two per clock.
    bank_groups, banks_per_group : 1 group where the standard knows none.
    row_bytes : bytes of a row over the whole channel.
    """

    channel_bits: Annotated[int, Field(ge=8, le=1024)]
    burst_length: Annotated[int, Field(ge=2, le=32)]
    bank_groups: Annotated[int, Field(ge=1, le=16)]
    banks_per_group: Annotated[int, Field(ge=1, le=64)]
    row_bytes: Annotated[int, Field(ge=64, le=1 << 16)]
    source: Text

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in ("channel_bits", "burst_length", "bank_groups", "banks_per_group", "row_bytes"):
            value = getattr(self, name)
            if value & (value - 1):
                raise ValueError(f"`{name}` must be a power of two, not {value}")
        if self.row_bytes < self.channel_bits * self.burst_length // 8:
            raise ValueError(f"`row_bytes` must hold a burst, not {self.row_bytes}")
        return self


class Timing(Schema):
    """JEDEC's parameters in clocks, t left out; ``_short`` is between bank groups, ``_long`` within one.

    Members
    -------
    bus_turn : clocks that the data bus rests between the last data of a read and the first of a write.
    """

    cl: Clocks
    cwl: Clocks
    rcd: Clocks
    rp: Clocks
    ras: Clocks
    rc: Clocks
    rrd_short: Clocks
    rrd_long: Clocks
    faw: Clocks
    ccd_short: Clocks
    ccd_long: Clocks
    rtp: Clocks
    wr: Clocks
    wtr_short: Clocks
    wtr_long: Clocks
    bus_turn: Clocks
    source: Text


class Refresh(Schema):
    """All banks rest for ``duration`` clocks (tRFC) once in ``interval`` (tREFI)."""

    interval: Clocks
    duration: Clocks
    source: Text

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.duration >= self.interval:
            raise ValueError(f"`duration` must be below `interval` ({self.interval}), not {self.duration}")
        return self


class DramTable(Schema):
    """One channel of a kind of memory."""

    name: Text
    clock_hz: Annotated[int, Field(ge=1_000_000, le=10_000_000_000)]
    organisation: Organisation
    timing_clocks: Timing
    refresh_clocks: Refresh

    @property
    def burst_bytes(self) -> int:
        """Bytes of one burst on the whole channel."""
        return self.organisation.channel_bits * self.organisation.burst_length // 8

    @property
    def burst_clocks(self) -> int:
        """Clocks of a burst on the data bus."""
        return self.organisation.burst_length // 2

    @property
    def banks(self) -> int:
        """Banks of all groups."""
        return self.organisation.bank_groups * self.organisation.banks_per_group

    @property
    def peak_bytes_per_second(self) -> int:
        """Bytes per second of the data bus."""
        return self.clock_hz * self.burst_bytes // self.burst_clocks

    @property
    def read_to_write(self) -> int:
        """Clocks from a read command to a write command."""
        timing = self.timing_clocks
        return timing.cl + self.burst_clocks + timing.bus_turn - timing.cwl

    @property
    def write_recovery(self) -> int:
        """Clocks from a write command to its last data on the bus."""
        return self.timing_clocks.cwl + self.burst_clocks


@lru_cache
def load_dram(name: str) -> DramTable:
    """Return the ready table of a kind of memory, read once per process.

    Raises
    ------
    InputError
        There is no such table.
    """
    return load_model(DramTable, name, kind="dram")
