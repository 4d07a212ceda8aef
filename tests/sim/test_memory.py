"""Sharing of a channel, against a walk cycle by cycle."""

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.architecture import load_architecture
from gossamer_models.dram import load_dram
from gossamer_models.errors import InputError
from gossamer_models.memories import MEMORY_MODELS
from gossamer_models.timing.dram import Dram, Epoch
from gossamer_sim.bank_memory import BankMemory
from gossamer_sim.memory import Channel, EpochMemory, memory_model

ARCHITECTURE = load_architecture("vcu1525-32x32")
DRAM = Dram(ARCHITECTURE, load_dram("ddr4"))

epochs = st.builds(
    Epoch,
    latency_cycles=st.just(1),
    bursts=st.integers(1, 80),
    channel_pace=st.integers(200, 900),
    port_pace=st.sampled_from([93, 372, 1488]),
    mean_pace=st.integers(100, 200),
)
Job = tuple[int, Epoch]
jobs = st.lists(st.tuples(st.integers(0, 60), epochs), max_size=4)


def closed_form(reads: list[Job], writes: list[Job]) -> dict[tuple[bool, int], int]:
    environment = simpy.Environment()
    channel = Channel(environment, DRAM)
    ends: dict[tuple[bool, int], int] = {}

    def engine(work: list[Job], write: bool) -> object:
        for number, (pause, epoch) in enumerate(work):
            yield environment.timeout(pause)
            yield channel.stream(epoch, write=write)
            ends[write, number] = int(environment.now)

    for work, write in ((reads, False), (writes, True)):
        environment.process(engine(work, write))  # type: ignore[arg-type]
    environment.run()
    return ends


def long_way(reads: list[Job], writes: list[Job]) -> dict[tuple[bool, int], int]:
    """Every cycle in turn; ``credit`` is the part of a burst done since the set of active epochs last changed.

    Each direction has its own.
    """
    ends: dict[tuple[bool, int], int] = {}
    jobs = {False: reads, True: writes}
    place = {False: 0, True: 0}
    begin = {write: work[0][0] if work else 0 for write, work in jobs.items()}
    left: dict[bool, int] = {}
    credit = {False: 0, True: 0}
    now = 0
    while any(place[write] < len(jobs[write]) for write in jobs):
        changed = False
        for write, work in jobs.items():
            if left.get(write) == 0:
                ends[write, place[write]] = now
                place[write] += 1
                del left[write]
                begin[write] = now + (work[place[write]][0] if place[write] < len(work) else 0)
                changed = True
            if write not in left and place[write] < len(work) and begin[write] == now:
                left[write] = work[place[write]][1].bursts
                changed = True
        active = [jobs[write][place[write]][1] for write in sorted(left)]
        both = DRAM.shared_paces(*active) if len(active) == 2 else [epoch.pace for epoch in active]
        for write, pace in zip(sorted(left), both, strict=True):
            credit[write] = DRAM.units.per_cycle + (0 if changed else credit[write])
            left[write] = max(left[write] - credit[write] // pace, 0)
            credit[write] %= pace
        now += 1
    return ends


@given(jobs, jobs)
def test_closed_form_equals_the_long_way(reads: list[Job], writes: list[Job]) -> None:
    assert closed_form(reads, writes) == long_way(reads, writes)


def test_overlap_slows_both() -> None:
    job = (0, Epoch(1, 6400, 260, 372, 260))
    alone = closed_form([job], [])[False, 0]
    assert alone == 6400
    together = closed_form([job], [job])
    assert together[False, 0] == together[True, 0] > 1.4 * alone


def test_a_slow_port_leaves_the_channel_to_the_other() -> None:
    """A write of one burst in ten cycles takes turns of the channel, but does not hold the read to its own pace."""
    fast, slow = (0, Epoch(1, 6400, 260, 372, 260)), (0, Epoch(1, 6400, 260, 3720, 260))
    together = closed_form([fast], [slow])
    assert together[False, 0] == pytest.approx(6400, rel=0.01)
    assert together[True, 0] == pytest.approx(64000, rel=0.005)


def test_unknown_model() -> None:
    with pytest.raises(InputError, match="must be one of ideal, ddr4, lpddr4, hbm2, ddr4-bank, scripted, not 'hbm9'"):
        memory_model(ARCHITECTURE, "hbm9")


def test_scripted_memory_has_one_port() -> None:
    with pytest.raises(InputError, match="for machines of one port; vcu1525-32x32 has 4; expected one of ideal, ddr4"):
        memory_model(load_architecture("vcu1525-32x32"), "scripted")


def test_models_by_name() -> None:
    one_port = load_architecture("wide-4x4")
    found = {name: memory_model(one_port, name)[1] for name in MEMORY_MODELS}
    tables = {name: model.dram.table for name, model in found.items() if isinstance(model, EpochMemory)}
    assert tables == {name: load_dram(name) for name in ("ddr4", "lpddr4", "hbm2")}
    reference = found["ddr4-bank"]
    assert isinstance(reference, BankMemory)
    assert reference.table == load_dram("ddr4")


def test_state_remembers_how_far_an_epoch_is() -> None:
    """A read that shared its channel early or not at all has less or more left, though it began at the same time."""
    states = []
    for bursts in (1, 40):
        environment = simpy.Environment()
        channel = Channel(environment, DRAM)
        channel.stream(Epoch(1, 500, 260, 372, 260), write=False)
        channel.stream(Epoch(1, bursts, 260, 372, 260), write=True)
        environment.run(until=100)
        states.append(channel.state(100))
    assert states[0] != states[1]
    environment.run()
    assert channel.state(int(environment.now)) == ()
