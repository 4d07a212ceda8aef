"""cocotb benches on a built simulation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from gossamer_hw.cosim.builds import Build
from gossamer_hw.cosim.child import call
from gossamer_models.errors import ToolError

__all__ = ["SimulationError", "run"]


class SimulationError(ToolError):
    """A bench failed; the message ends with its log."""


def run(
    build: Build,
    *,
    bench: str,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    paths: Sequence[Path] = (),
    seed: int = 0,
) -> None:
    """Run all tests of a cocotb module in a child process.

    Parameters
    ----------
    build
        The simulation.
    bench
        Name of the module with the tests.
    directory
        Where the log and the result file are left; must exist.
    environment
        Variables that the bench reads.
    paths
        Where the bench lies, if it cannot be imported otherwise.
    seed
        Of cocotb's random numbers.

    Raises
    ------
    SimulationError
        A test failed, or none ran.
    """
    log, results = directory / f"{bench}.log", directory / f"{bench}.xml"
    results.unlink(missing_ok=True)
    options = {
        "test_module": bench,
        "hdl_toplevel": build.top,
        "hdl_toplevel_lang": "verilog",
        "build_dir": str(build.directory / "model"),
        "test_dir": str(directory),
        "results_xml": str(results.absolute()),
        "seed": seed,
    }
    succeeded = call("test", options, log=log, environment=environment, paths=paths)
    if not succeeded or not _passed(results):
        raise SimulationError(f"{bench} on {build.top} failed, seed {seed}, see {log}:\n{log.read_text()[-4000:]}")


def _passed(results: Path) -> bool:
    if not results.exists():
        return False
    cases = list(ElementTree.parse(results).iter("testcase"))
    return bool(cases) and not any(case.find(tag) is not None for case in cases for tag in ("failure", "error"))
