"""Random control streams for the array, and the accumulator banks that they must leave."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from numerics_leaf import CANONICAL_NAN, half_vectors

Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Shape:
    """The machine: rows, columns, group, slots that take turns, drain ports, accumulator words per column."""

    rows: int
    columns: int
    group: int = 8
    interleave: int = 4
    drain_ports: int = 1
    accumulator_words: int = 64


@dataclass(frozen=True, slots=True)
class Chunk:
    """Operands of a chunk, one step per entry and slot: the slot's turn comes every ``interleave`` steps.

    ``words`` (steps, R, G) and ``values`` (steps, C) are bits of binary16; ``index`` and the valid bits go with them.
    ``bubbles`` empty steps come before.
    """

    words: npt.NDArray[np.uint16]
    word_valid: npt.NDArray[np.bool_]
    values: npt.NDArray[np.uint16]
    index: npt.NDArray[np.uint8]
    entry_valid: npt.NDArray[np.bool_]
    block: int
    accumulate: bool
    bubbles: int


def random_chunks(rng: np.random.Generator, shape: Shape, count: int) -> list[Chunk]:
    """Return chunks of random lengths, special values among their operands, at the smallest legal distance."""
    tiles = shape.accumulator_words // shape.rows // shape.interleave
    least = shape.rows // shape.drain_ports
    chunks, begun = [], set[int]()
    for n in range(count):
        entries = int(rng.integers(1, 2 * least + 2))
        steps = entries * shape.interleave
        tile = int(rng.integers(0, tiles))
        special = n % 2 == 1
        words = half_vectors(rng, steps * shape.rows * shape.group).reshape(steps, shape.rows, shape.group)
        values = half_vectors(rng, steps * shape.columns).reshape(steps, shape.columns)
        chunks.append(
            Chunk(
                words=words if special else _finite(words),
                word_valid=rng.random((steps, shape.rows)) < 0.9,
                values=values if special else _finite(values),
                index=rng.integers(0, shape.group, (steps, shape.columns), dtype=np.uint8),
                entry_valid=rng.random((steps, shape.columns)) < 0.9,
                block=tile * shape.interleave,
                accumulate=tile in begun and bool(rng.random() < 0.8),
                bubbles=shape.interleave * max(0, least - entries) + int(rng.integers(0, 3)) * (n % 3 == 2),
            )
        )
        begun.add(tile)
    return chunks


def _finite(halves: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    return np.where((halves & 0x7C00) == 0x7C00, halves & 0x83FF, halves).astype(np.uint16)


def _canonical(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.where(np.isnan(values), np.uint32(CANONICAL_NAN), values.view(np.uint32)).view(np.float32)


def expected_banks(shape: Shape, chunks: list[Chunk]) -> Words:
    """Return what the banks hold at the end: (drain ports, columns, words per bank), zero where nothing was stored."""
    segment_rows = shape.rows // shape.drain_ports
    banks = np.zeros((shape.accumulator_words // shape.rows, shape.rows, shape.columns), np.float32)
    with np.errstate(all="ignore"):
        for chunk in chunks:
            for slot in range(shape.interleave):
                total = np.zeros((shape.rows, shape.columns), np.float32)
                for t in range(slot, len(chunk.values), shape.interleave):
                    a = chunk.words[t][:, chunk.index[t]].view(np.float16).astype(np.float32)
                    b = chunk.values[t].view(np.float16).astype(np.float32)
                    valid = chunk.word_valid[t][:, None] & chunk.entry_valid[t][None, :]
                    total = _canonical(np.where(valid, a * b, np.float32(0)) + total)
                held = banks[chunk.block + slot] if chunk.accumulate else np.float32(0)
                banks[chunk.block + slot] = _canonical(total + held)
    split = banks.reshape(-1, shape.drain_ports, segment_rows, shape.columns)
    return split.transpose(1, 3, 0, 2).reshape(shape.drain_ports, shape.columns, -1).view(np.uint32)


def edge_streams(shape: Shape, chunks: list[Chunk]) -> tuple[list[dict[str, int]], list[int]]:
    """Return every port's value in every cycle, rows and columns skewed, and the cycles of first steps marked last."""
    rows: list[list[int]] = []
    columns: list[list[int]] = []
    controls: list[dict[str, int]] = []
    closing = []
    for chunk in chunks:
        for _ in range(chunk.bubbles):
            rows.append([0] * shape.rows)
            columns.append([0] * shape.columns)
            controls.append({"announce": 0, "chunk": 0})
        steps = len(chunk.values)
        closing.append(len(rows) + steps - shape.interleave)
        for t in range(steps):
            first, last = t < shape.interleave, t >= steps - shape.interleave
            rows.append(_row_ports(chunk, t, shape))
            columns.append(_column_ports(chunk, t, shape, first=first, last=last))
            controls.append({"announce": int(len(rows) - 1 == closing[-1]), "chunk": _target_port(chunk, shape)})
    return list(_skewed(shape, rows, columns, controls)), closing


def _row_ports(chunk: Chunk, t: int, shape: Shape) -> list[int]:
    width = 16 * shape.group
    return [
        int.from_bytes(chunk.words[t, r].astype("<u2").tobytes(), "little") | int(chunk.word_valid[t, r]) << width
        for r in range(shape.rows)
    ]


def _column_ports(chunk: Chunk, t: int, shape: Shape, *, first: bool, last: bool) -> list[int]:
    index_bits = (shape.group - 1).bit_length()
    flags = first << 1 | last << 2
    return [
        int(chunk.values[t, c])
        | int(chunk.index[t, c]) << 16
        | (int(chunk.entry_valid[t, c]) | flags) << (16 + index_bits)
        for c in range(shape.columns)
    ]


def _target_port(chunk: Chunk, shape: Shape) -> int:
    block_bits = (shape.accumulator_words // shape.rows - 1).bit_length()
    return chunk.block | chunk.accumulate << block_bits


def _skewed(
    shape: Shape, rows: list[list[int]], columns: list[list[int]], controls: list[dict[str, int]]
) -> Iterator[dict[str, int]]:
    idle = {"announce": 0, "chunk": 0}
    for t in range(len(rows) + max(shape.rows, shape.columns)):
        ports = dict(controls[t]) if t < len(rows) else dict(idle)
        for r in range(shape.rows):
            ports[f"row__{r}"] = rows[t - r][r] if 0 <= t - r < len(rows) else 0
        for c in range(shape.columns):
            ports[f"column__{c}"] = columns[t - c][c] if 0 <= t - c < len(rows) else 0
        yield ports
