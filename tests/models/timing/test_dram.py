"""Ceilings of DDR4-2400 from its timing alone, and the rules of the epoch model."""

import dataclasses

import pytest

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.timing import dram
from gossamer_models.timing.dram import DDR4_2400, DramDevice, Epoch, shared_pace, units
from gossamer_models.timing.transfer import TransferShape

START_CYCLES = 9

ONE_BANK = dataclasses.replace(DDR4_2400, bank_groups=1, banks_per_group=1)
ONE_GROUP = dataclasses.replace(DDR4_2400, bank_groups=1)
REFRESH = 1 - 360 / 7800
PEAK = 64 / (4 / 1.2e9) / 1e9


def machine(clock_hz: int = 400_000_000, ports: int = 1) -> Architecture:
    """A clock at which a 512-bit port is faster than a channel."""
    base = load_architecture("vcu1525-32x32").model_dump(mode="python")
    base["clock_hz"] = clock_hz
    base["memory"] |= {"ports": ports}
    return Architecture.model_validate(base)


def epoch(architecture: Architecture, device: DramDevice, shape: TransferShape) -> Epoch:
    """Epoch of an engine that moves a beat per port and cycle."""
    memory = architecture.memory
    beats = -(-shape.pieces(memory.port_bits // 8) // memory.ports) if shape.runs else 0
    return dram.epoch(architecture, device, shape, START_CYCLES, beats)


def gigabytes_per_second(shape: TransferShape, device: DramDevice = DDR4_2400, ports: int = 1) -> float:
    architecture = machine(ports=ports)
    found = epoch(architecture, device, shape)
    seconds = found.bursts * found.pace / units(device, architecture.clock_hz).per_cycle / architecture.clock_hz
    return shape.size_bytes / seconds / 1e9


STREAM = TransferShape(1 << 26, 1, 1 << 26, 1, 0)
SCATTER = TransferShape(1 << 26, 1 << 20, 64, 1, 0)


def test_peak_less_refresh() -> None:
    assert pytest.approx(19.2, rel=1e-9) == PEAK
    assert gigabytes_per_second(STREAM) == pytest.approx(PEAK * REFRESH, rel=1e-4)
    assert pytest.approx(0.045, abs=0.002) == 1 - REFRESH


def test_one_bank_group() -> None:
    assert gigabytes_per_second(STREAM, ONE_GROUP) / REFRESH == pytest.approx(12.8, rel=1e-2)


def test_one_burst_per_activate() -> None:
    assert gigabytes_per_second(SCATTER) / REFRESH == pytest.approx(11.8, rel=5e-3)


def test_single_bank_misses() -> None:
    assert gigabytes_per_second(SCATTER, ONE_BANK) / REFRESH == pytest.approx(64 / (55 / 1.2), rel=1e-4)
    assert gigabytes_per_second(SCATTER, ONE_BANK) / REFRESH == pytest.approx(1.37, rel=0.025)


def test_channels_add_up() -> None:
    assert gigabytes_per_second(STREAM, ports=4) == pytest.approx(4 * PEAK * REFRESH, rel=1e-3)


def test_close_runs_share_rows() -> None:
    close = TransferShape(1 << 20, 1 << 14, 64, 128, 128)
    assert gigabytes_per_second(close) > 1.3 * gigabytes_per_second(
        dataclasses.replace(close, near_stride_bytes=1 << 16)
    )


def test_port_caps_the_pace() -> None:
    """At 200 MHz a 64-byte beat takes 6 clocks, longer than a burst, refresh included."""
    architecture = machine(200_000_000)
    found = epoch(architecture, DDR4_2400, STREAM)
    assert found.pace == found.port_pace == units(DDR4_2400, 200_000_000).per_cycle


def test_units_are_exact() -> None:
    base = units(DDR4_2400, 200_000_000)
    assert (base.per_cycle, base.per_clock) == (372, 65)  # 6 clocks per cycle, 62 of 65 left by refresh
    assert [base.cycles(amount) for amount in (0, 1, 372, 373)] == [0, 1, 1, 2]


def test_refresh_remainder_ends_with_its_epoch() -> None:
    """A thousand one-burst epochs cost a thousand times one, each rounded up by less than a cycle."""
    architecture = machine(200_000_000)
    base = units(DDR4_2400, architecture.clock_hz)
    one = epoch(architecture, DDR4_2400, TransferShape(64, 1, 64, 1, 0))
    assert one.latency_cycles == START_CYCLES + 7  # 36 clocks dilated: 36 * 65 / 372 = 6.29
    exact = one.bursts * one.pace / base.per_cycle
    assert 0 <= base.cycles(one.bursts * one.pace) - exact < 1


def test_sharing_costs_both_and_the_turnaround() -> None:
    architecture = machine(400_000_000)
    base = units(DDR4_2400, architecture.clock_hz)
    found = epoch(architecture, DDR4_2400, STREAM)
    pace = shared_pace(DDR4_2400, base, found, found)
    clocks_per_round = 64 * pace / base.per_clock
    assert DDR4_2400.turnaround == 27
    assert clocks_per_round == pytest.approx(2 * 64 * 4 + 27, abs=1)


def test_empty_transfer() -> None:
    found = epoch(machine(), DDR4_2400, TransferShape(0, 0, 0, 1, 0))
    assert (found.latency_cycles, found.bursts) == (START_CYCLES, 0)
