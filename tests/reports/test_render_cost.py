"""Energy of a picture, part by part, from figures of a table that are worked out by hand."""

import dataclasses
import sys
from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gossamer_models.actions import Actions
from gossamer_models.architecture import load_architecture
from gossamer_models.banks import memory_banks, render_banks
from gossamer_models.energy import load_energy
from gossamer_models.render.fetches import Fetches
from gossamer_reports.render_cost import render_cost
from gossamer_sim.render import RenderRun

MACHINE = load_architecture("nerf-1k")
RUN = RenderRun(
    cycles=2_000, load_bytes=640, store_bytes=64, burst_bytes=1_024, written_bytes=128, shaded=10, network=10,
    busy={"render": 1_500, "array": 500, "dram": 100},
    basis_batches=Counter({10: 1}), network_batches=Counter({7: 1, 3: 1}),
)  # fmt: skip


class Shade:
    """Ten samples: a basis of 144 by 27, layers of 150 and 128 inputs."""

    waves_per_sample = 120
    shader = SimpleNamespace(
        basis=np.zeros((27, 144)), matrices=(np.zeros((27, 144)), np.zeros((128, 150)), np.zeros((3, 128)))
    )

    def actions(self, samples: int, *, basis: bool) -> Actions:
        if basis:
            return Actions(macs=1_000 * samples, null_macs=24, a_read_bits=300, b_read_bits=70)
        return Actions(macs=5_000 * samples, accumulator_read_bits=64, accumulator_write_bits=32)


def cost(*, encoded: bool) -> dict[str, Any]:
    rows = Fetches(3, 2, 60, 10, 160), Fetches(1, 1, 50, 6, 192)
    frame: Any = SimpleNamespace(
        density_components=16, appearance_components=48, tiles=[SimpleNamespace(density=rows[0], appearance=rows[1])]
    )
    shade: Any = Shade()
    return render_cost(MACHINE, RUN, frame, shade, scanned=1_000, tests=500, samples=40, encoded=encoded)


def test_energy_by_hand() -> None:
    found = cost(encoded=True)
    parts = {name: joules * 1e12 for name, joules in found["energy_components"].items()}
    # 28 nm: 0.634 pJ per multiply-add, 0.82 per look-up; fp32 by Horowitz at 45 nm, scaled.
    assert parts["array"] == pytest.approx((60_000 + 24) * 0.634)
    # One basis, two networks, and the operands of ten samples written: 144, 150 and 128 numbers each.
    table, banks = load_energy(str(MACHINE.energy)), memory_banks(MACHINE)
    (a_read, a_write), (b_read, _), (read, write) = (
        table.bank_picojoules_per_bit(banks[name].bytes) or (0.0, 0.0) for name in ("a", "b", "accumulator")
    )
    operands = 300 * a_read + 16 * 10 * (144 + 150 + 128) * a_write + 70 * b_read + 2 * (64 * read + 32 * write)
    assert parts["operand_memories"] == pytest.approx(operands)
    # 12 texels of planes, 6 of lines and 3 products per component: 21 multiply-adds.
    assert parts["interpolation_lanes"] == pytest.approx(21 * (40 * 16 + 10 * 48) * 0.634)
    # Density: three look-ups a sample; per shaded one 120 waves, and three sigmoids of two.
    assert parts["table_units"] == pytest.approx((3 * 40 + 10 * 120 + 10 * 6) * 0.82)
    multiplications, additions = 7 * 1_000 + 3 * 500 + 5 * 40, 5 * 1_000 + 3 * 500 + 4 * 40
    scaled = (multiplications * 3.7 + additions * 0.9) * 0.421
    assert parts["projector_and_compositor"] == pytest.approx(scaled, rel=2e-3)
    assert parts["dram"] == pytest.approx(8 * 1_024 * 8)
    assert sum(parts.values()) == pytest.approx(found["energy_joules"] * 1e12)
    assert found["power_watts"] == pytest.approx(found["energy_joules"] / 2e-6)
    assert found["fps"] == pytest.approx(5e5)


def test_sums_of_features_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten samples of 27 features: a product, a sum, 32 bits read and written; seven pixels' sums are read again."""
    assert cost(encoded=True)["energy_components"]["feature_sums"] == 0
    monkeypatch.setattr(sys.modules[__name__], "RUN", dataclasses.replace(RUN, summed=10, network=7))
    table = load_energy(str(MACHINE.energy))
    read, write = table.bank_picojoules_per_bit(render_banks(MACHINE.render_engine)["feature"].bytes) or (0.0, 0.0)
    expected = 270 * (3.7 + 0.9) * 0.421 + 32 * 27 * (17 * read + 10 * write)
    found = cost(encoded=True)["energy_components"]["feature_sums"] * 1e12
    assert found == pytest.approx(expected, rel=2e-3)


def test_plain_rows_cost_more_reads() -> None:
    encoded, plain = (cost(encoded=kind)["energy_components"] for kind in (True, False))
    assert plain.pop("patch_memory") > encoded.pop("patch_memory")
    assert plain == encoded


def test_bits_written_have_a_figure_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    table = load_energy(str(MACHINE.energy))
    row = table.dram["lpddr4"].model_copy(update={"write_picojoules_per_bit": 80.0})
    changed = table.model_copy(update={"dram": table.dram | {"lpddr4": row}})
    monkeypatch.setattr("gossamer_reports.render_cost.load_energy", lambda _: changed)
    found = cost(encoded=True)["energy_components"]["dram"]
    assert found == pytest.approx(8e-12 * ((1_024 - 128) * 8 + 128 * 80))
