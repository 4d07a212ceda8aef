"""What a GEMM instruction does, cycle by cycle: its loops walked literally, without any closed form."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gossamer_models.isa.instructions import NO_LEVEL, Gemm


@dataclass(frozen=True, slots=True)
class Step:
    """One cycle; addresses are None where nothing is fetched, counts and places None where they say nothing.

    ``li`` is lr Li + li.
    """

    first: bool
    last: bool
    li: int
    product: bool
    a: int | None
    valid_rows: int | None
    b: int | None
    store: bool | None
    accumulator: int | None
    final: bool


@dataclass(frozen=True, slots=True)
class _Tile:
    number: int
    j: int
    i2: int
    i1: int
    i0: int


def walk_steps(g: Gemm, *, rows: int, drain_steps: int) -> list[Step | None]:
    """Steps of an instruction on an array of `rows` rows that drains a slot in `drain_steps` cycles.

    A chunk beside others begins a turn of all slots behind the one before: until then, and where others have ended
    before it, there is no step.
    """
    turns = g.li * g.lj * g.lr
    steps = walk_abreast(g, rows=rows, drain_steps=drain_steps)
    delayed: list[Step | None] = [None] * (len(steps) + (g.lr - 1) * turns)
    for cycle, step in enumerate(steps):
        place = cycle + cycle % turns // (g.li * g.lj) * turns
        assert delayed[place] is None
        delayed[place] = step
    return delayed


def walk_abreast(g: Gemm, *, rows: int, drain_steps: int) -> list[Step]:
    """Steps as if all slots ran abreast."""
    steps: list[Step] = []
    tiles = list(_tiles(g))
    chunks = -(-(g.r2 * g.r1 * g.r0) // g.chunk_words)
    for tile in tiles:
        inside = _box(g, tile)
        for chunk in range(chunks):
            visits = _visits(g, inside, range(chunk * g.chunk_words, (chunk + 1) * g.chunk_words))
            count = max(len(visits), drain_steps)
            for position, visit in enumerate(visits + [None] * (count - len(visits))):
                ends = position == count - 1
                place = g.acc_base + tile.number * g.li * g.lj * rows
                for slot in range(g.li * g.lj * g.lr):
                    announced = (chunk == 0 and not g.accumulate, place)
                    store, accumulator = announced if ends and slot == 0 else (None, None)
                    operands = _operands(g, tile, visit, slot, rows)
                    final = ends and tile is tiles[-1] and chunk == chunks - 1 and slot == g.li * g.lj * g.lr - 1
                    step = Step(position == 0, ends, store=store, accumulator=accumulator, final=final, **operands)
                    steps.append(step)
    return steps


def _tiles(g: Gemm) -> Iterator[_Tile]:
    number = 0
    for j in range(g.j):
        for i2 in range(g.i2):
            for i1 in range(g.i1):
                for i0 in range(g.i0):
                    yield _Tile(number, j, i2, i1, i0)
                    number += 1


def _coordinate(g: Gemm, axis: str, tile: _Tile, li: int, lr: int, r: tuple[int, int, int]) -> int:
    def field(name: str) -> int:
        return int(getattr(g, f"{axis}_{name}"))

    value = field("base") + tile.i2 * field("i2") + tile.i1 * field("i1") + tile.i0 * field("i0") + li * field("li")
    if axis == "y":
        value += lr * g.y_lr
    if field("level") != NO_LEVEL:
        value += (-1 if field("negative") else 1) * (r[field("level")] << field("shift"))
    return value


def _valid(g: Gemm, tile: _Tile, li: int, lr: int, r: tuple[int, int, int]) -> bool:
    if tile.i0 == g.i0 - 1 and li >= g.li_last:
        return False
    y, x = (_coordinate(g, axis, tile, li, lr, r) for axis in ("y", "x"))
    return 0 <= y < g.y_size and 0 <= x < g.x_size


def _box(g: Gemm, tile: _Tile) -> list[range]:
    """Smallest ranges of r0, r1, r2 that hold every valid word."""
    extents = (g.r0, g.r1, g.r2)
    words = [(q0, q1, q2) for q2 in range(g.r2) for q1 in range(g.r1) for q0 in range(g.r0)]
    valid = [r for r in words if any(_valid(g, tile, li, lr, r) for li in range(g.li) for lr in range(g.lr))]
    if not valid:
        return [range(0)] * len(extents)
    return [range(min(r[level] for r in valid), max(r[level] for r in valid) + 1) for level in range(3)]


def _visits(g: Gemm, inside: list[range], positions: range) -> list[tuple[tuple[int, int, int], int]]:
    """Pairs of word indices and entry number, in order, of the words at the given r positions."""
    visits = []
    for position in positions:
        r = (position % g.r0, position // g.r0 % g.r1, position // (g.r0 * g.r1))
        if all(index in bounds for index, bounds in zip(r, inside, strict=True)):
            ragged = g.last_level != NO_LEVEL and r[g.last_level] == (g.r0, g.r1, g.r2)[g.last_level] - 1
            visits += [(r, k) for k in range(g.entries_last if ragged else g.entries)]
    return visits


def _operands(
    g: Gemm, tile: _Tile, visit: tuple[tuple[int, int, int], int] | None, slot: int, rows: int
) -> dict[str, Any]:
    beside, li = divmod(slot, g.li)
    lr, lj = divmod(beside, g.lj)
    operands: dict[str, Any] = {"li": lr * g.li + li, "product": visit is not None}
    operands.update(a=None, valid_rows=None, b=None)
    if visit is None:
        return operands
    (q0, q1, q2), k = visit
    if k == 0 and lj == 0:
        operands["a"] = (
            g.a_base + tile.i2 * g.a_i2 + tile.i1 * g.a_i1 + tile.i0 * g.a_i0 + li * g.a_li + lr * g.a_lr
            + tile.j * g.a_j
            + q2 * g.a_r2 + q1 * g.a_r1 + q0 * g.a_r0
        )  # fmt: skip
        operands["valid_rows"] = _rows(g, tile, li, rows) if _valid(g, tile, li, lr, (q0, q1, q2)) else 0
    if li == 0:
        word = g.b_base + tile.j * g.b_j + q2 * g.b_r2 + q1 * g.b_r1 + q0 * g.b_r0
        operands["b"] = word + lr * g.b_lr + k * g.lj + lj
    return operands


def _rows(g: Gemm, tile: _Tile, li: int, rows: int) -> int:
    ragged = {
        0: tile.i0 == g.i0 - 1 and li == g.li_last - 1,
        1: tile.i1 == g.i1 - 1,
        2: tile.i2 == g.i2 - 1,
    }
    return g.rows_last if ragged.get(g.rows_level, False) else rows
