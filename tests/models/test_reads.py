"""Parts of what is read from DRAM."""

from gossamer_models.reads import NO_READS, Reads


def test_parts_add_up() -> None:
    reads = Reads(compulsory=8, refetched=4, padding=2, unused=1)
    assert reads.total == 15
    assert reads.as_dict() == {"compulsory": 8, "refetched": 4, "padding": 2, "unused": 1}
    assert reads.least == 1
    assert Reads.sum([reads, NO_READS, reads]) == Reads(16, 8, 4, 2)
    assert Reads.sum([]) == NO_READS
