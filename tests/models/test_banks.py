"""Banks of the on-chip memories, counted by hand."""

from gossamer_models.architecture import load_architecture
from gossamer_models.banks import Banks, memory_banks
from gossamer_models.energy import load_energy


def test_banks_of_the_large_machine() -> None:
    large = load_architecture("vcu1525-32x32")
    banks = memory_banks(large)
    assert banks["a"] == Banks(64, 8192 * 16)
    assert banks["b"] == Banks(64, 32768 * 20 // 8)
    assert banks["accumulator"] == Banks(64, 16384 * 4)
    # 64 lanes of 16 bits are 16 banks of 64.
    assert banks["vector_in"] == banks["vector_out"] == Banks(32, 2097152 // 16)
    assert banks["parameter"] == Banks(16, 32768 * 4 // 16)
    assert banks["prune"] == Banks(32, 262144 * 3 // 16)
    row = load_energy(large.energy or "").sram_row(banks["vector_in"].bytes)
    assert row is not None
    assert row.bytes == 131072
