"""Cycles of a sweep through the render engine's density path, candidate by candidate and sample by sample.

A block's cubes are walked one per cycle, and pass the projector, which stands still while a cube's pixels are taken one
per cycle. Rays that meet the cube's ball wait in a queue; while too many do, the projector waits as well. The sampler
takes a ray per cycle, then the rays' further samples in turn; those in the cube go through opacity to the compositor,
where all wait while one waits for its pixel.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gossamer_models.timing.render import COMPOSE_CYCLES
from gossamer_models.timing.render_units import (
    BALL_CYCLES,
    COMPOSITOR_CYCLES,
    LATTICE_CYCLES,
    PROJECTION_CYCLES,
    opacity_cycles,
)

__all__ = [
    "CANDIDATE_CYCLES", "FLUSH_CYCLES", "MOST_WAITING", "SETTLE_CYCLES", "WAITING_RAYS", "SweptCube", "SweptRay",
    "flow_cycles",
]  # fmt: skip

CANDIDATE_CYCLES: Final = 2
"""From a candidate to the ball test: its number in the tile 1, its ray 1."""

WAITING_RAYS: Final = 128
"""Rays that the queue has room for."""

MOST_WAITING: Final = WAITING_RAYS - BALL_CYCLES - CANDIDATE_CYCLES - 4
"""While more rays wait, no candidate leaves the projector."""

FLUSH_CYCLES: Final = BALL_CYCLES + CANDIDATE_CYCLES + 2
"""From the projector's last move to where the last ray is in the queue."""

SETTLE_CYCLES: Final = COMPOSITOR_CYCLES + 1
"""From where all samples have reached the compositor to the end."""


@dataclass(frozen=True, slots=True)
class SweptRay:
    """A ray that meets a cube's ball: its pixel, and which of its samples lie in the cube."""

    pixel: int
    inside: Sequence[bool]


@dataclass(frozen=True, slots=True)
class SweptCube:
    """A cube that some pixel of the tile may see: its place in the walk, of every candidate its ray, if it meets."""

    place: int
    candidates: Sequence[SweptRay | None]


def flow_cycles(cubes: Sequence[SweptCube], places: int, components: int) -> int:
    """Return the cycles from the first place of the walk to the end of the sweep.

    Parameters
    ----------
    cubes : in the order of the walk
    places : cubes of a block
    components : of density
    """
    front, lane = _Front(cubes, places), _Lane(LATTICE_CYCLES + opacity_cycles(components))
    waiting: deque[tuple[SweptRay, bool]] = deque()
    offered: tuple[SweptRay, bool] | None = None
    ended = settled = cycle = 0
    while settled < SETTLE_CYCLES:
        idle = lane.idle
        quiet = ended >= FLUSH_CYCLES and offered is None and idle
        level = len(waiting)
        found = front.step(cycle, level > MOST_WAITING)
        taken = lane.step(cycle, offered)
        if offered is None or taken:
            offered = waiting.popleft() if level else None
        if found is not None:
            waiting.append(found)
        settled += quiet
        ended += front.over
        cycle += 1
    return cycle


class _Front:
    """Projector and ball test."""

    def __init__(self, cubes: Sequence[SweptCube], places: int) -> None:
        self._cubes = {cube.place + PROJECTION_CYCLES: cube.candidates for cube in cubes}
        self._moves, self._last = 0, places + PROJECTION_CYCLES
        self._candidate = 0
        self._tested: deque[tuple[int, SweptRay | None, bool]] = deque()
        self._kept: SweptRay | None = None
        self._closes = False
        self.over = False

    def step(self, cycle: int, hold: bool) -> tuple[SweptRay, bool] | None:
        """Move on by a cycle; return a ray that leaves and whether it is its cube's last one."""
        self.over = self._moves == self._last
        if not hold and not self.over:
            self._project(cycle)
        meets: SweptRay | None = None
        last = False
        if self._tested and self._tested[0][0] == cycle:
            _, meets, last = self._tested.popleft()
        found = None
        if self._kept is not None and (self._closes or meets is not None or last):
            found = self._kept, self._closes or meets is None
            self._kept = None
        if meets is not None:
            self._kept = meets
        self._closes = meets is not None and last
        return found

    def _project(self, cycle: int) -> None:
        candidates = self._cubes.get(self._moves)
        if candidates is None:
            self._moves += 1
            return
        ray = candidates[self._candidate]
        self._candidate += 1
        last = self._candidate == len(candidates)
        self._tested.append((cycle + CANDIDATE_CYCLES + BALL_CYCLES, ray, last))
        if last:
            self._candidate = 0
            self._moves += 1


class _Lane:
    """Sampler, opacity and the compositor's scoreboard."""

    def __init__(self, latency: int) -> None:
        self._latency = self._since = latency
        self._time = 0
        self._on_the_way: deque[tuple[int, int]] = deque()
        self._free: dict[int, int] = {}
        self._rays: deque[tuple[SweptRay, int]] = deque()
        self._read: tuple[SweptRay, int] | None = None
        self._closed = False

    @property
    def idle(self) -> bool:
        """All samples have reached the compositor."""
        return self._since == self._latency and not self._closed

    def step(self, cycle: int, offered: tuple[SweptRay, bool] | None) -> bool:
        """Move on by a cycle; return whether the ray that is offered enters."""
        leaving = self._on_the_way[0] if self._on_the_way and self._on_the_way[0][0] == self._time else None
        moves = leaving is None or self._free.get(leaving[1], 0) <= cycle
        enters = offered is not None and not self._closed
        if enters or self._closed:
            self._since = 0
        elif moves and self._since < self._latency:
            self._since += 1
        if not moves:
            return False
        if leaving is not None:
            self._on_the_way.popleft()
            self._free[leaving[1]] = cycle + COMPOSE_CYCLES
        self._sample(offered if enters else None)
        self._time += 1
        return enters

    def _sample(self, entering: tuple[SweptRay, bool] | None) -> None:
        """Take up a sample: the first one of a ray that enters, or the next one of the ray that was read."""
        final = self._closed or (entering is not None and entering[1])
        now = (entering[0], 0) if entering is not None else self._read
        waiting = len(self._rays)
        self._read = self._rays.popleft() if final and waiting else None
        goes_on = False
        if now is not None:
            ray, turn = now
            if ray.inside[turn]:
                self._on_the_way.append((self._time + self._latency, ray.pixel))
            goes_on = turn + 1 < len(ray.inside)
            if goes_on:
                self._rays.append((ray, turn + 1))
        self._closed = final and (goes_on or waiting != 0)
