"""Weight gradients and passes beside them: predicted together, no schedule and no place is better."""

import dataclasses

import pytest

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.emit_gradient import Companion, companionable
from gossamer_compiler.emit_vector import Pass
from gossamer_compiler.families import members
from gossamer_compiler.geometry import GradientGemm, Window
from gossamer_compiler.gradient_tiles import GradientMapping, loops_of
from gossamer_compiler.mapping_beside import Beside, Carrier, Carrying
from gossamer_compiler.mapping_gradient import (
    _gradient_demands,
    _gradient_families,
    _storable,
    choose_gradient,
    keys_beside,
    unplaced_gradient,
)
from gossamer_compiler.matching import Row, matched
from gossamer_compiler.objective import CANDIDATES, Objective, objective_of
from gossamer_compiler.tiling import fits
from gossamer_models.architecture import load_architecture
from gossamer_models.isa.instructions import VectorFlag, VectorOp
from gossamer_models.objectives import OBJECTIVES, ObjectiveName
from gossamer_models.program import MemoryImage

MACHINE = load_architecture("vcu1525-32x32")


def tensor(channels: int, size: int, batch: int) -> Activation:
    return allocate(MemoryImage(), "map", batch, channels, size, size)


def product(c_in: int, c_out: int, size: int, batch: int) -> GradientGemm:
    target = MemoryImage().allocate("gradient", 4 * c_in * c_out, "weights", (c_out, c_in, 1, 1))
    window = Window((1, 1), (1, 1), (0, 0))
    return unplaced_gradient(GradientGemm(tensor(c_in, size, batch), tensor(c_out, size, batch), target, window))


def passes(channels: int, size: int, batch: int) -> Beside:
    """What a normalisation's BP takes: its sums, then its gradient."""
    maps = dict(enumerate(tensor(channels, size, batch) for _ in range(3)))
    flags = VectorFlag.MASK | VectorFlag.PRODUCT | VectorFlag.ACCUMULATE
    work = [
        Pass(VectorOp.REDUCE, flags, maps),
        Pass(VectorOp.GRADIENT, VectorFlag.MASK | VectorFlag.AFFINE, maps, (maps[0],)),
    ]
    found = Beside.of([Companion((), each) for each in work], MACHINE)
    assert found is not None
    return found


def carrier(gemm: GradientGemm, objective: Objective) -> Carrier:
    alone = choose_gradient(gemm, MACHINE, "layer", objective)
    return Carrier(gemm, alone, MACHINE, objective, None, searched=True)


# 192 to 32 channels as in MobileNetV2, whose best schedule alone has three blocks of input channels: no pass over
# 2**7 * 7**2 pixels of eight samples can be spread over those.
CASES = [((192, 32, 28, 64), (192, 28, 64)), ((96, 96, 14, 16), (320, 28, 16)), ((576, 96, 14, 64), (576, 14, 64))]


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(("sizes", "maps"), CASES)
def test_no_schedule_is_better_together(
    name: ObjectiveName, sizes: tuple[int, int, int, int], maps: tuple[int, int, int]
) -> None:
    gemm, beside, objective = product(*sizes), passes(*maps), objective_of(name, MACHINE, "ddr4")

    def usable(mapping: GradientMapping) -> bool:
        fitting = fits(_gradient_demands(gemm, mapping, MACHINE), MACHINE.buffers)
        spread = companionable(loops_of(gemm, mapping, MACHINE.array), MACHINE, beside.companions)
        return fitting and spread and _storable(gemm, mapping, MACHINE.array)

    every = [mapping for family in _gradient_families(gemm, MACHINE) for mapping in members(family)]
    found = [keys_beside(gemm, each, MACHINE, objective, beside.burdens, ()) for each in every if usable(each)]
    alone = choose_gradient(gemm, MACHINE, "layer", objective)
    apart = keys_beside(gemm, alone.mapping, MACHINE, objective, (), beside.burdens)
    chosen = carrier(gemm, objective).beside(beside, searched=True)
    if chosen is None:
        assert not usable(alone.mapping)
        assert min(found, default=apart) >= apart
    else:
        assert keys_beside(gemm, chosen.choice.mapping, MACHINE, objective, beside.burdens, ()) == min(found)
        assert chosen.choice.schedule.examined == len(every)


def test_a_pass_that_the_best_schedule_alone_has_no_room_for() -> None:
    gemm, beside = product(*CASES[0][0]), passes(*CASES[0][1])
    host = carrier(gemm, Objective())
    assert host.beside(beside, searched=False) is None
    chosen = host.beside(beside, searched=True)
    assert chosen is not None
    assert 0 < chosen.cycles < beside.apart


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize(("sizes", "maps"), CASES[::2])
def test_more_candidates_never_hurt(
    name: ObjectiveName, sizes: tuple[int, int, int, int], maps: tuple[int, int, int]
) -> None:
    gemm, beside, objective = product(*sizes), passes(*maps), objective_of(name, MACHINE, "ddr4")
    found = []
    for candidates in (8, 32, 128, 512, CANDIDATES):
        limited = dataclasses.replace(objective, candidates=candidates)
        alone = choose_gradient(gemm, MACHINE, "layer", limited)
        chosen = carrier(gemm, limited).beside(beside, searched=True)
        sides = (alone, (), beside.burdens) if chosen is None else (chosen.choice, beside.burdens, ())
        found.append(keys_beside(gemm, sides[0].mapping, MACHINE, limited, *sides[1:]))
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


class Priced(Carrier):
    """Takes cycles from a table, by the passes' own."""

    def __init__(self, gemm: GradientGemm, table: dict[int, int]) -> None:
        super().__init__(gemm, choose_gradient(gemm, MACHINE, "layer", Objective()), MACHINE, Objective(), None,
                         searched=False)  # fmt: skip
        self.table = table
        self.alike = (*self.alike, tuple(table.items()))  # type: ignore[assignment]

    def beside(self, passes: Beside, *, searched: bool) -> Carrying | None:
        cycles = self.table.get(passes.apart)
        return None if cycles is None else Carrying(self._alone, True, cycles)


def test_passes_make_room_for_each_other() -> None:
    """What comes first leaves the only place that another one has, although it is the latest."""
    small, large = passes(64, 8, 16), passes(64, 16, 16)
    gemm = product(64, 64, 8, 16)
    both, one = Priced(gemm, {small.apart: 0, large.apart: 0}), Priced(gemm, {small.apart: 100})
    rows = [Row((small,), (1, 0)), Row((large,), (1, 0))]
    assert [found and found[0] for found in matched([one, both], rows)] == [0, 1]
    assert [found and found[0] for found in matched([both], [Row((small,), (0,)), Row((large,), (0,))])] == [None, 0]
