"""Energy tables: ready ones by hand, and files with one fault each."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gossamer_models.architecture import load_architecture
from gossamer_models.energy import EnergyTable, load_energy
from gossamer_models.errors import InputError
from gossamer_models.loading import builtin_names

READY = builtin_names("energy")
BITS = {"read_picojoules_per_bit": 5, "write_picojoules_per_bit": 5, "covers": "c", "source": "s"}
ROW = {"bytes": 1024, "port_bits": 32, "read_picojoules": 3.2, "write_picojoules": 6.4, "source": "s"}
FILE: dict[str, Any] = {
    "name": "mine",
    "description": "made up",
    "node_nm": 28,
    "volts": 0.8,
    "operations": {"mac": {"picojoules": 2, "source": "s"}},
    "sram": [ROW, ROW | {"bytes": 4096, "read_picojoules": 12.8}],
    "dram": {"ideal": {"read_picojoules_per_bit": 5, "write_picojoules_per_bit": 6, "covers": "all", "source": "s"}},
}


def written(folder: Path, changes: dict[str, Any]) -> Path:
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump(FILE | changes))
    return path


def rows(value: Any) -> list[dict[str, Any]]:
    """Every mapping of a file that holds a figure."""
    if isinstance(value, dict):
        own = [value] if any("picojoules" in str(key) for key in value) else []
        return own + [row for item in value.values() for row in rows(item)]
    return [row for item in value for row in rows(item)] if isinstance(value, list | tuple) else []


@pytest.mark.parametrize("name", READY)
def test_every_row_of_a_ready_table_has_a_source(name: str) -> None:
    table = load_energy(name)
    found = rows(table.model_dump(mode="json", exclude_none=True))
    assert len(found) == 13 + (table.operations.exponential is not None)
    assert all(row["source"] for row in found)
    assert table.name == name
    assert "not FPGA" in table.description


def test_28_nm_figures_by_hand() -> None:
    table = load_energy("28nm-asic-equivalent")
    operations = table.operations
    assert operations.mac is not None
    assert operations.addition is not None
    assert table.scale(operations.mac) == 1.0
    assert operations.addition.picojoules * table.scale(operations.addition) == pytest.approx(0.9 * 0.421, rel=2e-3)
    assert table.origin(operations.addition).endswith("; scaled by 0.421 from 45 nm, 0.9 V")
    assert table.origin(operations.mac) == operations.mac.source
    assert table.bank_picojoules_per_bit(8192 * 16) == pytest.approx((11.7 / 64, 8.4 / 64))


def test_45_nm_memories_are_28_nm_ones_scaled_back() -> None:
    cost = load_energy("45nm-asic-equivalent").bank_picojoules_per_bit(8192)
    assert cost == pytest.approx((2.30 / 64 / 0.421, 2.66 / 64 / 0.421), rel=2e-3)


@pytest.mark.parametrize(
    ("size", "cost"),
    [(1, (0.1, 0.2)), (1024, (0.1, 0.2)), (1025, (0.4, 0.2)), (4096, (0.4, 0.2)), (1 << 20, (0.4, 0.2))],
)
def test_bank_takes_the_smallest_row_that_holds_it(tmp_path: Path, size: int, cost: tuple[float, float]) -> None:
    assert load_energy(written(tmp_path, {})).bank_picojoules_per_bit(size) == pytest.approx(cost)


def test_table_without_memories(tmp_path: Path) -> None:
    assert load_energy(written(tmp_path, {"sram": []})).bank_picojoules_per_bit(1) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"volt": 1}, ["volt", "volts"]),
        ({"operations": {"mac": {"picojoules": 1}}}, ["operations.mac.source"]),
        (
            {"operations": {"mac": {"picojoules": 1, "source": ""}}},
            ["operations.mac.source: must have at least 1 character"],
        ),
        ({"operations": {"mac": {"picojoules": -1, "source": "s"}}}, ["operations.mac.picojoules"]),
        ({"operations": {"mac": {"picojoules": float("inf"), "source": "s"}}}, ["operations.mac.picojoules"]),
        ({"operations": {"mcas": {"picojoules": 1, "source": "s"}}}, ["operations.mcas", "mac"]),
        ({"operations": {"mac": {"picojoules": 1, "source": "s", "node_nm": 40}}}, ["operations.mac", "volts"]),
        ({"operations": {"mac": {"picojoules": 1, "source": "s", "node_nm": 3, "volts": 0.8}}}, ["node_nm"]),
        ({"sram": [{**ROW, "source": None}]}, ["sram[0].source"]),
        ({"sram": [ROW, dict(ROW)]}, ["sram", "ascending"]),
        ({"dram": {"ddr4": {"read_picojoules_per_bit": 5}}}, ["dram.ddr4"]),
        ({"dram": {"drd4": BITS}}, ["`dram`", "did you mean 'ddr4'"]),
        ({"dram": {"ddr4-bank": BITS}}, ["`dram`", "'ddr4-bank'"]),
        ({"node_nm": 5}, ["node_nm"]),
    ],
)
def test_faults_are_one_line(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_energy(written(tmp_path, changes))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in [*words, "table.yaml"]), message


def architecture(folder: Path, table: str) -> Path:
    raw = load_architecture("wide-4x4").model_dump(mode="json", exclude_none=True) | {"energy": table}
    path = folder / "machine.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def test_architecture_names_a_ready_table(tmp_path: Path) -> None:
    assert load_architecture("vcu1525-32x32").energy == "28nm-asic-equivalent"
    assert load_architecture("wide-4x4").energy is None
    assert load_architecture(architecture(tmp_path, "45nm-asic-equivalent")).energy == "45nm-asic-equivalent"


def test_architecture_finds_a_table_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, {})
    monkeypatch.chdir("/")
    named = load_architecture(architecture(tmp_path, "table.yaml")).energy
    assert named == str(tmp_path / "table.yaml")
    assert isinstance(load_energy(named), EnergyTable)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("28nm-asic-equivalen", "28nm-asic-equivalent"),
        ("28nm", r"\.yaml: energy: unknown energy"),
        ("absent.yaml", "no such file"),
    ],
)
def test_architecture_with_an_unknown_table(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_architecture(architecture(tmp_path, table))


def test_architecture_with_a_faulty_table(tmp_path: Path) -> None:
    written(tmp_path, {"volt": 1})
    with pytest.raises(InputError, match=r"table\.yaml"):
        load_architecture(architecture(tmp_path, "table.yaml"))
