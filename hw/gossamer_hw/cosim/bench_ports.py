"""Queues between a bench and a machine, so that nothing of the machine depends on a bench's signal in the same cycle.

Verilator computes what depends on an input at both edges of the clock, and once more whenever the bench writes: for a
machine whose ports are led out directly a fifth of all its logic.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from amaranth.hdl import Cat, Module, Value
from amaranth.lib.fifo import SyncFIFOBuffered

__all__ = ["End", "channel_end", "join", "queue"]


class End(NamedTuple):
    """One end of a channel: all it carries, ``valid``, and ``ready``."""

    payload: Value
    valid: Value
    ready: Value


def channel_end(owner: Any, prefix: str, names: Iterable[str], channel: str) -> End:
    """Return the end that `owner` has of an AXI channel, from its ports of a `prefix` and these names."""
    ports = {name: getattr(owner, prefix + name) for name in names if name.startswith(channel)}
    valid, ready = ports.pop(f"{channel}valid"), ports.pop(f"{channel}ready")
    return End(Cat(ports.values()), valid, ready)


def queue(m: Module, name: str, source: End) -> End:
    """Return what comes out of a queue of two places; latency 2 cycles."""
    m.submodules[name] = fifo = SyncFIFOBuffered(width=len(source.payload), depth=2)
    m.d.comb += [fifo.w_data.eq(source.payload), fifo.w_en.eq(source.valid), source.ready.eq(fifo.w_rdy)]
    return End(fifo.r_data, fifo.r_rdy, fifo.r_en)


def join(m: Module, source: End, sink: End) -> None:
    """Connect two ends."""
    m.d.comb += [sink.payload.eq(source.payload), sink.valid.eq(source.valid), source.ready.eq(sink.ready)]
