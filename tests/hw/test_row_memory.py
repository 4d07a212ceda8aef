"""Memories of rows as synthesis sees them."""

import pytest

from gossamer_hw.fpga.resources import synthesise
from gossamer_hw.row_memory import RowMemory
from gossamer_hw.verilog import emit_verilog


@pytest.mark.slow
def test_a_block_ram_stands_alone() -> None:
    """What is read in the cycle of its write is left open: there is nothing but the block."""
    verilog = emit_verilog(RowMemory(unit_bits=9, units=4, depth=512), name="rows")
    found = synthesise(verilog, top="rows", family="ecp5")
    assert (found.luts, found.flip_flops, found.block_rams) == (0, 0, 1)
