"""Parts of what is read from DRAM."""

from gossamer_models.reads import NO_READS, Reads


def test_parts_add_up() -> None:
    reads = Reads(compulsory=8, refetched=4, padding=2, unused=1)
    assert reads.total == 15
    assert reads.as_dict() == {"compulsory": 8, "refetched": 4, "padding": 2, "unused": 1}
    assert sum([reads, reads], NO_READS) == Reads(16, 8, 4, 2)
