"""One picture on the render engine, the array and one memory channel: when each of them works, from time stamps alone.

Rules
-----
- Jobs run one after another, in order. A job's patches go where nothing lies that it or the job before needs, so their
  load begins when the job before begins. Loads and stores share one channel and run in order.
- Shaded samples fill a batch; a full one, and the last of a tile, goes to the array: basis, encodings, network, one
  batch after another. Its half of the queue is free again once the basis is done.
- Deferred shading adds the features of a tile's samples up. Pixels whose rays have ended go through the network in full
  batches, once their last sample is added, while the array has no samples to work on; the others behind the tile's
  last sample. A batch of pixels is encoded as soon as the network has read its inputs of the one before.
- A tile's state has two halves as well: the pixels of a tile are stored before the loads of the tile after the next.
- What one engine has done is seen by others a cycle later.

Every cycle until the last store is accounted for once, from the view of the render engine.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from gossamer_models.architecture import Architecture
from gossamer_models.dram import load_dram
from gossamer_models.errors import DoesNotFitError, InputError
from gossamer_models.timing import render as timing
from gossamer_models.timing.dram import Dram
from gossamer_models.timing.render_fit import Matrix, check_lines, check_shading
from gossamer_models.timing.shade import ShadeTiming
from gossamer_models.timing.transfer import TransferShape
from gossamer_sim.render_jobs import Job, TileJobs

__all__ = ["LEDGER", "PIXEL_BYTES", "RenderRun", "simulate_frame"]

LEDGER: Final = (
    "ideal", "sweep", "projector", "sampler", "fetch", "tables", "compositor", "latency", "setup", "mlp", "dram",
    "sync",
)  # fmt: skip
"""Where cycles go: `ideal` is what the interpolation lanes need at full rate for samples that count; the names of units
stand for what the slowest one of a job takes beyond that."""

PIXEL_BYTES: Final = 12
_DMA_START_CYCLES: Final = 18
_HANDOVER: Final = 1
_CONSTANT_RUNS: Final = 16  # headers and numbers of six tables of lines, weights, biases


@dataclass(slots=True)
class RenderRun:
    """How long a picture takes.

    Members
    -------
    cycles : from the first load to the last store
    ledger : cycles by `LEDGER`
    load_bytes, store_bytes : of patches, lines and pixels
    burst_bytes, written_bytes : the same in whole bursts, as the memory moves them, and those of them that are written
    busy : cycles in which each engine works: render, array, dram
    unit_busy : cycles of work of each of the render engine's units
    jobs, batches : how many
    shaded, network : samples through the basis, and samples or pixels through the network
    summed : samples whose features are added to those of their pixel
    basis_batches, network_batches : how many of each size went through the array
    """

    cycles: int = 0
    ledger: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LEDGER, 0))
    load_bytes: int = 0
    store_bytes: int = 0
    burst_bytes: int = 0
    written_bytes: int = 0
    busy: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("render", "array", "dram"), 0))
    unit_busy: dict[str, int] = field(default_factory=lambda: dict.fromkeys(timing.STAGES, 0))
    jobs: int = 0
    batches: int = 0
    shaded: int = 0
    network: int = 0
    summed: int = 0
    basis_batches: Counter[int] = field(default_factory=Counter)
    network_batches: Counter[int] = field(default_factory=Counter)


def simulate_frame(
    tiles: Iterable[TileJobs],
    architecture: Architecture,
    shade: ShadeTiming,
    components: tuple[int, int],
    line_bytes: int,
    *,
    deferred: bool,
    fits: bool = True,
) -> RenderRun:
    """Return how long a picture takes.

    Parameters
    ----------
    tiles : jobs of all tiles, in order
    architecture : with a render engine
    shade : times of the field's basis and network
    components : of density and appearance
    line_bytes : lines of the planes, loaded before everything else with the weights
    deferred : one colour per pixel, else one per sample
    fits : whether lines and loads must fit the memories that they go to

    Raises
    ------
    DoesNotFitError
        A job's patches are larger than half of their buffer, or weights, batches or lines than theirs.
    InputError
        The architecture has no render engine.
    """
    shader = shade.shader
    matrices = [
        Matrix(len(part), part.shape[1], pattern)
        for part, pattern in zip(shader.matrices, shader.patterns, strict=True)
    ]
    check_shading(architecture, matrices)
    if fits:
        check_lines(architecture, line_bytes)
    machine = _Machine(architecture, shade, components, deferred=deferred, fits=fits)
    machine.load(line_bytes + shade.weight_bytes, _CONSTANT_RUNS)
    for tile in tiles:
        machine.tile(tile)
    return machine.finish()


class _Machine:
    """Time stamps of the three engines."""

    def __init__(
        self,
        architecture: Architecture,
        shade: ShadeTiming,
        components: tuple[int, int],
        *,
        deferred: bool,
        fits: bool,
    ) -> None:
        self._engine, self._shade, self._components = architecture.render_engine, shade, components
        self._deferred, self._fits = deferred, fits
        self._channel = _Channel(architecture)
        self._run = RenderRun()
        self._free = 0  # render engine
        self._array = 0
        self._began = 0  # last job
        self._filled = 0  # samples in the batch that is being filled
        self._intake = [0, 0]  # when the halves of the batch queue are free
        self._stores: list[tuple[int, int]] = []  # tiles whose pixels wait: when they are done, how many
        self._colours = 0  # when the pixels of the latest batch are done
        self._complete, self._partial = 0, 0  # finished pixels whose sums are complete, or lack the batch being filled
        self._summed = 0  # when the latest sums were complete
        self._inputs = 0  # when the network's inputs may be written

    def load(self, size_bytes: int, runs: int) -> int:
        """Load patches once the last job has begun; return when they are there."""
        if not size_bytes:
            return self._channel.free
        self._run.load_bytes += size_bytes
        return self._channel.move(self._began, size_bytes, runs, write=False)

    def tile(self, tile: TileJobs) -> None:
        """Work on a tile."""
        while len(self._stores) >= 2:
            self._wait("dram", self._store())  # the new tile takes the half that this one leaves
        self._spend("setup", timing.rate_cycles(tile.pixels, self._engine.candidate_lanes))
        before = self._run.network
        for job in tile.jobs:
            self._job(job)
        self._flush()
        if self._deferred:
            self._rest(tile.shaded_pixels - (self._run.network - before))
        self._stores.append((max(self._free, self._colours), tile.pixels))

    def finish(self) -> RenderRun:
        """Store what is left; return the sums."""
        while self._stores:
            self._store()
        run = self._run
        self._wait("mlp", self._colours)
        self._wait("dram", self._channel.free)
        run.cycles = self._free
        run.busy["dram"] = self._channel.busy
        run.burst_bytes, run.written_bytes = self._channel.burst_bytes, self._channel.written_bytes
        run.busy["render"] = run.cycles - sum(run.ledger[name] for name in ("mlp", "dram", "sync"))
        return run

    def _job(self, job: Job) -> None:
        most = self._engine.patch_bytes // 2
        if self._fits and job.load_bytes > most:
            raise DoesNotFitError(
                "the patches that a block of cubes loads do not fit a quarter of their buffer", job.load_bytes, most,
                "bytes", "raise `render.patch_bytes` or lower `render.block`",
            )  # fmt: skip
        there = self.load(job.load_bytes, job.load_runs)
        self._wait("mlp", min(self._channel.held, there))
        self._wait("dram", there)
        self._spend("sync", _HANDOVER)
        self._began = self._free
        self._spend("sweep", job.start)
        worst = max(range(len(job.units)), key=lambda unit: job.units[unit])
        ideal = min(timing.lane_cycles(self._engine, job.samples, self._components[0]), job.units[worst])
        self._spend("ideal", ideal)
        self._spend(timing.STAGES[worst], job.units[worst] - ideal)
        self._spend("latency", job.flow - job.units[worst])
        for name, cycles in zip(timing.STAGES, job.units, strict=True):
            self._run.unit_busy[name] += cycles
        self._run.jobs += 1
        self._shaded(job.shaded)
        if self._deferred:
            self._partial += job.finished

    def _shaded(self, samples: int) -> None:
        """Fetch the appearance of a job's samples, batch by batch."""
        self._run.shaded += samples
        while samples:
            if not self._filled:
                self._wait("mlp", self._intake[self._run.batches % 2])
            part = min(samples, self._engine.batch - self._filled)
            cycles = timing.sample_cycles(self._engine, part, self._components[1])
            ideal = timing.lane_cycles(self._engine, part, self._components[1])
            self._spend("ideal", ideal)
            self._spend("fetch", cycles - ideal)
            self._run.unit_busy["fetch"] += cycles
            samples -= part
            self._filled += part
            if self._filled == self._engine.batch:
                self._flush()

    def _flush(self) -> None:
        """Give the batch to the array."""
        if not self._filled:
            return
        there = self._free + _HANDOVER
        while self._complete >= self._engine.batch and self._array < there:
            self._pixels(self._engine.batch)
        start = max(self._array, there)
        basis = self._shade.basis(self._filled)
        self._run.busy["array"] += basis
        if self._deferred:
            basis = max(basis, self._shade.sums(self._filled))
            self._run.summed += self._filled
        self._intake[self._run.batches % 2] = start + basis + _HANDOVER
        self._run.basis_batches[self._filled] += 1
        self._array = start + basis
        self._run.batches += 1
        if self._deferred:
            self._summed = self._colours = self._array
            self._complete, self._partial = self._complete + self._partial, 0
        else:
            self._network(self._filled, self._array + self._shade.encoding(self._filled))
        self._filled = 0

    def _network(self, count: int, encoded: int) -> None:
        """Let the array compute the network of a batch, once its inputs are encoded."""
        start, network = max(self._array, encoded), self._shade.network(count)
        self._inputs = start + self._shade.first_layer(count)
        self._array = self._colours = start + network
        self._run.busy["array"] += network
        self._run.network_batches[count] += 1
        self._run.network += count

    def _pixels(self, count: int) -> None:
        """Shade pixels whose sums are complete; a batch is encoded while the array works on the one before."""
        self._complete -= count
        self._network(count, max(self._summed, self._inputs) + self._shade.waves(count))

    def _rest(self, pixels: int) -> None:
        """Shade what is left of a tile's pixels, behind its last job."""
        self._complete, self._partial = pixels, 0
        self._summed = max(self._summed, self._free + _HANDOVER)
        while self._complete:
            self._pixels(min(self._complete, self._engine.batch))

    def _store(self) -> int:
        """Store a tile's pixels; return the end."""
        done, pixels = self._stores.pop(0)
        size = pixels * PIXEL_BYTES
        self._run.store_bytes += size
        return self._channel.move(done + _HANDOVER, size, 1, write=True)

    def _spend(self, name: str, cycles: int) -> None:
        self._free += cycles
        self._run.ledger[name] += cycles

    def _wait(self, name: str, until: int) -> None:
        self._spend(name, max(until - self._free, 0))


