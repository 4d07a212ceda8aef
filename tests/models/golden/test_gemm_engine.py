"""Gemm instructions against one multiplication at a time."""

import dataclasses
import random
from itertools import product
from typing import Any

import numpy as np
import pytest

from gossamer_models.architecture import Architecture
from gossamer_models.golden import gemm_engine
from gossamer_models.golden.gemm_engine import gemm
from gossamer_models.golden.state import ExecutionError, Machine
from gossamer_models.isa.instructions import NO_LEVEL, Gemm
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.numerics.formats import Float16, Float32, UInt8
from tests.references.gemm_instructions import LEGAL, REFUSED, random_instruction
from tests.references.operands import any_fp16, any_fp32, assert_same_bits, fp32

# Addresses of the random instructions reach this far below zero.
A_OFFSET = 1000


def fill(machine: Machine, seed: int) -> tuple[Float16, Float16, UInt8, Float32]:
    """Put random contents into A, B, B_META and ACC.

    Return them as (word, row, lane), (entry, column), (entry, column) and (word, column).
    """
    rng = np.random.default_rng(seed)
    array = machine.architecture.array
    held = {
        buffer: machine.writable(engine, buffer)
        for engine, buffer in (
            (Engine.LOAD, Buffer.A),
            (Engine.LOAD, Buffer.B),
            (Engine.LOAD, Buffer.B_META),
            (Engine.GEMM, Buffer.ACC),
        )
    }
    a = held[Buffer.A].view(np.float16)
    b = held[Buffer.B].view(np.float16)
    acc = held[Buffer.ACC].view(np.float32)
    a[:], b[:] = any_fp16(rng, a.size, 0.002), any_fp16(rng, b.size, 0.002)
    acc[:] = np.abs(any_fp32(rng, acc.size, 0.01))
    # Bits between the index and the valid bit mean nothing.
    held[Buffer.B_META][:] = rng.integers(0, 256, held[Buffer.B_META].size)
    return (
        a.reshape(-1, array.rows, array.group),
        b.reshape(-1, array.columns),
        held[Buffer.B_META].reshape(-1, array.columns),
        acc.reshape(-1, array.columns),
    )


def with_chunks(architecture: Architecture, chunks: int) -> Architecture:
    return architecture.model_copy(update={"array": architecture.array.model_copy(update={"chunks": chunks})})


def coordinate(g: Gemm, axis: str, i: dict[str, int], lr: int, r: tuple[int, int, int]) -> bool:
    field = {name: getattr(g, f"{axis}_{name}") for name in ("base", "level", "shift", "negative", "size")}
    value = field["base"] + sum(getattr(g, f"{axis}_{name}") * i[name] for name in ("i2", "i1", "i0", "li"))
    if axis == "y":
        value += lr * g.y_lr
    if field["level"] != NO_LEVEL:
        moved = r[field["level"]] << field["shift"]
        value += -moved if field["negative"] else moved
    return bool(0 <= value < field["size"])


def expected_accumulators(g: Gemm, a: Float16, b: Float16, meta: UInt8, acc: Float32) -> Float32:
    """ACC after the instruction."""
    out = acc.copy()
    rows, columns = a.shape[1], b.shape[1]
    tiles = product(range(g.j), range(g.i2), range(g.i1), range(g.i0))
    for tile, (j, i2, i1, i0) in enumerate(tiles):
        for lj, li, row, column in product(range(g.lj), range(g.li), range(rows), range(columns)):
            place = g.acc_base + (tile * g.li * g.lj + lj * g.li + li) * rows + row
            i = {"i2": i2, "i1": i1, "i0": i0, "li": li, "j": j}
            partial = out[place, column] if g.accumulate else None
            out[place, column] = cell(g, a[:, row], b[:, column], meta[:, column], i, lj, row, partial)
    return out


