"""A second device for PyTorch, without a GPU: it computes what the CPU computes, and refuses tensors from elsewhere.

As with a GPU, its numbers are reached by `item` and `numpy(force=True)` alone; unlike one, it refuses scalars and
indices of the CPU as well. What real GPUs have no kernel for is not seen by it.
"""

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from gossamer.field_fit import FitSettings, Fitted, computing_on, fit
from gossamer_models.render.views import Views

__all__ = ["KNOWN", "fit_elsewhere"]

KNOWN = hasattr(backend_registration, "_setup_privateuseone_for_python_backend")
"""Whether this PyTorch lets devices be made in Python."""

_NAME = "elsewhere"
_COPIES = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
_BOX = (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)


def fit_elsewhere(views: Views, settings: FitSettings) -> tuple[Fitted, list[str]]:
    """Return what `fit` makes on the other device of views of the box [-1, 1]^3, and what it says.

    In a process of its own: PyTorch's gradients know the devices that were there when the first was computed.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(_fit, views, settings).result()


def _fit(views: Views, settings: FitSettings) -> tuple[Fitted, list[str]]:
    notes: list[str] = []
    with _other_device(), computing_on(_NAME):
        if torch.zeros(1).device.type != _NAME:
            raise RuntimeError(f"tensors are not made on {_NAME}")
        return fit(views, "elsewhere", *_BOX, settings, notes.append), notes


@contextmanager
def _other_device() -> Iterator[None]:
    """Let tensors be made on the device."""
    torch.set_num_threads(1)
    backend_registration._setup_privateuseone_for_python_backend(_NAME)
    # `torch.tensor` makes a tensor of a list below all modes.
    kernels = torch.library.Library("aten", "IMPL")
    kernels.impl("empty_strided", _empty, "PrivateUse1")
    kernels.impl("_copy_from", _copy, "PrivateUse1")
    with _OtherDevice():
        yield


class _Elsewhere(torch.Tensor):
    """A tensor of the device, beside the CPU's that holds its numbers."""

    content: Any

    @staticmethod
    def __new__(cls, content: Any) -> "_Elsewhere":
        found = torch.Tensor._make_wrapper_subclass(
            cls,
            content.shape,
            strides=content.stride(),
            storage_offset=content.storage_offset(),
            dtype=content.dtype,
            device=torch.device(_NAME, 0),
        )
        found.content = content
        return found

    @classmethod
    def __torch_dispatch__(cls, operation: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(operation, args, kwargs or {})

    def numpy(self, *, force: bool = False) -> Any:
        if not force:
            raise TypeError(f"a tensor on {_NAME} must be copied to the CPU first")
        return self.content.numpy(force=True)


def _compute(operation: Any, args: Any, kwargs: Any) -> Any:
    """Compute on the CPU, for tensors of both devices."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    places = {tensor.device.type for tensor in tensors}
    if len(places) > 1 and operation not in _COPIES:
        raise RuntimeError(f"{operation} has tensors on {' and '.join(sorted(places))}")
    wanted = kwargs.get("device")
    elsewhere = wanted.type == _NAME if wanted is not None else _NAME in places

    def content(part: Any) -> Any:
        if isinstance(part, torch.device):
            return torch.device("cpu")
        return part.content if isinstance(part, _Elsewhere) else part

    found = operation(*tree_map(content, args), **tree_map(content, kwargs))
    # Operations in place return the tensor that they were given.
    given = {id(tensor.content): tensor for tensor in tensors if isinstance(tensor, _Elsewhere)}

    def wrapped(part: Any) -> Any:
        if not isinstance(part, torch.Tensor):
            return part
        return given[id(part)] if id(part) in given else _Elsewhere(part)

    return tree_map(wrapped, found) if elsewhere else found


class _OtherDevice(TorchDispatchMode):
    """While it is entered, tensors are made by `_compute`."""

    def __torch_dispatch__(self, operation: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(operation, args, kwargs or {})


def _empty(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> _Elsewhere:
    return _Elsewhere(torch.empty_strided(size, stride, dtype=dtype, device="cpu"))


def _copy(source: Any, target: Any, _: bool = False) -> Any:
    target.content.copy_(source)
    return target
