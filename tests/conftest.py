"""Settings shared by the whole suite."""

import gc
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

from tests import quick_elaboration, quick_simulator

# Shared machines stall now and then: a slow example is no failure. A failing example prints the blob that replays it.
settings.register_profile("gossamer", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gossamer"))

quick_elaboration.make_quick()
quick_simulator.make_quick()

# Garbage is looked for less often.
gc.set_threshold(50_000, 20, 20)

# Bytecode is kept also where the environment says not to, as images of containers do: half the time of collecting is
# spent on rewriting assertions, and every command that a test starts would compile the packages again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

TESTS = Path(__file__).parent
# Of golden, compiler, simulator and schedules alone, with the folders in them.
WITHOUT_RTL = {TESTS / folder for folder in ("models", "compiler", "sim")}
# Of the other folders, what has slow tests and builds nothing.
BUILDS_NOTHING = {
    "test_bench_memory", "test_cli", "test_field_fit", "test_field_quality", "test_plots", "test_render",
    "test_render_rtl", "test_row_memory", "test_schema_document", "test_scratchpads", "test_train_rtl", "test_verilog",
}  # fmt: skip
BUILDERS = {
    "test_c_driver", "test_chunks", "test_commands", "test_inference", "test_relu6", "test_short_queues",
    "test_uneven_padding",
}  # fmt: skip
# Whole training steps: many cases of one test are for the full run, the fast part has the first of each.
ONE_CASE_IS_FAST = {TESTS / "system"}


def in_verilator(path: Path) -> bool:
    """Whether the slow tests of a file may build in Verilator; those of the leaves simulate in Amaranth."""
    folder, name = path.parent, path.stem
    if folder == TESTS / "system":
        return name.startswith("test_rtl_") or name in BUILDERS
    if folder.parent == TESTS / "hw":
        return folder.name == "cosim" or name.endswith("_rtl")
    return name not in BUILDS_NOTHING and not WITHOUT_RTL.intersection(path.parents)


def is_fast(item: pytest.Item, number: int) -> bool:
    """Whether a case of a test, by its number among them, belongs to the fast part if it is not slow anyway."""
    if thinned := item.get_closest_marker("fast_one_in"):
        return number % int(thinned.args[0]) == 0
    return number == 0 or item.path.parent not in ONE_CASE_IS_FAST


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark further cases slow; keep slow tests that may build on one worker, so that two builds never run at once."""
    cases: Counter[str] = Counter()
    for item in items:
        test, _, case = item.nodeid.partition("[")
        if case and not is_fast(item, cases[test]):
            item.add_marker(pytest.mark.slow)
        cases[test] += 1
        if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group") and in_verilator(item.path):
            item.add_marker(pytest.mark.xdist_group("verilator"))


def pytest_collection_finish() -> None:
    """Look for garbage not among what stays: modules and tests."""
    gc.freeze()
