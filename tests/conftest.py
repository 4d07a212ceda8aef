"""Settings shared by the whole suite."""

import os

import pytest
from hypothesis import settings

# Shared machines stall now and then: a slow example is no failure. A failing example prints the blob that replays it.
settings.register_profile("gossamer", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("explore", deadline=None, print_blob=True, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gossamer"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep slow tests on one worker, so that two Verilator builds never run at once."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("slow"))
