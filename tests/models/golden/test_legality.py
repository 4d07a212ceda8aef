"""What the machine refuses, golden refuses too; the message names the field."""

from typing import Any

import pytest

from gossamer_models.architecture import load_architecture
from gossamer_models.golden.legality import check_legal
from gossamer_models.golden.state import ExecutionError
from gossamer_models.isa.instructions import Dim, Format, Load, Prune, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.tokens import Buffer

TINY, LARGE = load_architecture("wide-4x4"), load_architecture("vcu1525-32x32")
POOL: dict[str, Any] = {"op": VectorOp.MAX_POOL, "count": 512, "height": 4, "width": 4, "kernel": 2, "kernel_x": 2}

STATISTICS: dict[str, Any] = {"op": VectorOp.DRAIN, "flags": VectorFlag.STATISTICS, "count": 64, "channel_low": 4}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"op": VectorOp.APPLY, "target0": 16}, "`target0` must be a multiple of 32, not 16"),
        ({"op": VectorOp.APPLY, "source1": 8}, "`source1` must be a multiple of 32, not 8"),
        (
            {"op": VectorOp.APPLY, "flags": VectorFlag.TO_A, "target1": 16},
            "`target1` must be a multiple of 32, not 16",
        ),
        ({"op": VectorOp.APPLY, "flags": VectorFlag.SECOND_OUTPUT}, "SECOND_OUTPUT of APPLY needs TO_A"),
        ({"op": VectorOp.NORM_FORWARD, "source0": 12}, "`source0` must be a multiple of 8, not 12"),
        ({"op": VectorOp.DRAIN, "source0": 3, "parameter": 4}, "`parameter` must be a multiple of 8, not 4"),
        ({"op": VectorOp.FILL, "format": Format.BYTE}, "`format` of FILL must be 0 or 1, not 2"),
        ({"op": VectorOp.RENDER_TILE, "source1": 4}, "`source1` must be a multiple of 32, not 4"),
        ({"op": VectorOp.REDUCE, "channel_low": 4}, "`channel_low` must be 8, not 4"),
        ({"op": VectorOp.REDUCE, "channels": 4096}, "`channels` of REDUCE must be at most 2048, not 4096"),
        (
            {"op": VectorOp.DRAIN, "flags": VectorFlag.AFFINE, "channel_low": 6},
            "`channel_low` must be a power of two, not 6",
        ),
        (
            {"op": VectorOp.DRAIN, "flags": VectorFlag.AFFINE, "count": 64, "channel_mid_period": 20},
            "`channel_mid_period` must be a multiple of 8 lanes or reach the end, not 20",
        ),
        (STATISTICS | {"target2": 4}, "`target2` must be a multiple of 8, not 4"),
        (STATISTICS | {"channels": 12}, "`channels` must be a multiple of 8, not 12"),
        (
            STATISTICS | {"count": 60},
            "`count` must be a multiple of the 8 elements that are summed together, not 60",
        ),
        (STATISTICS | {"channel_low": 8}, "`channel_low` must be 4, not 8"),
        (STATISTICS | {"channels": 2056}, "`channels` of DRAIN must be at most 2048, not 2056"),
        (
            STATISTICS | {"channel_mid_period": 36},
            "`channel_mid_period` must be a multiple of the 8 elements that are summed together or reach the end,"
            " not 36",
        ),
        (
            {"op": VectorOp.APPLY, "count": 64, "samples": 3, "sample_period": 20},
            "`sample_period` must be a multiple of 8 or reach the end, not 20",
        ),
        (
            POOL | {"stride": 2, "samples": 3, "sample_period": 64},
            "`sample_period` must be a multiple of 256 or reach the end, not 64",
        ),
    ],
)
def test_vector(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ExecutionError, match=f"^{message}$"):
        check_legal(TINY, Vector(**fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": 48}, "`source` must be a multiple of 64, not 48"),
        ({"values": 8}, "`values` must be a multiple of 16, not 8"),
        ({"metadata": 4}, "`metadata` must be a multiple of 8, not 4"),
        ({"n2": 0}, "`n2` must be at least 1, not 0"),
    ],
)
def test_prune(fields: dict[str, Any], message: str) -> None:
    legal: dict[str, Any] = {"keep": 2, "of": 8, "valid": 8, "source": 64, "values": 16, "metadata": 8}
    check_legal(TINY, Prune(**legal))
    with pytest.raises(ExecutionError, match=f"^{message}$"):
        check_legal(TINY, Prune(**(legal | fields)))


def test_not_every_machine_writes_a() -> None:
    apply = Vector(op=VectorOp.APPLY, flags=VectorFlag.TO_A)
    check_legal(TINY, apply)
    with pytest.raises(ExecutionError, match=r"^TO_A needs an architecture with `vector\.feeds_array`$"):
        check_legal(load_architecture("tiny-4x4"), apply)


def test_legal_ones_pass() -> None:
    check_legal(TINY, Vector(op=VectorOp.DRAIN, source0=3, target0=64, channels=16, parameter=8))
    check_legal(TINY, Vector(**POOL, stride=2, samples=3, sample_period=256))
    check_legal(LARGE, Vector(op=VectorOp.REDUCE, channels=2048, samples=5, sample_period=1 << 20, count=1 << 16))
    check_legal(TINY, Vector(op=VectorOp.RENDER_FINISH, parameter=3, channels=5, target0=32, source2=1))


def test_sums_take_whole_rows_of_the_array() -> None:
    """Eight rows of 32 columns on 64 lanes: a slot of 8 rows keeps its channels, one of 4 does not."""
    fields = STATISTICS | {"count": 1 << 12, "channel_low": 32, "channels": 64, "channel_mid_count": 2}
    check_legal(LARGE, Vector(**fields, channel_mid_period=256))
    with pytest.raises(ExecutionError, match="a multiple of the 256 elements that are summed together"):
        check_legal(LARGE, Vector(**fields, channel_mid_period=128))


def test_transfers_of_one_port_are_aligned() -> None:
    load = Load(buffer=Buffer.VIN, mem_base=8, dims=(Dim(64, 2, 2),))
    with pytest.raises(ExecutionError, match=r"^mem_base must be a multiple of the 16 bytes"):
        check_legal(TINY, load)
    check_legal(LARGE, load)


@pytest.mark.parametrize("transfer", [Load, Store])
def test_formats_that_are_none(transfer: type[Load | Store]) -> None:
    for architecture in (TINY, LARGE):
        with pytest.raises(ExecutionError, match="`format` must be one of 0, 1, 2, not 3"):
            check_legal(architecture, transfer(format=3))
