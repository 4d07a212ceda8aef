"""The machine's port and what cannot be built; what it does is in tests/system/test_rtl_machine.py."""

import pytest

from gossamer_hw.axi import AxiReadSignature, AxiWriteSignature
from gossamer_hw.machine import MASTER, SLAVE, Machine
from gossamer_models.architecture import Architecture, load_architecture


def machine_with(**memory: int) -> Architecture:
    architecture = load_architecture("wide-4x4")
    return architecture.model_copy(update={"memory": architecture.memory.model_copy(update=memory)})


def test_ports_are_axi_and_an_interrupt() -> None:
    names = set(Machine(load_architecture("wide-4x4")).signature.members)
    read, write = AxiReadSignature(16).members, AxiWriteSignature(16).members
    master = {MASTER + name for name in (*read, *write)}
    slave = {name for name in names if name.startswith(SLAVE)}
    assert names == master | slave | {"irq"}
    assert {SLAVE + name for name in ("awaddr", "wdata", "wstrb", "bresp", "araddr", "rdata", "rresp")} <= slave


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"ports": 2}, "`memory.ports` must be 1, not 2"),
        ({"port_bits": 64}, "`memory.port_bits` must be 128 or .*, not 64"),
    ],
)
def test_memories_that_cannot_be_built(memory: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Machine(machine_with(**memory))
