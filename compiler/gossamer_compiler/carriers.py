"""Which weight gradients the passes of BP run beside.

That is decided when all of them are known: the passes that take longest choose first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod

from gossamer_compiler.activations import Activation
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.limits import within_instructions
from gossamer_compiler.mapping_beside import Beside
from gossamer_compiler.matching import Match, Row, matched
from gossamer_compiler.multiply import MultiplyLayer
from gossamer_models.architecture import Architecture
from gossamer_models.program import StageProgram

__all__ = ["Carriers", "Passes", "Way"]


def _nothing() -> list[StageProgram]:
    return []


@dataclass(frozen=True, slots=True)
class Way:
    """A way to run passes.

    Members
    -------
    companions : those that run beside a weight gradient.
    before, behind : give the stages of the others.
    """

    companions: Sequence[Companion]
    before: Callable[[], list[StageProgram]] = _nothing
    behind: Callable[[], list[StageProgram]] = _nothing


@dataclass(frozen=True, slots=True)
class Passes:
    """Passes of a layer's BP.

    Members
    -------
    ways : to run some of them beside a weight gradient; the first one has all of them there.
    apart : gives their stages if none of them runs beside one.
    carriers : weight gradients that wait when they are to run, the first one first to be asked.
    """

    layer: str
    ways: Sequence[Way]
    apart: Callable[[], list[StageProgram]]
    carriers: Sequence[int]


class Carriers:
    """Weight gradients of a run, and the passes that wait for them."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._waiting: list[tuple[MultiplyLayer, Activation]] = []

    def add(self, layer: MultiplyLayer, gradient: Activation) -> None:
        """A layer's weight gradient may run from now on."""
        self._waiting.append((layer, gradient))

    def latest(self, layer: str, ways: Sequence[Way], apart: Callable[[], list[StageProgram]]) -> Passes:
        """Passes that rather run beside a later weight gradient."""
        return Passes(layer, ways, apart, range(len(self._waiting) - 1, -1, -1))

    def largest(self, layer: str, ways: Sequence[Way], apart: Callable[[], list[StageProgram]]) -> Passes:
        """Passes that rather run beside a larger weight gradient."""
        sizes = [prod(host.weights.shape) * gradient.pixels for host, gradient in self._waiting]
        return Passes(layer, ways, apart, sorted(range(len(sizes)), key=lambda place: (-sizes[place], -place)))

    def settle(self, planned: Iterable[StageProgram | Passes]) -> list[StageProgram]:
        """All stages in order, weight gradients that carry nothing behind the others."""
        planned = list(planned)
        found = self._match([item for item in planned if isinstance(item, Passes)])
        stages: list[StageProgram] = []
        for item in planned:
            if isinstance(item, Passes):
                with within_instructions(item.layer):
                    stages += self._stages(item, found.get(id(item)))
            else:
                stages.append(item)
        carrying = {place for place, _, _ in found.values()}
        for place, (host, gradient) in enumerate(self._waiting):
            if place not in carrying:
                with within_instructions(host.node.name):
                    stages.append(host.weight_gradient(gradient))
        return stages

    def _stages(self, passes: Passes, match: Match | None) -> list[StageProgram]:
        if match is None:
            return passes.apart()
        place, number, carrying = match
        way, (host, gradient) = passes.ways[number], self._waiting[place]
        carried = host.weight_gradient(gradient, passes.layer, (way.companions, carrying))
        return [*way.before(), carried, *way.behind()]

    def _match(self, every: Sequence[Passes]) -> dict[int, Match]:
        """Where passes run, by their identity; the others in stages of their own."""
        carriers = []
        for host, gradient in self._waiting:
            with within_instructions(host.node.name):
                carriers.append(host.carrier(gradient))
        rows = []
        for passes in every:
            with within_instructions(passes.layer):
                ways = [Beside.of(way.companions, self._architecture) for way in passes.ways]
            rows.append(Row(tuple(ways), tuple(passes.carriers)))
        return {id(passes): match for passes, match in zip(every, matched(carriers, rows), strict=True) if match}
