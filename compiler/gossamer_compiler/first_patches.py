"""Patches of a first convolution, which load and store copy out of images: im2col by the machine itself.

Images lie as [batch/8][y][x][c][8 samples], so that what a window holds of a row is contiguous, and a channel of a
pixel of eight samples is the least that moves. A copy gives blocks of [8 elements][8 samples]: loads of FF turn them,
those of WU do not.
"""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from itertools import product

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_vector import Pass, emit_pass
from gossamer_compiler.geometry import Window
from gossamer_compiler.graph import Multiply
from gossamer_compiler.reads import HALF_BYTES, Read
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.host import IMAGES, PATCHES
from gossamer_models.isa.instructions import Dim, Format, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.program import MemoryImage, StageProgram, Tensor
from gossamer_models.shapes import Shape
from gossamer_models.timing.dma import STORE_START_CYCLES

__all__ = ["FirstPatches"]

S = Semaphore

_SAMPLES_BYTES = BLOCK * 2
"""One channel of one pixel of eight samples."""

_TRANSFERS = 3
"""Of a tile: what it sees, elements, zeros behind them."""


class FirstPatches:
    """Sources of layers that read patches of the images, and the stages that make those which the machine copies.

    Attributes
    ----------
    stages : by layer, those that run in front of its FF.
    """

    def __init__(self, copied: Collection[str], batch: int, memory: MemoryImage, architecture: Architecture) -> None:
        self._copied, self._batch, self._memory, self._architecture = copied, batch, memory, architecture
        self._images: Tensor | None = None
        self.stages: dict[str, list[StageProgram]] = {}

    def source(self, node: Multiply, images: Shape) -> Activation:
        """Allocate a layer's patches; ``images`` are (c, h, w).

        Raises
        ------
        DoesNotFitError
            What one output sees of the images exceeds a vector buffer.
        InputError
            A layer has the name of the images' tensor.
        """
        copied = node.name in self._copied
        # Loads turn whole blocks of samples; a batch of fewer samples than rows may lie in strips of the image.
        turned = copied and (self._batch % BLOCK == 0 or self._batch > self._architecture.array.rows)
        patches = allocate(self._memory, f"{node.name}.patches", self._batch, *node.in_shape, turned=turned)
        if copied and node.patches is not None:
            self.stages[node.name] = self._stages(node.name, node.patches, images, patches)
        return patches

    def _stages(self, name: str, window: Window, images: Shape, patches: Activation) -> list[StageProgram]:
        """A copy, and a pass behind it where loads of FF cannot turn."""
        channels, height, width = images
        if self._images is None:
            size = blocks_of(self._batch) * height * width * channels * _SAMPLES_BYTES
            self._images = self._memory.allocate(IMAGES, size, "images", (self._batch, *images))
        source = Activation(self._images, self._batch, channels, height, width)
        target = patches
        if not patches.turned:
            shape = patches.channels, patches.height, patches.width
            target = allocate(self._memory, f"{patches.tensor.name}.turned", self._batch, *shape, turned=True)
        copy, turn = StageBuilder(), StageBuilder()
        _Copy.of(name, source, target, window, self._architecture).emit(copy)
        if patches.turned:
            return [copy.finish(name, PATCHES)]
        emit_pass(turn, Pass(VectorOp.APPLY, VectorFlag(0), {0: target}, (patches,)), self._architecture, name)
        return [copy.finish(name, PATCHES), turn.finish(name, "turn")]


