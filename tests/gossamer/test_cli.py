"""Exit codes, and one line for whatever a user can get wrong."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import gossamer.verify
from gossamer import api
from gossamer.cli import main
from gossamer.verify import Verification
from gossamer_models.errors import InputError
from gossamer_models.sparsity import Pattern

GOOD = {
    "network": "digits-cnn",
    "batch": "32",
    "training": '{method: bdwp, sparsity: "2:8"}',
    "architecture": "tiny-4x4",
}
CONVOLUTION = "{name: c, type: conv2d, out_channels: 8, kernel: 3, padding: 1}"
HEAD = (
    "{name: pool, type: avgpool, global: true}",
    "{name: flat, type: flatten}",
    "{name: fc, type: linear, out_features: 10}",
    "{name: loss, type: softmax_cross_entropy}",
)
TINY = """\
name: mine
clock_hz: 100000000
array: {rows: 4, columns: 4}
buffers:
  a_words: 2048
  b_entries: 4096
  accumulator_words: 2048
  vector_in_bytes: 65536
  vector_out_bytes: 65536
  prune_entries: 16384
  parameter_words: 4096
vector: {lanes: 8, prune_lanes: 4}
memory: {ports: 1, port_bits: 128, latency_cycles: 32, model: ideal}
"""


def workload(folder: Path, **changes: str) -> str:
    """A workload file; what is not changed is right."""
    text = "".join(f"{key}: {value}\n" for key, value in (GOOD | changes).items())
    return write(folder, "w.yaml", text)


def network(folder: Path, *layers: str, size: int = 8) -> str:
    """A workload of a network of its own."""
    listed = "".join(f"  - {layer}\n" for layer in layers)
    text = f"name: n\ninput: {{channels: 1, height: {size}, width: {size}}}\nclasses: 10\nlayers:\n{listed}"
    return workload(folder, network=write(folder, "n.yaml", text))


def architecture(folder: Path, old: str, new: str) -> list[str]:
    """Arguments that simulate on a machine with one line changed."""
    assert TINY.count(old) == 1
    return [workload(folder), "--arch", write(folder, "a.yaml", TINY.replace(old, new))]


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must be refused; return its one line."""
    try:
        code: object = main(arguments)
    except SystemExit as stop:
        code = stop.code
    printed = capsys.readouterr()
    assert code == 2
    assert printed.out == ""
    assert printed.err.startswith("gossamer: ")
    assert printed.err.endswith("\n")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    assert len(printed.err) < 700
    return printed.err


WORKLOADS: dict[str, tuple[dict[str, str], str]] = {
    "unknown key": ({"colour": "red"}, "colour"),
    "near key": ({"memmory": "ddr4"}, "did you mean 'memory'?"),
    "wrong type": ({"batch": "many"}, "batch: "),
    "fraction": ({"batch": "1.5"}, "batch: "),
    "text for a mapping": ({"training": "bdwp"}, "training: "),
    "zero": ({"batch": "0"}, "batch: "),
    "negative": ({"batch": "-3"}, "not -3"),
    "N > M": ({"training": '{method: bdwp, sparsity: "9:8"}'}, "training.sparsity: N of a sparsity N:M must lie"),
    "M of no group": (
        {"training": '{method: bdwp, sparsity: "1:3"}'},
        "training.sparsity: M of a sparsity N:M must be",
    ),
    "M beyond the group": (
        {"training": '{method: bdwp, sparsity: "2:16"}'},
        "training.sparsity: M of sparsity 2:16 must divide the words of tiny-4x4, which have 8 elements",
    ),
    "M beyond every group": ({"training": '{method: bdwp, sparsity: "2:32"}'}, "one of 2, 4, 8, 16, not 32"),
    "no N:M": ({"training": "{method: bdwp}"}, "method bdwp needs `sparsity`"),
    "unknown method": ({"training": '{method: bdpw, sparsity: "2:8"}'}, "did you mean 'bdwp'?"),
    "unknown network": ({"network": "resnet18-46"}, "did you mean 'resnet18-64'?"),
    "unknown architecture": ({"architecture": "tiny-4x5"}, "did you mean 'tiny-4x4'?"),
    "unknown memory": ({"memory": "ddr5"}, "memory: "),
    "missing network file": ({"network": "nets/none.yaml"}, "nets/none.yaml: no such file"),
}


