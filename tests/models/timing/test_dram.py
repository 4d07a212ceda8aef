"""Ceilings of the memories from their timing alone, and the rules of the epoch model."""

import dataclasses
from typing import Any

import pytest

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.dram import DramTable, load_dram
from gossamer_models.timing.dram import Dram, Epoch, units
from gossamer_models.timing.transfer import TransferShape

START_CYCLES = 9

DDR4 = load_dram("ddr4")
ORGANISATION = DDR4.organisation
ONE_BANK = DDR4.model_copy(
    update={"organisation": ORGANISATION.model_copy(update={"bank_groups": 1, "banks_per_group": 1})}
)
ONE_GROUP = DDR4.model_copy(update={"organisation": ORGANISATION.model_copy(update={"bank_groups": 1})})
REFRESH = 1 - 360 / 7800
PEAK = 64 / (4 / 1.2e9) / 1e9


def machine(clock_hz: int = 400_000_000, ports: int = 1, **mapping: Any) -> Architecture:
    """A clock at which a 512-bit port is faster than a channel."""
    base = load_architecture("vcu1525-32x32").model_dump(mode="python")
    base["clock_hz"] = clock_hz
    base["memory"] |= {"ports": ports, "mapping": mapping}
    return Architecture.model_validate(base)


def epoch(architecture: Architecture, table: DramTable, shape: TransferShape, *, write: bool = False) -> Epoch:
    """Epoch of an engine that moves a beat per port and cycle."""
    memory = architecture.memory
    beats = -(-shape.pieces(memory.port_bits // 8) // memory.ports) if shape.runs else 0
    return Dram(architecture, table).epoch(shape, START_CYCLES, beats, write=write)


def gigabytes_per_second(
    shape: TransferShape, table: DramTable = DDR4, ports: int = 1, clock_hz: int = 400_000_000, **mapping: Any
) -> float:
    architecture = machine(clock_hz, ports, **mapping)
    found = epoch(architecture, table, shape)
    seconds = found.bursts * found.pace / units(table, architecture.clock_hz).per_cycle / architecture.clock_hz
    return shape.size_bytes / seconds / 1e9


STREAM = TransferShape(1 << 26, 1, 1 << 26, 1, 0)
SCATTER = TransferShape(1 << 26, 1 << 20, 64, 1, 0)


def test_peak_less_refresh() -> None:
    assert pytest.approx(19.2, rel=1e-9) == PEAK == DDR4.peak_bytes_per_second / 1e9
    assert gigabytes_per_second(STREAM) == pytest.approx(PEAK * REFRESH, rel=1e-4)
    assert pytest.approx(0.045, abs=0.002) == 1 - REFRESH


@pytest.mark.parametrize(("kind", "peak", "refresh"), [("lpddr4", 12.8, 288 / 6247), ("hbm2", 32.0, 260 / 3900)])
def test_peaks_of_other_memories(kind: str, peak: float, refresh: float) -> None:
    table = load_dram(kind)
    assert table.burst_bytes == 64
    assert table.peak_bytes_per_second == peak * 1e9
    assert gigabytes_per_second(STREAM, table, clock_hz=800_000_000) == pytest.approx(peak * (1 - refresh), rel=1e-3)


def test_one_bank_group() -> None:
    assert gigabytes_per_second(STREAM, ONE_GROUP) / REFRESH == pytest.approx(12.8, rel=1e-2)


@pytest.mark.parametrize(
    ("order", "clocks"),
    [
        (("group", "column", "bank"), 4),
        (("group", "bank", "column"), 4),
        (("bank", "group", "column"), (3 * 6 + 4) / 4),
        (("column", "group", "bank"), 6),
        (("column", "bank", "group"), 6),
    ],
)
def test_a_stretch_is_as_fast_as_it_changes_bank_groups(order: tuple[str, str, str], clocks: float) -> None:
    found = gigabytes_per_second(STREAM, order=order)
    assert found / REFRESH == pytest.approx(64 * 1.2 / clocks, rel=5e-3)


def test_one_burst_per_activate() -> None:
    assert gigabytes_per_second(SCATTER) / REFRESH == pytest.approx(11.8, rel=5e-3)


def test_single_bank_misses() -> None:
    assert gigabytes_per_second(SCATTER, ONE_BANK) / REFRESH == pytest.approx(64 / (55 / 1.2), rel=1e-4)
    assert gigabytes_per_second(SCATTER, ONE_BANK) / REFRESH == pytest.approx(1.37, rel=0.025)


def test_a_stride_that_stays_in_a_bank() -> None:
    """Without folding, rows of one bank follow each other in 512 KiB of a channel; with it they meet all banks."""
    stride = TransferShape(1 << 20, 1 << 14, 64, 1 << 14, 1 << 19)
    assert gigabytes_per_second(stride, bank_fold=False) / REFRESH == pytest.approx(64 / (55 / 1.2), rel=1e-3)
    assert gigabytes_per_second(stride) / REFRESH == pytest.approx(11.8, rel=5e-3)


def test_channels_add_up() -> None:
    assert gigabytes_per_second(STREAM, ports=4) == pytest.approx(4 * PEAK * REFRESH, rel=1e-3)


def test_close_runs_share_rows() -> None:
    close = TransferShape(1 << 20, 1 << 14, 64, 128, 128)
    assert gigabytes_per_second(close) > 1.3 * gigabytes_per_second(
        dataclasses.replace(close, near_stride_bytes=1 << 16)
    )


@pytest.mark.parametrize(
    ("shape", "fold", "bursts"),
    [
        (TransferShape(512, 1, 512, 1, 0), True, 8),  # less than 1 KiB lies in one channel
        (TransferShape(5 * 1024, 1, 5 * 1024, 1, 0), True, 2 * 16),
        (TransferShape(4 * 512, 4, 512, 4, 4096), False, 4 * 8),
        (TransferShape(4 * 512, 4, 512, 4, 4096), True, 8),
        (TransferShape(4 * 512, 4, 512, 4, 5 * 1024), False, 8),
        (TransferShape(8 * 512, 8, 512, 4, 4096), False, 16),  # of several groups of runs each may lie elsewhere
    ],
)
def test_busiest_channel(shape: TransferShape, fold: bool, bursts: int) -> None:
    assert epoch(machine(ports=4, channel_fold=fold), DDR4, shape).bursts == bursts


@pytest.mark.parametrize(
    ("shape", "bursts"),
    [
        (TransferShape(1000, 1, 1000, 1, 0), 16),
        (TransferShape(10 * 1000, 10, 1000, 10, 1024, 1024), 160),
        (TransferShape(64 * 1000, 64, 1000, 64, 1000, 1000), 64 * (5 * 16 + 3 * 17) // 8 + 16),  # starts at 8 n
        (TransferShape(64 * 16, 64, 16, 64, 640, 16), 64),
        (TransferShape(16 * 100, 16, 128, 16, 128, 128), 16 * 100 // 64),  # clipped runs of whole bursts
    ],
)
def test_runs_take_all_bursts_that_they_touch(shape: TransferShape, bursts: int) -> None:
    found = epoch(machine(), DDR4, shape).bursts
    if shape.grain_bytes == 1000:
        touched = [-(-(start + 1000) // 64) - start // 64 for start in range(0, 64 * 1000, 1000)]
        bursts = sum(touched)
    assert found == bursts


def test_port_caps_the_pace() -> None:
    """At 200 MHz a 64-byte beat takes 6 clocks, longer than a burst, refresh included."""
    architecture = machine(200_000_000)
    found = epoch(architecture, DDR4, STREAM)
    assert found.pace == found.port_pace
    # 484 clocks of a refresh, closing, opening and reading again, of which the queue's 64 bursts cover 384, per 9360
    assert found.port_pace == pytest.approx(units(DDR4, 200_000_000).per_cycle * (1 + (484 - 384) / 9360), rel=2e-3)


def test_a_slow_port_does_not_feel_refreshes() -> None:
    architecture = machine(100_000_000)
    assert epoch(architecture, DDR4, STREAM, write=True).port_pace == units(DDR4, 100_000_000).per_cycle


def test_units_are_exact() -> None:
    base = units(DDR4, 200_000_000)
    assert (base.per_cycle, base.per_clock) == (372, 65)  # 6 clocks per cycle, 62 of 65 left by refresh
    assert [base.cycles(amount) for amount in (0, 1, 372, 373)] == [0, 1, 1, 2]


def test_units_are_fine() -> None:
    """HBM2's clock and refresh have 14 units to a cycle of 200 MHz in common, of which a pace would be 7 % too long."""
    base = units(load_dram("hbm2"), 200_000_000)
    assert (base.per_cycle, base.per_clock) == (14 * 19, 3 * 19)


def test_latency_by_hand() -> None:
    """A lone burst: tRCD + CL or CWL + burst, 36 or 32 clocks of 65/372 cycles, the burst's own cycle among them."""
    architecture = machine(200_000_000)
    one = TransferShape(64, 1, 64, 1, 0)
    read, write = (epoch(architecture, DDR4, one, write=write) for write in (False, True))
    base = units(DDR4, architecture.clock_hz)
    assert [found.latency_cycles for found in (read, write)] == [START_CYCLES + 5, START_CYCLES + 4]
    assert [base.cycles(found.pace) for found in (read, write)] == [2, 2]  # 1.05: a refresh may come in between


@pytest.mark.parametrize("bursts", range(1, 20))
def test_the_end_is_rounded_once(bursts: int) -> None:
    """Latency and bursts together are whole cycles, wherever both end within one."""
    dram = Dram(machine(300_000_000), DDR4)
    found = epoch(dram.architecture, DDR4, TransferShape(64 * bursts, 1, 64 * bursts, 1, 0))
    base, ahead = dram.units, (16 + 16 + 4) * dram.units.per_clock - found.pace
    assert found.latency_cycles - START_CYCLES + base.cycles(bursts * found.pace) == base.cycles(
        ahead + bursts * found.pace
    )


def test_sharing_costs_both_and_the_turns() -> None:
    architecture = machine(400_000_000)
    dram = Dram(architecture, DDR4)
    found = epoch(architecture, DDR4, STREAM)
    pace, other = dram.shared_paces(found, found)
    assert pace == other
    turns = (16 + 4 + 2 - 12 - 4) + (12 + 4 + 3 - 4)
    # one quarter of the time both are in the same four banks: the first one is left 12 clocks before the turn
    conflicts = (9 + 32 - 12 - 10 + 3 * 3) + (16 + 18 + 32 - 12 - 19 + 3 * 3)
    clocks_per_round = 64 * pace / dram.units.per_clock
    assert clocks_per_round == pytest.approx(2 * 64 * 4 + turns + conflicts / 4, abs=2)


def test_a_short_epoch_takes_a_whole_turn() -> None:
    architecture = machine(200_000_000)  # a burst per six clocks: no queue of the stream fills
    dram = Dram(architecture, DDR4)
    stream, short = (epoch(architecture, DDR4, TransferShape(size, 1, size, 1, 0)) for size in (1 << 20, 256))
    slower = dram.shared_paces(stream, short)[1] * short.bursts
    assert slower - dram.shared_paces(stream, stream)[1] * short.bursts == pytest.approx(
        dram.units.per_clock * 40 * 60 / 64, rel=0.05
    )


def test_a_short_epoch_waits_for_the_queue_of_a_stream() -> None:
    """64 bursts stand in it, less what leaves during the short one's latency, then four bursts and the turns."""
    architecture = machine(400_000_000)
    dram = Dram(architecture, DDR4)
    stream, short = (epoch(architecture, DDR4, TransferShape(size, 1, size, 1, 0)) for size in (1 << 20, 256))
    queued = 64 * 4 - short.latency_cycles * dram.units.per_cycle / dram.units.per_clock
    assert 0 < queued < 64 * 4
    for paces in (dram.shared_paces(stream, short), dram.shared_paces(short, stream)[::-1]):
        clocks = [pace / dram.units.per_clock for pace in paces]
        assert clocks[1] * 4 == pytest.approx(queued + 4 * 4 + 40, rel=0.02)
        assert clocks[0] * queued / 4 == pytest.approx(queued + 4 * 4 + 40, rel=0.02)


def test_a_short_write_waits_for_half_a_period_of_turns() -> None:
    """HBM2 outruns both ports of 200 MHz: a burst takes 2 clocks and comes every 5 (4 2/3 without refreshes).

    What both bring in a period takes 6/7 of it, so that a switch of 44 clocks stands for a period of 308, more than two
    quanta and the switch take. The write's end waits half of these, or of a shorter period where the read comes seldom:
    at a twelfth of its rate both take 13/28 of a period. A read, asked for ahead, does not, nor a long write beyond
    its turns.
    """
    table = load_dram("hbm2")
    dram = Dram(machine(200_000_000), table)
    clock, port = dram.units.per_clock, dram.units.per_cycle
    read, short, long = (Epoch(20, bursts, 2 * clock, port, 2 * clock) for bursts in (192, 16, 192))
    seldom = dataclasses.replace(read, port_pace=12 * port)
    for other, period in ((read, 44 + 2 * 64 * 2), (seldom, 44 / (1 - 13 / 28))):
        ends = [dram.shared_paces(other, write)[1] for write in (short, long)]
        assert 16 * (ends[0] - ends[1]) / clock == pytest.approx(period / 2, rel=0.02)
    assert dram.shared_paces(dataclasses.replace(read, bursts=16), long)[0] < dram.shared_paces(read, short)[1]


def test_after_a_refresh_the_other_direction_may_be_first() -> None:
    """HBM2: a read stands still for 304 clocks, 299 of which its queue feeds the port; every other time a quantum of
    writes and the turns, 128 and 44 clocks, come first. A write that seldom comes brings but what waits by then.
    """
    dram = Dram(machine(200_000_000), load_dram("hbm2"))
    clock, port = dram.units.per_clock, dram.units.per_cycle
    read = write = Epoch(20, 1 << 20, clock, port, clock)
    for every, first in ((1, 64), (20, 3)):
        seldom = dataclasses.replace(write, port_pace=every * port)
        lost = (304 + first + 44 - 64 * 14 / 3) - (304 - 64 * 14 / 3)
        assert dram.shared_paces(read, seldom)[0] / port == pytest.approx(1 + lost / 2 / (3900 - 260), abs=1 / port)


def test_the_other_port_may_leave_the_channel_idle() -> None:
    """A writer of a burst in ten cycles takes its share of the channel, no more."""
    architecture = machine(400_000_000)
    dram = Dram(architecture, DDR4)
    read = epoch(architecture, DDR4, STREAM)
    write = dataclasses.replace(read, port_pace=10 * read.channel_pace)
    pace, slow = dram.shared_paces(read, write)
    assert slow == write.port_pace
    assert pace == pytest.approx(read.channel_pace * 1.16 / 0.9, rel=0.01)


def test_unequal_channels_meet_on_average() -> None:
    """What lies in one channel of four disturbs the other direction a quarter as much."""
    architecture = machine(400_000_000, ports=4)
    single = epoch(architecture, DDR4, TransferShape(512, 1, 512, 1, 0))
    assert single.mean_pace == pytest.approx(single.channel_pace / 4, abs=1)


def test_empty_transfer() -> None:
    found = epoch(machine(), DDR4, TransferShape(0, 0, 0, 1, 0))
    assert (found.latency_cycles, found.bursts) == (START_CYCLES, 0)
