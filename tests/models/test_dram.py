"""DRAM tables: what they hold, and what is refused."""

from typing import Any

import pytest

from gossamer_models.dram import DramTable, load_dram
from gossamer_models.errors import InputError
from gossamer_models.loading import builtin_names, validate


def test_every_memory_model_has_a_table() -> None:
    assert builtin_names("dram") == ("ddr4", "hbm2", "lpddr4")


@pytest.mark.parametrize("name", builtin_names("dram"))
def test_tables_are_consistent(name: str) -> None:
    table = load_dram(name)
    timing = table.timing_clocks
    assert timing.ras + timing.rp <= timing.rc
    assert timing.ccd_short >= table.burst_clocks  # the data bus is never asked for twice
    assert timing.ccd_short <= timing.ccd_long
    assert timing.rrd_short <= timing.rrd_long
    assert timing.wtr_short <= timing.wtr_long
    assert timing.faw >= 4 * timing.rrd_short
    assert table.read_to_write > table.burst_clocks


def test_ddr4_by_its_standard() -> None:
    """8 Gb x8 on 64 bits: 16 banks of 2^16 rows of 8 KiB are 8 GiB; tREFI 7.8 us, tRFC 360 ns."""
    table = load_dram("ddr4")
    assert table.banks * (1 << 16) * table.organisation.row_bytes == 8 << 30
    assert table.refresh_clocks.interval * 10**9 == 7800 * table.clock_hz
    assert table.refresh_clocks.duration * 10**9 == 360 * table.clock_hz


@pytest.mark.parametrize(
    ("group", "name", "value", "message"),
    [
        ("timing_clocks", "source", "", "timing_clocks.source"),
        ("timing_clocks", "rcd", 0, "timing_clocks.rcd"),
        ("timing_clocks", "tRCD", 16, "timing_clocks.tRCD"),
        ("organisation", "row_bytes", 96, "`row_bytes` must be a power of two, not 96"),
        ("organisation", "channel_bits", 1024, "`row_bytes` must hold a burst, not 512"),
        ("refresh_clocks", "duration", 9360, "`duration` must be below `interval` (9360), not 9360"),
    ],
)
def test_refused(group: str, name: str, value: Any, message: str) -> None:
    data = load_dram("ddr4").model_dump(mode="json")
    data[group][name] = value
    if name == "channel_bits":
        data[group]["row_bytes"] = 512
    with pytest.raises(InputError) as raised:
        validate(DramTable, data, "table.yaml")
    assert message in str(raised.value)
    assert "table.yaml" in str(raised.value)
