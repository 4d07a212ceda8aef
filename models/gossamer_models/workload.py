"""Workloads: one training iteration of a network by a method on an architecture, against a baseline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from gossamer_models.errors import InputError, did_you_mean
from gossamer_models.loading import load_yaml, validate
from gossamer_models.loss_scale import DEFAULT_SCALE, LossScaling
from gossamer_models.memories import MemoryModelName
from gossamer_models.methods import METHODS
from gossamer_models.objectives import ObjectiveName
from gossamer_models.schema import Count, Schema
from gossamer_models.sparsity import Pattern

__all__ = ["SPARSITY_SIZES", "MethodUse", "Optimizer", "Training", "Workload", "load_workload"]

SPARSITY_SIZES = (2, 4, 8, 16)
"""The M of every N:M that is supported; it must divide the words of the architecture, too."""

Optimizer = Literal["sgd", "sgd-momentum"]
Im2col = Literal["host", "machine"]


def _check_method(name: str) -> str:
    if name not in METHODS:
        hint = did_you_mean(name, METHODS)
        raise ValueError(f"unknown method {name!r:.60}{hint} (expected one of {', '.join(METHODS)})")
    return name


def _check_sparsity(text: str) -> str:
    try:
        pattern = Pattern.parse(text)
    except InputError as error:
        raise ValueError(str(error)) from None
    if pattern.m not in SPARSITY_SIZES:
        sizes = ", ".join(map(str, SPARSITY_SIZES))
        raise ValueError(f"M of a sparsity N:M must be one of {sizes}, not {pattern.m}")
    return text


MethodName = Annotated[str, AfterValidator(_check_method)]
SparsityText = Annotated[str, AfterValidator(_check_sparsity)]


class MethodUse(Schema):
    """A method; every one but dense needs a sparsity "N:M", inference may do without."""

    method: MethodName = "dense"
    sparsity: SparsityText | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if METHODS[self.method].trains and (self.method == "dense") != (self.sparsity is None):
            raise ValueError(
                f"`sparsity` must be left out for method dense, not {self.sparsity!r}"
                if self.sparsity
                else f'method {self.method} needs `sparsity`, for example "2:8"'
            )
        if self.pattern is not None and not METHODS[self.method].takes(self.pattern):
            raise ValueError(f'method {self.method} takes sparsity "2:4", not "{self.sparsity}"')
        return self

    @property
    def pattern(self) -> Pattern | None:
        """The parsed sparsity."""
        return None if self.sparsity is None else Pattern.parse(self.sparsity)


class Training(MethodUse):
    """How the network is trained; the baseline takes optimizer and loss scale too."""

    optimizer: Optimizer = "sgd-momentum"
    loss_scale: LossScaling = DEFAULT_SCALE


class _WorkloadFile(Schema):
    """A workload file as written; network and architecture are names or paths."""

    description: str = ""
    network: str
    batch: Count
    training: Training
    baseline: MethodUse | None = None
    architecture: str
    memory: MemoryModelName | None = None
    objective: ObjectiveName = "cycles"
    im2col: Im2col = "host"

    @model_validator(mode="after")
    def _check(self) -> Self:
        trains = METHODS[self.training.method].trains
        if self.baseline is not None and METHODS[self.baseline.method].trains != trains:
            kind = "a method that trains" if trains else "inference"
            raise ValueError(f"method of `baseline` must be {kind}, as that of `training`, not {self.baseline.method}")
        return self

    @property
    def against(self) -> MethodUse:
        """The baseline; by default the same without sparsity."""
        default = MethodUse() if METHODS[self.training.method].trains else MethodUse(method=self.training.method)
        return self.baseline or default


@dataclass(frozen=True, slots=True)
class Workload:
    """A validated workload.

    Attributes
    ----------
    name : str
        Stem of the file name.
    source : Path
        The file; `network` and `architecture` are relative to it.
    network, architecture : str
        Built-in name or path, for ``load_network(workload.network, relative_to=workload.source)``.
    batch : int
        Samples per iteration.
    training : Training
        Method, sparsity and optimizer of the run.
    baseline : MethodUse
        Method and sparsity of the run it is compared with.
    memory : str or None
        Memory model of both runs; None takes the one of the architecture.
    objective : str
        What schedules of both runs are chosen by: ``cycles``, ``energy`` or ``edp``, their product.
    im2col : str
        Who makes the patches of a first convolution with fewer channels than a word: ``host`` or ``machine``.
    """

    name: str
    source: Path
    network: str
    batch: int
    training: Training
    baseline: MethodUse
    architecture: str
    memory: MemoryModelName | None
    objective: ObjectiveName = "cycles"
    im2col: Im2col = "host"


def load_workload(source: str | Path) -> Workload:
    """Load and validate the workload file `source`; what it refers to is not loaded.

    Raises
    ------
    InputError
        With the file, the place in it, what is wrong and what would be right.
    """
    path = Path(source)
    file = validate(_WorkloadFile, load_yaml(path), str(path))
    return Workload(
        name=path.stem,
        source=path,
        network=file.network,
        batch=file.batch,
        training=file.training,
        baseline=file.against,
        architecture=file.architecture,
        memory=file.memory,
        objective=file.objective,
        im2col=file.im2col,
    )
