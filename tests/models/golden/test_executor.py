"""Execution by tokens: order of engines, deadlock, stages, observers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gossamer_models.architecture import Architecture
from gossamer_models.golden.executor import Step, run
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import (
    Dim,
    EndLoop,
    Gemm,
    Instruction,
    Load,
    Loop,
    Prune,
    Stage,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.loops import first, last, step
from gossamer_models.isa.tokens import Advance, Buffer, Engine, Semaphore
from gossamer_models.program import MemoryImage, Program, StageProgram

ROUNDS = 6
ELEMENTS = 64
BYTES = 2 * ELEMENTS
S = Semaphore


def memory() -> MemoryImage:
    image = MemoryImage()
    for name in ("x", "y"):
        image.allocate(name, ROUNDS * BYTES, "raw", (ROUNDS * ELEMENTS,))
    image.fill()
    assert image.data is not None
    image.data[: ROUNDS * BYTES].view(np.float16)[:] = np.random.default_rng(0).normal(0, 1, ROUNDS * ELEMENTS)
    return image


def program(stages: Sequence[StageProgram], image: MemoryImage | None = None) -> Program:
    return Program("test", "wide-4x4", tuple(stages), memory() if image is None else image)


def stage(*instructions: Instruction, credits_: Sequence[tuple[Semaphore, int]] = ()) -> StageProgram:
    return StageProgram("layer", "ff", instructions, tuple(credits_))


def row(**fields: Any) -> dict[str, Any]:
    return {"dims": (Dim(count=ELEMENTS, mem_stride=2, buf_stride=2),), **fields}


def doubling(x: int, y: int, vector_wait: int = S.VIN_FULL | S.VOUT_FREE) -> StageProgram:
    """y = x + x in ROUNDS tiles, both vector buffers double-buffered."""
    address = {"x": step(Load, "mem_base", 0, BYTES), "y": step(Store, "mem_base", 0, BYTES)}
    return stage(
        Loop(level=0, count=ROUNDS),
        Load(
            **row(buffer=Buffer.VIN, mem_base=x, modifiers=(address["x"],)),
            wait=S.VIN_FREE, signal=S.VIN_FULL, advance=Advance.VIN,
        ),
        Vector(
            op=VectorOp.APPLY, flags=VectorFlag.RESIDUAL, count=ELEMENTS,
            wait=vector_wait, signal=S.VIN_FREE | S.VOUT_FULL, advance=Advance.VIN | Advance.VOUT,
        ),
        Store(
            **row(buffer=Buffer.VOUT, mem_base=y, modifiers=(address["y"],)),
            wait=S.VOUT_FULL, signal=S.VOUT_FREE, advance=Advance.VOUT,
        ),
        EndLoop(level=0),
        credits_=((S.VIN_FREE, 2), (S.VOUT_FREE, 2)),
    )  # fmt: skip


def outcome(architecture: Architecture, seed: int | None, **changes: int) -> tuple[Any, Any]:
    """Bytes of x, doubled, and of y after a run."""
    image = memory()
    stages = [doubling(image.tensors["x"].address, image.tensors["y"].address, **changes)]
    result = run(program(stages, image), architecture, seed=seed)
    return (2 * result.raw("x").view(np.float16)).view(np.uint8), result.raw("y")


@pytest.mark.parametrize("seed", [None, *range(30)])
def test_any_order_that_tokens_allow_gives_the_same_bits(architecture: Architecture, seed: int | None) -> None:
    expected, got = outcome(architecture, seed)
    np.testing.assert_array_equal(got, expected, f"seed {seed}")


def test_the_shuffle_finds_a_missing_token(architecture: Architecture) -> None:
    """Without waiting for VOUT_FREE, some order overwrites a tile that is not stored yet."""
    wrong = [seed for seed in range(30) if np.not_equal(*outcome(architecture, seed, vector_wait=S.VIN_FULL)).any()]
    assert wrong


def test_a_missing_token_reads_an_empty_half(architecture: Architecture) -> None:
    with pytest.raises(ExecutionError, match=r"VECTOR\): reads byte 0 of half 0 of VIN, which nothing has written"):
        outcome(architecture, None, vector_wait=S.VOUT_FREE)


def test_instructions_are_counted(architecture: Architecture) -> None:
    result = run(program([doubling(0, 4096)]), architecture)
    expected = dict.fromkeys((Engine.LOAD, Engine.VECTOR, Engine.STORE), ROUNDS) | {Engine.GEMM: 0, Engine.PRUNE: 0}
    assert result.stages[0].instructions == expected
    assert (result.executor, result.stages[0].layer, result.stages[0].cycles) == ("golden", "layer", None)


def test_deadlock_names_who_waits_for_what(architecture: Architecture) -> None:
    waiting = stage(
        Load(**row(buffer=Buffer.VIN), wait=S.VIN_FREE | S.STORED, signal=S.VIN_FULL),
        Vector(op=VectorOp.APPLY, count=1, wait=S.VIN_FULL),
        credits_=((S.VIN_FREE, 1),),
    )
    with pytest.raises(ExecutionError) as caught:
        run(program([waiting]), architecture)
    assert str(caught.value) == (
        "stage 0 (layer ff): deadlock: LOAD instruction 0 (LOAD) waits for STORED;"
        " VECTOR instruction 1 (VECTOR) waits for VIN_FULL"
    )


def test_tokens_left_by_a_stage_do_not_pass_the_barrier(architecture: Architecture) -> None:
    giving = stage(Load(**row(buffer=Buffer.VIN), signal=S.VIN_FULL))
    taking = stage(Vector(op=VectorOp.FILL, wait=S.VIN_FULL))
    with pytest.raises(ExecutionError, match=r"stage 1 \(layer ff\): deadlock"):
        run(program([giving, taking]), architecture)


def test_halves_start_at_zero_and_empty(architecture: Architecture) -> None:
    filling = stage(Vector(op=VectorOp.FILL, count=4, advance=Advance.VOUT))
    storing = stage(Store(**row(buffer=Buffer.VOUT)))
    run(program([filling, filling]), architecture)
    with pytest.raises(ExecutionError, match=r"stage 1 .*reads byte 0 of half 0 of VOUT"):
        run(program([filling, storing]), architecture)


def test_a_stage_leaves_no_half_pointer_behind(architecture: Architecture) -> None:
    odd = stage(Vector(op=VectorOp.FILL, count=4, advance=Advance.VOUT))
    passing = stage(
        Vector(op=VectorOp.FILL, count=ELEMENTS, signal=S.VOUT_FULL), Store(**row(buffer=Buffer.VOUT), wait=S.VOUT_FULL)
    )
    run(program([odd, passing]), architecture)


def test_parameters_stay_from_stage_to_stage(architecture: Architecture) -> None:
    image = memory()
    loading = stage(Load(buffer=Buffer.PRM, format=1, dims=(Dim(4, 4, 4),)))
    storing = stage(Store(buffer=Buffer.PRM, format=1, mem_base=4096, dims=(Dim(4, 4, 4),)))
    result = run(program([loading, storing], image), architecture)
    assert result.raw("y")[:16].tolist() == result.raw("x")[:16].tolist()


def weights(store_wait: int) -> StageProgram:
    """Two tiles of weights, zeros and x, that both store and prune read from VOUT, and the pruned ones from PRN."""
    prune: dict[str, Any] = {
        "keep": 1,
        "of": 8,
        "valid": 8,
        "metadata": 64,
        "wait": S.WEIGHT_FULL,
        "signal": S.PRN_FULL,
    }
    entries = (Dim(count=8, mem_stride=2, buf_stride=2),)
    return stage(
        Load(**row(buffer=Buffer.VIN), signal=S.VIN_FULL),
        Vector(
            op=VectorOp.FILL, count=ELEMENTS, advance=Advance.VOUT, wait=S.VIN_FULL, signal=S.VOUT_FULL | S.WEIGHT_FULL
        ),
        Vector(op=VectorOp.APPLY, count=ELEMENTS, signal=S.VOUT_FULL | S.WEIGHT_FULL),
        Prune(**prune, advance=Advance.VOUT | Advance.PRN),
        Prune(**prune),
        Store(buffer=Buffer.PRN, mem_base=4096, dims=entries, wait=S.PRN_FULL, advance=Advance.PRN),
        Store(buffer=Buffer.PRN, mem_base=4096 + BYTES, dims=entries, wait=S.PRN_FULL),
        Store(**row(buffer=Buffer.VOUT, mem_base=4096 + 2 * BYTES), wait=S.VOUT_FULL, advance=Advance.VOUT),
        Store(**row(buffer=Buffer.VOUT, mem_base=4096 + 3 * BYTES), wait=store_wait),
    )  # fmt: skip


def test_each_engine_counts_its_own_halves(architecture: Architecture) -> None:
    result = run(program([weights(S.VOUT_FULL)]), architecture)
    x, y = (result.raw(name).view(np.float16) for name in "xy")
    blocks = x[:ELEMENTS].reshape(8, 8)
    largest = blocks[np.abs(blocks).argmax(axis=0), np.arange(8)]
    pruned, stored = y[: 4 * ELEMENTS].reshape(2, 2, ELEMENTS)
    assert not pruned[0, :8].any()
    assert pruned[1, :8].tolist() == largest.tolist()
    assert not stored[0].any()
    assert stored[1].tolist() == x[:ELEMENTS].tolist()


def test_gemm_modifiers_accumulate_over_a_loop(architecture: Architecture) -> None:
    """Ones times ones, one word of 8 entries in each of 3 rounds, all the way from DRAM to DRAM."""
    image = memory()
    assert image.data is not None
    image.data[:BYTES].view(np.float16)[:] = 1
    columns = Dim(count=4 * 4, buf_stride=2)  # Lj columns of each of four banks
    lanes = Dim(count=8, buf_stride=2 * 4 * 4)
    body = stage(
        Loop(level=0, count=3),
        Load(
            buffer=Buffer.A, dims=(Dim(count=4 * 8, mem_stride=2, buf_stride=2),),
            wait=S.A_FREE, signal=S.A_FULL, advance=Advance.A,
        ),
        Load(buffer=Buffer.B, index_dim=1, dims=(columns, lanes), wait=S.B_FREE, signal=S.B_FULL, advance=Advance.B),
        Gemm(
            log2_lj=2, entries=8, chunk_words=1, accumulate=1, wait=S.A_FULL | S.B_FULL, signal=S.A_FREE | S.B_FREE,
            advance=Advance.A | Advance.B,
            modifiers=(first(Gemm, "accumulate", [0], 0), last(Gemm, "signal", [0], S.ACC_FULL)),
        ),
        EndLoop(level=0),
        Vector(op=VectorOp.DRAIN, count=ELEMENTS, wait=S.ACC_FULL, signal=S.VOUT_FULL),
        Store(**row(buffer=Buffer.VOUT, mem_base=4096), wait=S.VOUT_FULL),
        credits_=((S.A_FREE, 2), (S.B_FREE, 2)),
    )  # fmt: skip
    result = run(program([body], image), architecture, seed=1)
    assert result.raw("y")[:BYTES].view(np.float16).tolist() == [24.0] * ELEMENTS


def test_only_the_stages_asked_for_run(architecture: Architecture) -> None:
    stages = [doubling(0, 4096) for _ in range(3)]
    seen: list[Step] = []
    result = run(program(stages), architecture, stages=slice(1, 3), observer=seen.append)
    assert len(result.stages) == 2
    assert {moment.stage for moment in seen} == {1, 2}


def test_observers_see_before_and_after(architecture: Architecture) -> None:
    seen: list[tuple[int, bool, int]] = []

    def observe(moment: Step) -> None:
        if isinstance(moment.instruction, Store):
            seen.append((moment.position, moment.finished, int(moment.machine.memory[4096:].any())))

    run(program([doubling(0, 4096)]), architecture, observer=observe)
    assert seen[:2] == [(2, False, 0), (2, True, 1)]
    assert [position for position, *_ in seen[::2]] == [3 * n + 2 for n in range(ROUNDS)]


def test_a_queue_in_front_of_a_long_loop_stays_short(architecture: Architecture) -> None:
    """A loop of a billion instructions that deadlocks is found out at once."""
    endless = stage(Loop(level=0, count=10**9), Load(**row(buffer=Buffer.VIN), wait=S.VIN_FREE), EndLoop(level=0))
    with pytest.raises(ExecutionError, match="deadlock: LOAD instruction 0"):
        run(program([endless]), architecture)


@pytest.mark.parametrize(
    ("instructions", "message"),
    [
        (
            [Load(buffer=Buffer.VIN, mem_base=1 << 20)],
            r"^stage 0 \(layer ff\), instruction 0 \(LOAD\): elements 524288",
        ),
        ([Vector(op=VectorOp.FILL), Vector(op=63)], r"instruction 1 \(VECTOR\): `op` must be one of"),
        ([Gemm(log2_li=2, chunk_words=1, wait=S.VIN_FULL)], r"GEMM\): `wait` must name semaphores .*, not VIN_FULL"),
        ([Load(buffer=Buffer.VIN, signal=S.ACC_FULL)], r"LOAD\): `signal` must name semaphores .*, not ACC_FULL"),
        ([Stage(length=1)], r"STAGE\): has no engine that could execute it"),
        ([Loop(level=0, count=1)], "instruction 0: loop of level 0 is not closed"),
        (
            [Loop(level=0, count=2), Load(buffer=Buffer.VIN, modifiers=(step(Load, "buf_base", 0, -2),)), EndLoop()],
            "instruction 1: `buf_base` must lie in",
        ),
        ([Load(buffer=Buffer.VIN, modifiers=(step(Load, "buf_base", 1, 2),))], "instruction 0: "),
    ],
)
def test_faults_name_stage_and_instruction(
    architecture: Architecture, instructions: list[Instruction], message: str
) -> None:
    with pytest.raises(ExecutionError, match=message):
        run(program([stage(*instructions)]), architecture)


def test_a_symbolic_image_cannot_run(architecture: Architecture) -> None:
    with pytest.raises(ExecutionError, match="memory image of program 'test' is symbolic"):
        run(program([], MemoryImage()), architecture)


def test_the_architecture_must_be_the_programs(architecture: Architecture) -> None:
    other = architecture.model_copy(update={"name": "other"})
    with pytest.raises(ExecutionError, match="is for 'wide-4x4', not 'other'"):
        run(program([]), other)
