"""Prune against sorting each group by itself."""

from typing import Any

import numpy as np
import pytest

from gossamer_models.errors import GossamerError, InputError
from gossamer_models.golden.prune import prune
from gossamer_models.golden.state import Machine
from gossamer_models.isa.instructions import Prune, PruneMode
from gossamer_models.isa.tokens import Buffer, Engine
from gossamer_models.sampling import random_parts, sample_groups
from gossamer_models.sparsity import Pattern
from gossamer_models.transposable import transposable_mask
from tests.references.naive import n_of_m_mask
from tests.references.operands import any_fp16

N2, N1, N0 = 2, 3, 2
VALUES, METADATA = 0, 2048


def place(axis: int, along: int, across: tuple[int, ...]) -> tuple[int, ...]:
    """Index into the blocks of an element along the axis; `across` is (n2, other block, other)."""
    n2, block, other = across
    return (n2, along // 8, block, along % 8, other) if axis == 0 else (n2, block, along // 8, other, along % 8)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("n", "m"), [(1, 2), (2, 4), (1, 4), (2, 8), (1, 8), (4, 8), (3, 4), (8, 8), (4, 4)])
@pytest.mark.parametrize("missing", [0, 1, 5, 8, 11])
def test_prune(machine: Machine, axis: int, n: int, m: int, missing: int) -> None:
    blocks = any_fp16(np.random.default_rng(missing), N2 * N1 * N0 * 64, 0.2).reshape(N2, N1, N0, 8, 8)
    machine.write(Engine.VECTOR, Buffer.VOUT, 128, blocks)
    length = (N1, N0)[axis] * 8 - missing
    sizes: dict[str, Any] = {"n2": N2, "n1": N1, "n0": N0, "source": 128, "values": VALUES, "metadata": METADATA}
    prune(machine, Prune(keep=n, of=m, axis=axis, valid=length, **sizes))
    per_word = 8 * n // m
    count = N2 * N1 * N0 * per_word * 8
    shape = (N2, N1, N0, per_word, 8)
    values = machine.read(Engine.STORE, Buffer.PRN, np.uint16, VALUES, count).reshape(shape)
    metadata = machine.read(Engine.STORE, Buffer.PRN_META, np.uint8, METADATA, count).reshape(shape)
    for across in np.ndindex(N2, (N0, N1)[axis], 8):
        line = np.array([blocks[place(axis, along, across)] for along in range(length)])
        kept = n_of_m_mask(line, n, m, 0)
        for word in range((N1, N0)[axis]):
            expected = [
                (int(line[r].view(np.uint16)), 0x80 + r % 8) for r in range(length) if kept[r] and r // 8 == word
            ]
            expected += [(0, 0)] * (per_word - len(expected))
            n2, block, other = across
            at = (n2, word, block, slice(None), other) if axis == 0 else (n2, block, word, slice(None), other)
            assert list(zip(values[at].tolist(), metadata[at].tolist(), strict=True)) == expected


@pytest.mark.fast_one_in(5)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("pattern", [Pattern(1, 2), Pattern(2, 4), Pattern(2, 8)], ids=str)
@pytest.mark.parametrize("missing", [0, 3, 8, 9])
def test_unbiased_prune_takes_each_group_with_its_own_random_word(
    machine: Machine, axis: int, pattern: Pattern, missing: int
) -> None:
    """Line by line: the words of a block follow each other along the other axis, blocks in their order."""
    blocks = any_fp16(np.random.default_rng(missing), N2 * N1 * N0 * 64, 0.05).reshape(N2, N1, N0, 8, 8)
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, blocks)
    length = (N1, N0)[axis] * 8 - missing
    sizes: dict[str, Any] = {"n2": N2, "n1": N1, "n0": N0, "valid": length, "metadata": METADATA}
    prune(machine, Prune(keep=pattern.n, of=pattern.m, axis=axis, mode=PruneMode.UNBIASED, seed=77, word=900, **sizes))
    per_word = pattern.entries_per_word(8)
    shape = (N2, N1, N0, per_word, 8)
    count = N2 * N1 * N0 * per_word * 8
    values = machine.read(Engine.STORE, Buffer.PRN, np.uint16, VALUES, count).reshape(shape)
    metadata = machine.read(Engine.STORE, Buffer.PRN_META, np.uint8, METADATA, count).reshape(shape)
    random = random_parts(77, N2 * N1 * N0 * 8, 900).reshape(N2, N1, N0, 8, 4)
    for n2, n1, n0, other in np.ndindex(N2, N1, N0, 8):
        first = (n1, n0)[axis] * 8
        word = np.zeros(8, np.float16)
        for r in range(max(0, min(8, length - first))):
            word[r] = blocks[place(axis, first + r, (n2, (n0, n1)[axis], other))]
        expected = []
        for group in range(8 // pattern.m):
            start = group * pattern.m
            sample = sample_groups(word[start : start + pattern.m], pattern, random[n2, n1, n0, other, group])
            for r in np.nonzero(sample.kept)[0].tolist():
                if first + start + r < length:
                    expected.append((int(sample.values[r].view(np.uint16)), 0x80 + start + r))
        expected += [(0, 0)] * (per_word - len(expected))
        at = (n2, n1, n0, slice(None), other)
        assert list(zip(values[at].tolist(), metadata[at].tolist(), strict=True)) == expected


@pytest.mark.parametrize("valid", [16, 13, 5])
def test_transposable_masks_serve_both_axes(machine: Machine, valid: int) -> None:
    """What FF keeps of a block is what BP keeps of it, two of four along both."""
    blocks = np.random.default_rng(valid).standard_normal((1, 2, 2, 8, 8)).astype(np.float16)
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, blocks)
    kept = []
    for axis in (0, 1):
        found = np.zeros((2, 2, 8, 8), bool)
        prune(machine, Prune(keep=2, of=4, axis=axis, mode=PruneMode.TRANSPOSABLE, n1=2, n0=2, valid=valid))
        metadata = machine.read(Engine.STORE, Buffer.PRN_META, np.uint8, 0, 4 * 4 * 8).reshape(2, 2, 4, 8)
        values = machine.read(Engine.STORE, Buffer.PRN, np.float16, 0, 4 * 4 * 8).reshape(2, 2, 4, 8)
        for n1, n0, entry, other in zip(*np.nonzero(metadata & 0x80), strict=True):
            index = metadata[n1, n0, entry, other] & 7
            at = (n1, n0, index, other) if axis == 0 else (n1, n0, other, index)
            found[at] = True
            assert values[n1, n0, entry, other] == blocks[0][at]
        whole = transposable_mask(blocks)[0]
        real = np.arange(16).reshape(2, 8) < valid
        kept.append((whole & (real[:, None, :, None] if axis == 0 else real[None, :, None, :]), found))
    assert all((expected == found).all() for expected, found in kept)


