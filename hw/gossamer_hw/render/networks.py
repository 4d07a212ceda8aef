"""Networks that move numbers between the places of a row and a dense list, by powers of two."""

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Elaboratable, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from gossamer_hw.numerics.bits import register
from gossamer_models.timing.render_units import move_cycles, move_levels

__all__ = ["Gather", "Spread", "item_layout"]


def item_layout(bits: int, places: int) -> data.StructLayout:
    """Layout of something that moves ``distance`` places down: ``valid`` and `bits` of ``item``."""
    return data.StructLayout({"item": bits, "distance": range(max(places, 2)), "valid": 1})


class Spread(wiring.Component):
    """``out[p] = items[p - distance[p]]``, for distances that grow by at most one from place to place.

    Level by level, the highest bit first, a place takes what lies 2**b below if bit b of its own distance is set. That
    place has come as far: the bits above b are the same in both distances, because between the two places the distance
    grows by at most 2**b. So one choice of two per place and level is enough, and its control is wires.

    Fixed latency, no flow control, no reset.

    Parameters
    ----------
    places
        Places of a row.
    bits
        Of an item.

    Members
    -------
    items : the list.
    distance : per place, at most its own index.
    out : :attr:`latency` cycles later.
    """

    def __init__(self, *, places: int, bits: int) -> None:
        self._places = places
        super().__init__(
            {
                "items": In(data.ArrayLayout(bits, places)),
                "distance": In(data.ArrayLayout(range(max(places, 2)), places)),
                "out": Out(data.ArrayLayout(bits, places)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a list to its places."""
        return move_cycles(self._places)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the levels, a register behind every second one."""
        m = Module()
        items: list[Value] = [self.items[p] for p in range(self._places)]
        distance: list[Value] = [self.distance[p] for p in range(self._places)]
        levels = move_levels(self._places)
        for done, level in enumerate(reversed(range(levels)), start=1):
            step = 1 << level
            items = [
                Mux(distance[p][level], items[p - step], item) if p >= step else item for p, item in enumerate(items)
            ]
            if done % 2 == 0 or done == levels:
                items = _registered(m, items, f"items_{level}")
                distance = _registered(m, [part[: max(level, 1)] for part in distance], f"distance_{level}")
        m.d.comb += self.out.eq(Cat(items))
        return m


class Gather(wiring.Component):
    """``out[p - distance[p]] = items[p]`` for valid items, whose distances are the invalid ones below them.

    Level by level, the lowest bit first. No two items ever meet: of two valid ones the distances differ by no more than
    there are places between them, and so do any of their low bits.

    Fixed latency, no flow control, no reset.

    Parameters
    ----------
    places
        Places of a row.
    bits
        Of an item.

    Members
    -------
    items : the row, see :func:`item_layout`.
    out : the list, :attr:`latency` cycles later; an invalid place is all zeros.
    """

    def __init__(self, *, places: int, bits: int) -> None:
        self._places = places
        self._layout = item_layout(bits, places)
        super().__init__(
            {"items": In(data.ArrayLayout(self._layout, places)), "out": Out(data.ArrayLayout(bits, places))}
        )

    @property
    def latency(self) -> int:
        """Cycles from a row to its list."""
        return move_cycles(self._places)

    def elaborate(self, platform: Any) -> Elaboratable:
        """Chain the levels, a register behind every second one."""
        m = Module()
        items: list[Any] = [self.items[p] for p in range(self._places)]
        levels = move_levels(self._places)
        for level in range(levels):
            items = [self._choose(m, items, p, level) for p in range(self._places)]
            if level % 2 or level == levels - 1:
                items = [register(m, item, when=True, name=f"list_{level}_{p}") for p, item in enumerate(items)]
        m.d.comb += [out.eq(Mux(item.valid, item.item, 0)) for out, item in zip(self.out, items, strict=True)]
        return m

    def _choose(self, m: Module, items: Sequence[Any], place: int, level: int) -> Any:
        """Return what is at a place behind a level: what comes from above, or what stays."""
        step = 1 << level
        chosen = Signal(self._layout, name=f"level_{level}_{place}")
        stays = items[place].valid & ~items[place].distance[level]
        m.d.comb += [chosen.eq(items[place]), chosen.valid.eq(stays)]
        if place + step < self._places:
            above = items[place + step]
            with m.If(above.valid & above.distance[level]):
                m.d.comb += chosen.eq(above)
        return chosen


def _registered(m: Module, values: Sequence[Value], name: str) -> list[Value]:
    return [register(m, value, when=True, name=f"{name}_{p}") for p, value in enumerate(values)]
