"""Exit codes, options and what a command does before it reads a file."""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TextIO

import pytest

import gossamer.verify
from gossamer import api
from gossamer.__main__ import main as start
from gossamer.cli import main
from gossamer.verify import Verification
from gossamer.verify_file import MachineStoppedError
from gossamer_models.errors import InputError
from gossamer_models.sparsity import Pattern
from gossamer_reports.compare import ConservationError
from tests.gossamer.commands import CONVOLUTION, HEAD, network, refusal, workload, write


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("simulat",),
        ("simulate",),
        ("simulate", "w.yaml", "--colour"),
        ("generate", "x", "--synth", "z"),
    ],
)
def test_wrong_arguments(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert "--help" in refusal(capsys, *arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "needs an architecture or --unit"),
        (("wide-4x4", "--components", "3"), "--components goes with --unit"),
        (("--unit", "prun"), "no unit 'prun', did you mean 'prune'"),
        (("--unit", ""), "no unit ''; expected sparse-encoder"),
        (("--unit", "prun", "--components", "3"), "no unit 'prun', did you mean 'prune'"),
        (("--unit", "pe", ""), "unknown architecture ''"),
        (
            ("--unit", "pe", "--components", "3"),
            "--components goes with sparse-encoder, sparse-decoder, encoded-lane, not with pe",
        ),
        (("--unit", "exponential", "wide-4x4"), "an architecture goes with pe, prune, not with exponential"),
        (("--unit", "sparse-encoder", "--components", "0"), "1 to 64 components, not 0"),
        (("--unit", "sparse-decoder", "--components", "4096"), "1 to 64 components, not 4096"),
        (
            ("--unit", "prune", "wide-4x4-g16"),
            "unit prune takes words of 8 elements, not of 16; expected array.group: 8",
        ),
    ],
)
def test_wrong_units(
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refusal(capsys, "generate", *arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--arch=tiny-4x5", "--batch=0"])
def test_wrong_option_is_no_fault_of_the_file(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "w.yaml" not in refusal(capsys, "simulate", workload(tmp_path), option)


@pytest.mark.parametrize("name", ["file", "file/below", "a" * 300, "nul\0"])
def test_output_folder_that_cannot_be(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "file", "kept")
    out = ("--out", str(tmp_path / name))
    monkeypatch.setattr(gossamer.verify, "verify_product", found(mismatches=0))
    commands = [
        ("generate", "wide-4x4", *out),
        ("simulate", workload(tmp_path), "--no-plots", *out),
        ("verify", "--gemm", "4,8,4", *out),
    ]
    for command in commands:
        assert "output folder" in refusal(capsys, *command)
    assert (tmp_path / "file").read_text() == "kept"


def found(mismatches: int, late: tuple[tuple[str, str, int, int], ...] = ()) -> Callable[..., Verification]:
    """A verification that ran nothing."""
    verification = Verification("p", "wide-4x4", "os", 0, 1, 16, mismatches, 100, 100, late)

    def verify(i: int, r: int, j: int, pattern: Pattern, *rest: object) -> Verification:
        return dataclasses.replace(verification, program=f"product {i}x{r}x{j} {pattern}")

    return verify


@pytest.mark.parametrize(
    ("mismatches", "late", "code"), [(0, (), 0), (1, (), 1), (0, (("product", "ff", 101, 100),), 1)]
)
def test_exit_code_of_a_verification(
    mismatches: int,
    late: tuple[tuple[str, str, int, int], ...],
    code: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gossamer.verify, "verify_product", found(mismatches, late))
    assert main(["verify", "--gemm", "4, 8,4", "--sparsity", "2:8", "--out", str(tmp_path)]) == code
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["bit_exact"] is (mismatches == 0)
    assert result["cycle_exact"] is (not late)
    assert result["mismatches"] == mismatches
    assert result["gemm"] == [4, 8, 4]
    assert result["program"] == "product 4x8x4 2:8"
    printed = capsys.readouterr()
    assert printed.err == ""
    assert ("every bit equal" in printed.out) is (mismatches == 0)


CHILD = """\
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from gossamer.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize(("size", "batch", "code"), [(20_000, 32, 2), (8, 2**24, 2), (8, 2**18, 0), (128, 2**14, 0)])
def test_cost_of_huge_shapes(size: int, batch: int, code: int, tmp_path: Path) -> None:
    options = f"--arch=vcu1525-32x32 --batch={batch} --no-plots".split()
    path = network(tmp_path, CONVOLUTION, *HEAD, size=size)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, "simulate", path, *options, "--out", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False, env={"OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert done.stderr.count("\n") == (code != 0)


def test_help_does_not_wait_for_packages() -> None:
    code = (
        "import sys, gossamer\nfrom gossamer.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'numpy', 'matplotlib', 'amaranth', 'pydantic', 'simpy', 'rich'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(heavy)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(command in done.stdout for command in ("simulate", "generate", "verify"))


def test_simulation_loads_no_package_of_others() -> None:
    code = (
        "import sys, gossamer.api, gossamer.runner\n"
        "others = {'amaranth', 'matplotlib', 'onnx', 'scipy', 'simpy'} & set(sys.modules)\n"
        "sys.exit(' '.join(sorted(others)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_module_runs_the_command_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gossamer", "verify"], capture_output=True, text=True, check=False
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("gossamer: verify needs")


@pytest.mark.parametrize("batch", [0, -1])
def test_load_refuses_a_batch_before_anything_is_compiled(batch: int, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"batch must be a positive integer, not {batch}"):
        api.load(workload(tmp_path), batch=batch)


def test_api_is_imported_on_first_use() -> None:
    assert gossamer.simulate is api.simulate
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = gossamer.nothing


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (MachineStoppedError("the machine in RTL stopped with ILLEGAL"), "stopped with ILLEGAL", 1),
        (ConservationError("conv1 ff: the ledger sums to 9, not to 10 cycles"), "conv1 ff: the ledger sums to 9", 1),
        (MemoryError("Unable to allocate 24.0 GiB"), "does not fit this machine's memory: Unable to allocate 24.0", 2),
        (KeyboardInterrupt(), "interrupted", 130),
        (OSError(24, "Too many open files"), "Too many open files", 2),
    ],
)
def test_what_ends_a_command_from_outside_is_one_line(
    error: BaseException, message: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ends(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("gossamer.api.simulate", ends)
    assert main(["simulate", "x.yaml", "--no-plots"]) == code
    printed = capsys.readouterr().err
    assert printed.startswith("gossamer: ")
    assert message in printed
    assert printed.count("\n") == 1


def test_an_interrupt_while_modules_load_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Loading(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "gossamer.cli", Loading("gossamer.cli"))
    assert start() == 130
    assert capsys.readouterr().err == "gossamer: interrupted\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("command", [("generate", "--unit", "pe", "--out", "o"), ("--help",), ("--version",)])
def test_output_that_takes_nothing_is_one_line(command: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = in_a_process(tmp_path, *command, stdout=full)
    assert done.returncode == 2
    assert done.stderr.startswith("gossamer: the system gave up: ")
    assert done.stderr.count("\n") == 1


def test_output_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = in_a_process(tmp_path, "generate", "--unit", "pe", "--out", str(tmp_path / "o"), stdout=closed)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.slow
def test_tables_that_nobody_reads_end_quietly(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("field: glossy-32\nreference: glossy\nsize: 8\n")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = in_a_process(tmp_path, "render", str(tmp_path / "s.yaml"), "--out", str(tmp_path / "o"), stdout=closed)
    assert (done.returncode, done.stderr) == (141, "")


def test_names_beyond_the_terminals_letters_are_written_as_escapes(tmp_path: Path) -> None:
    folder = str(tmp_path / "\u540d")
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1"}
    done = in_a_process(tmp_path, "generate", "--unit", "pe", "--out", folder, environment=plain)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("\\u540d\n")


def test_a_name_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", "bad\udcff.yaml"]) == 2
    assert "'bad\\udcff.yaml' is no UTF-8" in capsys.readouterr().err


def test_no_library_warns_at_the_terminal(tmp_path: Path) -> None:
    code = (
        "import sys, types, warnings; from gossamer.__main__ import main\n"
        "cli = sys.modules['gossamer.cli'] = types.ModuleType('cli')\n"
        "cli.main = lambda: warnings.warn('overflow encountered in multiply', RuntimeWarning) or 7\n"
        "sys.exit(main())"
    )
    for options, warned in (((), False), (("-W", "default"), True)):
        done = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=False)
        assert (done.returncode, "overflow" in done.stderr) == (7, warned)


def in_a_process(
    folder: Path, *arguments: str, stdout: int | TextIO = subprocess.PIPE, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "gossamer", *arguments], cwd=folder, env={**os.environ, **(environment or {})},
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
