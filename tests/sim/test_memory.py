"""Sharing of a channel, against a walk cycle by cycle."""

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.timing.dram import DDR4_2400, Epoch, shared_pace, units
from gossamer_sim.memory import Channel, EpochMemory, memory_model

ARCHITECTURE = load_architecture("vcu1525-32x32")
UNITS = units(DDR4_2400, ARCHITECTURE.clock_hz)

epochs = st.builds(
    Epoch,
    latency_cycles=st.just(1),
    bursts=st.integers(1, 80),
    channel_pace=st.integers(200, 900),
    port_pace=st.sampled_from([93, 372, 1488]),
)
Job = tuple[int, Epoch]
jobs = st.lists(st.tuples(st.integers(0, 60), epochs), max_size=4)


def closed_form(reads: list[Job], writes: list[Job]) -> dict[tuple[bool, int], int]:
    environment = simpy.Environment()
    channel = Channel(environment, EpochMemory(ARCHITECTURE, DDR4_2400))
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
    """Every cycle in turn; ``credit`` is the part of a burst done since the set of active epochs last changed."""
    ends: dict[tuple[bool, int], int] = {}
    jobs = {False: reads, True: writes}
    place = {False: 0, True: 0}
    begin = {write: work[0][0] if work else 0 for write, work in jobs.items()}
    left: dict[bool, int] = {}
    credit = now = 0
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
        pace = shared_pace(DDR4_2400, UNITS, *active) if len(active) == 2 else active[0].pace if active else 1
        credit = UNITS.per_cycle + (0 if changed else credit)
        for write in left:
            left[write] = max(left[write] - credit // pace, 0)
        credit %= pace
        now += 1
    return ends


@given(jobs, jobs)
def test_closed_form_equals_the_long_way(reads: list[Job], writes: list[Job]) -> None:
    assert closed_form(reads, writes) == long_way(reads, writes)


def test_overlap_slows_both() -> None:
    job = (0, Epoch(1, 6400, 260, 372))
    alone = closed_form([job], [])[False, 0]
    assert alone == 6400
    together = closed_form([job], [job])
    assert together[False, 0] == together[True, 0] > 1.4 * alone


def test_unknown_model() -> None:
    with pytest.raises(InputError, match="must be one of ideal, ddr4, scripted, not 'hbm9'"):
        memory_model(ARCHITECTURE, "hbm9")


def test_state_remembers_how_far_an_epoch_is() -> None:
    """A read that shared its channel early or not at all has less or more left, though it began at the same time."""
    states = []
    for bursts in (1, 40):
        environment = simpy.Environment()
        channel = Channel(environment, EpochMemory(ARCHITECTURE, DDR4_2400))
        channel.stream(Epoch(1, 500, 260, 372), write=False)
        channel.stream(Epoch(1, bursts, 260, 372), write=True)
        environment.run(until=100)
        states.append(channel.state(100))
    assert states[0] != states[1]
    environment.run()
    assert channel.state(int(environment.now)) == ()
