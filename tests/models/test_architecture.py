from pathlib import Path
from typing import Any

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.errors import InputError
from gossamer_models.loading import builtin_names

READY = ("wide-4x4", "tiny-4x4", "lean-4x4", "small-8x8", "vu9p-32x32", "vcu1525-32x32")
VU9P_BYTES = 9_492_480 + 960 * 36_864
"""Block RAM 75.9 Mb and 960 UltraRAMs of 288 Kb."""

FILE: dict[str, Any] = {
    "name": "mine",
    "clock_hz": 100000,
    "array": {"rows": 4, "columns": 4},
    "buffers": {
        "a_words": 8,
        "b_entries": 8,
        "accumulator_words": 8,
        "vector_in_bytes": 8,
        "vector_out_bytes": 8,
        "prune_entries": 8,
    },
}

ONE_LANE = {
    "candidate_lanes": 1, "sampler_lanes": 1, "compositor_lanes": 1, "search_units": 2, "interpolation_lanes": 1,
    "exp_units": 1, "sine_units": 1,
}  # fmt: skip


def written(folder: Path, changes: dict[str, Any]) -> Path:
    """Write FILE with changed sections in YAML's flow form."""
    data = {key: {**value, **changes.get(key, {})} if isinstance(value, dict) else value for key, value in FILE.items()}
    data |= {key: value for key, value in changes.items() if key not in FILE or not isinstance(value, dict)}
    path = folder / "arch.yaml"
    path.write_text("\n".join(f"{key}: {value}".replace("'", "") for key, value in data.items()))
    return path


@pytest.mark.parametrize("name", READY)
def test_ready_architectures_load(name: str) -> None:
    assert load_architecture(name).name == name


def test_large_machine_fits_its_part() -> None:
    assert sum(load_architecture("vcu1525-32x32").on_chip_bytes().values()) < VU9P_BYTES


def test_what_exists_whole_in_rtl() -> None:
    found = {name for name in builtin_names("architectures") if load_architecture(name).whole_in_rtl}
    assert found == {"wide-4x4", "tiny-4x4", "lean-4x4", "small-8x8", "vu9p-32x32", "render-8x8"}


@pytest.mark.parametrize(
    ("section", "changes", "gap"),
    [
        ("memory", {"ports": 2}, "memory.ports: 1"),
        ("memory", {"port_bits": 64}, "memory.port_bits: 128 or 256 or 512"),
        ("array", {"dataflows": ("os", "ws")}, "array.dataflows: [os]"),
        ("array", {"group": 16}, "array.group: 8"),
        ("buffers", {"b_entries": 3}, "buffers.b_entries: at least 4"),
        ("buffers", {"a_words": (1 << 18) + 1}, "buffers.a_words: at most 262144"),
        ("buffers", {"b_entries": 1 << 22}, "buffers.b_entries: at most 2097152"),
        ("buffers", {"accumulator_words": (1 << 20) + 4}, "buffers.accumulator_words: at most 1048576"),
        ("buffers", {"vector_in_bytes": 63}, "buffers.vector_in_bytes: at least 64"),
        ("buffers", {"vector_out_bytes": 1}, "buffers.vector_out_bytes: at least 128"),
        ("buffers", {"prune_entries": 63}, "buffers.prune_entries: at least 64"),
        ("buffers", {"prune_entries": (1 << 23) + 1}, "buffers.prune_entries: at most 8388608"),
        ("buffers", {"parameter_words": 15}, "buffers.parameter_words: at least 16"),
        ("buffers", {"parameter_words": (1 << 16) + 1}, "buffers.parameter_words: at most 65536"),
        ("vector", {"lanes": 128}, "vector.lanes: a power of two from 1 to 64"),
    ],
)
def test_what_is_missing_in_rtl(section: str, changes: dict[str, object], gap: str) -> None:
    machine = load_architecture("wide-4x4")
    part = getattr(machine, section).model_copy(update=changes)
    gaps = machine.model_copy(update={section: part}).rtl_gaps
    assert [str(found) for found in gaps] == [gap]
    changed = "[os, ws]" if section == "array" and "dataflows" in changes else str(*changes.values())
    assert [found.found for found in gaps] == [changed]