@dataclass(frozen=True, slots=True)
class _Copy:
    """What tiles of ``rows`` x ``columns`` outputs of eight samples see of the images, copied window by window.

    Outputs of the last tiles that there are not are loaded as zeros and not stored.
    """

    source: Activation
    target: Activation
    window: Window
    architecture: Architecture
    rows: int
    columns: int

    @classmethod
    def of(
        cls, name: str, source: Activation, target: Activation, window: Window, architecture: Architecture
    ) -> "_Copy":
        """The tiles that move least, of those that fit."""
        sizes = product(_parts(target.height), _parts(target.width))
        copies = (cls(source, target, window, architecture, *size) for size in sizes)
        fitting = [copy for copy in copies if copy.fits]
        if fitting:
            return min(fitting, key=lambda copy: copy.cycles)
        least, buffers = cls(source, target, window, architecture, 1, 1), architecture.buffers
        over = least.seen_bytes > buffers.vector_in_bytes
        buffer, demand = ("vector_in_bytes", least.seen_bytes) if over else ("vector_out_bytes", least.held_bytes)
        raise DoesNotFitError(
            f"layer {name!r}: what an output sees of eight images exceeds buffers.{buffer}", demand,
            getattr(buffers, buffer), "bytes", f"raise buffers.{buffer}, or leave patches to the host",
        )  # fmt: skip

    @property
    def tiles(self) -> int:
        """Tiles of all samples."""
        down, across = self._loops
        return self.target.batch_blocks * down * across

    @property
    def _loops(self) -> tuple[int, int]:
        return -(-self.target.height // self.rows), -(-self.target.width // self.columns)

    @property
    def cycles(self) -> int:
        """Predicted cycles of all transfers together, one behind the other."""
        memory, stored = self.architecture.memory, self.rows * self.columns * self.target.pixel_bytes
        begun = _TRANSFERS * (STORE_START_CYCLES + memory.latency_cycles)
        return self.tiles * (begun + (self.seen_bytes + stored) // memory.bytes_per_cycle)

    @property
    def pixel_bytes(self) -> int:
        """Bytes of a pixel of eight images."""
        return self.source.channels * _SAMPLES_BYTES

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns of images that a tile sees, those beyond an edge included."""
        return self._extent(0, self.rows), self._extent(1, self.columns)

    def _extent(self, axis: int, outputs: int) -> int:
        return (outputs - 1) * self.window.stride[axis] + self.window.kernel[axis]

    @property
    def seen_bytes(self) -> int:
        """Bytes of what a tile sees."""
        rows, columns = self.extent
        return rows * columns * self.pixel_bytes

    @property
    def padding_bytes(self) -> int:
        """Bytes of an output's elements of no tap: the last block's."""
        return self.target.pixel_bytes - self.window.taps * self.pixel_bytes

    @property
    def held_bytes(self) -> int:
        """Bytes of VOUT: what a tile sees, then zeros."""
        align = self.architecture.vector.align
        return align(self.seen_bytes) + align(self.padding_bytes)

    @property
    def fits(self) -> bool:
        """Whether a tile fits the vector buffers."""
        buffers = self.architecture.buffers
        return self.seen_bytes <= buffers.vector_in_bytes and self.held_bytes <= buffers.vector_out_bytes

    def emit(self, builder: StageBuilder) -> None:
        """Append the whole copy."""
        builder.reads(self._read())
        down, across = self._loops
        with builder.loop(self.target.batch_blocks) as b, builder.loop(down) as y, builder.loop(across) as x:
            builder.add(self._load(b, y, x), *self._vectors(), *self._stores(b, y, x))

    def _load(self, b: int, y: int, x: int) -> Load:
        (rows, columns), (top, left) = self.extent, self.window.padding
        row_bytes = self.source.width * self.pixel_bytes
        y_step, x_step = self.rows * self.window.stride[0], self.columns * self.window.stride[1]
        dims = [
            *plain(self.pixel_bytes // 2, 2, 2),
            *plain(columns, self.pixel_bytes, self.pixel_bytes, 1, 1),
            *plain(rows, row_bytes, columns * self.pixel_bytes, 0, 1),
        ]
        return Load(
            wait=S.VIN_FREE, signal=S.VIN_FULL, advance=Advance.VIN, buffer=Buffer.VIN, format=Format.FP16,
            mem_base=self.source.address - top * row_bytes - left * self.pixel_bytes,
            axis0_base=-top, axis0_bound=self.source.height, axis1_base=-left, axis1_bound=self.source.width,
            dims=merge(dims),
            modifiers=(
                step(Load, "mem_base", b, self.source.pixels * self.pixel_bytes),
                step(Load, "mem_base", y, y_step * row_bytes),
                step(Load, "axis0_base", y, y_step),
                step(Load, "mem_base", x, x_step * self.pixel_bytes),
                step(Load, "axis1_base", x, x_step),
            ),
        )  # fmt: skip

    def _vectors(self) -> list[Vector]:
        copy = Vector(
            wait=S.VIN_FULL | S.VOUT_FREE, signal=S.VIN_FREE | S.VOUT_FULL, advance=Advance.VIN | Advance.VOUT,
            op=VectorOp.APPLY, format=Format.FP16, count=self.seen_bytes // 2,
        )  # fmt: skip
        if not self.padding_bytes:
            return [copy]
        zeros = Vector(
            wait=S.VOUT_FREE, op=VectorOp.FILL, format=Format.FP16, count=self.padding_bytes // 2,
            target0=self.architecture.vector.align(self.seen_bytes),
        )  # fmt: skip
        return [zeros, dataclasses.replace(copy, wait=S.VIN_FULL)]

    def _stores(self, b: int, y: int, x: int) -> list[Store]:
        """Elements of all windows, and zeros behind each window's."""
        target, (_, columns), (kh, kw) = self.target, self.extent, self.window.kernel
        window_row, seen_row = kw * self.pixel_bytes, columns * self.pixel_bytes
        steps = (
            step(Store, "mem_base", b, target.slab_bytes),
            step(Store, "mem_base", y, self.rows * target.row_bytes),
            step(Store, "mem_base", x, self.columns * target.pixel_bytes),
            step(Store, "axis0_base", y, self.rows),
            step(Store, "axis1_base", x, self.columns),
        )
        bounds = {"axis0_bound": target.height, "axis1_bound": target.width}

        def pixels(across: int, down: int) -> list[Dim]:
            """Steps of the buffer's address from output to output."""
            return [
                *plain(self.columns, target.pixel_bytes, across, 1, 1), *plain(self.rows, target.row_bytes, down, 0, 1)
            ]  # fmt: skip

        outputs = pixels(self.window.stride[1] * self.pixel_bytes, self.window.stride[0] * seen_row)
        elements = Store(
            wait=S.VOUT_FULL, buffer=Buffer.VOUT, format=Format.FP16, mem_base=target.address, modifiers=steps,
            dims=merge([*plain(window_row // 2, 2, 2), *plain(kh, window_row, seen_row), *outputs]), **bounds,
        )  # fmt: skip
        if not self.padding_bytes:
            return [dataclasses.replace(elements, signal=S.VOUT_FREE, advance=Advance.VOUT)]
        zeros = Store(
            signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            mem_base=target.address + kh * window_row, buf_base=self.architecture.vector.align(self.seen_bytes),
            dims=merge([*plain(self.padding_bytes // 2, 2, 2), *pixels(0, 0)]), modifiers=steps, **bounds,
        )  # fmt: skip
        return [elements, zeros]

    def _read(self) -> Read:
        rows, columns = self._seen(0, self.source.height), self._seen(1, self.source.width)
        pixel, real = HALF_BYTES * self.source.channels, self.source.batch
        loaded, used, different = (each * pixel * other for each, other in zip(rows, columns, strict=True))
        return Read(self.source.address, blocks_of(real) * BLOCK * loaded, real * loaded, real * used, real * different)

    def _seen(self, axis: int, size: int) -> tuple[int, int, int]:
        """Positions along an axis: those that tiles load, those that their windows hold, and these each once."""
        kernel, stride, padding = self.window.kernel[axis], self.window.stride[axis], self.window.padding[axis]
        outputs, taken = (self.target.height, self.target.width)[axis], (self.rows, self.columns)[axis]
        loaded, used, different = 0, 0, set[int]()
        for first in range(0, outputs, taken):
            start = first * stride - padding
            loaded += len(range(max(start, 0), min(start + self.extent[axis], size)))
            windows = (output * stride - padding for output in range(first, min(first + taken, outputs)))
            held = {place for window in windows for place in range(max(window, 0), min(window + kernel, size))}
            used, different = used + len(held), different | held
        return loaded, used, len(different)


def _parts(outputs: int) -> list[int]:
    """Sizes of tiles along an axis, as even as can be for each number of tiles."""
    return sorted({-(-outputs // tiles) for tiles in range(1, outputs + 1)})
