"""Results of executors and their comparison."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_models.program import MemoryImage
from gossamer_models.results import Difference, RunResult, differences


def result(fill: bool = True) -> RunResult:
    image = MemoryImage()
    image.allocate("a", 100, "raw", (100,))
    image.allocate("b", 10, "raw", (10,))
    if fill:
        image.fill()
    return RunResult("program", "machine", "golden", (), image)


def test_raw_is_a_copy_of_one_tensor() -> None:
    one = result()
    assert one.memory.data is not None
    one.memory.data[4096:] = range(10)
    bytes_of_b = one.raw("b")
    assert bytes_of_b.tolist() == list(range(10))
    bytes_of_b[:] = 0
    assert one.raw("b").any()


def test_differences_name_tensor_and_place() -> None:
    left, right = result(), result()
    assert differences(left, right) == ()
    assert right.memory.data is not None
    right.memory.data[4096 + np.array([3, 7])] = 1
    assert differences(left, right) == (Difference("b", 2, 10, 3),)
    right.memory.data[200] = 1  # between the tensors
    assert len(differences(left, right)) == 1


def test_unknown_tensor() -> None:
    with pytest.raises(InputError, match="program 'program' has no tensor 'c'"):
        result().raw("c")


def test_symbolic_image() -> None:
    with pytest.raises(InputError, match="is symbolic"):
        result(fill=False).raw("a")


def test_other_tensors() -> None:
    other = result()
    other.memory.allocate("c", 1, "raw", (1,))
    with pytest.raises(InputError, match="do not have the same tensors"):
        differences(result(), other)
