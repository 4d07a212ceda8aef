"""Which tests share the worker that builds in Verilator."""

import re

import pytest

from tests.conftest import TESTS, in_verilator

# What only those import that build (a memory's name apart), and what builds without saying so by an import.
_BUILDS = re.compile(r"^from (gossamer_hw\.cosim\.(benches|builds|executor|machine|program|replay)|gossamer_hw\.cosim"
                     r"|tests\.system\.rtl_programs) import (?!Behaviour$)"
                     r"|verify_\w+\([^)]*rtl=True", re.M)  # fmt: skip


def test_files_that_build_are_known() -> None:
    files = [path for path in TESTS.rglob("test_*.py") if path.parent.name != "references"]
    builders = [
        path for path in files if _BUILDS.search(text := path.read_text(encoding="utf-8")) and "mark.slow" in text
    ]
    assert len(builders) >= 15
    assert not [path for path in builders if not in_verilator(path)]


def test_others_are_spread_over_the_workers() -> None:
    spread = (
        "system/test_training_step", "models/numerics/test_special", "models/golden/test_transfer",
        "sim/test_sequencer", "hw/vector/test_pool", "hw/test_scratchpads", "gossamer/test_train_rtl",
    )  # fmt: skip
    assert not [name for name in spread if in_verilator(TESTS / f"{name}.py")]


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("number", range(7))
def test_the_first_of_every_three_cases_is_fast(number: int, request: pytest.FixtureRequest) -> None:
    assert (request.node.get_closest_marker("slow") is None) == (number in {0, 3, 6})


@pytest.mark.xdist_group("kept")
def test_workers_keep_groups_together(request: pytest.FixtureRequest) -> None:
    """Pytest's releases that lose the name of the group let two workers build at once, and the same things twice."""
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("needs the workers of `make test`")
    assert request.node.nodeid.endswith("@kept")
