"""All units as Verilog in Verilator, three sizes of row, under random pauses of cocotbext-axi's sources and sinks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from gossamer_hw.cosim import build, run
from gossamer_hw.verilog import emit_verilog
from tests.hw.render.candidates import some_candidates
from tests.hw.render.cubes import some_view
from tests.hw.units.compositor_cases import compositor_case, compositor_lanes_case
from tests.hw.units.unit_cases import (
    Case,
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


@pytest.mark.slow
def test_units_under_pauses(tmp_path: Path) -> None:
    cases = {
        f"{side}_{components}": sparse_case(f"sparse-{side}", components, SEED + components, each=40)
        for side in ("encoder", "decoder")
        for components in (5, 16, 48)
    }
    cases |= {"prune": prune_case(SEED, 300), "pe": element_case(SEED, 600), "waves": wave_case()}
    cases |= {"exponential": exponential_case(SEED, 2000), "softplus": softplus_case(SEED, 2000)}
    cases |= {f"compositor_{pixels}": compositor_case(pixels, SEED + pixels, 600) for pixels in (2, 9, 64)}
    # Of these the other sizes are played in Amaranth's simulator: their models are large.
    cases["compositor_lanes"] = compositor_lanes_case(7, 2, SEED, 400)
    cases["encoded_lane"] = encoded_case(2, (9, 7, 12), SEED, 200)
    cases["ball_test"] = ball_case(some_candidates(6400, 3, 120))
    cases["sampler"] = sampler_case(33, 31, 20)
    cases["factor_lane"] = factor_case(1, (5, 8, 3), SEED, 300)
    cases["projector"] = projector_case(some_view(0, 16, 200))
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
        wanted = b"".join(result.to_bytes(size, "little") for result in case.results)
        assert (tmp_path / f"{name}.bin").read_bytes() == wanted, f"seed {SEED}: {name}"
