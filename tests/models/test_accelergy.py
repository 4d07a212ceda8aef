"""Energy tables that take figures from an energy reference table of Accelergy, and files with one fault each."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from gossamer_models.energy import load_energy
from gossamer_models.errors import InputError

REFERENCE: dict[str, Any] = {
    "ERT": {
        "version": 0.4,
        "tables": [
            {
                "name": "chip.pe[0..15].mac",
                "actions": [
                    {"name": "compute", "arguments": None, "energy": 2.5},  # as version 0.3 writes it
                    {"name": "leak", "arguments": {}, "energy": 0},
                ],
            },
            {
                "name": "chip.buffer[0..1]",
                "actions": [
                    {"name": "read", "arguments": {"data_delta": 0, "address_delta": 0}, "energy": 1},
                    {"name": "read", "arguments": {"data_delta": 1, "address_delta": 1}, "energy": 6},
                    {"name": "write", "arguments": {"data_delta": 1, "address_delta": 1}, "energy": 7},
                ],
            },
            {"name": "dram", "actions": [{"name": "read", "energy": 640}, {"name": "update", "energy": 320}]},
        ],
    }
}
MAC = {"component": "chip.pe.mac", "action": "compute"}
BUFFER = {"component": "chip.buffer", "arguments": {"data_delta": 1}}
DRAM = {"component": "dram", "write": "update", "access_bits": 64}
FILE: dict[str, Any] = {
    "name": "mine",
    "description": "made up",
    "node_nm": 28,
    "volts": 0.8,
    "ert": "ERT.yaml",
    "operations": {"mac": {"from_ert": MAC, "node_nm": 45, "volts": 0.9}, "addition": {"picojoules": 3, "source": "s"}},
    "sram": [
        {"bytes": 1024, "port_bits": 32, "read_picojoules": 1, "write_picojoules": 1, "source": "s"},
        {"bytes": 4096, "port_bits": 32, "from_ert": BUFFER},
    ],
    "dram": {"ddr4": {"from_ert": DRAM, "covers": "all"}},
}


def written(folder: Path, changes: dict[str, Any], reference: object = REFERENCE) -> Path:
    (folder / "ERT.yaml").write_text(yaml.safe_dump(reference))
    path = folder / "table.yaml"
    path.write_text(yaml.safe_dump(FILE | changes))
    return path


def test_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    table = load_energy(written(tmp_path, {}))
    mac = table.operations.mac
    assert mac is not None
    assert mac.picojoules == 2.5
    assert table.origin(mac) == "ERT.yaml (Accelergy): chip.pe.mac, compute; scaled by 0.421 from 45 nm, 0.9 V"
    assert table.operations.addition is not None
    assert [(row.read_picojoules, row.write_picojoules) for row in table.sram] == [(1, 1), (6, 7)]
    dram = table.dram["ddr4"]
    assert (dram.read_picojoules_per_bit, dram.write_picojoules_per_bit) == (10, 5)
    assert dram.source == "ERT.yaml (Accelergy): dram, read and update"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"operations": {"mac": {"from_ert": MAC | {"component": "chip.pe.mca"}}}},
         ["operations.mac.from_ert.component", "no component 'chip.pe.mca', did you mean 'chip.pe.mac'?"]),
        ({"operations": {"mac": {"from_ert": MAC | {"action": "add"}}}},
         ["operations.mac.from_ert.action", "no action 'add'", "compute, leak"]),
        ({"operations": {"mac": {"from_ert": {"component": "chip.pe.mac"}}}}, ["operations.mac.from_ert.action"]),
        ({"operations": {"mac": {"from_ert": None}}}, ["operations.mac.from_ert"]),
        ({"operations": {"mac": {"from_ert": MAC | {"action": "leak"}}}}, ["operations.mac.picojoules", "greater"]),
        ({"operations": {"mac": {"from_ert": MAC, "picojoules": 2}}}, ["operations.mac.from_ert", "`picojoules`"]),
        ({"sram": [{"bytes": 1, "port_bits": 1, "from_ert": {"component": "chip.buffer"}}]},
         ["sram[0].from_ert.arguments", "2 entries", "data_delta"]),
        ({"dram": {"ddr4": {"from_ert": DRAM | {"access_bits": 0}, "covers": "all"}}},
         ["dram.ddr4.from_ert.access_bits"]),
        ({"ert": None}, ["ert", "must name the file"]),
        ({"ert": "absent.yaml"}, ["absent.yaml", "no such file"]),
        ({"operations": {}, "sram": [], "dram": {}}, ["ert", "no row"]),
    ],
)  # fmt: skip
def test_faults_are_one_line(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_energy(written(tmp_path, changes))
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ({"ART": {}}, ["ERT.yaml", "ERT"]),
        ({"ERT": {"version": 0.4, "tables": [{"name": "a", "actions": [{"name": "b"}]}]}},
         ["ERT.yaml", "ERT.tables[0].actions[0].energy"]),
        ({"ERT": {"version": 0.4, "tables": [{"name": "a", "actions": [{"name": "b", "energy": -1}]}]}},
         ["ERT.yaml", "energy"]),
    ],
)  # fmt: skip
def test_faults_of_the_reference_table(tmp_path: Path, reference: object, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        load_energy(written(tmp_path, {}, reference))
    assert all(word in str(caught.value) for word in words), caught.value
