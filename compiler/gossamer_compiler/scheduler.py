"""Who decides on the schedules of a convolution or linear layer: a search, or another run that made one."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from gossamer_compiler.applied import Offer
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_token_products import Epilogue
from gossamer_compiler.geometry import ChannelGemm, GradientGemm
from gossamer_compiler.gradient_tiles import GradientMapping
from gossamer_compiler.mapping import BOTH, Edges, choose_channels, given_channels, unplaced_channels
from gossamer_compiler.mapping_beside import Carrier
from gossamer_compiler.mapping_gradient import choose_gradient, given_gradient, unplaced_gradient
from gossamer_compiler.mapping_tokens import choose_product
from gossamer_compiler.objective import Choice, Objective
from gossamer_compiler.token_products import Product, ProductMapping
from gossamer_compiler.turned import TurnedMapping, choose_turned
from gossamer_models.architecture import Architecture
from gossamer_models.isa.instructions import Dataflow
from gossamer_models.program import Schedule

__all__ = ["DoesNotReplayError", "Given", "Replay", "Scheduler"]

_M = TypeVar("_M", ChannelMapping, GradientMapping)

Given = Mapping[object, Choice[Any]]
"""Schedules by the product, without its places, that they are for."""

_NONE: Given = MappingProxyType({})


class DoesNotReplayError(Exception):
    """A schedule of another run does not fit the buffers."""


class Scheduler:
    """Searches the best schedule of each product.

    Parameters
    ----------
    objective : what they are chosen by.
    given : schedules that are taken in place of a search's.
    """

    def __init__(self, architecture: Architecture, objective: Objective, given: Given = _NONE) -> None:
        self.architecture, self.objective, self._given = architecture, objective, given

    def channels(
        self, gemm: ChannelGemm, layer: str, edges: Edges = BOTH, offer: Offer | None = None
    ) -> Choice[ChannelMapping]:
        """Schedule of FF or of a phase of BP, as :func:`~gossamer_compiler.mapping.choose_channels` gives it."""
        best = choose_channels(gemm, self.architecture, layer, self.objective, edges, offer)
        return self._given.get(_product(gemm, edges, best.mapping)) or best if self._given else best

    def turned(self, gemm: ChannelGemm, layer: str, edges: Edges) -> Choice[TurnedMapping]:
        """Schedule of a phase of BP whose gradient is operand B."""
        return choose_turned(gemm, self.architecture, layer, self.objective, edges)

    def gradient(self, gemm: GradientGemm, layer: str) -> Choice[GradientMapping]:
        """Schedule of WU; raises as :func:`~gossamer_compiler.mapping_gradient.choose_gradient` does."""
        given = self._given.get(unplaced_gradient(gemm)) if self._given else None
        return given or choose_gradient(gemm, self.architecture, layer, self.objective)

    def carrier(
        self, gemm: GradientGemm, alone: Choice[GradientMapping], own: Callable[[int], Companion] | None
    ) -> Carrier:
        """WU that passes may run beside.

        Parameters
        ----------
        alone : its schedule without them.
        own : a pass of its own, as :class:`~gossamer_compiler.mapping_beside.Carrier` takes it.
        """
        product = unplaced_gradient(gemm)
        searched = product not in self._given
        return Carrier(product, alone, self.architecture, self.objective, own, searched=searched)

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

    Members
    -------
    used : schedules that products were given.
    """

    def __init__(self, searching: Scheduler, schedules: Iterable[Schedule | None]) -> None:
        super().__init__(searching.architecture, searching.objective)
        self._waiting = iter(schedules)
        self.used: dict[object, Choice[Any]] = {}

    def channels(
        self, gemm: ChannelGemm, layer: str, edges: Edges = BOTH, offer: Offer | None = None
    ) -> Choice[ChannelMapping]:
        """Schedule of FF or of a phase of BP."""
        schedule = next(self._waiting, None)
        if schedule is None:
            return super().channels(gemm, layer, edges, offer)
        mapping = _mapping(ChannelMapping, schedule)
        given = given_channels(gemm, mapping, self.architecture, self.objective, edges, offer)
        return self._fitting(_product(gemm, edges, mapping), given)

    def gradient(self, gemm: GradientGemm, layer: str) -> Choice[GradientMapping]:
        """Schedule of WU."""
        schedule = next(self._waiting, None)
        if schedule is None:
            return super().gradient(gemm, layer)
        mapping = _mapping(GradientMapping, schedule)
        given = given_gradient(gemm, mapping, self.architecture, self.objective)
        return self._fitting(unplaced_gradient(gemm), given)

    def _fitting(self, product: object, given: Choice[_M] | None) -> Choice[_M]:
        if given is None:
            raise DoesNotReplayError
        self.used[product] = given
        return given


def _product(gemm: ChannelGemm, edges: Edges, mapping: ChannelMapping) -> object:
    """What a schedule is for: where the vector engine makes inputs on their way, other tiles are the best."""
    return unplaced_channels(gemm), edges, mapping.applies


def _mapping(cls: type[_M], schedule: Schedule) -> _M:
    sizes: dict[str, Any] = dict(schedule.sizes)
    return cls(**sizes | {"dataflow": Dataflow(sizes["dataflow"])})
