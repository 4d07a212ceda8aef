"""Compiles a picture of a radiance field: records and patches in memory, jobs in the order of the sweep, the network.

A tile's shaded samples lie in memory one behind the other, each job's in a room of its own. How many there are is data:
the compiler takes golden's counts of the light, so a Program is one view of one field, and the machine refuses to shade
more samples than there is room for.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.builder import StageBuilder, stored
from gossamer_compiler.channel_tiles import ChannelMapping
from gossamer_compiler.emit_render import PART, JobPlan, PictureEmitter, Samples
from gossamer_compiler.geometry import ChannelGemm, Window, forward_gemm
from gossamer_compiler.mapping import choose_channels
from gossamer_compiler.multiply_stages import FeedForward
from gossamer_compiler.objective import CYCLES, Choice
from gossamer_compiler.picture_parts import groups_of, one_tile, some_samples, tiles_of, with_room
from gossamer_compiler.weight_stream import Stream, stream_of
from gossamer_models import host
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError, InputError, UnsupportedError
from gossamer_models.layouts import BLOCK, block_bytes, blocks_of
from gossamer_models.program import MemoryImage, Program, StageProgram, Tensor
from gossamer_models.recorded import SweepCounts
from gossamer_models.render.arithmetic import Arithmetic
from gossamer_models.render.camera import Camera
from gossamer_models.render.composite import Compositor
from gossamer_models.render.engine.job import TileRays, run_job
from gossamer_models.render.engine.patches import JobRecord, block_texels, line_stream, patch_stream
from gossamer_models.render.engine.view import View, view_of
from gossamer_models.render.field import PLANE_AXES, Field, Real, Shader
from gossamer_models.render.lattice import Rays, make_rays
from gossamer_models.render.renderer import Settings, light_left
from gossamer_models.render.tiles import Tile, tile_order
from gossamer_models.sparsity import Pattern

__all__ = ["PICTURE", "compile_picture"]

PICTURE: Final = "picture"
"""Tensor of the finished pixels, fp32, shape (height, width, 3)."""

Index = NDArray[np.int64]

_POINT: Final = Window((1, 1), (1, 1), (0, 0))
_STAGE_CYCLES: Final = 6000  # a stage that multiplies fills, drains and stores, beside which no sweep runs


def compile_picture(
    field: Field, camera: Camera, settings: Settings, architecture: Architecture, *, tile: int | None = None
) -> Program:
    """Compile a picture; the Program's image is filled, and its sweeps' counts are recorded.

    Parameters
    ----------
    tile : number of the only tile that is rendered, row by row; None is all of them.

    Raises
    ------
    InputError
        The architecture has no render engine, the field no occupied cube, a setting is out of range, or the picture no
        such tile.
    DoesNotFitError
        A buffer holds no job, or no part of what else passes through it.
    UnsupportedError
        The engine is built for other fields, or the array has no frame for the network's words.
    """
    engine = architecture.render_engine
    if architecture.array.group != BLOCK:
        raise UnsupportedError(f"no frame has words of {architecture.array.group} elements", f"array.group: {BLOCK}")
    if field.shader.features > engine.features:
        raise DoesNotFitError(
            "a field's features do not fit the render engine", field.shader.features, engine.features, "features",
            "raise render.features",
        )  # fmt: skip
    if not engine.in_rtl:
        raise UnsupportedError(
            f"the render engine of {architecture.name} executes no Program",
            "render.candidate_lanes: 1, sampler_lanes: 1, compositor_lanes: 1",
        )
    components = field.density.components, field.appearance.components
    if components != engine.components or max(field.grid) > engine.grid:
        raise UnsupportedError(
            f"a render engine for {engine.components} components and {engine.grid} texels renders no field of"
            f" {components} and {max(field.grid)}",
            "raise or lower `render.components` and `render.grid`",
        )
    return _Compiler(field.astype(np.float16), camera, settings, architecture, engine.block).compile(tile)


@dataclass(frozen=True, slots=True)
class _TilePlan:
    tile: Tile
    rays: Tensor
    jobs: tuple[JobPlan, ...]
    samples: int
    seen: int


class _Compiler:
    """One picture."""

    def __init__(
        self, field: Field, camera: Camera, settings: Settings, architecture: Architecture, block: int
    ) -> None:
        self.field, self.camera, self.architecture, self.block = field, camera, architecture, block
        self.rays: Rays = make_rays(field, camera, settings.step)
        self.view: View = view_of(field, camera, self.rays, settings, block)
        self.light = light_left(field, float(self.rays.step), Arithmetic.MACHINE)
        self.memory = MemoryImage()
        self.contents: dict[str, NDArray[np.uint8]] = {}
        self.recorded: list[SweepCounts] = []
        self.entries: list[tuple[str, Real, Pattern]] = []
        self.patches: dict[tuple[int, int, int], Tensor] = {}
        self.records: dict[tuple[int, int, int], Tensor] = {}
        self.weights: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        shader = field.shader
        inputs = Shader.inputs(shader.features, shader.feature_frequencies, shader.direction_frequencies)
        self.emitter = PictureEmitter(architecture, field.appearance.components, (shader.features, inputs))
        self.inputs = inputs

    def compile(self, only: int | None) -> Program:
        """All stages in order, of all tiles or of one."""
        view = self._raw("view", self.view.to_words().view(np.uint8))
        lines = self._raw("lines", line_stream(self.field.density, self.field.appearance))
        width, height = self.camera.width, self.camera.height
        tiles = tiles_of(width, height, self.architecture.render_engine.tile)
        if only is not None and not 0 <= only < len(tiles):
            raise InputError(f"a picture of {width} x {height} has no tile {only}", f"0..{len(tiles) - 1}")
        picture = self.memory.allocate(PICTURE, 12 * width * height, "raw", (height, width, 3))
        begin = StageBuilder()
        self.emitter.begin(begin, view, lines, self.field.grid)
        stages = [begin.finish(PICTURE, "begin")]
        blocks = self._blocks()
        for number, tile in enumerate(tiles):
            if only is not None and number != only:
                continue
            stages += self._tile(f"tile{number}", self._plan(f"tile{number}", tile, blocks), picture)
        name = f"picture of {self.field.name:.40}"
        fitting = stored(stages, self.architecture)
        program = Program(name, self.architecture.name, fitting, self.memory, tuple(self.recorded))
        self._fill(program)
        return program

    def _tile(self, name: str, plan: _TilePlan, picture: Tensor) -> Iterator[StageProgram]:
        begin = StageBuilder()
        self.emitter.tile(begin, plan.rays, plan.tile)
        yield begin.finish(name, "rays")
        if plan.samples:
            yield from self._shade(name, plan)
        else:
            yield from self._sweeps(name, plan, None, None)
        end = StageBuilder()
        self.emitter.finish(end, picture, plan.tile, self.camera.width)
        yield end.finish(name, "finish")

    def _sweeps(
        self, name: str, plan: _TilePlan, samples: Samples | None, target: Activation | None, *, single: bool = False
    ) -> Iterator[StageProgram]:
        """Sweeps, group by group; beside them the array applies the basis to what groups before have shaded."""
        most, done = None if samples is None else self._most_samples(single=single), 0
        for jobs, part in groups_of(plan.jobs, most):

            def sweep(builder: StageBuilder, jobs: Sequence[JobPlan] = jobs) -> None:
                for job in jobs:
                    self.emitter.job(builder, job, samples)

            work = None
            if samples is not None and target is not None and part:
                work = self._basis(name, samples, target, done, part, single=single, whole=True)
            if work is None:
                alone = StageBuilder()
                sweep(alone)
                yield alone.finish(name, "sweep")
            else:
                yield dataclasses.replace(work.emit(self.architecture, name, sweep), stage="sweep")
                done += part
        if samples is not None and target is not None and samples.count > done:
            rest = self._basis(name, samples, target, done, samples.count - done, single=single)
            if rest is not None:
                yield rest.emit(self.architecture, f"{name}.basis")

    def _shade(self, name: str, plan: _TilePlan) -> Iterator[StageProgram]:
        """Density and basis of all samples that are shaded; then the network and colours of these, or of the pixels."""
        shader, count = self.field.shader, plan.samples
        products = allocate(self.memory, f"{name}.products", count, shader.basis.shape[1], 1, 1)
        samples = Samples(products.tensor, self._list(f"{name}.list", count), count)
        if self.field.shading == "per-sample":
            features = allocate(self.memory, f"{name}.features", count, shader.features, 1, 1)
            yield from self._sweeps(name, plan, samples, features)
            yield from self._network(name, samples, features)
            return
        drained = self._results(f"{name}.drained", count, shader.features)
        yield from self._sweeps(name, plan, samples, drained, single=True)
        pixels = blocks_of(plan.seen) * BLOCK
        sums = allocate(self.memory, f"{name}.sums", pixels, shader.features, 1, 1)
        seen = Samples(sums.tensor, self._list(f"{name}.pixels", pixels), pixels)
        add = StageBuilder()
        self.emitter.sums(add, samples, drained.tensor)
        yield add.finish(name, "sums")
        give = StageBuilder()
        self.emitter.pixels(give, seen, plan.tile)
        yield give.finish(name, "pixels")
        yield from self._network(name, seen, sums)

    def _network(self, name: str, samples: Samples, features: Activation) -> Iterator[StageProgram]:
        """Inputs, layers and colours."""
        source = allocate(self.memory, f"{name}.inputs", samples.count, self.inputs, 1, 1)
        encode = StageBuilder()
        self.emitter.inputs(encode, samples, features.tensor, source.tensor)
        yield encode.finish(name, "inputs")
        results = self._results(f"{name}.results", samples.count, 3)
        layers = self.field.shader.layers
        for number, layer in enumerate(layers):
            final = number == len(layers) - 1
            target = results
            if not final:
                target = allocate(self.memory, f"{name}.hidden{number}", samples.count, len(layer.weights), 1, 1)
            part = f"{name}.layer{number}"
            yield self._product(
                part, layer.weights, layer.pattern, source, target, layer.biases, relu=not final, single=final
            )
            source = target
        colours = StageBuilder()
        self.emitter.colours(colours, samples, results.tensor)
        yield colours.finish(name, "colours")

    def _list(self, name: str, count: int) -> Tensor:
        return self.memory.allocate(name, 8 * count, "raw", (count, 2))

    def _results(self, name: str, count: int, channels: int) -> Activation:
        """Results that drain fp32, in blocks."""
        size = 2 * block_bytes(count, channels, 1, 1, BLOCK)
        return Activation(self.memory.allocate(name, size, "raw", (size // 4,)), count, channels, 1, 1)

    def _product(
        self,
        name: str,
        matrix: Real,
        pattern: Pattern,
        source: Activation,
        target: Activation,
        biases: NDArray[np.float32] | None = None,
        *,
        relu: bool = False,
        single: bool = False,
    ) -> StageProgram:
        """A layer of the network, as a linear layer over the samples."""
        gemm = forward_gemm(source, target, _POINT, pattern)
        choice = choose_channels(gemm, with_room(self.architecture, single=single), name, CYCLES)
        bias = None
        if biases is not None:
            padded = np.zeros(blocks_of(len(biases)) * BLOCK, np.float32)
            padded[: len(biases)] = biases
            bias = self.memory.allocate(f"{name}.bias", padded.nbytes, "channels", (len(biases),))
            self.contents[bias.name] = padded.view(np.uint8)
        stream = self._weights(name, gemm, choice, matrix)
        work = FeedForward(gemm, choice, stream, bias, None, relu=relu, single=single)
        return work.emit(self.architecture, name)

    def _basis(
        self,
        name: str,
        samples: Samples,
        target: Activation,
        first: int,
        count: int,
        *,
        single: bool,
        whole: bool = False,
    ) -> FeedForward | None:
        """Basis of some of a tile's samples; if it must be one tile, None where that does not fit."""
        shader, machine = self.field.shader, with_room(self.architecture, single=single)
        name = f"{name}.basis"
        products = Activation(samples.rows, samples.count, shader.basis.shape[1], 1, 1)
        given, taken = some_samples(products, first, count, 1), some_samples(target, first, count, 1 + single)
        gemm = forward_gemm(given, taken, _POINT, shader.basis_pattern)
        best = choose_channels(gemm, machine, name, CYCLES)
        choice = one_tile(gemm, best, machine) if whole else best
        if choice is None:
            return None
        stream = self._weights(name, gemm, choice, shader.basis)
        return FeedForward(gemm, choice, stream, None, None, single=single)

    def _most_samples(self, *, single: bool) -> int | None:
        """Samples to which the array applies the basis at once; None if a stage costs more than it takes."""
        shader, array, buffers = self.field.shader, self.architecture.array, self.architecture.buffers
        products, features = (blocks_of(size) * BLOCK for size in (shader.basis.shape[1], shader.features))
        bounds = (
            buffers.a_words * array.rows * BLOCK // products,
            buffers.accumulator_words * array.columns // features,
            buffers.vector_out_bytes // ((4 if single else 2) * features),
        )
        most = max(min(bounds) // PART * PART, BLOCK)
        pattern = shader.basis_pattern
        works = most * products * features * pattern.n // (pattern.m * array.rows * array.columns)
        loads = 2 * products * most // self.architecture.memory.bytes_per_cycle
        return most if works > loads + _STAGE_CYCLES else None

    def _weights(self, name: str, gemm: ChannelGemm, choice: Choice[ChannelMapping], matrix: Real) -> Stream:
        """Entries of a matrix; what lies in memory in the same order, as for another tile, is used again."""
        layout = stream_of(gemm, choice.mapping, self.architecture, _nothing())
        shape = (layout.j_tiles, layout.words, layout.entries, layout.lj, layout.columns)
        key = name.partition(".")[2], shape
        if key not in self.weights:
            place = f"weights{len(self.weights)}.{key[0]}"
            tensor = self.memory.allocate(place, 3 * layout.j_tiles * layout.tile_entries, "entries", shape)
            self.entries.append((tensor.name, matrix, gemm.pattern))
            self.weights[key] = tensor
        return dataclasses.replace(layout, tensor=self.weights[key])

    def _plan(self, name: str, tile: Tile, blocks: Index) -> _TilePlan:
        """Records of a tile, and its jobs with room for what golden shades."""
        pixels = tile.pixels(self.camera.width)
        rays = TileRays(tile, self.rays.directions[pixels], self.rays.views[pixels])
        compositor = Compositor(len(pixels), float(self.view.cut[0]), self.view.termination)
        jobs: list[JobPlan] = []
        samples, seen = 0, np.zeros(len(pixels), np.bool_)
        for place in blocks:
            record = self._record(place)
            shaded, counts = run_job(self.view, rays, compositor, record.cubes(), self.light)
            if not counts.cubes:
                continue
            room = blocks_of(len(shaded.pixels)) * BLOCK
            texels = record.texels.counts
            self._fits(room, texels)
            tensors = tuple(self._patch(pair, place, record) for pair in range(len(PLANE_AXES)))
            jobs.append(JobPlan(len(self.recorded), self._record_tensor(place, record), tensors, texels, samples, room))
            self.recorded.append(counts)
            samples += room
            seen[shaded.pixels] = True
        words = self._raw(f"{name}.rays", rays.to_words().view(np.uint8))
        return _TilePlan(tile, words, tuple(jobs), samples, int(seen.sum()))

    def _fits(self, room: int, texels: tuple[int, int, int]) -> None:
        """Refuse a job that the engine cannot hold."""
        engine = self.architecture.render_engine
        limits = ((room, engine.kept, "samples", "kept"), (max(texels), engine.patch, "texels along an axis", "patch"))
        for demand, bound, what, name in limits:
            if demand > bound:
                raise DoesNotFitError(
                    "a job does not fit the render engine", demand, bound, what, f"raise render.{name}"
                )

    def _blocks(self) -> Index:
        """Blocks with an occupied cube in the order of the sweep, shape (n, 3)."""
        cubes = np.argwhere(self.field.occupancy)
        x, y, z = self.view.axes
        places = cubes[tile_order(cubes, self.view.eye_cell, self.block, (x, y, z))] // self.block
        found: Index = places[np.any(np.diff(places, axis=0, prepend=-1) != 0, axis=1)]
        return found

    def _record(self, place: Index) -> JobRecord:
        cubes = self.field.occupancy.shape
        occupied = np.zeros((self.block,) * 3, np.bool_)
        part = self.field.occupancy[tuple(slice(p * self.block, (p + 1) * self.block) for p in place.tolist())]
        occupied[: part.shape[0], : part.shape[1], : part.shape[2]] = part
        x, y, z = place.tolist()
        rx, ry, rz = cubes
        return JobRecord((x, y, z), block_texels(self.field.grid, (rx, ry, rz), place, self.block), occupied)

    def _record_tensor(self, place: Index, record: JobRecord) -> Tensor:
        x, y, z = place.tolist()
        if (x, y, z) not in self.records:
            self.records[x, y, z] = self._raw(f"block.{x}.{y}.{z}", record.to_bytes())
        return self.records[x, y, z]

    def _patch(self, pair: int, place: Index, record: JobRecord) -> Tensor:
        a, b = PLANE_AXES[pair]
        key = pair, int(place[a]), int(place[b])
        if key not in self.patches:
            data = patch_stream(self.field.density, self.field.appearance, pair, record.texels)
            self.patches[key] = self._raw("patch.{}.{}.{}".format(*key), data)
        return self.patches[key]

    def _raw(self, name: str, data: NDArray[np.uint8]) -> Tensor:
        tensor = self.memory.allocate(name, data.size, "raw", (data.size // 4,))
        self.contents[name] = data
        return tensor

    def _fill(self, program: Program) -> None:
        self.memory.fill()
        data = self.memory.data
        if data is not None:
            for name, content in self.contents.items():
                address = self.memory.tensors[name].address
                data[address : address + content.size] = content
        for name, matrix, pattern in self.entries:
            host.write_entries(program, name, matrix.astype(np.float16).T, pattern)


def _nothing() -> Tensor:
    return Tensor("", 0, 0, "entries", ())
