"""What an instruction uses must have been written: each buffer, the bytes beside it, halves, stages, parameters."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gossamer_models.golden.gemm_engine import gemm
from gossamer_models.golden.prune import prune
from gossamer_models.golden.state import ExecutionError, Machine, buffer_bytes
from gossamer_models.golden.transfer import load, store
from gossamer_models.golden.vector import vector
from gossamer_models.isa.instructions import (
    Dim,
    FoundMode,
    Gemm,
    Instruction,
    Load,
    Prune,
    Store,
    Vector,
    VectorFlag,
    VectorOp,
)
from gossamer_models.isa.tokens import Advance, Buffer, Engine

COLUMNS = 4
PRODUCT: dict[str, Any] = {"log2_li": 1, "log2_lj": 1, "entries": 8, "chunk_words": 1, "li_last": 2}
TWO_WORDS: dict[str, Any] = {**PRODUCT, "r0": 2, "a_r0": 1, "b_r0": 16}
LAYOUT: dict[str, Any] = {"channels": 16, "channel_low": 8, "channel_mid_period": 64, "channel_mid_count": 2}

RUN: dict[type[Instruction], Callable[[Machine, Any], None]] = {
    Load: load, Store: store, Gemm: gemm, Prune: prune, Vector: vector,
}  # fmt: skip


def row(count: int, size: int) -> dict[str, Any]:
    return {"dims": (Dim(count=count, mem_stride=size, buf_stride=size),)}


# (instruction, buffer, first byte that it uses, end of what it uses) on 4 x 4 with words of 8.
USES = {
    "store of VOUT": (Store(buffer=Buffer.VOUT, buf_base=64, **row(40, 2)), Buffer.VOUT, 64, 144),
    "store of PRM": (Store(buffer=Buffer.PRM, format=1, buf_base=64, **row(20, 4)), Buffer.PRM, 64, 144),
    "store of PRN": (Store(buffer=Buffer.PRN, buf_base=64, **row(40, 2)), Buffer.PRN, 64, 144),
    "store of PRN_META": (Store(buffer=Buffer.PRN_META, format=2, buf_base=64, **row(80, 1)), Buffer.PRN_META, 64, 144),
    "product, A": (Gemm(**PRODUCT, a_base=2), Buffer.A, 128, 192),
    "product, B": (Gemm(**PRODUCT, b_base=8), Buffer.B, 64, 192),
    "product, B_META": (Gemm(**PRODUCT, b_base=8), Buffer.B_META, 32, 96),
    "product, ACC": (Gemm(**PRODUCT, acc_base=8, accumulate=1), Buffer.ACC, 128, 384),
    "drain": (Vector(op=VectorOp.DRAIN, count=64, source0=8), Buffer.ACC, 128, 384),
    "vector": (Vector(op=VectorOp.APPLY, count=64, source0=64), Buffer.VIN, 64, 192),
    "factor": (
        Vector(op=VectorOp.SOFTMAX_CROSS_ENTROPY, flags=VectorFlag.SCALED, count=64, size=8, channels=8, parameter=8,
               target1=256, source1=128),
        Buffer.PRM, 32, 36,
    ),
    "normalisation": (
        Vector(op=VectorOp.NORM_BACKWARD, count=8, channels=8, source0=16, source1=64, parameter=128),
        Buffer.PRM, 64, 128,
    ),
    "prune": (Prune(keep=2, of=4, valid=8, source=128), Buffer.VOUT, 128, 256),
}  # fmt: skip


def prepared(machine: Machine, *holes: tuple[Buffer, int]) -> Machine:
    """Let all be written, but for one byte of some buffers."""
    for buffer, size in buffer_bytes(machine.architecture).items():
        (hole,) = [place for of, place in holes if of is buffer] or [size]
        machine.writable(Engine.LOAD, buffer, places=slice(0, hole))
        machine.writable(Engine.LOAD, buffer, places=slice(hole + 1, size))
    return machine


def execute(machine: Machine, instruction: Instruction) -> None:
    RUN[type(instruction)](machine, instruction)


def test_every_buffer_is_read() -> None:
    assert {buffer for _, buffer, _, _ in USES.values()} == set(Buffer)


@pytest.mark.parametrize("name", USES)
def test_what_is_used_must_have_been_written(machine: Machine, name: str) -> None:
    instruction, buffer, first, end = USES[name]
    where = "PRM, which nothing has written since the begin"
    if buffer is not Buffer.PRM:
        where = f"half 0 of {buffer.name}, which nothing has written in this stage"
    for hole in (first, (first + end) // 2 + 1, end - 1):
        fresh = prepared(Machine(machine.architecture, machine.memory), (buffer, hole))
        with pytest.raises(ExecutionError, match=f"^reads byte {hole} of {where}$"):
            execute(fresh, instruction)
        fresh.writable(Engine.LOAD, buffer, places=slice(hole, hole + 1))
        execute(fresh, instruction)


@pytest.mark.parametrize("name", USES)
def test_what_lies_beside_need_not(machine: Machine, name: str) -> None:
    instruction, buffer, first, end = USES[name]
    for hole in (first - 1, end):
        execute(prepared(Machine(machine.architecture, machine.memory), (buffer, hole)), instruction)


def test_old_contents_are_none(machine: Machine) -> None:
    """Whatever an earlier Program has left."""
    old = Machine(machine.architecture, machine.memory, seed=1)
    for buffer in (Buffer.VOUT, Buffer.PRM):
        with pytest.raises(ExecutionError, match="reads byte 0 of"):
            store(old, Store(buffer=buffer))


def test_every_half_counts_for_itself(machine: Machine) -> None:
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, np.zeros(8, np.uint8))
    machine.advance(Engine.STORE, Advance.VOUT)
    with pytest.raises(ExecutionError, match="reads byte 0 of half 1 of VOUT"):
        store(machine, Store(buffer=Buffer.VOUT))


def test_a_stage_forgets_all_but_parameters(machine: Machine) -> None:
    prepared(machine).start_stage()
    execute(machine, Store(buffer=Buffer.PRM, format=1))
    for name in sorted(USES.keys() - {"store of PRM", "factor", "normalisation"}):
        with pytest.raises(ExecutionError, match="which nothing has written in this stage"):
            execute(machine, USES[name][0])


def test_the_first_byte_of_a_scattered_store(machine: Machine) -> None:
    """Elements 12, 8, 4, 0, of which two are missing; between them nothing is used."""
    for place in (0, 12):
        machine.write(Engine.VECTOR, Buffer.VOUT, 4 * place, np.zeros(1, np.uint32))
    dims = (Dim(2, 4, 32), Dim(2, 8, 16))
    with pytest.raises(ExecutionError, match="reads byte 16 of half 0 of VOUT"):
        store(machine, Store(buffer=Buffer.VOUT, format=1, dims=dims))
    for place in (4, 8):
        machine.write(Engine.VECTOR, Buffer.VOUT, 4 * place, np.zeros(1, np.uint32))
    store(machine, Store(buffer=Buffer.VOUT, format=1, dims=dims))


def test_a_store_uses_what_is_in_bounds(machine: Machine) -> None:
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, np.zeros(3, np.uint16))
    bounded: dict[str, Any] = {"dims": (Dim(8, 2, 2, axis=0, weight=1),)}
    store(machine, Store(buffer=Buffer.VOUT, axis0_bound=3, **bounded))
    with pytest.raises(ExecutionError, match="reads byte 6 of half 0 of VOUT"):
        store(machine, Store(buffer=Buffer.VOUT, axis0_bound=4, **bounded))


def test_a_scattered_load_leaves_gaps(machine: Machine) -> None:
    """Also where all around has been written before by another load."""
    for _ in range(2):
        load(machine, Load(buffer=Buffer.VIN, dims=(Dim(4, 2, 8),)))
        vector(machine, Vector(op=VectorOp.APPLY, count=1, source0=24))
        with pytest.raises(ExecutionError, match="reads byte 2 of half 0 of VIN"):
            vector(machine, Vector(op=VectorOp.APPLY, count=4))
    load(machine, Load(buffer=Buffer.VIN, **row(16, 2)))
    load(machine, Load(buffer=Buffer.VIN, dims=(Dim(4, 2, 8),)))
    vector(machine, Vector(op=VectorOp.APPLY, count=16))


def test_a_load_writes_padding_and_metadata_too(machine: Machine) -> None:
    dims = (Dim(COLUMNS, 2, 2), Dim(8, 8, 8, axis=0, weight=1))
    load(machine, Load(buffer=Buffer.B, index_dim=1, axis0_bound=2, dims=dims))
    machine.readable(Engine.GEMM, Buffer.B, places=slice(0, 64))
    machine.readable(Engine.GEMM, Buffer.B_META, places=slice(0, 32))
    with pytest.raises(ExecutionError, match="reads byte 64 of half 0 of B,"):
        machine.readable(Engine.GEMM, Buffer.B, places=slice(0, 65))
    with pytest.raises(ExecutionError, match="reads byte 32 of half 0 of B_META"):
        machine.readable(Engine.GEMM, Buffer.B_META, places=slice(0, 33))


@pytest.mark.parametrize(
    ("fields", "buffer", "hole"),
    [
        ({"x_base": -1, "x_level": 0, "x_size": 1}, Buffer.A, 10),
        ({"x_base": -1, "x_level": 0, "x_size": 1}, Buffer.B, 10),
        ({"x_base": -1, "x_level": 0, "x_size": 1}, Buffer.B_META, 10),
        ({"rows_level": 2, "rows_last": 3}, Buffer.A, 3 * 16),
        ({"rows_level": 2, "rows_last": 0}, Buffer.B, 10),
        ({"last_level": 0, "entries_last": 7}, Buffer.B, 8 * (16 + 7 * 2)),
    ],
)
def test_a_product_uses_what_counts(machine: Machine, fields: dict[str, Any], buffer: Buffer, hole: int) -> None:
    """Neither words out of bounds, with their entries, nor rows behind the last, nor entries behind a last word."""
    execute(prepared(machine, (buffer, hole)), Gemm(**TWO_WORDS | fields))
    machine.start_stage()
    with pytest.raises(ExecutionError, match=f"reads byte {hole} of half 0 of {buffer.name}"):
        execute(prepared(machine, (buffer, hole)), Gemm(**TWO_WORDS))


AFFINE = {
    "drain": (Vector(op=VectorOp.DRAIN, flags=VectorFlag.AFFINE, count=128, parameter=8, **LAYOUT), 1),
    "apply": (Vector(op=VectorOp.APPLY, flags=VectorFlag.AFFINE, count=128, parameter=8, **LAYOUT), 2),
    "gradient": (Vector(op=VectorOp.GRADIENT, flags=VectorFlag.AFFINE, count=128, parameter=8, **LAYOUT), 3),
}


@pytest.mark.parametrize("name", AFFINE)
def test_elements_without_parameters_are_not_written(machine: Machine, name: str) -> None:
    """Channel 11 is the fourth of the second block: its elements, but no other, count as not written."""
    instruction, parts = AFFINE[name]
    for part in range(parts):
        fresh = prepared(Machine(machine.architecture, machine.memory), (Buffer.PRM, 4 * (8 + 16 * part + 11)))
        vector(fresh, instruction)
        store(fresh, Store(buffer=Buffer.VOUT, **row(67, 2)))
        with pytest.raises(ExecutionError, match="reads byte 134 of half 0 of VOUT"):
            store(fresh, Store(buffer=Buffer.VOUT, **row(68, 2)))
        store(fresh, Store(buffer=Buffer.VOUT, buf_base=136, **row(7, 2)))


def test_elements_that_are_not_real_need_no_parameters(machine: Machine) -> None:
    prepared(machine, (Buffer.PRM, 4 * (8 + 11)))
    vector(machine, Vector(op=VectorOp.APPLY, flags=VectorFlag.AFFINE, count=128, parameter=8, samples=1,
                           sample_period=128, **LAYOUT))  # fmt: skip
    with pytest.raises(ExecutionError, match="reads byte 134 of half 0 of VOUT"):
        store(machine, Store(buffer=Buffer.VOUT, **row(128, 2)))
    store(machine, Store(buffer=Buffer.VOUT, buf_base=136, **row(60, 2)))


@pytest.mark.parametrize(
    "fields",
    [
        {"found_mode": FoundMode.SET},
        {"flags": VectorFlag.AFFINE | VectorFlag.STATISTICS, "size": 1, "target1": 64, "target2": 128},
    ],
)
def test_flags_and_sums_need_parameters(machine: Machine, fields: dict[str, Any]) -> None:
    prepared(machine, (Buffer.PRM, 4 * (8 + 11)))
    given = {"op": VectorOp.DRAIN, "flags": VectorFlag.AFFINE, "count": 128, "parameter": 8, **LAYOUT}
    with pytest.raises(ExecutionError, match="reads byte 76 of PRM"):
        vector(machine, Vector(**given | fields))
    machine.write(Engine.LOAD, Buffer.PRM, 76, np.zeros(1, np.float32))
    vector(machine, Vector(**given | fields))


@pytest.mark.parametrize("hole", [3, 8 + 3])
def test_factors_without_gamma_or_beta_are_not_written(machine: Machine, hole: int) -> None:
    """Scale and shift of that channel; its mean and deviation come from sums alone."""
    prepared(machine, (Buffer.PRM, 4 * (64 + hole)))
    vector(machine, Vector(op=VectorOp.NORM_FORWARD, count=8, channels=8, source0=16, source1=64, parameter=128))
    for place in (128, 136):
        with pytest.raises(ExecutionError, match=f"reads byte {4 * (place + 3)} of PRM"):
            store(machine, Store(buffer=Buffer.PRM, format=1, buf_base=4 * place, **row(8, 4)))
    store(machine, Store(buffer=Buffer.PRM, format=1, buf_base=4 * 144, **row(16, 4)))
