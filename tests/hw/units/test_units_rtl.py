"""All units as Verilog in Verilator, of three sizes each, in step and under random pauses of cocotbext-axi's ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from gossamer_hw.cosim import build, run
from gossamer_hw.verilog import emit_verilog
from gossamer_models.sparsity import Pattern
from tests.hw.render.candidates import TILES, some_candidates
from tests.hw.render.cubes import VIEWS, some_view
from tests.hw.render.rays import SCENES
from tests.hw.units.case import ARRAY, Case
from tests.hw.units.compositor_cases import colour_case, compositor_case, compositor_lanes_case
from tests.hw.units.number_cases import (
    exponential_case,
    logarithm_case,
    reciprocal_case,
    sigmoid_case,
    softplus_case,
    wave_case,
)
from tests.hw.units.prune_cases import block_case, prune_case, transposer_case
from tests.hw.units.search_cases import list_case, search_case, sum_case, tree_case
from tests.hw.units.sweep_case import SWEEPS, sweep_case
from tests.hw.units.table_cases import table_case, tables_case
from tests.hw.units.texel_cases import bank_case, encoded_case, factor_case, interpolation_case
from tests.hw.units.unit_cases import ball_case, element_case, projector_case, sampler_case, sparse_case
from tests.hw.units.walk_cases import walk_case

BENCHES = Path(__file__).parents[2] / "benches"
SEED = 41


class Units(wiring.Component):
    """Units side by side, the ports of each behind its name; settings are constants."""

    def __init__(self, cases: dict[str, Case]) -> None:
        self._cases = cases
        members: dict[str, wiring.Member] = {}
        for name, case in cases.items():
            ports = case.unit.signature.members
            members |= {f"{name}_{port}": ports[port] for port in ports if port not in case.settings}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Elaboratable:
        m = Module()
        for name, case in self._cases.items():
            m.submodules[name] = unit = case.unit
            for port, member in unit.signature.members.items():
                inner = getattr(unit, port)
                if port in case.settings:
                    m.d.comb += inner.eq(case.settings[port])
                    continue
                outer = getattr(self, f"{name}_{port}")
                m.d.comb += inner.eq(outer) if member.flow is wiring.In else outer.eq(inner)
        return m


def _cases() -> dict[str, Case]:
    """Three sizes of every unit that has any; prune has three patterns, and words of 16."""
    return _rows() | _words() | _numbers() | _points() | _rays() | _pixels()


def _rows() -> dict[str, Case]:
    """Of tables: encoded, decoded, searched, read."""
    cases: dict[str, Case] = {}
    for components in (5, 16, 48):
        for side in ("encoder", "decoder"):
            cases[f"{side}_{components}"] = sparse_case(f"sparse-{side}", components, SEED + components, each=20)
    for width in (7, 16, 48):
        cases[f"search_{width}"] = search_case(width, SEED, 200)
    for terms, bits in ((2, 1), (4, 3), (16, 6)):
        cases[f"tree_{terms}"] = tree_case(terms, bits, SEED)
        cases[f"list_{terms}"] = list_case(terms, bits, SEED)
    for terms in (2, 5, 16):
        cases[f"sum_{terms}"] = sum_case(terms, SEED)
    for components, rows in ((3, 5), (16, 50), (48, 33)):
        cases[f"bank_{components}"] = bank_case(components, rows, SEED, 60)
    for components, line_bytes in ((1, 16), (6, 32), (20, 128)):
        cases[f"table_{components}"] = table_case(components, line_bytes, SEED)
    for lanes in (4, 8, 32):
        cases[f"tables_{lanes}"] = tables_case(lanes)
    return cases


def _words() -> dict[str, Case]:
    """Of the prune engine and the array."""
    cases: dict[str, Case] = {}
    for n, m in ((2, 8), (1, 4), (1, 2)):
        cases[f"prune_{n}_{m}"] = prune_case(SEED, 200, Pattern(n, m))
    cases["prune_7_16"] = prune_case(SEED, 200, Pattern(7, 16), group=16)
    for lanes in (1, 2, 4, 8):
        cases[f"transposer_{lanes}"] = transposer_case(lanes, SEED, 40)
    for lanes, pattern, columns in ((1, Pattern(2, 8), True), (2, Pattern(1, 2), False), (4, Pattern(3, 4), True)):
        cases[f"block_{lanes}"] = block_case(lanes, pattern, columns, SEED, 40)
    for multiply, add in ((3, 4), (2, 2), (5, 7)):
        array = ARRAY.model_copy(update={"multiply_latency_cycles": multiply, "add_latency_cycles": add})
        cases[f"pe_{multiply}_{add}"] = element_case(SEED, 300, array)
    return cases


def _numbers() -> dict[str, Case]:
    """A number per cycle: there are no sizes."""
    return {
        "waves": wave_case(SEED),
        "exponential": exponential_case(SEED, 800),
        "logarithm": logarithm_case(SEED, 800),
        "softplus": softplus_case(SEED, 800),
        "reciprocal": reciprocal_case(SEED, 600),
        "sigmoid": sigmoid_case(SEED, 800),
    }


def _points() -> dict[str, Case]:
    """Of planes and lines at points."""
    cases: dict[str, Case] = {}
    for components in (1, 2, 3):
        cases[f"interpolation_{components}"] = interpolation_case(components, SEED, 200)
    for components, grid, spoilt in ((1, (6, 5, 9), True), (1, (9, 7, 12), True), (3, (2, 3, 2), False)):
        cases[f"encoded_lane_{grid[0]}"] = encoded_case(components, grid, SEED, 240, spoilt=spoilt)
    for components, grid in ((3, (2, 3, 2)), (2, (5, 8, 3)), (1, (9, 4, 17))):
        cases[f"factor_lane_{grid[0]}"] = factor_case(components, grid, SEED, 240)
    return cases


def _rays() -> dict[str, Case]:
    """From blocks of cubes to samples; the sizes of the projector are settings: those of the picture."""
    cases: dict[str, Case] = {}
    for block, rounds in ((2, 8), (4, 3), (8, 1)):
        cases[f"walk_{block}"] = walk_case(block, SEED, rounds)
    for tile in TILES:
        cases[f"ball_test_{tile[0]}"] = ball_case(some_candidates(*tile))
    for scene in SCENES:
        cases[f"sampler_{scene[0]}"] = sampler_case(*scene)
    for view in VIEWS:
        cases[f"projector_{view[0]}"] = projector_case(some_view(*view))
    return cases


def _pixels() -> dict[str, Case]:
    """From samples to a tile's pixels."""
    cases: dict[str, Case] = {}
    for pixels in (5, 9, 64):
        cases[f"compositor_{pixels}"] = compositor_case(pixels, SEED + pixels, 300)
    for pixels, lanes in ((5, 1), (6, 2), (16, 2)):
        cases[f"compositor_lanes_{pixels}_{lanes}"] = compositor_lanes_case(pixels, lanes, SEED, 200)
    for pixels, channels in ((8, 1), (9, 3), (64, 8)):
        cases[f"colour_{pixels}"] = colour_case(pixels, channels, SEED, 200)
    return cases