@pytest.mark.parametrize("case", WORKLOADS)
def test_wrong_workloads(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes, expected = WORKLOADS[case]
    assert expected in refusal(capsys, "simulate", workload(tmp_path, **changes))


def test_missing_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, "w.yaml", "network: digits-cnn\n")
    line = refusal(capsys, "simulate", path)
    assert path in line
    assert "batch" in line


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "comments only": (b"# nothing\n", "the file is empty"),
    "list": (b"- network: digits-cnn\n- batch: 3\n", "the file is a list"),
    "duplicate key": (b"batch: 1\nnetwork: digits-cnn\nbatch: 2\n", "line 3: duplicate key 'batch'"),
    "10 MB nested": (b"network: " + b"[" * 10_000_000, "the file is larger than"),
    "nested": (b"network: " + b"[" * 500, "nested deeper than 32 levels"),
    # Some releases of PyYAML refuse this before it is looked at.
    "nested without end": (b"network: " + b"[" * 500_000, "nest"),
    "no YAML": (b"network: {digits", "expected valid YAML"),
    "bytes": (bytes(range(256)), "not UTF-8"),
}


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("command", ["simulate", "verify", "generate"])
def test_wrong_files(command: str, case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, expected = FILES[case]
    path = tmp_path / "f.yaml"
    path.write_bytes(data)
    line = refusal(capsys, command, str(path))
    assert str(path) in line
    assert expected in line


@pytest.mark.parametrize("command", ["simulate", "verify", "generate"])
def test_no_file(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in refusal(capsys, command, str(tmp_path / "none.yaml"))
    assert "not a regular file" in refusal(capsys, command, str(tmp_path))


ARCHITECTURES: dict[str, tuple[str, str, str]] = {
    "zero rows": ("rows: 4", "rows: 0", "array.rows: "),
    "negative columns": ("columns: 4", "columns: -4", "array.columns: "),
    "no power of two": ("rows: 4", "rows: 6", "`rows` must be a power of two, not 6"),
    "no group": ("columns: 4", "columns: 4, group: 3", "array.group: "),
    "duplicate key": ("b_entries: 4096", "a_words: 4096", "duplicate key 'a_words'"),
    "near key": ("a_words", "a_word", "did you mean 'a_words'?"),
    "text": ("latency_cycles: 32", "latency_cycles: soon", "memory.latency_cycles: "),
    "list": ("array: {rows: 4, columns: 4}", "array: [4, 4]", "array: "),
}


@pytest.mark.parametrize("case", ARCHITECTURES)
def test_wrong_architectures(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, expected = ARCHITECTURES[case]
    assert expected in refusal(capsys, "simulate", *architecture(tmp_path, old, new))


LAYERS: dict[str, tuple[tuple[str, ...], str]] = {
    "kernel beyond the image": ((CONVOLUTION.replace("3", "11"), *HEAD), "layer 'c': the kernel [11, 11] exceeds"),
    "no flatten": ((CONVOLUTION, *HEAD[2:]), "layer 'fc': the input 'c' is a feature map of shape [8, 8, 8]"),
    "unequal sum": ((CONVOLUTION, "{name: s, type: add, inputs: [c, input]}", *HEAD), "layer 's': the inputs have"),
    "unknown input": ((CONVOLUTION, "{name: r, type: relu, inputs: [d]}", *HEAD), "'d'"),
    "classes": ((CONVOLUTION, *HEAD[:2], HEAD[2].replace("10", "11"), HEAD[3]), "11"),
    "near type": ((CONVOLUTION.replace("conv2d", "conv2"), *HEAD), "layers[0]: unknown type 'conv2', did you mean"),
    "zero channels": ((CONVOLUTION.replace("8", "0"), *HEAD), "layers[0].out_channels: "),
    "negative kernel": ((CONVOLUTION.replace("3", "-3"), *HEAD), "layers[0].kernel[0]: "),
    "same name twice": ((CONVOLUTION, CONVOLUTION, *HEAD), "'c'"),
}


@pytest.mark.parametrize("case", LAYERS)
def test_layers_that_do_not_chain(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers, expected = LAYERS[case]
    line = refusal(capsys, "simulate", network(tmp_path, *layers))
    assert str(tmp_path / "n.yaml") in line
    assert expected in line


PRODUCTS: dict[str, tuple[tuple[str, ...], str]] = {
    "nonsense": (("--gemm", "nonsense"), "--gemm takes three integers I,R,J, not 'nonsense'"),
    "two sizes": (("--gemm", "4,8"), "--gemm takes three integers"),
    "two signs": (("--gemm=--4,8,4",), "--gemm takes three integers"),
    "no digits": (("--gemm", "²,8,4"), "--gemm takes three integers"),
    "5000 digits": (("--gemm", "9" * 5000 + ",8,4"), "--gemm takes three integers"),
    "zero": (("--gemm", "4,0,4"), "R of --gemm I,R,J must be a positive integer, not 0"),
    "negative": (("--gemm=-4,8,4",), "I of --gemm I,R,J must be a positive integer, not -4"),
    "far too large": (("--gemm", "100000,100000,100000"), "too large for RTL"),
    "far too long": (("--gemm", "300000000,1,1"), "exceeds the instruction set"),
    "does not fit": (("--gemm", "4,400000,4"), "remedy: raise buffers.b_entries"),
    "not built": (("--gemm", "4,8,4", "--dataflow", "ws"), "is built without dataflow ws (weight-stationary)"),
    "unknown dataflow": (("--gemm", "4,8,4", "--dataflow", "is"), "--dataflow"),
    "N > M": (("--gemm", "4,8,4", "--sparsity", "5:4"), "N of a sparsity N:M must lie between 1 and M = 4, not 5"),
    "M of no group": (("--gemm", "4,8,4", "--sparsity", "1:3"), "must divide the word of 8 elements"),
    "no sparsity": (("--gemm", "4,8,4", "--sparsity", "most"), 'must be of the form "N:M"'),
    "seed": (("--gemm", "4,8,4", "--seed", "-1"), "the seed must be a non-negative integer, not -1"),
    "no seed": (("--gemm", "4,8,4", "--seed", "x"), "--seed"),
    "architecture": (("--gemm", "4,8,4", "--arch", "small-8x9"), "did you mean 'small-8x8'?"),
    "nothing to verify": ((), "either a workload or --gemm"),
    "both": (("w.yaml", "--gemm", "4,8,4"), "either a workload or --gemm"),
}


@pytest.mark.parametrize("case", PRODUCTS)
def test_wrong_products(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, expected = PRODUCTS[case]
    assert expected in refusal(capsys, "verify", *arguments)


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
        (("tiny-4x4", "--components", "3"), "--components goes with --unit"),
        (("--unit", "prun"), "no unit 'prun', did you mean 'prune'"),
        (
            ("--unit", "pe", "--components", "3"),
            "--components goes with sparse-encoder, sparse-decoder, encoded-lane, not with pe",
        ),
        (("--unit", "sparse-encoder", "--components", "0"), "1 to 4096 components, not 0"),
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


@pytest.mark.parametrize("batch", ["0", "-1", "1.5", "x", str(2**200)])
@pytest.mark.parametrize("command", ["simulate", "verify"])
def test_wrong_batches(command: str, batch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, command, workload(tmp_path), f"--batch={batch}")
    assert "batch" in line
    assert batch in line


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
        ("generate", "tiny-4x4", *out),
        ("simulate", workload(tmp_path), "--no-plots", *out),
        ("verify", "--gemm", "4,8,4", *out),
    ]
    for command in commands:
        assert "output folder" in refusal(capsys, *command)
    assert (tmp_path / "file").read_text() == "kept"


def found(mismatches: int, late: tuple[tuple[str, str, int, int], ...] = ()) -> Callable[..., Verification]:
    """A verification that ran nothing."""
    verification = Verification("p", "tiny-4x4", "os", 0, 1, 16, mismatches, 100, 100, late)

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


def test_operations_without_rtl_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = "[{name: norm, type: layernorm}, {name: gelu, type: gelu}, {name: end, type: boundary}]"
    shape = "{channels: 8, height: 1, width: 4}"
    (tmp_path / "net.yaml").write_text(f"name: part\ninput: {shape}\nlayers: {layers}\n")
    workload = tmp_path / "w.yaml"
    training = "{method: dense, optimizer: sgd}"
    workload.write_text(f"network: net.yaml\nbatch: 4\ntraining: {training}\narchitecture: tiny-4x4\n")
    message = refusal(capsys, "verify", str(workload))
    assert "no RTL has GELU, GELU_GRADIENT, LAYER_NORM, LAYER_NORM_GRADIENT, which program 'part' needs" in message


@pytest.mark.parametrize("command", ["simulate", "verify"])
def test_network_that_computes_nothing(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = network(tmp_path, "{name: end, type: boundary}")
    path = tmp_path / "n.yaml"
    path.write_text(path.read_text().replace("classes: 10\n", ""))
    assert "network 'n' computes nothing; expected a layer" in refusal(capsys, command, source)


@pytest.mark.parametrize(
    ("error", "message", "code"),
    [
        (MemoryError("Unable to allocate 24.0 GiB"), "does not fit this machine's memory: Unable to allocate 24.0", 2),
        (KeyboardInterrupt(), "interrupted", 130),
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
