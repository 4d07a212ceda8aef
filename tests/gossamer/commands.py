"""Commands that must be refused, and the files that they are given."""

from pathlib import Path

import pytest

from gossamer.cli import main

GOOD = {
    "network": "digits-cnn",
    "batch": "32",
    "training": '{method: bdwp, sparsity: "2:8"}',
    "architecture": "wide-4x4",
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
