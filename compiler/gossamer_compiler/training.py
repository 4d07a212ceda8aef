"""Compiles one training iteration of a network: FF through the layers, BP and WU back, update."""

import dataclasses
from collections import Counter, defaultdict

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.applied import Applied
from gossamer_compiler.builder import StageBuilder, stored
from gossamer_compiler.carriers import Carriers, Passes, Way
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_tiles import added_tiles
from gossamer_compiler.emit_vector import Pass, emit_pool, pooling
from gossamer_compiler.first_patches import FirstPatches
from gossamer_compiler.found import with_clear_flag
from gossamer_compiler.graph import Chain, Graph, Loss, Multiply, Node, Pool, TokenStep, build_graph, sources_of
from gossamer_compiler.limits import LayerRangeError, within_instructions
from gossamer_compiler.loss import emit_loss
from gossamer_compiler.loss_scale import ScaleState, allocate_scale
from gossamer_compiler.multiply import MultiplyLayer
from gossamer_compiler.normalise import ChainLayer, beside
from gossamer_compiler.objective import CYCLES, Objective
from gossamer_compiler.optimizer import Hyperparameters, Optimizer
from gossamer_compiler.pieces import in_whole_pieces
from gossamer_compiler.pruned_gradients import PrunedGradients, read_by_passes, require_words
from gossamer_compiler.sampled import Sampled
from gossamer_compiler.scheduler import Given, Scheduler
from gossamer_compiler.stage_book import stage_book
from gossamer_compiler.statistics import Statistics
from gossamer_compiler.token_maps import TokensLayer
from gossamer_compiler.token_steps import StepLayer, step_layer
from gossamer_compiler.vector_stages import Passes as VectorPasses
from gossamer_compiler.weights import PruneRule
from gossamer_models.architecture import Architecture
from gossamer_models.errors import UnsupportedError
from gossamer_models.grouping import DENSE
from gossamer_models.isa.instructions import VectorFlag, VectorOp
from gossamer_models.layers import Conv2d
from gossamer_models.methods import Method, Phase
from gossamer_models.network import Network
from gossamer_models.program import MemoryImage, Program, StageProgram
from gossamer_models.sparsity import Pattern

__all__ = ["Hyperparameters", "compile_training"]

_NO_STEP = Optimizer(rate=0.0, momentum=0.0, decay=0.0, loss_scale=1.0, obeys=False)


def compile_training(
    network: Network,
    batch: int,
    method: Method,
    pattern: Pattern | None,
    architecture: Architecture,
    optimizer: str = "sgd-momentum",
    *,
    hyperparameters: Hyperparameters | None = None,
    prepare: bool = False,
    seed: int = 0,
    phase: Phase | None = None,
    objective: Objective = CYCLES,
    given: Given | None = None,
    gathers: bool = False,
) -> Program:
    """Compile one training iteration, or FF alone by a method that does not train.

    FF alone takes scale and shift of every normalisation as the first two vectors of its tensor ``NAME.norm``, where
    training leaves them; it computes no loss.

    Parameters
    ----------
    batch : samples per iteration.
    pattern : N:M of the method; None for dense.
    optimizer : ``sgd`` or ``sgd-momentum``.
    prepare : first compress freshly written masters, as later steps find them; momentum and gradients must be zero.
    seed : of unbiased pruning, if the method has it: another one for every step.
    phase : of the method's phases over a run; the last one by default.
    objective : what schedules are chosen by, product by product.
    given : schedules that are taken in place of the search's.
    gathers : the machine copies a first convolution's patches out of ``input.images``, which the host writes instead.

    Returns
    -------
    Program
        With a symbolic memory image: no byte of data is allocated.

    Raises
    ------
    DoesNotFitError
        A layer does not fit the buffers, or a stage the instruction memory.
    UnsupportedError
        A layer or the architecture is outside what the machine supports.
    """
    require_words(method, architecture)
    constants = hyperparameters or Hyperparameters()
    phase = phase or method.phases(pattern or DENSE)[-1]
    scheduler = Scheduler(architecture, objective, given or {})
    graph = build_graph(network, batch, architecture.array.group)
    copied = frozenset(layer.name for layer in network.layers if gathers and isinstance(layer, Conv2d))
    compiler = _Compiler(graph, batch, method, phase, scheduler, seed, copied)
    momentum = constants.momentum if optimizer == "sgd-momentum" else 0.0
    scale = allocate_scale(compiler.memory, constants.loss_scale) if method.trains else 1.0
    rule = Optimizer(constants.rate, momentum, constants.decay, scale, method.decay)
    try:
        found = compiler.compile(rule, prepare=prepare)
        stages = stored((in_whole_pieces(stage, architecture.memory) for stage in found), architecture)
    except LayerRangeError as error:
        if batch == 1:
            raise error.whatever_the_batch(network) from error
        # A smaller batch is a remedy only if one sample can be compiled.
        compile_training(
            network, 1, method, pattern, architecture, optimizer, phase=phase, objective=objective, gathers=gathers
        )
        raise
    return Program(network.name, architecture.name, stages, compiler.memory)


