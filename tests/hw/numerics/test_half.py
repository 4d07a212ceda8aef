"""Conversions between binary16 and binary32 against the model, in Amaranth's simulator."""

from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from gossamer_hw.numerics.convert import canonical, relax
from gossamer_hw.numerics.formats import Half, Single
from gossamer_hw.numerics.half import narrow, widen
from gossamer_models.numerics.formats import bits16, bits32, from_bits16, from_bits32, to_fp16, to_fp32
from numerics_leaf import SPECIAL_SINGLES, half_vectors

SEED = 22


class Leaf(wiring.Component):
    """Both conversions between plain IEEE ports."""

    def __init__(self) -> None:
        super().__init__({"half": In(Half), "wide": Out(Single), "single": In(Single), "narrowed": Out(Half)})

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        m.d.comb += [
            self.wide.eq(canonical(m, widen(m, self.half))),
            self.narrowed.eq(narrow(m, relax(m, self.single))),
        ]
        return m


def simulate(source: str, target: str, values: Any) -> Any:
    """Convert patterns one after the other."""
    leaf, results = Leaf(), []

    async def drive(ctx: Any) -> None:
        for value in values:
            ctx.set(getattr(leaf, source).as_value(), int(value))
            results.append(ctx.get(getattr(leaf, target).as_value()))

    simulator = Simulator(leaf)
    simulator.add_testbench(drive)
    simulator.run()
    return np.array(results)


def singles(rng: np.random.Generator, count: int) -> Any:
    """Return random bits, and halves with a tie, just above or just below one appended."""
    near = rng.integers(0, 1 << 16, count, dtype=np.uint16).view(np.float16).astype(np.float32).view(np.uint32)
    tie = near + rng.choice(np.array([0, 0xFFF, 0x1000, 0x1001, 0xFFFFF000], np.uint32), count)
    small = (rng.integers(0, 1 << 32, count, dtype=np.uint32) & 0x807FFFFF) | (
        rng.integers(98, 116, count).astype(np.uint32) << 23
    )
    halfway = small & np.uint32(0xFFF00000)
    corners = [*SPECIAL_SINGLES, 0x477FEFFF, 0x477FF000, 0x477FE000, 0x33000000, 0x33000001, 0x32FFFFFF]
    anything = rng.integers(0, 1 << 32, count, dtype=np.uint32)
    return np.concatenate([np.array(corners, np.uint32), tie, small, halfway, anything]).astype(np.uint32)


def test_widen() -> None:
    values = np.concatenate([np.arange(0, 1 << 16, 37), half_vectors(np.random.default_rng(SEED), 500)])
    values = values.astype(np.uint16)
    found = simulate("half", "wide", values)
    expected = bits32(to_fp32(from_bits16(values)))
    bad = np.flatnonzero(found != expected)
    assert not bad.size, f"seed {SEED}: {values[bad[0]]:#x} gives {found[bad[0]]:#x}, not {expected[bad[0]]:#x}"


def test_narrow() -> None:
    values = singles(np.random.default_rng(SEED), 600)
    found = simulate("single", "narrowed", values)
    expected = bits16(to_fp16(from_bits32(values)))
    bad = np.flatnonzero(found != expected)
    assert not bad.size, f"seed {SEED}: {values[bad[0]]:#x} gives {found[bad[0]]:#x}, not {expected[bad[0]]:#x}"
