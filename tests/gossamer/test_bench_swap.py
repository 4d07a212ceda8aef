"""The least that the array and the port take for WU both ways, by hand."""

from typing import Any

from gossamer.bench_swap import least_cycles, most_saved
from gossamer_compiler.gradient_tiles import unit_between
from gossamer_models.architecture import load_architecture
from gossamer_models.grouping import UNGROUPED, Grouping
from tests.system.training_cases import network

MACHINE = load_architecture("vcu1525-32x32")
WORDS = 1000


def both(c_in: int, c_out: int, taps: int, grouping: Grouping = UNGROUPED, words: int = WORDS) -> tuple[int, int]:
    unit = unit_between(grouping, c_in, c_out, 8, MACHINE.array)
    as_built, swapped = (least_cycles(unit, taps, words, MACHINE, swapped=swap) for swap in (False, True))
    return as_built, swapped


def test_full_arrays_need_no_swap() -> None:
    # Two blocks of rows, four of columns.
    assert both(64, 128, 1) == (8 * WORDS * 2 * 4, 8 * WORDS * 2 * 4)
    assert both(64, 128, 9) == (8 * WORDS * 2 * 4 * 9, 8 * WORDS * 2 * 4 * 9)


def test_taps_fill_columns_that_few_inputs_leave_idle() -> None:
    # Nine tiles of 8 of 32 rows; 72 results in three blocks of 32 columns.
    assert both(8, 32, 9) == (8 * WORDS * 9, 8 * WORDS * 3)


def test_a_load_per_tap_is_what_a_swap_costs() -> None:
    # A word of a channel is 16 bytes: all channels once, or inputs nine times and outputs once.
    machine = MACHINE.model_copy(update={"memory": MACHINE.memory.model_copy(update={"ports": 1, "port_bits": 32})})
    unit = unit_between(UNGROUPED, 32, 32, 8, machine.array)
    assert machine.memory.bytes_per_cycle == 4
    assert least_cycles(unit, 9, WORDS, machine, swapped=False) == WORDS * 16 * (32 + 32) // 4
    assert least_cycles(unit, 9, WORDS, machine, swapped=True) == WORDS * 16 * (9 * 32 + 32) // 4


def test_bundles_count() -> None:
    depthwise = Grouping(64, 8)
    assert both(64, 64, 9, depthwise) == (2 * 8 * WORDS * 9, 2 * 8 * WORDS * 9)


def test_an_iteration_saves_where_swapping_is_better() -> None:
    layers: list[dict[str, Any]] = [
        {"name": "one", "type": "conv2d", "out_channels": 8, "kernel": 1},
        {"name": "two", "type": "conv2d", "out_channels": 32, "kernel": 3, "padding": 1},
        {"name": "end", "type": "boundary"},
    ]
    # Batch 16 is two words per pixel; only the second layer has taps, six tiles fewer of eight entries per word.
    assert most_saved(network("swap", 8, (10, 10), 8, layers), 16, MACHINE) == 2 * 100 * 8 * 6
