"""Areas of machines, computed on paper."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gossamer_models.architecture import Architecture, load_architecture
from gossamer_reports.area import area_line, area_model

LARGE = load_architecture("vcu1525-32x32")
TABLE: dict[str, Any] = {
    "name": "round",
    "description": "round numbers",
    "node_nm": 28,
    "volts": 0.8,
    "areas": {"processing_element": {"square_micrometres": 1000, "node_nm": 45, "source": "s1"}},
    "sram": [
        {
            "bytes": 1 << 17, "port_bits": 16, "read_picojoules": 1, "write_picojoules": 1,
            "square_micrometres": 2e5, "source": "s2",
        }
    ],
}  # fmt: skip


def machine(folder: Path, changes: dict[str, Any]) -> Architecture:
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump(TABLE | changes))
    return LARGE.model_copy(update={"energy": str(path)})


def test_components_by_hand(tmp_path: Path) -> None:
    model = area_model(machine(tmp_path, {}))
    assert model is not None
    sizes = {name: area.square_millimetres for name, area in model.components.items()}
    assert sizes.pop("array") == pytest.approx(1024 * 1000e-6 * 0.377)
    per_byte = 0.2 / (1 << 17)
    stored = {
        "a_memory": 2 * 32 * 8192 * 16,
        "b_memory": 2 * 32 * 32768 * 20 // 8,
        "accumulators": 2 * 32 * 16384 * 4,
        "vector_in_memory": 2 * 2097152,
        "vector_out_memory": 2 * 2097152,
        "parameter_memory": 4 * 32768,
        "prune_memory": 2 * 3 * 262144,
    }
    assert sizes == pytest.approx({name: size * per_byte for name, size in stored.items()})
    assert model.square_millimetres == pytest.approx(1024e-3 * 0.377 + sum(stored.values()) * per_byte)
    assert model.components["array"].source == "s1; 1,024 elements; scaled from 45 to 28 nm"
    assert model.components["a_memory"].source == "s2; 64 banks of 131,072 bytes by that of 131,072"


def test_what_has_no_area_is_named(tmp_path: Path) -> None:
    model = area_model(machine(tmp_path, {"areas": {}}))
    assert model is not None
    assert "array" not in model.components
    assert "array: the table has no `areas.processing_element`" in model.left_out
    bare = [{key: value for key, value in TABLE["sram"][0].items() if key != "square_micrometres"}]
    model = area_model(machine(tmp_path, {"sram": bare}))
    assert model is not None
    assert list(model.components) == ["array"]
    assert "a memory: the table has no `sram` row with its area" in model.left_out
    assert area_model(machine(tmp_path, {"sram": bare, "areas": {}})) is None
    assert area_model(load_architecture("wide-4x4")) is None


@pytest.mark.parametrize(("table", "factor"), [("28nm", 1.0), ("45nm", 1 / 0.377), ("7nm", 0.059 / 0.377)])
def test_ready_tables(table: str, factor: float) -> None:
    ready = area_model(LARGE.model_copy(update={"energy": f"{table}-asic-equivalent"}))
    reference = area_model(LARGE)
    assert ready is not None
    assert reference is not None
    assert reference.components["array"].square_millimetres == pytest.approx(1024 * 1378e-6)
    assert ready.square_millimetres == pytest.approx(factor * reference.square_millimetres)


def test_line_for_the_terminal(tmp_path: Path) -> None:
    model = area_model(machine(tmp_path, {}))
    assert model is not None
    line = area_line({"area": model.as_dict()})
    assert line is not None
    assert line.startswith(f"area {model.square_millimetres:.3g} mm2 at 28 nm without vector lanes, ")
    assert ": a memory 12.8, b memory 8, accumulators 6.4" in line
    small = model.components["parameter_memory"].square_millimetres + model.components["array"].square_millimetres
    assert line.endswith(f"others {small:.3g}")
    assert area_line({"area": None}) is None
