"""Semaphores and halves."""

from gossamer_models.isa.tokens import BUFFERS_IN_HALVES, Advance, Buffer, Engine, Semaphore, consumer, producer


def test_every_semaphore_joins_two_engines() -> None:
    for semaphore in Semaphore:
        ends = {producer(semaphore), consumer(semaphore)}
        assert len(ends) == 2
        assert Engine.SEQUENCER not in ends


def test_full_and_free_run_in_opposite_directions() -> None:
    for name in ("A", "B", "ACC", "VIN", "PRN", "PRM", "VOUT"):
        full, free = Semaphore[f"{name}_FULL"], Semaphore[f"{name}_FREE"]
        assert (producer(full), consumer(full)) == (consumer(free), producer(free))


def test_only_the_parameters_are_not_doubled() -> None:
    assert set(Buffer) - set(BUFFERS_IN_HALVES) == {Buffer.PRM}
    assert set(BUFFERS_IN_HALVES.values()) == set(Advance)
