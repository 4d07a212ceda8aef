"""Who decides on the schedules of a convolution or linear layer: a search, or another run that made one."""

from collections.abc import Iterable
from typing import Any, TypeVar

from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.emit_token_products import Epilogue
from gossamer_compiler.geometry import ChannelGemm, GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.mapping import BOTH, Edges, channels_fit, choose_channels
from gossamer_compiler.mapping_gradient import choose_gradient, gradient_fits
from gossamer_compiler.mapping_tokens import choose_product
from gossamer_compiler.objective import Choice, Objective
from gossamer_compiler.token_products import Product, ProductMapping
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Dataflow
from gossamer_models.program import Schedule

__all__ = ["DoesNotReplayError", "Replay", "Scheduler"]

_M = TypeVar("_M", ChannelMapping, GradientMapping)


class DoesNotReplayError(Exception):
    """A schedule of another run does not fit the buffers."""


class Scheduler:
    """Searches the best schedule of each product.

    Parameters
    ----------
    objective : what they are chosen by.
    """

    def __init__(self, architecture: Architecture, objective: Objective) -> None:
        self.architecture, self.objective = architecture, objective

    def channels(self, gemm: ChannelGemm, layer: str, edges: Edges = BOTH) -> Choice[ChannelMapping]:
        """Schedule of FF or of a phase of BP, as :func:`~gossamer_compiler.mapping.choose_channels` gives it."""
        return choose_channels(gemm, self.architecture, layer, self.objective, edges)

    def gradient(self, gemm: GradientGemm, layer: str) -> Choice[GradientMapping]:
        """Schedule of WU; raises as :func:`~gossamer_compiler.mapping_gradient.choose_gradient` does."""
        return choose_gradient(gemm, self.architecture, layer, self.objective)

    def product(self, product: Product, epilogue: Epilogue, layer: str) -> Choice[ProductMapping]:
        """Schedule of an attention's product; raises as :func:`~gossamer_compiler.mapping_tokens.choose_product`."""
        return choose_product(product, epilogue, self.architecture, layer, self.objective)


class Replay(Scheduler):
    """Gives products the schedules that another run has for products of the same sizes.

    Its methods raise :class:`DoesNotReplayError` where one does not fit.

    Parameters
    ----------
    searching : decides where there is no such schedule.
    schedules : in the order of products; None where there is none.
    """

    def __init__(self, searching: Scheduler, schedules: Iterable[Schedule | None]) -> None:
        super().__init__(searching.architecture, searching.objective)
        self._waiting = iter(schedules)

    def channels(self, gemm: ChannelGemm, layer: str, edges: Edges = BOTH) -> Choice[ChannelMapping]:
        """Schedule of FF or of a phase of BP."""
        schedule = next(self._waiting, None)
        if schedule is None:
            return super().channels(gemm, layer, edges)
        mapping = _mapping(ChannelMapping, schedule)
        return _fitting(mapping, schedule, fits=channels_fit(gemm, mapping, self.architecture))

    def gradient(self, gemm: GradientGemm, layer: str) -> Choice[GradientMapping]:
        """Schedule of WU."""
        schedule = next(self._waiting, None)
        if schedule is None:
            return super().gradient(gemm, layer)
        mapping = _mapping(GradientMapping, schedule)
        return _fitting(mapping, schedule, fits=gradient_fits(gemm, mapping, self.architecture))


def _mapping(cls: type[_M], schedule: Schedule) -> _M:
    sizes: dict[str, Any] = dict(schedule.sizes)
    return cls(**sizes | {"dataflow": Dataflow(sizes["dataflow"])})


def _fitting(mapping: _M, schedule: Schedule, *, fits: bool) -> Choice[_M]:
    if not fits:
        raise DoesNotReplayError
    return Choice(mapping, schedule)