class _Compiler:
    """Walks the graph forwards, then backwards."""

    def __init__(
        self, graph: Graph, batch: int, method: Method, phase: Phase, scheduler: Scheduler, seed: int,
        copied: frozenset[str],
    ) -> None:  # fmt: skip
        self.graph, self.batch = graph, batch
        self.scheduler, self.architecture = scheduler, scheduler.architecture
        self.book = stage_book(scheduler.architecture)
        pattern = phase.pattern
        self.trains = method.trains
        self.forward = pattern if method.prunes_forward and not phase.factor else DENSE
        self.backward = pattern if method.prunes_backward else DENSE
        self.rule = PruneRule.of(method, phase)
        self.memory = MemoryImage(word=scheduler.architecture.array.group)
        self.patches = FirstPatches(copied, batch, self.memory, scheduler.architecture)
        self.tensors: dict[str, Activation] = {}
        self.gradients: dict[str, list[Activation]] = {}
        self.multiplies: dict[str, MultiplyLayer] = {}
        self.chains: dict[str, ChainLayer] = {}
        self.steps: dict[str, StepLayer] = {}
        self.given: set[str] = set()
        self.carriers = Carriers(scheduler.architecture)
        self.totals: dict[str, Activation] = {}
        self.pruned = PrunedGradients(method, pattern, seed, self.memory)
        self.readers = Counter(name for node in graph.nodes for name in sources_of(node))
        self.reading: defaultdict[str, list[Node]] = defaultdict(list)
        for node in graph.nodes:
            for name in dict.fromkeys(sources_of(node)):
                self.reading[name].append(node)

    def compile(self, rule: Optimizer, *, prepare: bool) -> list[StageProgram]:
        """All stages in order."""
        stages: list[StageProgram] = []
        for node in self.graph.nodes:
            with within_instructions(node.name):
                stages += self._forward(node, rule.loss_scale)
        if not self.trains:
            return (self._prepare() if prepare else []) + stages
        updates: list[StageProgram] = []
        backward: list[StageProgram | Passes] = []
        for node in reversed(self.graph.nodes):
            with within_instructions(node.name):
                backward += self._backward(node, updates, rule)
        stages += self.carriers.settle(backward)
        if isinstance(rule.loss_scale, ScaleState):
            updates.append(rule.loss_scale.step(self.graph.nodes[-1].name))
        return (self._prepare() if prepare else []) + with_clear_flag(stages) + updates

    def _prepare(self) -> list[StageProgram]:
        """Stages that write all copies of freshly written masters."""
        ready = [layer.update(_NO_STEP, "prepare") for layer in self.multiplies.values()]
        learnt = (layer.prepare(_NO_STEP) for layer in self.steps.values() if isinstance(layer, TokensLayer))
        return ready + [stage for stage in learnt if stage is not None]

    def _tensor(self, name: str) -> Activation:
        if name not in self.tensors:
            self.tensors[name] = allocate(self.memory, name, self.batch, *self.graph.shapes[name])
        return self.tensors[name]

    def _new_gradient(self, name: str, *, turned: bool = False) -> Activation:
        held = self.gradients.setdefault(name, [])
        suffix = f".{len(held)}" if held else ""
        shape = self.graph.shapes[name]
        held.append(allocate(self.memory, f"{name}.grad{suffix}", self.batch, *shape, turned=turned))
        return held[-1]

    def _allocate_turned(self, name: str) -> Activation:
        return allocate(self.memory, f"{name}.grad.turned", self.batch, *self.graph.shapes[name], turned=True)

    def _forward(self, node: Node, loss_scale: float | ScaleState) -> list[StageProgram]:
        if isinstance(node, Multiply):
            stage = self._multiply(node).feed_forward(self._statistics(node))
            return [*self.patches.stages.get(node.name, ()), stage]
        if isinstance(node, Chain):
            return [] if self._taken_over(node) else [self._chain(node).feed_forward(factors=self._has_factors(node))]
        if isinstance(node, TokenStep):
            sources = [self._tensor(name) for name in node.sources]
            target = self._tensor(node.output)
            layer = step_layer(node, sources, target, self.memory, self.architecture, self.scheduler)
            self.steps[node.name] = layer
            return layer.feed_forward()
        if isinstance(node, Loss) and not self.trains:
            return []
        if isinstance(node, Loss) and not node.classes:
            self._tensor(node.source)
            self._new_gradient(node.source)
            return []
        builder = StageBuilder()
        if isinstance(node, Pool):
            op = VectorOp.AVG_POOL if node.average else VectorOp.MAX_POOL
            inputs = [(0, self._tensor(node.source))]
            emit_pool(builder, pooling(node, op), inputs, self._tensor(node.output), self.architecture, node.name)
        else:
            logits = self._tensor(node.source)
            emit_loss(
                builder, node, logits, self._new_gradient(node.source), loss_scale, self.memory, self.architecture
            )
        return [builder.finish(node.name, "ff")]

    def _has_factors(self, node: Chain) -> bool:
        return not self.trains or node.name in self.given

    def _taken_over(self, node: Chain) -> bool:
        """Whether the first layer that reads a chain's output makes it on its way; its schedule is chosen here."""
        reader = next(iter(self.reading[node.output]), None)
        if not isinstance(reader, Multiply) or not (node.normalise is None or self._has_factors(node)):
            return False
        stored = self.trains or self.readers[node.output] > 1
        return self._multiply(reader, self._chain(node).applied(stored=stored)).applied is not None

    def _statistics(self, node: Multiply) -> Statistics | None:
        """Statistics that a layer can give to the one normalisation that reads its output."""
        chain = self._summing(node)
        normalisation = None if chain is None else self._chain(chain).normalisation
        if chain is None or normalisation is None:
            return None
        statistics = self.multiplies[node.name].statistics(normalisation)
        if statistics is not None:
            self.given.add(chain.name)
        return statistics

    def _summing(self, node: Multiply) -> Chain | None:
        return self.graph.normalisation_of(node.output) if self.trains else None

    def _chain(self, node: Chain) -> ChainLayer:
        if node.name not in self.chains:
            residual = None if node.residual is None else self._tensor(node.residual)
            self.chains[node.name] = ChainLayer(
                node, self._tensor(node.source), residual, self._tensor(node.output), self.memory, self.architecture,
            )  # fmt: skip
        return self.chains[node.name]

    def _multiply(self, node: Multiply, applied: Applied | None = None) -> MultiplyLayer:
        if node.name in self.multiplies:
            return self.multiplies[node.name]
        if node.patches:
            source = self.patches.source(node, self.graph.shapes[node.source])
        else:
            source = self._tensor(node.source)
        forward, backward = (DENSE, DENSE) if node.first else (self.forward, self.backward)
        layer = MultiplyLayer(
            node, source, self._tensor(node.output), forward, backward, self.memory, self.architecture,
            rule=self.rule, scheduler=self.scheduler, applied=applied, summed=self._summing(node) is not None,
        )  # fmt: skip
        self.multiplies[node.name] = layer
        return layer

    def _backward(self, node: Node, updates: list[StageProgram], rule: Optimizer) -> list[StageProgram | Passes]:
        if isinstance(node, Loss):
            return []
        sums, gradient = self._gradient(node.output)
        if isinstance(node, Chain) and not node.plain:
            carried = self._chain_backward(node, gradient, sums)
            chain = self.chains[node.name]
            update = chain.update(rule)
            updates += [update] if update else []
            return [carried]
        stages: list[StageProgram | Passes] = [*self._sum_stages(node.output, sums)]
        if isinstance(node, Multiply):
            layer = self.multiplies[node.name]
            stages += self._sample_apart(node, gradient)
            layer.sampled = self.pruned.for_gradient(node.output)
            if not node.first:
                stages += self._multiply_backward(layer, gradient)
            self.carriers.add(layer, gradient)
            updates.append(layer.update(rule))
        elif isinstance(node, TokenStep):
            step = self.steps[node.name]
            work = step.back_propagate(gradient, self._new_gradient)
            stages += [self._step_backward(node, work)] if isinstance(work, Companion) else work
            update = step.update(rule)
            updates += [update] if update else []
        elif isinstance(node, Chain):
            # Both terms take the sum's gradient as it is.
            for name in (node.source, node.residual):
                self.gradients.setdefault(str(name), []).append(gradient)
        else:
            stages.append(self._pool_backward(node, gradient))
        return stages

    def _multiply_backward(self, layer: MultiplyLayer, gradient: Activation) -> list[StageProgram]:
        """BP; where its blocks come out turned and another reader than a pass follows, a pass turns them back."""
        pruned, name = self.pruned.for_backward(layer.node.output), layer.node.source
        if pruned is None:
            layer.plan_backward(gradient, self._new_gradient(name))
            return [layer.back_propagate()]
        passed = read_by_passes(self.graph, name)
        made = self._new_gradient(name, turned=True) if passed else self._allocate_turned(name)
        layer.plan_backward(gradient, made, pruned)
        work = [] if passed else [Pass(VectorOp.APPLY, VectorFlag(0), {0: made}, (self._new_gradient(name),))]
        turns = [self.book.stage(VectorPasses((Companion((), one),)), layer.node.name, "bp-turn") for one in work]
        return [layer.back_propagate(), *turns]

    def _step_backward(self, node: TokenStep, work: Companion) -> Passes:
        """A step's only pass, and behind it the sums of its input's gradients if this was the last of them."""
        name, sums = node.sources[0], list[Pass]()
        made_by = next((layer for layer in self.multiplies.values() if layer.node.output == name), None)
        ways = [Way([work], behind=lambda: self._sum_stages(name, sums))]
        if made_by is None and len(self.gradients[name]) >= max(2, self.readers[name]):
            sums, self.totals[name] = self._gradient(name)
            tiles = [
                dataclasses.replace(added_tiles(p), gives_stored=p is not sums[-1], waits_stored=True) for p in sums
            ]
            chained = dataclasses.replace(work, work=dataclasses.replace(work.work, gives_stored=True))
            ways.insert(0, Way([chained, *(Companion((), tile) for tile in tiles)]))

        def apart() -> list[StageProgram]:
            return [self._alone(node.name, work), *self._sum_stages(name, sums)]

        return self.carriers.largest(node.name, ways, apart)

    def _alone(self, name: str, companion: Companion) -> StageProgram:
        return self.book.stage(VectorPasses((companion,)), name, "bp")

    def _sample(self, name: str, gradient: Activation) -> Sampled | None:
        """Entries of the complete gradient of a tensor, if the layer that made it is to read entries."""
        made_by = next((layer for layer in self.multiplies.values() if layer.node.output == name), None)
        return self.pruned.new(name, gradient, None if made_by is None else made_by.node)

    def _sample_apart(self, node: Multiply, gradient: Activation) -> list[StageProgram]:
        """Prune a gradient in a pass of its own where the stage that made it does not."""
        sampled = None if node.output in self.pruned else self._sample(node.output, gradient)
        if sampled is None:
            return []
        work = Companion((), Pass(VectorOp.APPLY, VectorFlag(0), {0: gradient}, sampled=sampled))
        return [self.book.stage(VectorPasses((work,)), node.name, "prune")]

    def _chain_backward(self, node: Chain, gradient: Activation, sums: list[Pass]) -> Passes:
        source_gradient = self._new_gradient(node.source)
        residual_gradient = None
        if node.residual is not None:
            if node.relu:
                residual_gradient = self._new_gradient(node.residual)
            else:
                self.gradients.setdefault(node.residual, []).append(gradient)
        chain = self.chains[node.name]
        sampled = self._sample(node.source, source_gradient) if self.readers[node.source] == 1 else None
        passes = chain.backward_passes(gradient, source_gradient, residual_gradient, sampled)

        def summed() -> list[StageProgram]:
            return self._sum_stages(node.output, sums)

        ways = []
        if passes.sums is not None:
            ways = [Way(beside(passes, passes.sums, sums))]
            ways += [Way(beside(passes, passes.sums), before=summed)] if sums else []
        return self.carriers.latest(node.name, ways, lambda: [*summed(), chain.back_propagate(passes)])

    def _pool_backward(self, node: Pool, gradient: Activation) -> StageProgram:
        builder = StageBuilder()
        op = VectorOp.AVG_POOL_GRADIENT if node.average else VectorOp.MAX_POOL_GRADIENT
        inputs = [(0, gradient)] if node.average else [(0, self._tensor(node.source)), (1, gradient)]
        target = self._new_gradient(node.source)
        emit_pool(builder, pooling(node, op), inputs, target, self.architecture, node.name)
        return builder.finish(node.name, "bp")

    def _gradient(self, name: str) -> tuple[list[Pass], Activation]:
        """Gradient of a tensor; several readers' gradients are added first, in the order they were made."""
        if name in self.totals:
            return [], self.totals[name]
        parts = tuple(self.gradients.get(name, ()))  # those of its readers; sums join the list
        if not parts:
            raise UnsupportedError(f"the output of layer {name!r} is used by nothing", "a path to the loss")
        passes: list[Pass] = []
        total = parts[0]
        for part in parts[1:]:
            result = self._new_gradient(name)
            sampled = self._sample(name, result) if len(passes) == len(parts) - 2 else None
            passes.append(Pass(VectorOp.APPLY, VectorFlag.RESIDUAL, {0: total, 1: part}, (result,), sampled=sampled))
            total = result
        return passes, total

    def _sum_stages(self, name: str, sums: list[Pass]) -> list[StageProgram]:
        """Stages of their own for the sums of a tensor's gradients."""
        names = ["bp-sum", *(f"bp-sum-{number}" for number in range(2, len(sums) + 1))]
        works = (VectorPasses((Companion((), work),)) for work in sums)
        return [self.book.stage(work, name, stage) for work, stage in zip(works, names, strict=False)]
