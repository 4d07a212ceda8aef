"""The reference on whole stages: what it costs, and what does not matter to it."""

import random
from collections.abc import Sequence

import pytest
import simpy

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.dram import load_dram
from gossamer_models.isa.instructions import Dim, Instruction, Load, Store
from gossamer_models.program import StageProgram
from gossamer_models.timing.dma import LOAD_START_CYCLES, STORE_START_CYCLES
from gossamer_models.timing.dram import Dram
from gossamer_models.timing.transfer import transfer_shape
from gossamer_sim.bank_channel import BankChannel
from gossamer_sim.bank_memory import BankMemory
from gossamer_sim.memory import EpochMemory, MemoryModel
from gossamer_sim.stage import StageRun, run_stage
from tests.sim.test_machine import Shuffled

DDR4 = load_dram("ddr4")
VCU1525 = load_architecture("vcu1525-32x32")


def machine(**memory: object) -> Architecture:
    base = VCU1525.model_dump(mode="python")
    base["memory"] |= memory
    return Architecture.model_validate(base)


def transfer(cls: type[Load] | type[Store], size: int, base: int = 0, runs: int = 1, stride: int = 0) -> Load | Store:
    inner = Dim(count=size // 2, mem_stride=2, buf_stride=2, axis=3)
    outer = Dim(count=runs, mem_stride=stride, buf_stride=size, axis=3)
    return cls(mem_base=base, dims=(inner, outer) if runs > 1 else (inner,))


def run(
    instructions: Sequence[Instruction],
    architecture: Architecture = VCU1525,
    model: MemoryModel | None = None,
    environment: simpy.Environment | None = None,
) -> StageRun:
    stage = StageProgram("layer", "ff", tuple(instructions), ())
    return run_stage(stage, architecture, model or BankMemory(architecture, DDR4), trace=True, environment=environment)


def cycles(found: StageRun) -> list[int]:
    return [span.end - span.start for span in found.spans]


def test_one_burst_by_hand() -> None:
    """36 clocks of a read and 32 of a write from closed banks are 6 cycles each."""
    assert cycles(run([transfer(Load, 64)])) == [LOAD_START_CYCLES + 6]
    assert cycles(run([transfer(Store, 64)])) == [STORE_START_CYCLES + 6]


def test_nothing_in_bounds_takes_no_channel() -> None:
    empty = Load(dims=(Dim(count=4, mem_stride=2, axis=0, weight=1),), axis0_base=9, axis0_bound=4)
    assert cycles(run([empty])) == [LOAD_START_CYCLES]


def test_port_and_channel_bound_by_hand() -> None:
    """4096 bursts on each of four channels, a beat of 64 bytes per cycle; on one port of a tiny clock likewise."""
    found = cycles(run([transfer(Load, 1 << 20)]))[0]
    port = LOAD_START_CYCLES + 6 + 4095
    assert port < found < 1.02 * port
    fast = machine().model_copy(update={"clock_hz": 1_000_000_000})
    channel = 4096 * 4 * 5 / 6  # clocks of 0.833 ns
    assert cycles(run([transfer(Load, 1 << 20)], fast))[0] == pytest.approx(channel / (1 - 360 / 7800), rel=0.02)


def test_rows_stay_open_between_instructions() -> None:
    others = [transfer(Load, 64, base=number << 19) for number in range(1, 40)]  # rows of all banks
    first, again, *rest = cycles(run([transfer(Load, 64), transfer(Load, 64), *others]))
    assert again < first < max(rest)


def test_reads_and_writes_slow_each_other() -> None:
    read, write = transfer(Load, 1 << 20), transfer(Store, 1 << 20, base=5 << 20)
    alone, both = cycles(run([read]))[0], cycles(run([read, write]))
    assert min(both) > 1.3 * alone


@pytest.mark.parametrize("seed", range(5))
def test_order_within_a_cycle_is_free(seed: int) -> None:
    generator = random.Random(seed)
    stage = [
        transfer(
            Load if generator.random() < 0.5 else Store,
            generator.randrange(64, 20_000, 64),
            generator.randrange(0, 1 << 24, 64),
        )
        for _ in range(12)
    ]
    ordered = run(stage)
    shuffled = run(stage, environment=Shuffled(seed))
    assert sorted((s.engine, s.start, s.end) for s in ordered.spans) == sorted(
        (s.engine, s.start, s.end) for s in shuffled.spans
    )


def test_every_channel_is_its_own() -> None:
    """Two runs of 512 bytes in one channel take twice as long as in two."""
    unfolded = machine(mapping={"channel_fold": False})
    same, apart = (cycles(run([transfer(Load, 512, 0, 8, stride)], unfolded))[0] for stride in (4096, 1024))
    assert same - apart == pytest.approx(8 * 6, abs=3)


CASES = {
    "stretch": ([transfer(Load, 1 << 20)], {}),
    "write": ([transfer(Store, 1 << 20)], {}),
    "rows of 4 KiB": ([transfer(Load, 4096, 0, 256, 3 * 4096)], {}),
    "column first": ([transfer(Load, 1 << 20)], {"order": ("column", "group", "bank")}),
    "banks rotate": ([transfer(Load, 1 << 20)], {"order": ("bank", "group", "column")}),
    "coarse channels": ([transfer(Load, 1 << 20)], {"interleave_bytes": 8192}),
    "plain": ([transfer(Load, 1 << 20)], {"channel_fold": False, "bank_fold": False}),
}


@pytest.mark.fast_one_in(5)
@pytest.mark.parametrize("kind", ["ddr4", "lpddr4", "hbm2"])
@pytest.mark.parametrize("ports", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_epochs_are_as_long_as_their_bursts(case: str, ports: int, kind: str) -> None:
    """A fast port, so that the channel decides; short runs only where rows are longer, as their banks are chance.

    A stretch of 1 MiB meets two refreshes or three: the mean over two moments of the first.
    """
    if case == "rows of 4 KiB" and kind == "hbm2":
        return
    instructions, mapping = CASES[case]
    table = load_dram(kind)
    architecture = machine(ports=ports, mapping=mapping).model_copy(update={"clock_hz": 1_000_000_000})
    moments = [quarter * table.refresh_clocks.interval // 4 for quarter in (1, 3)]
    models: list[MemoryModel] = [EpochMemory(Dram(architecture, table))]
    models += [BankMemory(architecture, table, moment) for moment in moments]
    found, *references = (max(s.end for s in run(instructions, architecture, model).spans) for model in models)
    assert found == pytest.approx(sum(references) / len(references), rel=0.03)


def test_overlapping_directions_on_the_mean() -> None:
    """Whether two stretches lie in the same banks is chance: the mean over places is what an epoch expects."""
    architecture = machine(ports=1).model_copy(update={"clock_hz": 1_000_000_000})
    models: tuple[MemoryModel, MemoryModel] = EpochMemory(Dram(architecture, DDR4)), BankMemory(architecture, DDR4)
    read = transfer(Load, 1 << 20)
    ends = []
    for model in models:
        runs = [
            run([read, transfer(Store, 1 << 20, base=(5 << 20) + (n << 15))], architecture, model) for n in range(8)
        ]
        ends.append(sum(max(span.end for span in found.spans) for found in runs))
    assert ends[0] == pytest.approx(ends[1], rel=0.02)


def test_bursts_of_the_reference_are_the_epochs() -> None:
    load = transfer(Load, 1000, 24, 64, 1016)
    _, found = BankMemory(VCU1525, DDR4).cost(load, transfer_shape(load))
    assert found is not None
    touched = sum((start + 999) // 64 - start // 64 + 1 for start in range(24, 24 + 64 * 1016, 1016))
    assert sum(len(part.banks) for part in found.channels) == touched


def test_activates_are_counted() -> None:
    """A stretch of 128 KiB aligned to itself is a row of each of four banks on each of four channels."""
    channel = BankMemory(VCU1525, DDR4).channel(simpy.Environment())
    load = transfer(Load, 1 << 17)
    _, found = BankMemory(VCU1525, DDR4).cost(load, transfer_shape(load))
    assert found is not None
    channel.stream(found, write=False)
    channel._environment.run()
    assert [part.activates for part in channel.channels] == [4] * 4
    assert isinstance(channel.channels[0], BankChannel)


def test_short_writes_wait_for_reads_that_stand_in_the_queue() -> None:
    """LPDDR4's channel is as slow as the port: a quantum of reads is served before each short write."""
    architecture, table = machine(ports=1), load_dram("lpddr4")
    read, writes = transfer(Load, 1 << 18), [transfer(Store, 512, base=(5 << 20) + (n << 14)) for n in range(8)]
    models: tuple[MemoryModel, MemoryModel] = EpochMemory(Dram(architecture, table)), BankMemory(architecture, table)
    epochs, bursts = (sorted(span.end for span in run([read, *writes], architecture, model).spans) for model in models)
    assert epochs[-2:] == pytest.approx(bursts[-2:], rel=0.03)  # the last write, the read


@pytest.mark.parametrize("kind", ["ddr4", "lpddr4"])
@pytest.mark.parametrize("start", [1024, 2048])
def test_a_stretch_read_over_and_over_meets_its_own_channels(start: int, kind: str) -> None:
    """8 KiB from a round's start load four channels alike, from anywhere else one of them half as much again."""
    table = load_dram(kind)
    models: tuple[MemoryModel, MemoryModel] = EpochMemory(Dram(VCU1525, table)), BankMemory(VCU1525, table)
    reads = [transfer(Load, 8192, start + (n << 13), 16) for n in range(8)]
    epochs, bursts = (max(span.end for span in run(reads, VCU1525, model).spans) for model in models)
    assert epochs == pytest.approx(bursts, rel=0.03)
