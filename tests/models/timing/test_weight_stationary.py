"""Weight-stationary against an array stepped cycle by cycle: the bits of golden, the cycles of the formula."""

import dataclasses
import random

import numpy as np
import pytest

from gossamer_models.actions import instruction_actions
from gossamer_models.architecture import Architecture, Array, load_architecture, point_window
from gossamer_models.golden.gemm_engine import gemm
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import Dataflow, Gemm
from gossamer_models.timing.gemm import gemm_cycles
from gossamer_models.timing.weight_stationary import stationary_work
from tests.models.golden.test_gemm_engine import A_OFFSET, fill
from tests.references.gemm_instructions import random_instruction
from tests.references.stationary_array import StationaryArray

SHAPES = [(4, 4, 4, 3), (2, 4, 2, 2), (4, 2, 7, 4), (8, 2, 3, 2)]
"""Rows, columns, latencies of adder and multiplier."""


def machine_of(rows: int, columns: int, adder: int, multiplier: int) -> Architecture:
    array = Array(
        rows=rows, columns=columns, slots=8, add_latency_cycles=adder, multiply_latency_cycles=multiplier,
        dataflows=("os", "ws"), chain_slots=16,
    )  # fmt: skip
    return load_architecture("wide-4x4").model_copy(update={"array": array})


def stationary(rng: random.Random, array: Array) -> Gemm:
    g = random_instruction(rng, array, max_tiles=4, max_words=12)
    log2_li, log2_lj = rng.choice([(li, lj) for li in range(4) for lj in range(4) if li + lj <= 4])
    return dataclasses.replace(
        g, dataflow=Dataflow.WS, log2_li=log2_li, log2_lj=log2_lj, li_last=rng.randint(1, 1 << log2_li),
        a_base=g.a_base + A_OFFSET,
    )  # fmt: skip


def run(architecture: Architecture, g: Gemm, seed: int, early: tuple[int, int] = (0, 0)) -> tuple[bool, int]:
    """Whether the stepped array has golden's bits, and its cycles."""
    machine = Machine(architecture, np.zeros(64, np.uint8))
    a, b, meta, acc = fill(machine, seed)
    found = acc.copy()
    cycles = StationaryArray(architecture.array, g, a, b, meta, found, early).run()
    gemm(machine, g)
    return bool((found.view(np.uint32) == acc.view(np.uint32)).all()), cycles


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("seed", range(12))
def test_bits_and_cycles_equal_the_stepped_array(shape: tuple[int, int, int, int], seed: int) -> None:
    architecture = machine_of(*shape)
    g = stationary(random.Random(f"{shape} {seed}"), architecture.array)
    exact, cycles = run(architecture, g, seed)
    assert exact, f"seed {seed}: {g}"
    assert cycles == gemm_cycles(architecture.array, g).total, f"seed {seed}: {g}"


def test_a_cycle_less_gives_other_bits() -> None:
    """Both waits are as short as they can be: sums are read in the first cycle that shows them."""
    architecture = machine_of(2, 2, 4, 3)
    g = Gemm(
        dataflow=Dataflow.WS, entries=2, entries_last=2, chunk_words=4, r0=8, a_base=A_OFFSET, a_r0=1, b_r0=2,
        accumulate=1,
    )  # fmt: skip
    assert run(architecture, g, 1)[0]
    assert not run(architecture, g, 1, early=(1, 0))[0]
    chunks = dataclasses.replace(g, chunk_words=1)
    assert run(architecture, chunks, 1)[0]
    assert not run(architecture, chunks, 1, early=(0, 1))[0]


def test_fewer_points_beside_the_rows_give_other_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    architecture = machine_of(4, 2, 4, 3)
    g = Gemm(
        dataflow=Dataflow.WS, log2_li=2, li_last=4, entries=4, entries_last=4, chunk_words=8, r0=8, a_base=A_OFFSET,
        a_li=8, a_r0=1, b_r0=4,
    )  # fmt: skip
    assert run(architecture, g, 2)[0]
    monkeypatch.setattr("tests.references.stationary_array.point_window", lambda *_: point_window(4, 4) - 1)
    assert not run(architecture, g, 2)[0]


def test_a_full_tile_by_hand() -> None:
    """16 slots of 32 rows, 64 sets: nothing is lost but the ends."""
    array = load_architecture("vcu1525-32x32").array
    g = Gemm(dataflow=Dataflow.WS, log2_li=4, li_last=16, entries=8, entries_last=8, chunk_words=512, r0=256, j=3)
    cycles = gemm_cycles(array, g)
    assert (cycles.issue, cycles.drain) == (3 * 16 * 32 * 64, 0)
    assert cycles.overhead == 11 + 16 + 32 + (3 + 32 * 4) + 31 + 4
    few = dataclasses.replace(g, log2_li=0, li_last=1)
    assert gemm_cycles(array, few).issue + gemm_cycles(array, few).drain == 3 * (63 * 130 + 32)
    alone = dataclasses.replace(few, rows_level=0, rows_last=1)
    assert gemm_cycles(array, alone).issue == 3 * 64


@pytest.mark.parametrize("seed", range(8))
def test_actions_are_what_the_stepped_array_does(seed: int) -> None:
    architecture = machine_of(4, 4, 4, 3)
    array, g = architecture.array, stationary(random.Random(seed), architecture.array)
    machine = Machine(architecture, np.zeros(64, np.uint8))
    stepped = StationaryArray(array, g, *fill(machine, seed))
    points = [sum(map(len, each.slots)) for each in stepped.passes]
    work, actions = stationary_work(array, dataclasses.replace(g, a_base=0, b_base=0)), instruction_actions(array, g)
    assert work.passes == len(stepped.passes)
    assert work.points == sum(points)
    assert work.sums == work.points + sum(len(each.missing) for each in stepped.passes)
    assert work.entries == sum(len(each.entries) for each in stepped.passes)
    assert work.lines == stepped.lines * sum(len(each.slots) for each in stepped.passes)
    steps = sum(count * len(each.entries) for count, each in zip(points, stepped.passes, strict=True))
    assert actions.macs == steps * array.columns
    assert actions.macs + actions.null_macs == work.points * 16
    assert actions.b_read_bits == work.entries * 4 * 20
    assert actions.accumulator_read_bits == actions.accumulator_write_bits == work.sums * 4 * 32


def test_golden_refuses_what_the_array_has_not() -> None:
    machine = Machine(load_architecture("wide-4x4"), np.zeros(64, np.uint8))
    with pytest.raises(ExecutionError, match="built without the weight-stationary dataflow"):
        gemm(machine, Gemm(dataflow=Dataflow.WS, entries=8, chunk_words=1))
    machine = Machine(machine_of(4, 4, 4, 3), np.zeros(64, np.uint8))
    with pytest.raises(ExecutionError, match=r"Li x Lj must be at most 16 \(`chain_slots`\), not 8 x 4"):
        gemm(machine, Gemm(dataflow=Dataflow.WS, entries=8, chunk_words=1, log2_li=3, log2_lj=2))
