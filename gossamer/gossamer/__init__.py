"""Front door: the command line and a small Python API.

>>> import gossamer
>>> simulation = gossamer.simulate("workloads/resnet18-64-bdwp.yaml")  # doctest: +SKIP
>>> simulation.comparison.speedup  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gossamer.api import generate, simulate, verify_product, verify_workload

__all__ = ["generate", "simulate", "verify_product", "verify_workload"]


def __getattr__(name: str) -> Any:
    """Import the API when it is first used, so that ``gossamer --help`` does not wait for it."""
    if name in __all__:
        from gossamer import api

        return getattr(api, name)
    raise AttributeError(f"module 'gossamer' has no attribute {name!r}")