def _differences(cases: dict[str, Case], directory: Path) -> list[str]:
    """Run cases in one top; return what differs.

    Bits, and without pauses the cycles in which items enter, where none has to wait, and in which results leave.
    """
    stimulus: dict[str, Any] = {}
    for name, case in cases.items():
        size = len(case.unit.s_axis_tdata) // 8
        text = b"".join(item.to_bytes(size, "little") for item in case.items)
        stimulus[name] = np.frombuffer(text, np.uint8).reshape(-1, size)
        stimulus[f"{name}_results"] = len(case.results)
    np.savez(directory / "in.npz", **stimulus)
    environment = {"STIMULUS": str(directory / "in.npz"), "RESULTS": str(directory), "SEED": str(SEED)}
    # Compiling takes longer than the run.
    verilog = emit_verilog(Units(cases), name="units")
    simulation = build(verilog, top="units", variables=("OPT_FAST=-O0",), repeats=True)
    run(simulation, bench="bench_units", directory=directory, environment=environment, paths=[BENCHES], seed=SEED)
    found = []
    for name, case in cases.items():
        size = len(case.unit.m_axis_tdata) // 8
        for way in ("in_step", "paused"):
            text = (directory / f"{name}_{way}.bin").read_bytes()
            wrong = case.wrong([int.from_bytes(text[n : n + size], "little") for n in range(0, len(text), size)])
            if wrong:
                found.append(f"{name}, {way}: {len(wrong)} results, first {wrong[0]}")
        with np.load(directory / f"{name}.npz") as cycles:
            entered = cycles["entered"].tolist()
            if cycles["left"].tolist() != case.leaving(entered):
                found.append(f"{name}: results leave in other cycles")
            if case.late(entered):
                found.append(f"{name}: items wait")
    return found


@pytest.mark.slow
def test_units(tmp_path: Path) -> None:
    assert not _differences(_cases(), tmp_path), f"seed {SEED}"


@pytest.mark.slow
def test_sweeps(tmp_path: Path) -> None:
    """The largest unit has a top of its own."""
    cases = {f"sweep_{size.pixels}": sweep_case(eye, ends, size, SEED) for eye, ends, size in SWEEPS}
    assert not _differences(cases, tmp_path), f"seed {SEED}"