class _Channel:
    """The memory's one channel: transfers in order, each an epoch of its own.

    Members
    -------
    free : when its last transfer ends
    held : until when its latest transfer waited for pixels that were not done
    busy : cycles
    burst_bytes, written_bytes : moved, in whole bursts, and written
    """

    def __init__(self, architecture: Architecture) -> None:
        memory = architecture.memory
        if memory.ports != 1 or memory.model not in ("lpddr4", "ddr4", "hbm2"):
            raise InputError(
                f"the render engine of {architecture.name} must have one port to lpddr4, ddr4 or hbm2,"
                f" not {memory.ports} to {memory.model}"
            )
        self.free = self.held = self.busy = self.burst_bytes = self.written_bytes = 0
        self._port_bytes = memory.port_bits // 8
        self._dram = Dram(architecture, load_dram(memory.model))
        self._cycles = lru_cache(maxsize=1 << 16)(self._transfer)

    def move(self, ready: int, size_bytes: int, runs: int, *, write: bool) -> int:
        """Move bytes once they are ready; return the end."""
        if write and ready > self.free:
            self.held = ready
        cycles, bursts = self._cycles(size_bytes, runs, write)
        self.free = max(self.free, ready) + cycles
        self.busy += cycles
        size = bursts * self._dram.table.burst_bytes
        self.burst_bytes += size
        self.written_bytes += size if write else 0
        return self.free

    def _transfer(self, size_bytes: int, runs: int, write: bool) -> tuple[int, int]:
        shape = TransferShape(size_bytes, runs, -(-size_bytes // runs), 1, 0, 1)
        port = shape.pieces(self._port_bytes)
        epoch = self._dram.epoch(shape, _DMA_START_CYCLES, port, write=write)
        return epoch.latency_cycles + self._dram.units.cycles(epoch.bursts * epoch.pace), epoch.bursts
