"""The dense run is not beaten by itself with the sparse run's schedules, wherever those differ and fit."""

from collections.abc import Iterator

import pytest

from gossamer_compiler import mapping as schedules
from gossamer_compiler import multiply
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.geometry import ChannelGemm
from gossamer_compiler.objective import Choice, Objective
from gossamer_compiler.tiling import fits
from gossamer_compiler.training import compile_training
from gossamer_models.architecture import Architecture, load_architecture
from gossamer_models.methods import METHODS
from gossamer_models.network import Network, load_network
from gossamer_models.program import Program
from gossamer_models.sparsity import Pattern
from gossamer_sim.executor import Simulator

MACHINE = load_architecture("vcu1525-32x32")


class Replay:
    """Schedules of FF and BP: remembers those of one run, and gives them to the next one where they fit."""

    def __init__(self) -> None:
        self.held: list[tuple[str, ChannelMapping]] = []
        self.waiting: Iterator[tuple[str, ChannelMapping]] = iter(())
        self.replayed = 0

    def record(
        self, gemm: ChannelGemm, architecture: Architecture, layer: str, objective: Objective
    ) -> Choice[ChannelMapping]:
        choice = schedules.choose_channels(gemm, architecture, layer, objective)
        self.held.append((layer, choice.mapping))
        return choice

    def replay(
        self, gemm: ChannelGemm, architecture: Architecture, layer: str, objective: Objective
    ) -> Choice[ChannelMapping]:
        own = schedules.choose_channels(gemm, architecture, layer, objective)
        name, mapping = next(self.waiting)
        assert name == layer
        if mapping == own.mapping or not fits(
            schedules._channel_demands(gemm, mapping, architecture), architecture.buffers
        ):
            return own
        self.replayed += 1
        return Choice(mapping, own.schedule)


def compiled(network: Network, batch: int, method: str, pattern: Pattern | None) -> Program:
    return compile_training(network, batch, METHODS[method], pattern, MACHINE)


@pytest.mark.parametrize(("name", "batch"), [("vgg19-32", 512), ("vit-32", 512), ("resnet18-64", 64)])
def test_no_dense_stage_is_beaten_by_the_sparse_schedule(
    name: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, replay, simulator = load_network(name), Replay(), Simulator(MACHINE)
    dense = compiled(network, batch, "dense", None)
    monkeypatch.setattr(multiply, "choose_channels", replay.record)
    compiled(network, batch, "bdwp", Pattern(2, 8))
    replay.waiting = iter(replay.held)
    monkeypatch.setattr(multiply, "choose_channels", replay.replay)
    replayed = compiled(network, batch, "dense", None)
    assert next(replay.waiting, None) is None
    assert replay.replayed, "the runs must schedule differently for this to mean anything"
    pairs = zip(dense.stages, simulator.run(dense).stages, simulator.run(replayed).stages, strict=True)
    beaten = [(stage.layer, stage.stage, own.cycles, other.cycles) for stage, own, other in pairs
              if other.cycles < own.cycles]  # fmt: skip
    assert not beaten
