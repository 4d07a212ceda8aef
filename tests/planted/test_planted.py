"""Every planted bug is noticed by the test that is named for it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.planted.fault import Fault
from tests.planted.faults import FAULTS

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "models": "gossamer_models",
    "compiler": "gossamer_compiler",
    "hw": "gossamer_hw",
    "sim": "gossamer_sim",
    "reports": "gossamer_reports",
    "gossamer": "gossamer",
}
LEAST_FAULTS = 20
LIMIT_SECONDS = 400

# One worker, so that the copy has one fault at a time.
pytestmark = pytest.mark.xdist_group("planted")


def environment(copy: Path) -> dict[str, str]:
    """Import the copy in place of an installed project."""
    # Where CI is set, pytest diffs what differs line by line: minutes, for tensors.
    dropped = ("PYTEST", "HYPOTHESIS", "CI", "BUILD_NUMBER", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    path = os.pathsep.join(str(copy / folder) for folder in PACKAGES)
    return kept | {"PYTHONPATH": path}


@dataclass(frozen=True, slots=True)
class Copy:
    """Copy of the packages and their tests in a folder.

    Members
    -------
    server : process that runs tests there.
    seconds : by how many a faulty file is younger than the sound one, another number each time.
    failed : tests that failed because of a fault; without one each of them must pass.
    """

    folder: Path
    server: subprocess.Popen[str]
    seconds: Iterator[int] = field(default_factory=lambda: count(1))
    failed: set[str] = field(default_factory=set)

    def run_tests(self, *names: str) -> tuple[ElementTree.Element, str]:
        """Return pytest's JUnit record and output."""
        record = self.folder / "record.xml"
        record.unlink(missing_ok=True)
        options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "tests.planted.no_shrink", f"--junitxml={record}")
        # Of packages imported before pytest can rewrite their assertions.
        ignored = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        print(json.dumps([*options, *ignored, *names]), file=self.server.stdin, flush=True)
        code = self.server.stdout.readline().strip()
        output = (self.folder / "output").read_text()
        assert code in ("0", "1"), f"pytest did not run the tests: {code}\n{output}"
        suite = ElementTree.parse(record).getroot().find("testsuite")
        assert suite is not None, output
        return suite, output


@contextmanager
def planted(copy: Copy, fault: Fault) -> Iterator[None]:
    """Replace the line of a fault in the copy, and put it back.

    Bytecode knows its source by size and second: no two contents of a file share a second, so none hides another.
    """
    file = copy.folder / fault.file
    sound, second = file.read_text(encoding="utf-8"), int(file.stat().st_mtime)

    def write(text: str, second: int) -> None:
        file.write_text(text, encoding="utf-8")
        os.utime(file, (second, second))

    write(sound.replace(fault.old, fault.new), second + next(copy.seconds))
    try:
        yield
    finally:
        write(sound, second)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """Copy without old bytecode; its tests import the copy."""
    target = tmp_path_factory.mktemp("planted")
    for folder in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
    shutil.copy(ROOT / "pyproject.toml", target)
    names = ", ".join(PACKAGES.values())
    script = f"import {names}\nfor package in ({names}): print(package.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=target, env=environment(target), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=True,
    )  # fmt: skip
    assert [Path(line).parents[1] for line in found.stdout.split()] == [target / folder for folder in PACKAGES]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.planted.server", str(LIMIT_SECONDS)],
        cwd=target, env=environment(target), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip
        yield Copy(target, server)
        assert server.stdin is not None
        server.stdin.close()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_changes_one_place(fault: Fault) -> None:
    text = (ROOT / fault.file).read_text(encoding="utf-8")
    assert text.count(fault.old) == 1, f"{fault.file} must hold {fault.old!r} once"
    assert fault.new != fault.old


def test_faults_are_many_and_different() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= LEAST_FAULTS
    assert len({(fault.file, fault.old) for fault in FAULTS}) == len(FAULTS)
    assert {Path(fault.file).parts[0] for fault in FAULTS} == {"models", "compiler", "hw", "sim"}


def test_named_tests_exist() -> None:
    names = sorted({fault.caught_by for fault in FAULTS})
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *names],
        cwd=ROOT, env=environment(ROOT), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault_is_caught(copy: Copy, fault: Fault) -> None:
    with planted(copy, fault):
        suite, output = copy.run_tests(fault.caught_by)
    assert suite.get("errors") == "0", f"the test broke instead of failing:\n{output}"
    assert suite.get("failures") == "1", f"nothing noticed that {fault.name}:\n{output}"
    case = next(case for case in suite.iter("testcase") if case.find("failure") is not None)
    copy.failed.add(f"{fault.caught_by.partition('::')[0]}::{case.get('name')}")


@pytest.mark.slow
def test_without_faults_the_same_tests_pass(copy: Copy) -> None:
    """What failed above failed because of the fault, not because of the copy."""
    if not copy.failed:
        pytest.skip("no fault was planted")
    suite, output = copy.run_tests(*sorted(copy.failed))
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("0", "0", "0"), output
    assert int(suite.get("tests", 0)) == len(copy.failed)
