"""The reference channel: every pair of commands against JEDEC's rules, hand-computed times, and the ceilings."""

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from gossamer_models.dram import DramTable, load_dram
from gossamer_sim.bank_bursts import ChannelBursts
from gossamer_sim.bank_channel import BankChannel, Stream

DDR4 = load_dram("ddr4")
FAST = 1
"""Pace of a port that is never in the way."""


@dataclass(frozen=True)
class Command:
    kind: str
    time: int
    bank: int
    row: int


class Recorder(BankChannel):
    """A channel that writes down its commands, as its own bookkeeping dates them."""

    def __init__(self, table: DramTable, **options: Any) -> None:
        super().__init__(table, 1, **options)
        self.commands: list[Command] = []

    def _serve(self, stream: Stream) -> None:
        bank, row = stream.bursts.banks[stream.served], stream.bursts.rows[stream.served]
        super()._serve(stream)
        self.commands.append(Command("write" if self._write else "read", self._latest_column, bank, row))

    def _activate(self, bank: int, group: int, entered: int) -> None:
        super()._activate(bank, group, entered)
        self.commands.append(Command("activate", self._latest_activates[-1], bank, -1))


def bursts(banks: list[int], rows: list[int], run: int = 1 << 30) -> ChannelBursts:
    return ChannelBursts(banks, rows, [number // run * run for number in range(len(banks))])


def serve(channel: BankChannel, *streams: Stream) -> int:
    """Serve streams that begin together; return the last end."""
    for stream in streams:
        channel.add(stream)
    channel.advance(1 << 50)
    assert not any(stream.remaining for stream in streams)
    return max(stream.end for stream in streams)


def random_stream(generator: random.Random, table: DramTable, *, write: bool) -> Stream:
    count = generator.randint(1, 400)
    row, banks, rows = 0, [], []
    for _ in range(count):
        if generator.random() < 0.2:
            row = generator.randrange(4)
        banks.append(generator.randrange(table.banks))
        rows.append(row)
    return Stream(bursts(banks, rows, generator.choice([1, 8, 1000])), 0, generator.choice([1, 5, 30]), write)


@pytest.mark.parametrize("kind", ["ddr4", "lpddr4", "hbm2"])
@pytest.mark.parametrize("seed", range(10))
def test_commands_keep_all_distances(kind: str, seed: int) -> None:
    generator = random.Random(seed)
    table = load_dram(kind)
    channel = Recorder(table, refresh_clocks=1 << 40)
    serve(channel, *(random_stream(generator, table, write=write) for write in (False, True)))
    check_distances(table, channel.commands)


def check_distances(table: DramTable, commands: list[Command]) -> None:
    """Every two commands, by the standard's tables; precharges are where a bank's next activation needs them."""
    t = table.timing_clocks
    per_group = table.organisation.banks_per_group
    columns = [c for c in commands if c.kind != "activate"]
    activates = sorted((c for c in commands if c.kind == "activate"), key=lambda c: c.time)
    for early, late in pairwise(columns):
        assert late.time > early.time
    for number, late in enumerate(columns):
        for early in columns[max(number - 64, 0) : number]:
            same = early.bank // per_group == late.bank // per_group
            gap = late.time - early.time
            if early.kind == late.kind:
                assert gap >= (t.ccd_long if same else t.ccd_short)
            elif early.kind == "read":
                assert gap >= t.cl + table.burst_clocks + t.bus_turn - t.cwl
            else:
                assert gap >= t.cwl + table.burst_clocks + (t.wtr_long if same else t.wtr_short)
    for number, late in enumerate(activates):
        if number:
            early = activates[number - 1]
            same = early.bank // per_group == late.bank // per_group
            assert late.time - early.time >= (t.rrd_long if same else t.rrd_short)
        if number >= 4:
            assert late.time - activates[number - 4].time >= t.faw
    for bank in range(table.banks):
        check_bank(table, [c for c in commands if c.bank == bank])


def check_bank(table: DramTable, commands: list[Command]) -> None:
    t = table.timing_clocks
    opened, row, closing = -(1 << 60), -1, -(1 << 60)
    for command in commands:
        if command.kind == "activate":
            assert command.time >= max(opened + t.rc, closing + t.rp)
            opened, row, closing = command.time, -1, command.time + t.ras
            continue
        assert row in (-1, command.row)  # no other row than the open one
        row = command.row
        assert command.time >= opened + t.rcd
        data = t.cwl + table.burst_clocks + t.wr if command.kind == "write" else t.rtp
        closing = max(closing, command.time + data)


def test_read_by_hand() -> None:
    """Closed bank: tRCD, CL, burst. Hit: tCCD_L later. Miss in the same bank: tRC, and from there as the first."""
    channel = BankChannel(DDR4, 1)
    assert serve(channel, Stream(bursts([0], [0]), 0, FAST, False)) == 16 + 16 + 4
    assert serve(channel, Stream(bursts([0], [0]), 1000, FAST, False)) == 1000 + 16 + 4
    assert serve(channel, Stream(bursts([0, 0], [0, 0]), 2000, FAST, False)) == 2000 + 6 + 16 + 4
    assert serve(channel, Stream(bursts([0, 4], [0, 0]), 3000, FAST, False)) == 3000 + 16 + 16 + 4
    assert serve(channel, Stream(bursts([0], [1]), 4000, FAST, False)) == 4000 + 16 + 16 + 16 + 4
    other = BankChannel(DDR4, 1)
    assert serve(other, Stream(bursts([0, 0], [0, 1]), 0, FAST, False)) == 55 + 16 + 16 + 4


def test_write_and_turn_by_hand() -> None:
    channel = BankChannel(DDR4, 1)
    assert serve(channel, Stream(bursts([0], [0]), 0, FAST, True)) == 16 + 12 + 4
    # the read waits for the write's data and tWTR_L, as it is of the same bank
    assert serve(channel, Stream(bursts([0], [0]), 17, FAST, False)) == 16 + 12 + 4 + 9 + 16 + 4
    assert serve(channel, Stream(bursts([4], [0]), 41, FAST, True)) == 41 + 16 + 12 + 4


def test_refresh_closes_and_stops() -> None:
    channel = BankChannel(DDR4, 1, refresh_clocks=100)
    assert serve(channel, Stream(bursts([0], [0]), 0, FAST, False)) == 36
    assert serve(channel, Stream(bursts([0], [0]), 101, FAST, False)) == 100 + 16 + 432 + 36
    # the next one is due 9360 later, even if nothing has happened since
    assert serve(channel, Stream(bursts([0], [0]), 9459, FAST, False)) == 9459 + 20
    assert serve(channel, Stream(bursts([0], [0]), 20000, FAST, False)) == 20000 + 36


def test_quanta_alternate() -> None:
    """Two endless directions: 64 bursts each in turn."""
    channel = Recorder(DDR4, refresh_clocks=1 << 40)
    groups = [4 * (number % 4) for number in range(300)]
    serve(channel, *(Stream(bursts(groups, [0] * 300), 0, FAST, write) for write in (False, True)))
    kinds = [c.kind for c in channel.commands if c.kind != "activate"]
    assert kinds[:256] == ["read"] * 64 + ["write"] * 64 + ["read"] * 64 + ["write"] * 64


def test_no_more_waits_than_a_queue_holds() -> None:
    """A port of ten clocks per burst: burst 64 is asked for when the port has taken the first one's data."""
    channel = BankChannel(DDR4, 1, refresh_clocks=1 << 40)
    groups = [4 * (number % 4) for number in range(65)]
    stream = Stream(bursts(groups, [0] * 65), 0, 10, False)
    channel.add(stream)
    for until in range(2000):
        channel.advance(until)
        if stream.served == 64:
            break
    assert stream.arrival == 36


def test_writes_are_offered_at_the_pace_of_the_port() -> None:
    channel = BankChannel(DDR4, 1, refresh_clocks=1 << 40)
    groups = [4 * (number % 4) for number in range(50)]
    assert serve(channel, Stream(bursts(groups, [0] * 50), 0, 10, True)) == 49 * 10 + 12 + 4


def test_short_runs_are_asked_for_in_turn() -> None:
    """Of runs of four bursts each, the port's place of the first one decides."""
    groups = [4 * (number % 4) for number in range(8)]
    channel = BankChannel(DDR4, 1, refresh_clocks=1 << 40)
    channel.add(stream := Stream(bursts(groups, [0] * 8, run=4), 0, 100, False))
    channel.advance(200)
    assert (stream.served, stream.arrival) == (4, 400)


def clocks_per_burst(banks: list[int], rows: list[int], **options: Any) -> float:
    channel = BankChannel(DDR4, 1, **options)
    return serve(channel, Stream(bursts(banks, rows), 0, FAST, False)) / len(banks)


COUNT = 40_000
STREAM = [4 * (number % 4) + number // 512 % 4 for number in range(COUNT)]
STREAM_ROWS = [number // 2048 for number in range(COUNT)]
NEVER = {"refresh_clocks": 1 << 40}


def test_ceilings() -> None:
    """GB/s of DDR4-2400 x 64: 19.2; less refresh; one bank group 12.8; a burst per activate 11.8; one bank 1.40."""

    def rate(banks: list[int], rows: list[int], **options: Any) -> float:
        return 64 * 1.2 / clocks_per_burst(banks, rows, **options)

    scatter = [4 * (number % 4) + number // 4 % 4 for number in range(COUNT)]
    assert rate(STREAM, STREAM_ROWS, **NEVER) == pytest.approx(19.2, rel=2e-3)
    assert rate(STREAM, STREAM_ROWS) / rate(STREAM, STREAM_ROWS, **NEVER) == pytest.approx(1 - 0.046, abs=0.006)
    assert rate([0] * COUNT, [0] * COUNT, **NEVER) == pytest.approx(12.8, rel=2e-3)
    assert rate(scatter, list(range(COUNT)), **NEVER) == pytest.approx(11.8, rel=2e-3)
    assert rate([0] * COUNT, list(range(COUNT)), **NEVER) == pytest.approx(1.40, rel=5e-3)


def test_steps_of_any_size_decide_alike() -> None:
    """What is decided does not depend on how often anybody asks."""
    ends = []
    for step in (1 << 40, 97, 13):
        generator = random.Random(5)
        channel = Recorder(DDR4)
        streams = [random_stream(generator, DDR4, write=write) for write in (False, True)]
        for stream in streams:
            channel.add(stream)
        until = 0
        while any(stream.remaining for stream in streams):
            until += step
            channel.advance(until)
        ends.append(([stream.end for stream in streams], channel.commands))
    assert ends[0] == ends[1] == ends[2]
