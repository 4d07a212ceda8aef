"""AXI4 channels of the machine's masters.

Signals bear the names that AXI4 gives them, so that a top level only puts a prefix (``m_axi_``) before them. There are
no IDs, hence all transactions of a port stay in order. Bursts are INCR of whole data words, at most 256 of them, and
none crosses an address that is a multiple of :func:`boundary_bytes`.
"""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from gossamer_models.isa.tokens import ADDRESS_BITS

__all__ = [
    "ADDRESS_BITS", "BURST_BEATS", "INCR", "AxiReadSignature", "AxiWriteSignature", "boundary_bytes", "size_code",
]  # fmt: skip

BURST_BEATS = 256
INCR = 1
_PAGE_BYTES = 4096


def boundary_bytes(width_bytes: int) -> int:
    """Bytes of the aligned blocks within which bursts stay: 4 KiB, or less where 256 beats are less."""
    return min(_PAGE_BYTES, BURST_BEATS * width_bytes)


def size_code(width_bytes: int) -> int:
    """Value of ``arsize`` or ``awsize`` for beats of `width_bytes`."""
    return width_bytes.bit_length() - 1


def _address_members(prefix: str) -> dict[str, object]:
    return {
        f"{prefix}addr": Out(ADDRESS_BITS),
        f"{prefix}len": Out(8),
        f"{prefix}size": Out(3),
        f"{prefix}burst": Out(2),
        f"{prefix}valid": Out(1),
        f"{prefix}ready": In(1),
    }


class AxiReadSignature(wiring.Signature):
    """Read half of a master's port: channels AR and R.

    Parameters
    ----------
    width_bytes
        Bytes of a data word, a power of two.

    Members
    -------
    araddr, arlen, arsize, arburst, arvalid, arready : read address channel.
    rdata, rresp, rlast, rvalid, rready : read data channel.
    """

    def __init__(self, width_bytes: int) -> None:
        super().__init__(
            {
                **_address_members("ar"),
                "rdata": In(8 * width_bytes),
                "rresp": In(2),
                "rlast": In(1),
                "rvalid": In(1),
                "rready": Out(1),
            }
        )


class AxiWriteSignature(wiring.Signature):
    """Write half of a master's port: channels AW, W and B.

    Parameters
    ----------
    width_bytes
        Bytes of a data word, a power of two.

    Members
    -------
    awaddr, awlen, awsize, awburst, awvalid, awready : write address channel.
    wdata, wstrb, wlast, wvalid, wready : write data channel.
    bresp, bvalid, bready : write response channel.
    """

    def __init__(self, width_bytes: int) -> None:
        super().__init__(
            {
                **_address_members("aw"),
                "wdata": Out(8 * width_bytes),
                "wstrb": Out(width_bytes),
                "wlast": Out(1),
                "wvalid": Out(1),
                "wready": In(1),
                "bresp": In(2),
                "bvalid": In(1),
                "bready": Out(1),
            }
        )