def test_a_port_is_no_wider_than_a_word_of_every_row() -> None:
    machine = load_architecture("tiny-4x4")
    wide = {
        "array": machine.array.model_copy(update={"rows": 2}),
        "memory": machine.memory.model_copy(update={"port_bits": 512}),
    }
    assert machine.model_copy(update=wide).rtl_gaps == (("memory.port_bits", "512", "128 or 256"),)


def test_large_machine_in_rtl_differs_in_its_ports_alone() -> None:
    modelled, whole = load_architecture("vcu1525-32x32"), load_architecture("vu9p-32x32")
    assert [machine.whole_in_rtl for machine in (modelled, whole)] == [False, True]
    memory = modelled.memory.model_copy(update={"ports": 1})
    changes = {"name": whole.name, "description": whole.description, "memory": memory}
    assert modelled.model_copy(update=changes) == whole


def test_bytes_on_chip_count_both_halves_and_metadata() -> None:
    sizes = load_architecture("wide-4x4").on_chip_bytes()
    assert sizes["a"] == 2 * 4 * 2048 * 16
    assert sizes["b"] == 2 * 4 * 4096 * 20 // 8
    assert sizes["accumulator"] == 2 * 4 * 2048 * 4


def test_bytes_on_chip_of_a_render_engine() -> None:
    """Samples that are kept count where Programs keep them: 20 bytes each."""
    assert load_architecture("render-8x8").on_chip_bytes()["kept"] == 4096 * 20
    assert "kept" not in load_architecture("nerf-1k").on_chip_bytes()


def test_interleaves_with_chunks_side_by_side(tmp_path: Path) -> None:
    array = load_architecture(written(tmp_path, {"array": {"rows": 8, "chunks": 4}})).array
    assert set(array.chunk_interleaves) == {(1, 1, 4), (1, 2, 2), (2, 1, 2)}
    assert not load_architecture("tiny-4x4").array.chunk_interleaves


@pytest.mark.parametrize(
    ("slots", "latency", "expected"),
    [
        (4, 4, {(1, 4), (2, 2), (4, 1)}),
        (8, 4, {(1, 4), (2, 2), (4, 1), (1, 8), (2, 4), (4, 2), (8, 1)}),
        (2, 2, {(1, 2), (2, 1)}),
    ],
)
def test_interleaves(tmp_path: Path, slots: int, latency: int, expected: set[tuple[int, int]]) -> None:
    array = {"slots": slots, "add_latency_cycles": latency}
    assert set(load_architecture(written(tmp_path, {"array": array})).array.interleaves) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"array": {"rows": 6}}, "`rows` must be a power of two, not 6"),
        ({"array": {"rows": 0}}, "array.rows"),
        ({"array": {"columns": -4}}, "array.columns"),
        ({"array": {"group": 7}}, "array.group"),
        ({"array": {"add_latency_cycles": 5}}, "`add_latency_cycles` must be at most `slots` (4), not 5"),
        ({"array": {"drain_ports": 8}}, "`drain_ports` must be at most `rows` (4), not 8"),
        ({"array": {"drain_ports": 4}}, "drains a chunk in 4 cycles"),
        ({"array": {"depth": 1}}, "array.depth"),
        ({"buffers": {"a_words": "many"}}, "buffers.a_words"),
        ({"clock_hz": 0}, "clock_hz"),
        ({"stage_instructions": 96}, "`stage_instructions` must be a power of two, not 96"),
        ({"stage_instructions": 1024}, "stage_instructions"),
        ({"serial_dealing": True}, "`serial_dealing` needs a `queue_depth` of 1, not 8"),
        (
            {"serial_dealing": True, "queue_depth": 1, "memory": {"port_bits": 64}},
            "`serial_dealing` needs `memory.port_bits` of at least 128, not 64",
        ),
        ({"memory": {"ports": 3}}, "`ports` must be a power of two, not 3"),
        *(
            (
                {"vector": {"lanes": lanes, "prune_lanes": 4}, "render": ONE_LANE},
                f"`vector.lanes` must be 8..64 beside a render engine that executes Programs (one lane of each kind),"
                f" not {lanes}",
            )
            for lanes in (4, 128)
        ),
    ],
)
def test_faults_name_their_place(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        load_architecture(written(tmp_path, changes))
    assert message in str(caught.value)
    assert "arch.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="wide-4x4"):
        load_architecture("tiny-4x")
