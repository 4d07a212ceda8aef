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
from tests.hw.units.case import Case
from tests.hw.units.compositor_cases import compositor_case, compositor_lanes_case
from tests.hw.units.search_cases import search_case, tree_case
from tests.hw.units.unit_cases import (
    ARRAY,
    ball_case,
    element_case,
    encoded_case,
    exponential_case,
    factor_case,
    projector_case,
    prune_case,
    sampler_case,
    softplus_case,
    sparse_case,
    wave_case,
)

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
    """Three sizes of every unit that has any; prune has three patterns instead."""
    cases: dict[str, Case] = {}
    for components in (5, 16, 48):
        for side in ("encoder", "decoder"):
            cases[f"{side}_{components}"] = sparse_case(f"sparse-{side}", components, SEED + components, each=20)
    for width in (7, 16, 48):
        cases[f"search_{width}"] = search_case(width, SEED, 200)
    for terms, bits in ((2, 1), (4, 3), (16, 6)):
        cases[f"tree_{terms}"] = tree_case(terms, bits, SEED)
    for n, m in ((2, 8), (1, 4), (1, 2)):
        cases[f"prune_{n}_{m}"] = prune_case(SEED, 200, Pattern(n, m))
    for multiply, add in ((3, 4), (2, 2), (5, 7)):
        array = ARRAY.model_copy(update={"multiply_latency_cycles": multiply, "add_latency_cycles": add})
        cases[f"pe_{multiply}_{add}"] = element_case(SEED, 300, array)
    cases |= {
        "waves": wave_case(SEED),
        "exponential": exponential_case(SEED, 800),
        "softplus": softplus_case(SEED, 800),
    }
    for pixels in (2, 9, 64):
        cases[f"compositor_{pixels}"] = compositor_case(pixels, SEED + pixels, 300)
    for pixels, lanes in ((2, 1), (5, 2), (16, 2)):
        cases[f"compositor_lanes_{pixels}_{lanes}"] = compositor_lanes_case(pixels, lanes, SEED, 200)
    for components, grid in ((1, (6, 5, 9)), (2, (9, 7, 12)), (1, (2, 3, 2))):
        cases[f"encoded_lane_{grid[0]}"] = encoded_case(components, grid, SEED, 120)
    for pixels in TILES:
        cases[f"ball_test_{pixels}"] = ball_case(some_candidates(pixels, 2, 30))
    for scene in SCENES:
        cases[f"sampler_{scene[0]}"] = sampler_case(*scene)
    for components, grid in ((1, (2, 3, 2)), (2, (5, 8, 3)), (1, (9, 4, 17))):
        cases[f"factor_lane_{grid[0]}"] = factor_case(components, grid, SEED, 120)
    # Its sizes are settings: those of the picture.
    for view in VIEWS:
        cases[f"projector_{view[0]}"] = projector_case(some_view(*view))
    return cases


@pytest.mark.slow
def test_units(tmp_path: Path) -> None:
    """Bits, and without pauses the cycles in which items enter, where none has to wait, and in which results leave."""
    cases = _cases()
    stimulus: dict[str, Any] = {}
    for name, case in cases.items():
        size = len(case.unit.s_axis_tdata) // 8
        text = b"".join(item.to_bytes(size, "little") for item in case.items)
        stimulus[name] = np.frombuffer(text, np.uint8).reshape(-1, size)
        stimulus[f"{name}_results"] = len(case.results)
    np.savez(tmp_path / "in.npz", **stimulus)
    environment = {"STIMULUS": str(tmp_path / "in.npz"), "RESULTS": str(tmp_path), "SEED": str(SEED)}
    # Compiling takes longer than the run.
    simulation = build(emit_verilog(Units(cases), name="units"), top="units", variables=("OPT_FAST=-O0",))
    run(simulation, bench="bench_units", directory=tmp_path, environment=environment, paths=[BENCHES], seed=SEED)
    for name, case in cases.items():
        size = len(case.unit.m_axis_tdata) // 8
        for way in ("in_step", "paused"):
            text = (tmp_path / f"{name}_{way}.bin").read_bytes()
            found = [int.from_bytes(text[n : n + size], "little") for n in range(0, len(text), size)]
            assert not case.wrong(found), f"seed {SEED}: {name}, {way}"
        with np.load(tmp_path / f"{name}.npz") as cycles:
            entered = cycles["entered"].tolist()
            assert cycles["left"].tolist() == case.leaving(entered), f"seed {SEED}: {name}"
            assert not case.late(entered), f"seed {SEED}: {name}"
