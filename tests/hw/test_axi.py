"""Rules of AXI4 that depend on a port's width."""

import pytest

from gossamer_hw.axi import AxiReadSignature, AxiWriteSignature, boundary_bytes, size_code


@pytest.mark.parametrize(("width", "block", "code"), [(8, 2048, 3), (16, 4096, 4), (32, 4096, 5), (64, 4096, 6)])
def test_widths(width: int, block: int, code: int) -> None:
    assert boundary_bytes(width) == block
    assert size_code(width) == code


def test_channels() -> None:
    read, write = AxiReadSignature(16).members, AxiWriteSignature(16).members
    assert read["rdata"].shape == 128
    assert read["araddr"].shape == 40
    assert write["wstrb"].shape == 16
    assert {name for name in write if name.endswith("ready")} == {"awready", "wready", "bready"}
