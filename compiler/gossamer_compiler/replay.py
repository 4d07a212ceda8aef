"""Stages of one run with the schedules of another one: what a comparison of both must not be blind to."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.applied import Applied
from gossamer_compiler.graph import Chain, Graph, Multiply, build_graph, sources_of
from gossamer_compiler.multiply import MultiplyLayer
from gossamer_compiler.normalise import ChainLayer
from gossamer_compiler.objective import Objective
from gossamer_compiler.sampled import allocate_sampled
from gossamer_compiler.scheduler import DoesNotReplayError, Given, Replay, Scheduler
from gossamer_compiler.weights import PruneRule
from gossamer_models.architecture import Architecture
from gossamer_models.grouping import DENSE
from gossamer_models.network import Network
from gossamer_models.program import MemoryImage, Program, Schedule, StageProgram
from gossamer_models.sparsity import Pattern

__all__ = ["Replayed", "replays"]

_APPLIES: Final = "applies"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A stage alone, without statistics and without another layer's passes.

    Members
    -------
    own : with its run's schedules.
    other : with the other run's; None if they do not fit.
    given : those schedules, by product.
    """

    own: StageProgram
    other: StageProgram | None
    given: Given


def replays(
    network: Network,
    batch: int,
    architecture: Architecture,
    objective: Objective,
    own: Program,
    other: Program,
) -> Iterator[Replayed]:
    """FF, BP and WU of one run that the other run schedules differently, those of equal sizes once.

    Attention is left out: its products are the same in all runs, and so are their schedules.

    Parameters
    ----------
    own, other : of the same network, batch and machine, scheduled by the same objective.
    """
    graph = build_graph(network, batch, architecture.array.group)
    nodes = {node.name: node for node in graph.nodes if isinstance(node, Multiply)}
    theirs = {(stage.layer, stage.stage): stage.schedules for stage in other.stages}
    trains = any(stage.stage == "wu" for stage in own.stages)
    readers = Counter(name for node in graph.nodes for name in sources_of(node))
    known: set[object] = set()
    scheduler = Scheduler(architecture, objective)
    for stage in own.stages:
        schedules = _applying(theirs.get((stage.layer, stage.stage), ()), stage.schedules)
        if stage.layer not in nodes or not schedules or _sizes(stage.schedules) == _sizes(schedules):
            continue
        if _kind(stage.schedules) != _kind(schedules):
            continue  # one of them computes BP turned
        node = nodes[stage.layer]
        shape = dataclasses.replace(node, name="", source="", output="")
        summed = trains and graph.normalisation_of(node.output) is not None
        stored = trains or readers[node.source] > 1
        patches = own.memory.tensors.get(f"{node.name}.patches")
        turned = patches is not None and patches.layout == "turned"
        sizes = _sizes(stage.schedules), _sizes(schedules)
        key = shape, graph.shapes[node.source], stage.stage, stage.sparsity, summed, stored, turned, sizes
        if key not in known:
            known.add(key)
            alone = partial(_stage, graph, node, batch, stage, summed=summed, stored=stored, turned=turned)
            replay = _replay(scheduler, stage, schedules)
            yield Replayed(alone(_replay(scheduler, stage, stage.schedules)), _replayed(alone, replay), replay.used)


def _applying(schedules: tuple[Schedule, ...], own: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
    """The other run's schedules, inputs made on their way where the own run makes them so."""
    wanted = dict(own[0].sizes).get(_APPLIES) if own else None
    if wanted is None:
        return schedules
    return tuple(
        dataclasses.replace(one, sizes=tuple((dict(one.sizes) | {_APPLIES: wanted}).items())) for one in schedules
    )


def _kind(schedules: tuple[Schedule, ...]) -> list[str]:
    return [name for name, _ in schedules[0].sizes] if schedules else []


def _sizes(schedules: tuple[Schedule, ...]) -> tuple[tuple[tuple[str, int], ...], ...]:
    return tuple(schedule.sizes for schedule in schedules)


def _replay(scheduler: Scheduler, stage: StageProgram, schedules: tuple[Schedule, ...]) -> Replay:
    """A layer's FF is scheduled in any case, with its own schedule unless it is what is replayed."""
    return Replay(scheduler, schedules if stage.stage == "ff" else (None, *schedules))


def _replayed(alone: Callable[[Replay], StageProgram], replay: Replay) -> StageProgram | None:
    try:
        return alone(replay)
    except DoesNotReplayError:
        return None


def _applied(
    graph: Graph, target: Activation, name: str, memory: MemoryImage, architecture: Architecture, *, stored: bool
) -> Applied | None:
    """What a layer's input can be made of on its way, if a chain makes it; ``stored`` as well, or not."""
    chain = next((node for node in graph.nodes if isinstance(node, Chain) and node.output == name), None)
    if chain is None:
        return None
    source, *residual = (allocate(memory, read, target.batch, *chain.shape) for read in sources_of(chain))
    return ChainLayer(chain, source, next(iter(residual), None), target, memory, architecture).applied(stored=stored)


def _stage(
    graph: Graph,
    node: Multiply,
    batch: int,
    stage: StageProgram,
    scheduler: Replay,
    *,
    summed: bool,
    stored: bool,
    turned: bool,
) -> StageProgram:
    """FF, BP or WU of a layer alone with given schedules."""
    memory = MemoryImage(word=scheduler.architecture.array.group)
    pattern = DENSE if stage.sparsity == "dense" else Pattern.parse(stage.sparsity)
    shape = node.in_shape if node.patches else graph.shapes[node.source]
    source = allocate(memory, "source", batch, *shape, turned=turned)
    target = allocate(memory, "target", batch, *graph.shapes[node.output])
    kept = DENSE if stage.stage == "wu" else pattern
    applied = None
    if stage.stage == "ff":
        applied = _applied(graph, source, node.source, memory, scheduler.architecture, stored=stored)
    layer = MultiplyLayer(
        node, source, target, kept, kept, memory, scheduler.architecture, rule=PruneRule(), scheduler=scheduler,
        applied=applied, summed=summed,
    )  # fmt: skip
    if stage.stage == "ff":
        return layer.feed_forward()
    if stage.stage == "bp":
        layer.plan_backward(target, source)
        return layer.back_propagate()
    if not pattern.is_dense:
        layer.sampled = allocate_sampled(memory, "sampled", target, pattern, seed=0)
    return layer.weight_gradient(target)