def cell(
    g: Gemm, a: Float16, b: Float16, meta: UInt8, i: dict[str, int], lj: int, row: int, partial: np.float32 | None
) -> np.float32:
    """Value of one result."""
    words = list(product(range(g.r2), range(g.r1), range(g.r0)))
    chunks = [words[start : start + g.chunk_words] for start in range(0, len(words), g.chunk_words)]
    for chunk, lr in product(chunks, range(g.lr)):
        total = np.float32(0)
        for r2, r1, r0 in chunk:
            r = (r0, r1, r2)
            ragged = {
                0: i["i0"] == g.i0 - 1 and i["li"] == g.li_last - 1,
                1: i["i1"] == g.i1 - 1,
                2: i["i2"] == g.i2 - 1,
            }
            if i["i0"] == g.i0 - 1 and i["li"] >= g.li_last:
                continue
            if ragged.get(g.rows_level, False) and row >= g.rows_last:
                continue
            if not (coordinate(g, "y", i, lr, r) and coordinate(g, "x", i, lr, r)):
                continue
            address = g.a_base + lr * g.a_lr + sum(i[name] * getattr(g, f"a_{name}") for name in i)
            word = a[address + r2 * g.a_r2 + r1 * g.a_r1 + r0 * g.a_r0]
            last = g.last_level != NO_LEVEL and r[g.last_level] == (g.r0, g.r1, g.r2)[g.last_level] - 1
            for k in range(g.entries_last if last else g.entries):
                entry = (
                    g.b_base + lr * g.b_lr + i["j"] * g.b_j + r2 * g.b_r2 + r1 * g.b_r1 + r0 * g.b_r0 + k * g.lj + lj
                )
                if meta[entry] & 0x80:
                    with np.errstate(all="ignore"):
                        total = fp32(np.float32(word[meta[entry] & 7]) * np.float32(b[entry]) + total)
        with np.errstate(all="ignore"):
            partial = fp32(total if partial is None else total + partial)
    return np.float32(0) if partial is None else partial


@pytest.mark.fast_one_in(3)
@pytest.mark.parametrize("gathered", [1, 1 << 22])
@pytest.mark.parametrize("seed", range(40))
def test_random_instructions(machine: Machine, monkeypatch: pytest.MonkeyPatch, seed: int, gathered: int) -> None:
    monkeypatch.setattr(gemm_engine, "_GATHERED_ELEMENTS", gathered)
    machine.architecture = with_chunks(machine.architecture, 1 + seed % 2)
    g = random_instruction(random.Random(seed), machine.architecture.array, max_tiles=4, max_words=9)
    g = dataclasses.replace(g, a_base=g.a_base + A_OFFSET)
    a, b, meta, acc = fill(machine, seed)
    expected = expected_accumulators(g, a, b, meta, acc)
    gemm(machine, g)
    assert_same_bits(acc, expected)


def test_a_tile_without_valid_words_is_zero(machine: Machine) -> None:
    *_, acc = fill(machine, 0)
    gemm(machine, Gemm(log2_li=1, log2_lj=1, entries=8, chunk_words=1, li_last=2, y_base=-1))
    assert_same_bits(acc[:16], np.zeros((16, 4), np.float32))


