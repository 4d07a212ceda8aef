"""Encoder and decoder against bytes written by hand, a second decoder, and each other."""

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossamer_models.isa.encoding import FORMATS, decode, decode_all, encode, encode_all
from gossamer_models.isa.instructions import (
    INSTRUCTION_BYTES,
    Dim,
    EndLoop,
    Gemm,
    Instruction,
    Load,
    Loop,
    Modifier,
    ModifierKind,
    Opcode,
    Prune,
    Stage,
    Store,
    Vector,
)
from gossamer_models.isa.tokens import Advance, Engine, Semaphore
from tests.references import decoder


def records(cls: type) -> st.SearchStrategy[Any]:
    """Instances of a declared record with every field anywhere in its range."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in dataclasses.fields(cls):
        meta = field.metadata
        if field.name == "modifiers" and issubclass(cls, (Stage, Loop, EndLoop)):
            fields[field.name] = st.just(())
        elif "struct" in meta:
            used = records(meta["struct"]).filter(lambda item: any(dataclasses.astuple(item)))
            fields[field.name] = st.lists(used, max_size=meta["count"]).map(tuple)
        elif getattr(cls, "engine", None) is Engine.SEQUENCER and field.name in ("wait", "signal", "advance"):
            fields[field.name] = st.just(0)
        else:
            low = -(1 << (meta["width"] - 1)) if meta["signed"] else 0
            high = (1 << (meta["width"] - meta["signed"])) - 1
            fields[field.name] = st.integers(low, high)
    return st.builds(cls, **fields)


instructions = st.one_of([records(cls) for cls in FORMATS.values()])


def words(**placed: tuple[int, int]) -> bytes:
    """Bytes of an instruction from values and the bit offsets they are put at."""
    return sum(value << offset for value, offset in placed.values()).to_bytes(INSTRUCTION_BYTES, "little")


@given(instructions)
def test_decoding_undoes_encoding(instruction: Instruction) -> None:
    assert decode(encode(instruction)) == instruction


@given(instructions)
def test_second_decoder_reads_the_same(instruction: Instruction) -> None:
    name, fields = decoder.decode(encode(instruction))
    assert name == instruction.opcode.name
    own = dataclasses.asdict(instruction)
    assert fields == {key: list(value) if isinstance(value, tuple) else value for key, value in own.items()}


@given(st.lists(instructions, max_size=4))
def test_sequences_lie_back_to_back(sequence: list[Instruction]) -> None:
    data = encode_all(sequence)
    assert len(data) == len(sequence) * INSTRUCTION_BYTES
    assert decode_all(data) == sequence


def test_loop_by_hand() -> None:
    # Opcode 2; wait, signal, advance 0; 10 modifiers of 53 bits from bit 52; level at 582, count at 584.
    expected = words(opcode=(2, 0), level=(3, 582), count=(0xDEADBEEF, 584))
    assert encode(Loop(level=3, count=0xDEADBEEF)) == expected
    assert expected[:1] == b"\x02"
    # 582 = 72 * 8 + 2: level 3 in bits 6..7 of byte 72, the count above it.
    assert expected[72:77] == bytes([0b1100_0000, 0xEF, 0xBE, 0xAD, 0xDE])


def test_stage_by_hand() -> None:
    assert encode(Stage(length=0x1234, credits=1 << 60)) == words(opcode=(1, 0), length=(0x1234, 582), top=(1, 658))


def test_end_loop_by_hand() -> None:
    assert encode(EndLoop(level=1)) == words(opcode=(3, 0), level=(1, 582))


def test_header_by_hand() -> None:
    instruction = EndLoop(wait=Semaphore.STORED | Semaphore.A_FULL, signal=Semaphore.B_FREE, advance=Advance.PRN)
    assert encode(instruction)[:7] == bytes([3, 0x01, 0x80, 0x20, 0x00, 0x00, 0x02])


def test_modifier_by_hand() -> None:
    modifier = Modifier(field=5, kind=ModifierKind.LAST, levels=0b1010, value=-2)
    bits = 5 | 3 << 7 | 0b1010 << 9 | ((1 << 40) - 2) << 13
    assert encode(EndLoop(modifiers=(modifier,))) == words(opcode=(3, 0), first=(bits, 52))
    assert encode(EndLoop(modifiers=(Modifier(), modifier))) == words(opcode=(3, 0), second=(bits, 52 + 53))


def test_load_by_hand() -> None:
    instruction = Load(
        buffer=1, format=2, index_dim=4, transpose=1, convert=1, mem_base=-16, buf_base=7, axis0_base=-1, axis0_bound=3,
        axis1_bound=0, axis2_base=-1, axis2_bound=9, dims=(Dim(5, 6, 7, 3, 8),), index_high=6,
    )  # fmt: skip
    dim = 5 | 6 << 16 | 7 << 48 | 3 << 72 | 8 << 74
    expected = words(
        opcode=(16, 0), buffer=(1, 582), format=(2, 586), index_dim=(4, 588), transpose=(1, 592), convert=(1, 593),
        mem_base=((1 << 40) - 16, 594), buf_base=(7, 634), axis0_base=((1 << 24) - 1, 658), axis0_bound=(3, 682),
        axis2_base=((1 << 24) - 1, 754), axis2_bound=(9, 778), dim=(dim, 802),
        index_high=(6, 1522),
    )  # fmt: skip
    assert encode(instruction) == expected


def test_store_by_hand() -> None:
    defaults = {"index_dim": (15, 588), "axis0_bound": (1, 682), "axis1_bound": (1, 730), "axis2_bound": (1, 778)}
    defaults["index_high"] = (15, 1522)
    last_dim = (1, 802 + 7 * 90)
    store = Store(dims=(Dim(),) * 7 + (Dim(count=1),))
    assert encode(store) == words(opcode=(17, 0), dim=last_dim, **defaults)


def test_gemm_by_hand() -> None:
    ones: dict[str, Any] = dict.fromkeys(("i2", "i1", "i0", "j", "r2", "r1", "r0"), 0)
    zeros: dict[str, Any] = {
        "li_last": 0,
        "rows_last": 0,
        "last_level": 0,
        "rows_level": 0,
        "y_level": 0,
        "y_size": 0,
        "x_level": 0,
    }
    instruction = Gemm(
        log2_li=1, entries=8, chunk_words=512, a_base=-1, b_r0=3, x_negative=1, x_size=5, dataflow=1, **ones, **zeros
    )
    assert encode(instruction) == words(
        opcode=(32, 0), log2_li=(1, 582), entries=(8, 588), chunk_words=(512, 600), a_base=((1 << 24) - 1, 739),
        b_r0=(3, 1051), x_negative=(1, 1298), x_size=(5, 1299), dataflow=(1, 1319),
    )  # fmt: skip


def test_prune_by_hand() -> None:
    instruction = Prune(
        keep=2,
        of=8,
        axis=1,
        n2=3,
        n1=4,
        n0=5,
        valid=6,
        source=7,
        values=8,
        metadata=9,
        mode=1,
        seed=(1 << 32) - 1,
        word=1 << 31,
        factor=0x3C00,
    )
    assert encode(instruction) == words(
        opcode=(48, 0), keep=(2, 582), of=(8, 587), axis=(1, 592), n2=(3, 593), n1=(4, 609), n0=(5, 625),
        valid=(6, 641), source=(7, 665), values=(8, 689), metadata=(9, 713), mode=(1, 737), seed=((1 << 32) - 1, 740),
        word=(1 << 31, 772), factor=(0x3C00, 804),
    )  # fmt: skip


def test_vector_by_hand() -> None:
    names = ("channels", "channel_low", "channel_mid_period", "channel_mid_count", "channel_high_period")
    zeros: dict[str, Any] = dict.fromkeys(names, 0)
    pool: dict[str, Any] = dict.fromkeys(("sample_period", "height", "width", "kernel", "kernel_x", "stride"), 0)
    instruction = Vector(op=12, flags=128, count=64, target2=1, scalar4=0x3F800000, **zeros, **pool)
    assert encode(instruction) == words(
        opcode=(64, 0), op=(12, 582), flags=(128, 588), count=(64, 602), target2=(1, 754), scalar4=(0x3F800000, 1212)
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x02", "192 bytes"),
        (bytes(INSTRUCTION_BYTES), "opcode must be one of .* not 0"),
        (b"\xff" + bytes(INSTRUCTION_BYTES - 1), "not 255"),
        (b"\x03" + bytes(INSTRUCTION_BYTES - 2) + b"\x80", "bits above 584 must be zero"),
        (encode(Stage(wait=1)), "STAGE must have no wait"),
        (encode(Loop(count=1, signal=2)), "LOOP must have no wait, signal"),
        (encode(EndLoop(advance=1)), "END_LOOP must have no wait"),
        (encode(EndLoop(modifiers=(Modifier(kind=ModifierKind.FIRST),))), "END_LOOP must have no .* modifiers"),
        (encode(Loop(count=1, modifiers=(Modifier(value=1),))), "LOOP must have no .* modifiers"),
    ],
)
def test_decoding_rejects(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decode(data)


@pytest.mark.parametrize("cls", FORMATS.values(), ids=lambda cls: cls.__name__)
def test_every_field_is_checked_against_its_width(cls: Callable[..., Instruction]) -> None:
    for field in dataclasses.fields(cast("type[Instruction]", cls)):
        meta = field.metadata
        if "struct" in meta:
            too_many = (meta["struct"](),) * (meta["count"] + 1)
            with pytest.raises(ValueError, match=f"`{field.name}` must hold at most"):
                cls(**{field.name: too_many})
            continue
        width, signed = meta["width"], meta["signed"]
        for value in (1 << (width - signed), -(1 << (width - 1)) - 1 if signed else -1):
            with pytest.raises(ValueError, match=f"`{field.name}` must lie in"):
                cls(**{field.name: value})


def test_opcodes_are_complete() -> None:
    assert set(FORMATS) == set(Opcode)
    assert all(cls.opcode == opcode for opcode, cls in FORMATS.items())
