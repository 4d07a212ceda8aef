"""Patches of a first convolution, which load and store copy out of images: im2col by the machine itself.

Images lie as [batch/8][y][x][c][8 samples], so that what a window holds of a row is contiguous, and a channel of a
pixel of eight samples is the least that moves. A copy gives blocks of [8 elements][8 samples]: loads of FF turn them,
those of WU do not.
"""

import dataclasses
from dataclasses import dataclass

from gossamer_compiler.activations import Activation, allocate
from gossamer_compiler.builder import StageBuilder
from gossamer_compiler.dims import merge, plain
from gossamer_compiler.emit_vector import Pass, emit_pass
from gossamer_compiler.geometry import Window, forward_taps
from gossamer_compiler.graph import Multiply
from gossamer_compiler.reads import HALF_BYTES, Read
from gossamer_compiler.swept import swept
from gossamer_compiler.tiling import divisors
from gossamer_models.architecture import Architecture
from gossamer_models.errors import DoesNotFitError
from gossamer_models.host import IMAGES
from gossamer_models.isa.instructions import Format, Load, Store, Vector, VectorFlag, VectorOp
from gossamer_models.isa.loops import step
from gossamer_models.isa.tokens import Advance, Buffer, Semaphore
from gossamer_models.layouts import BLOCK, blocks_of
from gossamer_models.program import MemoryImage, StageProgram, Tensor
from gossamer_models.shapes import Shape

__all__ = ["allocate_images", "allocate_patches", "gathered"]

S = Semaphore

_SAMPLES_BYTES = BLOCK * 2
"""One channel of one pixel of eight samples."""


def allocate_images(memory: MemoryImage, batch: int, shape: Shape) -> Tensor:
    """Images of a logical shape (c, h, w), or those that are there already."""
    channels, height, width = shape
    size = blocks_of(batch) * height * width * channels * _SAMPLES_BYTES
    return memory.tensors.get(IMAGES) or memory.allocate(IMAGES, size, "images", (batch, *shape))


def allocate_patches(
    memory: MemoryImage, node: Multiply, batch: int, architecture: Architecture, *, copied: bool
) -> Activation:
    """A first layer's patches; their blocks are turned where the machine copies them and loads of FF can turn them.

    These need whole blocks of samples: a batch of fewer samples than rows may lie in strips of the image.
    """
    turned = copied and (batch % BLOCK == 0 or batch > architecture.array.rows)
    return allocate(memory, f"{node.name}.patches", batch, *node.in_shape, turned=turned)


def gathered(
    name: str, images: Tensor, patches: Activation, window: Window, memory: MemoryImage, architecture: Architecture
) -> list[StageProgram]:
    """Stages that make a layer's patches, whose channels are [kh][kw][c], of images.

    Raises
    ------
    DoesNotFitError
        The windows of one output exceed a vector buffer.
    """
    copy, turn = StageBuilder(), StageBuilder()
    if patches.turned:
        _Copy.of(name, images, patches, window, architecture).emit(copy)
        return [copy.finish(name, "patches")]
    shape = patches.channels, patches.height, patches.width
    turned = allocate(memory, f"{patches.tensor.name}.turned", patches.batch, *shape, turned=True)
    _Copy.of(name, images, turned, window, architecture).emit(copy)
    emit_pass(turn, Pass(VectorOp.APPLY, VectorFlag(0), {0: turned}, (patches,)), architecture, name)
    return [copy.finish(name, "patches"), turn.finish(name, "turn")]


@dataclass(frozen=True, slots=True)
class _Copy:
    """What tiles of ``rows`` x ``columns`` outputs of eight samples see of the images, copied window by window."""

    source: Activation
    target: Activation
    window: Window
    architecture: Architecture
    rows: int
    columns: int

    @classmethod
    def of(cls, name: str, images: Tensor, target: Activation, window: Window, architecture: Architecture) -> "_Copy":
        """The largest tiles that fit: what several see is read once for each of them."""
        source = Activation(images, *_sizes(images))
        sizes = [(rows, target.width) for rows in divisors(target.height)]
        sizes += [(1, columns) for columns in divisors(target.width)]
        copies = [cls(source, target, window, architecture, *size) for size in sizes]
        fitting = [copy for copy in copies if copy.fits]
        if not fitting:
            least, buffers = min(copy.held_bytes for copy in copies), architecture.buffers
            raise DoesNotFitError(
                f"layer {name!r}: what an output sees of eight images exceeds a vector buffer", least,
                min(buffers.vector_in_bytes, buffers.vector_out_bytes), "bytes",
                "raise buffers.vector_in_bytes and vector_out_bytes, or leave patches to the host",
            )  # fmt: skip
        return max(fitting, key=lambda copy: copy.rows * copy.columns)

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
        source, target = self.source, self.target
        builder.reads(self._read())
        down, across = target.height // self.rows, target.width // self.columns
        with builder.loop(target.batch_blocks) as b, builder.loop(down) as y, builder.loop(across) as x:
            image_bytes = source.pixels * self.pixel_bytes
            builder.add(self._load(b, y, x, image_bytes), *self._vectors(), *self._stores(b, y, x))

    def _load(self, b: int, y: int, x: int, image_bytes: int) -> Load:
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
                step(Load, "mem_base", b, image_bytes),
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
        )
        pixels = [
            *plain(self.columns, target.pixel_bytes, self.window.stride[1] * self.pixel_bytes),
            *plain(self.rows, target.row_bytes, self.window.stride[0] * seen_row),
        ]
        elements = Store(
            wait=S.VOUT_FULL, buffer=Buffer.VOUT, format=Format.FP16, mem_base=target.address, modifiers=steps,
            dims=merge([*plain(window_row // 2, 2, 2), *plain(kh, window_row, seen_row), *pixels]),
        )  # fmt: skip
        if not self.padding_bytes:
            return [dataclasses.replace(elements, signal=S.VOUT_FREE, advance=Advance.VOUT)]
        zeros = Store(
            signal=S.VOUT_FREE, advance=Advance.VOUT, buffer=Buffer.VOUT, format=Format.FP16,
            mem_base=target.address + kh * window_row, buf_base=self.architecture.vector.align(self.seen_bytes),
            dims=merge([
                *plain(self.padding_bytes // 2, 2, 2), *plain(self.columns, target.pixel_bytes, 0),
                *plain(self.rows, target.row_bytes, 0),
            ]),
            modifiers=steps,
        )  # fmt: skip
        return [elements, zeros]

    def _read(self) -> Read:
        y, x = (forward_taps(self.window, axis, self.source, self.target) for axis in (0, 1))
        rows, columns = swept(y, self.rows), swept(x, self.columns)
        pixel, real = HALF_BYTES * self.source.channels, self.source.batch
        loaded = rows.loaded * columns.loaded * pixel
        return Read(
            self.source.address, blocks_of(real) * BLOCK * loaded, real * loaded,
            real * rows.used * columns.used * pixel, real * rows.different * columns.different * pixel,
        )  # fmt: skip


def _sizes(images: Tensor) -> tuple[int, int, int, int]:
    batch, channels, height, width = images.shape
    return batch, channels, height, width
