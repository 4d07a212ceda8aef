"""Transmittance against golden, bit for bit, in whatever order pixels come."""

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from gossamer_hw.render.colour import ColourUnit
from gossamer_hw.render.light import LightUnit
from gossamer_models.render.composite import NEVER, Compositor
from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import LIGHT_CYCLES

SEED = 19
CUT = 1e-4


def bits(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


class Played:
    """What a unit did with samples: (pixel, weight, shaded) of each accumulated one, its cycles, and all pixels."""

    def __init__(self, pixels: int, samples: list[tuple[int, int]], threshold: float) -> None:
        self.used: list[tuple[int, int, int]] = []
        self.ends: list[int] = []
        self.entered: list[int] = []
        self.left: list[int] = []
        self.transmittance: list[int] = []
        self.ended: list[int] = []
        self._unit, self._pixels, self._samples, self._threshold = LightUnit(pixels=pixels), pixels, samples, threshold
        simulator = Simulator(self._unit)
        simulator.add_clock(1e-6)
        simulator.add_testbench(self._drive)
        simulator.add_testbench(self._check, background=True)
        simulator.run()

    async def _drive(self, ctx: Any) -> None:
        unit = self._unit
        ctx.set(unit.cut.as_value(), bits(CUT))
        ctx.set(unit.threshold.as_value(), bits(self._threshold))
        items = [(pixel, None) for pixel in range(self._pixels)] + list(self._samples)
        ctx.set(unit.valid, 1)
        cycle = 0
        for pixel, left in items:
            ctx.set(unit.pixel, pixel)
            ctx.set(unit.restart, left is None)
            ctx.set(unit.left.as_value(), 0 if left is None else left)
            ready = 0
            while not ready:
                _, _, ready = await ctx.tick().sample(unit.ready)
                cycle += 1
            if left is not None:
                self.entered.append(cycle)
        ctx.set(unit.valid, 0)
        await ctx.tick().repeat(2 * LIGHT_CYCLES)
        ctx.set(unit.valid, 1)
        ctx.set(unit.restart, 0)
        ctx.set(unit.look, 1)
        for pixel in range(self._pixels):
            ctx.set(unit.pixel, pixel)
            await ctx.tick()
            self.transmittance.append(ctx.get(unit.transmittance.as_value()))
            self.ended.append(ctx.get(unit.ended))

    async def _check(self, ctx: Any) -> None:
        unit, cycle = self._unit, 0
        async for _, _, used, *found in ctx.tick().sample(
            unit.used, unit.used_pixel, unit.weight.as_value(), unit.shaded, unit.ends
        ):
            cycle += 1
            if used:
                self.left.append(cycle)
                *sample, ends = found
                self.used.append(tuple(sample))
                self.ends.append(ends)
            else:
                assert not found[-1], "a pixel ends without a sample"


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("threshold", [0.0, 1e-3])
@pytest.mark.parametrize("pixels", [2, 9])
def test_light(pixels: int, threshold: float) -> None:
    rng = np.random.default_rng(SEED)
    order = rng.integers(pixels, size=300)
    left = np.exp(-rng.exponential(0.3, 300) * (rng.random(300) < 0.8)).astype(np.float32)
    left[rng.integers(300, size=12)] = np.array([0, 1, 1e-40, 2e-45] * 3, np.float32)
    played = Played(pixels, [(int(p), bits(e)) for p, e in zip(order, left, strict=True)], threshold)
    golden = Compositor(pixels, CUT, threshold or None)
    by_pixel = np.argsort(order, kind="stable")
    taken = np.zeros(300, bool)
    taken[by_pixel] = golden.add(order[by_pixel].astype(np.int64), by_pixel.astype(np.int64), left[by_pixel])
    assert [pixel for pixel, _, _ in played.used] == order[taken].tolist(), f"seed {SEED}"
    shaded = golden.shaded()
    weights = dict(zip(shaded.k.tolist(), shaded.weights.view(np.uint32).tolist(), strict=True))
    numbers = np.flatnonzero(taken)
    found = {int(k): weight for k, (_, weight, yes) in zip(numbers, played.used, strict=True) if yes}
    assert found == weights, f"seed {SEED}"
    assert played.ends == [int(golden.last[order[n]] == n) for n in numbers], f"seed {SEED}"
    assert played.transmittance == golden.transmittance.view(np.uint32).tolist()
    assert played.ended == (golden.last != NEVER).tolist()
    entered = np.array(played.entered)[taken]
    assert (np.array(played.left) - entered == LIGHT_CYCLES).all()
    gaps = [np.diff(np.array(played.entered)[order == pixel]).min() for pixel in range(pixels)]
    assert min(gaps) >= COMPOSE_CYCLES


def test_different_pixels_enter_every_cycle() -> None:
    samples = [(n % COMPOSE_CYCLES, bits(0.9)) for n in range(40)]
    assert np.diff(Played(COMPOSE_CYCLES, samples, 0.0).entered).max() == 1


def test_one_pixel() -> None:
    with pytest.raises(ValueError, match="`pixels` must be at least 2, not 1"):
        LightUnit(pixels=1)
    with pytest.raises(ValueError, match="`channels` 1, not 1 and 3"):
        ColourUnit(pixels=1, channels=3)
