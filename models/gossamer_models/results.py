"""What an executor gives back: the same kind of record from golden and RTL, and their comparison."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.isa.tokens import Engine
from gossamer_models.program import MemoryImage

__all__ = ["Difference", "RunResult", "StageRun", "differences"]


@dataclass(frozen=True, slots=True)
class StageRun:
    """One executed stage.

    Members
    -------
    layer, stage : as in the program.
    instructions : concrete instructions (loops unrolled) that each engine executed.
    cycles : measured cycles; None from an executor that computes no time.
    """

    layer: str
    stage: str
    instructions: Mapping[Engine, int]
    cycles: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class RunResult:
    """An executed program.

    Members
    -------
    program, architecture : names of what ran and of the machine.
    executor : ``golden`` or ``rtl``.
    stages : the executed stages, in order.
    memory : the image after the last stage: the program's own, changed in place.
    """

    program: str
    architecture: str
    executor: str
    stages: tuple[StageRun, ...]
    memory: MemoryImage

    def raw(self, name: str) -> NDArray[np.uint8]:
        """Return a copy of the bytes of one tensor, shape (size_bytes,).

        Raises
        ------
        InputError
            The program has no such tensor, or its image is symbolic.
        """
        if name not in self.memory.tensors:
            raise InputError(f"program {self.program!r} has no tensor {name!r}")
        if self.memory.data is None:
            raise InputError(f"the memory image of program {self.program!r} is symbolic")
        tensor = self.memory.tensors[name]
        return self.memory.data[tensor.address : tensor.address + tensor.size_bytes].copy()


@dataclass(frozen=True, slots=True)
class Difference:
    """A tensor that two executors disagree on.

    Members
    -------
    tensor : its name.
    differing_bytes, size_bytes : how many of how many bytes differ.
    first_byte : offset of the first one that does.
    """

    tensor: str
    differing_bytes: int
    size_bytes: int
    first_byte: int


def differences(left: RunResult, right: RunResult) -> tuple[Difference, ...]:
    """Return every tensor whose bytes differ, in order of address; empty if the runs agree in every bit.

    Raises
    ------
    InputError
        The runs do not have the same tensors at the same places, or one has no bytes.
    """
    if left.memory.tensors != right.memory.tensors:
        raise InputError(f"runs of {left.program!r} and {right.program!r} do not have the same tensors")
    found = []
    for tensor in sorted(left.memory.tensors.values(), key=lambda tensor: tensor.address):
        unequal = np.flatnonzero(left.raw(tensor.name) != right.raw(tensor.name))
        if unequal.size:
            found.append(Difference(tensor.name, unequal.size, tensor.size_bytes, int(unequal[0])))
    return tuple(found)
