import math

import numpy as np
import pytest

from gossamer_compiler.training import compile_training
from gossamer_models import host
from gossamer_models.architecture import load_architecture
from gossamer_models.errors import GossamerError
from gossamer_models.layers import Rotary
from gossamer_models.methods import METHODS
from gossamer_models.network import load_network
from gossamer_models.program import Program


def program(*, filled: bool = True) -> Program:
    made = compile_training(load_network("digits-cnn"), 3, METHODS["dense"], None, load_architecture("wide-4x4"))
    if filled:
        made.memory.fill()
    return made


@pytest.mark.parametrize("name", ["conv2", "conv3.weight", "fc.bias", "bn1.parameters", "labels"])
def test_what_is_written_is_read_back(name: str) -> None:
    made = program()
    shape = made.memory.tensors[name].shape
    values = np.arange(np.prod(shape)).reshape(shape)
    host.write(made, name, values)
    np.testing.assert_array_equal(host.read(made, name), values)


def test_weights_of_the_patch_layer_are_reordered() -> None:
    made = program()
    weights = np.arange(8 * 9, dtype=np.float32).reshape(8, 1, 3, 3)
    host.write_weights(made, "conv1", weights)
    np.testing.assert_array_equal(host.read(made, "conv1.weight")[:, :, 0, 0], weights.reshape(8, 9))


def test_faults_are_one_line() -> None:
    with pytest.raises(GossamerError, match="symbolic"):
        host.read(program(filled=False), "conv2")
    with pytest.raises(GossamerError, match="no tensor 'conv9'"):
        host.read(program(), "conv9")
    with pytest.raises(GossamerError, match="has shape"):
        host.write(program(), "conv2", np.zeros((1, 1, 1, 1)))


def test_rotary_table_by_hand() -> None:
    table = host.rotary_table(Rotary(name="a", type="rotary", heads=3, base=100.0), (24, 1, 5))
    assert table.shape == (5, 8)
    for token, pair in ((0, 0), (3, 0), (4, 3), (1, 2)):
        angle = token * 100 ** (-2 * pair / 8)
        expected = [math.cos(angle), math.sin(angle)]
        np.testing.assert_allclose(table[token, 2 * pair : 2 * pair + 2], expected, atol=2.0**-11)
