"""Gradients that are summed beside a weight gradient: the bits of a step are those of stages of their own."""

import dataclasses
from collections.abc import Callable, Sequence

import pytest

import gossamer_compiler.normalise
import gossamer_compiler.training
from gossamer_compiler.activations import Activation
from gossamer_compiler.carriers import Carriers, Passes, Way
from gossamer_compiler.emit_gradient import Companion
from gossamer_compiler.emit_vector import Pass
from gossamer_compiler.mapping_beside import Carrying
from gossamer_compiler.multiply import MultiplyLayer
from gossamer_compiler.normalise import BackwardPasses
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import Load, Store, Vector, VectorOp
from gossamer_models.isa.tokens import Semaphore
from gossamer_models.program import Program, StageProgram
from gossamer_models.sparsity import Pattern
from tests.system.residual import residual_network
from tests.system.test_transformer_step import vision
from tests.system.training_cases import bits, run_step

TINY = load_architecture("wide-4x4")


def step(batch: int, order: int | None = None) -> Program:
    return run_step(residual_network(), batch, "bdwp", Pattern(2, 8), TINY, 3, order).program


@pytest.mark.parametrize("batch", [8, 16])
def test_bits_of_a_step(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    together = step(batch)
    assert not [stage for stage in together.stages if stage.stage == "bp-sum"]
    carried = [stage for stage in together.stages if stage.beside]
    tokens = [
        [type(item) for item in stage.instructions for modifier in item.modifiers if modifier.value == Semaphore.STORED]
        for stage in carried
    ]
    assert [found for found in tokens if found] == [[Store, Load]] * 2

    def never(passes: BackwardPasses, statistics: Pass, sums: Sequence[Pass] = ()) -> list[Companion]:
        """Companions that no loop can be cut for."""
        return [Companion((), sums[0], share=1 << 20)] if sums else beside(passes, statistics)

    beside = gossamer_compiler.normalise.beside
    monkeypatch.setattr(gossamer_compiler.training, "beside", never)
    apart = step(batch)
    assert len([stage for stage in apart.stages if stage.stage == "bp-sum"]) == 2
    expected, got = bits(apart), bits(together)
    assert [name for name in expected if expected[name] != got[name]] == []


@pytest.mark.parametrize("order", range(4))
def test_order_of_engines_changes_no_bit(order: int) -> None:
    """What is summed is stored before the statistics load it, whichever engine runs ahead."""
    expected, got = bits(step(8)), bits(step(8, order))
    assert [name for name in expected if expected[name] != got[name]] == []


def tokens_step(order: int | None = None) -> Program:
    net = vision(16, 2, (4, 10), class_token=True, packed=True, causal=False, gated=False)
    return run_step(net, 16, "bdwp", Pattern(2, 8), TINY, 2, order).program


def test_bits_of_a_transformer_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """A residual's gradient is added behind the normalisation's, beside the same weight gradient."""
    together = tokens_step()
    assert not [stage for stage in together.stages if stage.stage == "bp-sum"]
    for name in ("norm1", "norm2"):
        carried = next(stage for stage in together.stages if stage.beside == name)
        tokens = [type(i) for i in carried.instructions for m in i.modifiers if m.value == Semaphore.STORED]
        assert tokens == [Store, Load], name
    largest = Carriers.largest

    def alone(carriers: Carriers, layer: str, ways: Sequence[Way], apart: Callable[[], list[StageProgram]]) -> Passes:
        """What a compiler does whose weight gradients carry one pass at most."""
        return largest(carriers, layer, [way for way in ways if len(way.companions) == 1], apart)

    monkeypatch.setattr(Carriers, "largest", alone)
    apart = tokens_step()
    assert [stage.layer for stage in apart.stages if stage.stage == "bp-sum"] == ["add1", "start"]
    expected, got = bits(apart), bits(together)
    assert [name for name in expected if expected[name] != got[name]] == []


@pytest.mark.slow
@pytest.mark.parametrize("order", range(4))
def test_order_of_engines_changes_no_bit_of_a_transformer_step(order: int) -> None:
    """The normalisation's gradient is stored before the sum loads it."""
    expected, got = bits(tokens_step()), bits(tokens_step(order))
    assert [name for name in expected if expected[name] != got[name]] == []


def test_bias_beside_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bias is summed beside its weights' gradient, behind a normalisation's BP and a sum of gradients."""

    def run() -> tuple[dict[str, bytes], list[int]]:
        net = vision(64, 2, (4, 8), class_token=False, packed=True, causal=False, gated=False)
        program = run_step(net, 16, "bdwp", Pattern(2, 8), load_architecture("small-8x8"), 2).program
        carried = next(stage for stage in program.stages if stage.beside == "norm1")
        return bits(program), [i.op for i in carried.instructions if isinstance(i, Vector) and i.op != VectorOp.FILL]

    together, operations = run()
    sums = operations[-1 - operations[::-1].index(VectorOp.REDUCE) :]
    assert sums == [VectorOp.REDUCE, VectorOp.DRAIN]
    assert VectorOp.DRAIN in operations[: -len(sums)]

    weight_gradient = MultiplyLayer.weight_gradient

    def unbiased(
        layer: MultiplyLayer,
        gradient: Activation,
        chain: str = "",
        carried: tuple[Sequence[Companion], Carrying] | None = None,
    ) -> StageProgram:
        """A bias is summed behind its weights' gradient, whatever runs beside that."""
        behind = carried and (carried[0], dataclasses.replace(carried[1], own=False))
        return weight_gradient(layer, gradient, chain, behind)

    monkeypatch.setattr(MultiplyLayer, "weight_gradient", unbiased)
    apart, _ = run()
    assert [name for name in apart if apart[name] != together[name]] == []
