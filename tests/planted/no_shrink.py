"""Plugin of the child processes: a property that fails once has failed; a smaller example is worth no time."""

import pytest
from hypothesis import Phase, settings


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Replace the profile that the suite's conftest has loaded by one without shrinking."""
    settings.register_profile("no-shrink", settings(), phases=(Phase.explicit, Phase.generate))
    settings.load_profile("no-shrink")
