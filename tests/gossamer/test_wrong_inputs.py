"""One line for whatever can be wrong in the files and sizes that a user gives."""

from pathlib import Path

import pytest

from tests.gossamer.commands import CONVOLUTION, HEAD, TINY, architecture, network, refusal, workload, write

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
        "training.sparsity: M of sparsity 2:16 must divide the words of wide-4x4, which have 8 elements",
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


@pytest.mark.parametrize("sparsity", ["most", "5:4", "2:32"])
def test_wrong_sparsity_names_its_option_once(
    sparsity: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = refusal(capsys, "simulate", workload(tmp_path), "--sparsity", sparsity)
    assert line.startswith("gossamer: --sparsity: ")
    assert "sparsity: sparsity:" not in line


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


@pytest.mark.parametrize("batch", ["0", "-1", "1.5", "x", str(2**200)])
@pytest.mark.parametrize("command", ["simulate", "verify"])
def test_wrong_batches(command: str, batch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, command, workload(tmp_path), f"--batch={batch}")
    assert "batch" in line
    assert batch in line


def test_operations_without_rtl_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = "[{name: norm, type: layernorm}, {name: gelu, type: gelu}, {name: end, type: boundary}]"
    shape = "{channels: 8, height: 1, width: 4}"
    (tmp_path / "net.yaml").write_text(f"name: part\ninput: {shape}\nlayers: {layers}\n")
    workload = tmp_path / "w.yaml"
    training = "{method: dense, optimizer: sgd}"
    workload.write_text(f"network: net.yaml\nbatch: 4\ntraining: {training}\narchitecture: wide-4x4\n")
    message = refusal(capsys, "verify", str(workload))
    assert "no RTL has GELU, GELU_GRADIENT, LAYER_NORM, LAYER_NORM_GRADIENT, which program 'part' needs" in message


@pytest.mark.parametrize("command", ["simulate", "verify"])
def test_network_that_computes_nothing(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = network(tmp_path, "{name: end, type: boundary}")
    path = tmp_path / "n.yaml"
    path.write_text(path.read_text().replace("classes: 10\n", ""))
    assert "network 'n' computes nothing; expected a layer" in refusal(capsys, command, source)


@pytest.mark.parametrize("batch", ["1", "32"])
@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("70000, 8, 16", "(16 channels of 1 x 70000 pixels, to 8 channels of 1 x 70000 pixels): `i0` must lie in"),
        ("8, 8, 700000", "(700000 channels of 1 x 8 pixels, to 8 channels of 1 x 8 pixels): `r0` must lie in"),
    ],
)
def test_layers_beyond_the_instructions(
    row: str, what: str, batch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where one sample is too large, no smaller batch is asked for, and the network's file is named."""
    topology = write(tmp_path, "huge.csv", f"Layer, M, N, K,\nA, 8, 8, 8,\nB, {row},\n")
    line = refusal(capsys, "simulate", workload(tmp_path, network=topology, batch=batch))
    assert line.startswith(f"gossamer: {topology}: layer 'B': exceeds the instruction set even at batch 1 {what}")
    assert line.endswith("; expected smaller maps or fewer channels\n")


@pytest.mark.parametrize("batch", ["600000", "2147483648"])
def test_a_batch_beyond_the_instructions(batch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Found while weight gradients are looked at as carriers, and before."""
    source = workload(tmp_path, batch=batch)
    line = refusal(capsys, "simulate", source)
    assert line.startswith(f"gossamer: {source}: batch: layer ")
    assert line.endswith("; expected a smaller batch\n")


@pytest.mark.parametrize("place", ["training", "baseline"])
def test_gradients_are_pruned_in_words_of_a_block(
    place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = workload(tmp_path, **{place: '{method: sdgp, sparsity: "2:8"}'})
    machine = write(tmp_path, "a.yaml", TINY.replace("columns: 4", "columns: 4, group: 16"))
    assert refusal(capsys, "simulate", source, "--arch", machine) == (
        f"gossamer: {source}: {place}.method: sdgp prunes gradients in words of 8 elements, and mine has words of 16; "
        "expected another method, or an architecture with `array.group: 8`\n"
    )


def test_scripted_memory_of_several_ports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "simulate", workload(tmp_path, architecture="vcu1525-32x32"), "--memory", "scripted")
    assert line == (
        "gossamer: --memory: memory model 'scripted' is for machines of one port; vcu1525-32x32 has 4; "
        "expected one of ideal, ddr4, lpddr4, hbm2, ddr4-bank, or an architecture of one port\n"
    )
