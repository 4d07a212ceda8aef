"""Results belong to the layer, not to the schedule: array, buffers, interleave and tiles never change a bit."""

import numpy as np
import pytest

from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.golden.executor import run
from gossamer_models.methods import METHODS
from gossamer_models.network import Network
from gossamer_models.program import Program
from gossamer_models.shapes import infer
from gossamer_models.sparsity import Pattern
from tests.system.training_cases import convolution, pruned, random_network, run_step


def variants() -> list[Architecture]:
    """Machines that schedule differently: other arrays, half the buffers, other interleaves, oblong arrays."""
    tiny, small = load_architecture("wide-4x4"), load_architecture("small-8x8")
    half = tiny.buffers.model_copy(
        update={
            "a_words": 256,
            "b_entries": 1024,
            "accumulator_words": 64,
            "vector_in_bytes": 8192,
            "vector_out_bytes": 4096,
        }
    )
    return [
        tiny,
        small,
        tiny.model_copy(update={"buffers": half}),
        tiny.model_copy(update={"array": tiny.array.model_copy(update={"columns": 16})}),
        small.model_copy(update={"array": small.array.model_copy(update={"rows": 16, "slots": 8})}),
        small.model_copy(update={"array": small.array.model_copy(update={"columns": 4, "drain_ports": 2})}),
    ]


def results(program: Program) -> dict[str, bytes]:
    """Bits of every tensor whose layout does not follow the schedule."""
    tensors = program.memory.tensors.values()
    return {t.name: host.read(program, t.name).tobytes() for t in tensors if t.layout != "entries"}


def differing(expected: dict[str, bytes], found: dict[str, bytes]) -> list[str]:
    """Names of tensors whose bits differ, or that one lacks: a diff of the bits themselves takes pytest minutes."""
    return [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]


@pytest.mark.parametrize("method", ["bdwp", "bdwp-mvue"])
@pytest.mark.parametrize("seed", [*range(2), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))])
def test_schedule_changes_no_bit(seed: int, method: str) -> None:
    assert_schedules_agree(random_network(np.random.default_rng(seed)), (3, 8, 20, 40)[seed % 4], seed, method)


@pytest.mark.slow
@pytest.mark.parametrize(("c_in", "c_out", "groups"), [(16, 16, 16), (20, 20, 20), (16, 32, 4), (32, 48, 2)])
def test_schedule_changes_no_bit_of_groups(c_in: int, c_out: int, groups: int) -> None:
    assert_schedules_agree(convolution(3, 2, 1, c_in, c_out, (5, 6), groups), 9, seed=groups)


def assert_schedules_agree(net: Network, batch: int, seed: int, method: str = "bdwp") -> None:
    expected, schedules = None, set()
    for architecture in variants():
        try:
            case = run_step(net, batch, method, Pattern(2, 8), architecture, seed)
        except DoesNotFitError:
            continue
        found = results(case.program)
        schedules.add(tuple((s.dataflow, len(s.instructions)) for s in case.program.stages))
        expected = expected or found
        assert differing(expected, found) == [], f"seed {seed}, {architecture.array}, {architecture.buffers}"
    assert len(schedules) > 1, "the machines must schedule differently for this to mean anything"


@pytest.mark.parametrize("sparsity", ["2:8", "2:4", "1:2", "1:8"])
def test_masked_dense_weights_equal_sparse_ones(sparsity: str) -> None:
    net = random_network(np.random.default_rng(5))
    assert assert_masks_agree(net, "left", Pattern.parse(sparsity), seed=5) >= 4


@pytest.mark.parametrize("sparsity", ["2:8", "1:4"])
def test_masked_dense_groups_equal_sparse_ones(sparsity: str) -> None:
    net = convolution(3, 1, 1, 32, 48, (4, 3), 2)
    assert assert_masks_agree(net, "conv", Pattern.parse(sparsity), seed=6) == 3


def assert_masks_agree(net: Network, layer: str, pattern: Pattern, seed: int) -> int:
    """Compare every product; the number of products. The mask of ``layer`` must drop something."""
    batch, architecture = 8, load_architecture("wide-4x4")
    sparse = run_step(net, batch, "sr-ste", pattern, architecture, seed)
    dense = compile_training(net, batch, METHODS["dense"], None, architecture, prepare=True)
    dense.memory.fill()
    host.write_input(dense, net, sparse.images)
    host.write(dense, "labels", sparse.step.labels.astype(np.float32))
    for name, weights in sparse.step.forward_weights.items():
        host.write_weights(dense, name, weights.astype(np.float32))
    for name, values in sparse.step.biases.items():
        host.write(dense, f"{name}.bias", values)
    for name in sparse.step.norms:
        source = f"{name}.parameters"
        padded = np.zeros(dense.memory.tensors[source].shape, np.float32)
        padded[:, : sparse.step.norms[name][0].size] = sparse.step.norms[name]
        host.write(dense, source, padded)
    run(dense, architecture)
    products = [shape.name for shape in infer(net, batch) if shape.weight_shape]
    for name in products:
        np.testing.assert_array_equal(
            host.read(dense, name).view(np.uint16), host.read(sparse.program, name).view(np.uint16)
        )
    kept = np.count_nonzero(sparse.step.forward_weights[layer])
    assert kept == pruned(sparse.step.weights[layer], pattern, 1).astype(bool).sum() < sparse.step.weights[layer].size
    return len(products)


@pytest.mark.parametrize("method", ["bdwp", "bdwp-mvue"])
def test_token_order_changes_no_bit(method: str) -> None:
    architecture = load_architecture("wide-4x4")
    net = random_network(np.random.default_rng(3))
    expected = results(run_step(net, 8, method, Pattern(2, 8), architecture, 3).program)
    for order in range(4):
        program = run_step(net, 8, method, Pattern(2, 8), architecture, 3, order=order).program
        assert differing(expected, results(program)) == [], f"order seed {order}"


@pytest.mark.parametrize("seed", range(4))
def test_sampling_all_is_dense(seed: int) -> None:
    net, architecture = random_network(np.random.default_rng(seed)), load_architecture("wide-4x4")
    dense = results(run_step(net, 11, "dense", None, architecture, seed).program)
    sampled = run_step(net, 11, "bdwp-mvue", Pattern(4, 4), architecture, seed).program
    assert any(name.endswith(".sampled") for name in sampled.memory.tensors)
    assert differing(dense, results(sampled)) == []


@pytest.mark.parametrize("seed", range(4))
def test_gradients_as_operand_b_change_no_bit(seed: int) -> None:
    """All entries kept, BP turned is BP: the order of its sums belongs to the layer."""
    net, architecture = (
        random_network(np.random.default_rng(seed)),
        load_architecture(("wide-4x4", "small-8x8")[seed % 2]),
    )
    dense = results(run_step(net, (11, 24)[seed // 2], "dense", None, architecture, seed).program)
    turned = run_step(net, (11, 24)[seed // 2], "sdgp", Pattern(8, 8), architecture, seed).program
    assert any(tensor.layout == "turned" for tensor in turned.memory.tensors.values())
    found = results(turned)
    assert differing(dense, {name: found[name] for name in dense}) == []