@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(1, 4), Pattern(2, 8), Pattern(1, 2)], ids=str)
@pytest.mark.parametrize("valid", [16, 14, 11, 3])
def test_nested_masks_keep_part_of_what_the_other_axis_keeps(machine: Machine, pattern: Pattern, valid: int) -> None:
    blocks = np.random.default_rng(valid).standard_normal((1, 2, 2, 8, 8)).astype(np.float16)
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, blocks)
    prune(machine, Prune(keep=pattern.n, of=pattern.m, axis=1, mode=PruneMode.MASKED, n1=2, n0=2, valid=valid))
    room = pattern.entries_per_word(8)
    metadata = machine.read(Engine.STORE, Buffer.PRN_META, np.uint8, 0, 4 * room * 8).reshape(2, 2, room, 8)
    values = machine.read(Engine.STORE, Buffer.PRN, np.float16, 0, 4 * room * 8).reshape(2, 2, room, 8)
    for n1, n0, other in np.ndindex(2, 2, 8):
        line = blocks[0, n1, n0, other]
        kept_first = [n_of_m_mask(blocks[0, n1, n0, :, place], pattern.n, pattern.m, 0)[other] for place in range(8)]
        real = max(0, min(8, valid - 8 * n0))
        left = [place for place in range(real) if kept_first[place]]
        full, rest = divmod(real, pattern.m)
        left = sorted(left, key=lambda place: -abs(float(line[place])))[: full * pattern.n + min(rest, pattern.n)]
        expected = [(float(line[place]), 0x80 + place) for place in sorted(left)]
        expected += [(0.0, 0)] * (room - len(expected))
        found = zip(values[n1, n0, :, other].tolist(), metadata[n1, n0, :, other].tolist(), strict=True)
        assert list(found) == expected


def test_decay_multiplies_what_is_not_among_the_largest(machine: Machine) -> None:
    block = any_fp16(np.random.default_rng(1), 64, 0.2).reshape(1, 1, 1, 8, 8)
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, block)
    factor = np.float16(0.3)
    fields = {"keep": 2, "of": 8, "mode": PruneMode.DECAYED, "factor": int(factor.view(np.uint16))}
    prune(machine, Prune(axis=0, valid=8, modifiers=(), **fields))
    values = machine.read(Engine.STORE, Buffer.PRN, np.uint16, 0, 64).reshape(8, 8)
    metadata = machine.read(Engine.STORE, Buffer.PRN_META, np.uint8, 0, 64).reshape(8, 8)
    assert (metadata == 0x80 + np.arange(8)[:, None]).all()
    with np.errstate(invalid="ignore"):
        decayed = (block[0, 0, 0].astype(np.float64) * float(factor)).astype(np.float16)
    decayed[np.isnan(decayed)] = np.uint16(0x7E00).view(np.float16)
    expected = np.where(n_of_m_mask(block[0, 0, 0], 2, 8, 0), block[0, 0, 0], decayed)
    assert (values == expected.view(np.uint16)).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"valid": 9}, r"`valid` must lie in 1\.\.8, not 9"),
        ({"valid": 0}, r"`valid` must lie in 1\.\.8, not 0"),
        ({"source": 1}, "address 1 in VOUT must be a multiple of 2"),
        ({"source": 65536}, "must lie in VOUT"),
        ({"values": 49152}, "must lie in PRN"),
        ({"mode": 4}, "mode masked takes axis 1 and whole words of 8 elements"),
        ({"mode": 2}, "mode transposable takes N:M = 2:4, not 2:8"),
    ],
)
def test_bad_instructions(machine: Machine, fields: dict[str, Any], message: str) -> None:
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, np.zeros(64, np.float16))
    with pytest.raises(GossamerError, match=message):
        prune(machine, Prune(**({"keep": 2, "of": 8, "valid": 8} | fields)))


def test_n_exceeds_m(machine: Machine) -> None:
    machine.write(Engine.VECTOR, Buffer.VOUT, 0, np.zeros(64, np.float16))
    with pytest.raises(InputError, match="N of a sparsity"):
        prune(machine, Prune(keep=5, of=4, valid=8))