def test_only_the_tiles_are_written(machine: Machine) -> None:
    *_, acc = fill(machine, 0)
    before = acc.copy()
    gemm(machine, Gemm(log2_li=1, log2_lj=1, entries=8, chunk_words=1, li_last=2, acc_base=8))
    assert_same_bits(acc[:8], before[:8])
    assert_same_bits(acc[24:], before[24:])
    assert (acc[8:24] != before[8:24]).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"acc_base": 2036}, r"accumulator words 2036\.\.2051 exceed the 2048 there are"),
        ({"a_base": 2048}, r"A words 2048\.\.2048 must lie in 0\.\.2047"),
        ({"a_base": -1}, r"A words -1\.\.-1"),
        ({"b_base": 4090}, r"B entries 4090\.\.4105 must lie in 0\.\.4095"),
        ({"rows_last": 5}, "`rows_last` must be at most 4, not 5"),
        ({"acc_base": 6}, "`acc_base` must be a multiple of the 4 rows, not 6"),
        ({"r0": 0}, "`r0` must be at least 1, not 0"),
        ({"r2": 257, "r1": 65535}, "`r2` x `r1` x `r0` must be at most 16777215, not 257 x 65535 x 1"),
        ({"log2_li": 0}, r"Li x Lj x Lr must lie in 4\.\.4 \(`add_latency_cycles`, `slots`\), not 1 x 2 x 1"),
    ],
)
def test_out_of_bounds(machine: Machine, fields: dict[str, Any], message: str) -> None:
    fill(machine, 0)
    g = Gemm(log2_li=1, log2_lj=1, entries=8, chunk_words=1, li_last=2)
    with pytest.raises(ExecutionError, match=message):
        gemm(machine, dataclasses.replace(g, **fields))


def test_words_out_of_bounds_are_not_fetched(machine: Machine) -> None:
    fill(machine, 0)
    gemm(machine, Gemm(log2_li=1, log2_lj=1, entries=8, chunk_words=1, li_last=2, a_base=-1, x_base=-1))


@pytest.mark.parametrize("fields", [fields for fields, _ in REFUSED], ids=str)
def test_what_the_machine_refuses(machine: Machine, fields: dict[str, Any]) -> None:
    machine.architecture = with_chunks(machine.architecture, 2)
    fill(machine, 0)
    gemm(machine, dataclasses.replace(LEGAL, entries_last=0))
    with pytest.raises(ExecutionError):
        gemm(machine, dataclasses.replace(LEGAL, **fields))


@pytest.mark.parametrize("missing", [Buffer.A, Buffer.B, Buffer.B_META, Buffer.ACC])
def test_empty_halves_are_not_read(machine: Machine, missing: Buffer) -> None:
    for engine, buffer in ((Engine.LOAD, Buffer.A), (Engine.LOAD, Buffer.B), (Engine.LOAD, Buffer.B_META)):
        if buffer is not missing:
            machine.writable(engine, buffer)
    accumulate = int(missing is Buffer.ACC)
    with pytest.raises(ExecutionError, match=f"half 0 of {missing.name}, which nothing has written"):
        gemm(machine, Gemm(log2_li=1, log2_lj=1, entries=8, chunk_words=1, accumulate=accumulate))


def test_chunks_side_by_side_must_be_built_and_divide_the_words(machine: Machine) -> None:
    fill(machine, 0)
    g = Gemm(log2_lj=1, log2_lr=1, entries=8, chunk_words=2, r0=3)
    machine.architecture = with_chunks(machine.architecture, 1)
    with pytest.raises(ExecutionError, match="Lr must be at most 1"):
        gemm(machine, g)
    machine.architecture = with_chunks(machine.architecture, 2)
    with pytest.raises(ExecutionError, match="must divide the 3 words"):
        gemm(machine, g)


def test_chunks_side_by_side_are_added_in_their_order(machine: Machine) -> None:
    """Chunks 0, 1, 2, 3 of one word each, two by two: the bits of the same chunks one by one."""
    *_, acc = fill(machine, 0)
    eight = machine.architecture.array.model_copy(update={"chunks": 2, "slots": 8})
    machine.architecture = machine.architecture.model_copy(update={"array": eight})
    gemm(machine, Gemm(log2_lj=2, entries=8, chunk_words=1, r0=4, a_r0=1, b_r0=32))
    one_by_one = acc[:16].copy()
    beside = Gemm(log2_lj=2, log2_lr=1, entries=8, chunk_words=1, r0=2, a_r0=2, b_r0=64, a_lr=1, b_lr=32)
    gemm(machine, beside)
    assert_same_bits(acc[:16], one_by_one)
