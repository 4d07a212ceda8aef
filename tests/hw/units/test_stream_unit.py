"""Stream units under pauses of both sides: nothing lost, doubled or out of order; in step without them."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from gossamer_hw.units.stream_unit import StreamUnit
from gossamer_models.timing.render_units import decoder_cycles, encoder_cycles
from tests.hw.rig import Rig
from tests.hw.units.case import Case
from tests.hw.units.compositor_cases import compositor_case
from tests.hw.units.prune_cases import prune_case
from tests.hw.units.unit_cases import element_case, sparse_case

SEED = 29
COMPONENTS = 8
Pause = Callable[[int], bool]


@cache
def rig(unit: StreamUnit) -> Rig:
    return Rig(unit)


def play(case: Case, source: Pause, sink: Pause) -> tuple[list[int], list[int], list[int]]:
    """Return the results, and the cycles in which items went in and results came out."""
    unit, results = case.unit, len(case.results)
    found: list[int] = []
    entered: list[int] = []
    left: list[int] = []

    async def drive(ctx: Any) -> None:
        for name, value in case.settings.items():
            ctx.set(getattr(unit, name), value)
        waiting, cycle = list(case.items), 0
        while waiting:
            ctx.set(unit.s_axis_tvalid, not source(cycle))
            ctx.set(unit.s_axis_tdata, waiting[0])
            _, _, ready = await ctx.tick().sample(unit.s_axis_tready)
            if ready and not source(cycle):
                entered.append(cycle)
                waiting.pop(0)
            cycle += 1
        ctx.set(unit.s_axis_tvalid, 0)

    async def check(ctx: Any) -> None:
        offered, cycle = None, 0
        while len(found) < results and cycle < 4000:
            ctx.set(unit.m_axis_tready, not sink(cycle))
            _, _, valid, result = await ctx.tick().sample(unit.m_axis_tvalid, unit.m_axis_tdata)
            assert offered is None or (valid and result == offered), "an offer was taken back"
            offered = result if valid and sink(cycle) else None
            if valid and not sink(cycle):
                left.append(cycle)
                found.append(result)
            cycle += 1
        ctx.set(unit.m_axis_tready, 1)
        for _ in range(20):
            _, _, valid = await ctx.tick().sample(unit.m_axis_tvalid)
            assert not valid, "a result too many"

    rig(unit).run(check, background=[drive])
    return found, entered, left


def check_in_step(case: Case, seed: int) -> list[int]:
    """Check results and the cycles in which they leave, where neither side pauses; return those of items."""
    found, entered, left = play(case, pauses(0, seed), pauses(0, seed))
    assert not case.wrong(found), f"seed {seed}"
    assert left == case.leaving(entered), f"seed {seed}"
    assert not case.late(entered), f"seed {seed}"
    return entered


def check_under_pauses(case: Case, idle: float, stall: float, seed: int) -> None:
    """Results alone."""
    found, _, _ = play(case, pauses(idle, seed), pauses(stall, seed + 1))
    assert not case.wrong(found), f"seed {seed}"


def pauses(often: float, seed: int) -> Pause:
    chosen = np.random.default_rng(seed).random(5000) < often
    return lambda cycle: bool(chosen[cycle])


@pytest.mark.parametrize(
    ("name", "latency"),
    [("sparse-encoder", encoder_cycles(COMPONENTS)), ("sparse-decoder", decoder_cycles(COMPONENTS))],
)
@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.5, 0), (0, 0.5), (0.4, 0.4), (0.1, 0.9)])
def test_rows_under_pauses(name: str, latency: int, idle: float, stall: float) -> None:
    case = sparse_case(name, COMPONENTS, SEED, each=4)
    found, entered, left = play(case, pauses(idle, SEED), pauses(stall, SEED + 1))
    assert not case.wrong(found), f"seed {SEED}"
    if not stall:
        assert [b - a for a, b in zip(entered, left, strict=True)] == [latency] * len(case.items)


@pytest.mark.parametrize(("idle", "stall"), [(0, 0), (0.5, 0), (0.3, 0.6)])
def test_the_element_loses_no_turn_under_pauses(idle: float, stall: float) -> None:
    case = element_case(SEED, 240)
    if idle or stall:
        check_under_pauses(case, idle, stall, SEED)
    else:
        check_in_step(case, SEED)


def test_pixels() -> None:
    check_in_step(compositor_case(2, SEED, 80), SEED)


def test_words_under_pauses() -> None:
    check_under_pauses(prune_case(SEED, 200), 0.3, 0.3, SEED)
