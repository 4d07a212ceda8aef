"""How an instruction of WU walks its part of the reduction: chunk by chunk, or Lr chunks side by side.

A chunk is a number of whole images, a strip of an image's rows, or, where a window is a single pixel, any stretch of
pixels. The chunk beside must lie a stride away, and the r loops must reach every Lr-th chunk: a window of one pixel
walks pixels in a row; else an instruction has images that are a chunk each, or just Lr chunks.
"""

from gossamer_compiler.geometry import PIXEL, GradientGemm
from gossamer_models.isa.instructions import NO_LEVEL

__all__ = ["gemm_rows", "reduction", "walkable"]


def gemm_rows(gemm: GradientGemm, rows: int) -> int:
    """Source rows that ``rows`` output rows reach."""
    return (rows - 1) * gemm.window.stride[0] + gemm.window.kernel[0]


def walkable(gemm: GradientGemm, samples: int, rows: int, lr: int) -> bool:
    """Whether ``samples`` words of samples and ``rows`` output rows can be walked with Lr chunks side by side.

    All parts of the batch are then alike, and the last word of samples is as full as the others.
    """
    if lr == 1:
        return True
    chunk, columns, pixels = gemm.chunk_words, gemm.gradient.width, gemm.gradient.pixels
    if gemm.last_entries != gemm.entries or gemm.gradient.batch_words % samples:
        return False
    if _is_flat(gemm):
        return samples * rows * columns % (chunk * lr) == 0
    if chunk % pixels == 0:
        return samples % lr == 0 if chunk == pixels else samples * pixels == chunk * lr
    return samples == 1 and chunk % columns == 0 and rows * columns == chunk * lr


def reduction(gemm: GradientGemm, samples: int, rows: int, lr: int, word: int) -> dict[str, int]:
    """Fields of the r loops, of their strides in both buffers and of the coordinates, for the first rows of an image.

    Parameters
    ----------
    samples, rows : what the instruction has: words of samples, output rows.
    word : entries from one word of B to the next.
    """
    window, width, columns = gemm.window, gemm.source.width, gemm.gradient.width
    (stride_y, stride_x), chunk = window.stride, gemm.chunk_words
    if lr > 1 and _is_flat(gemm):
        return {
            "r1": samples * rows * columns // (chunk * lr), "r0": chunk,
            "a_r1": chunk * lr, "a_r0": 1, "a_lr": chunk,
            "b_r1": chunk * lr * word, "b_r0": word, "b_lr": chunk * word,
            "y_level": NO_LEVEL, "x_level": NO_LEVEL,
        }  # fmt: skip
    fields = {
        "r2": samples, "r1": rows, "r0": columns,
        "a_r2": gemm_rows(gemm, rows) * width, "a_r1": stride_y * width, "a_r0": stride_x,
        "b_r2": rows * columns * word, "b_r1": columns * word, "b_r0": word,
        "y_base": -window.padding[0], "y_level": 1, "y_shift": stride_y.bit_length() - 1, "y_size": gemm.source.height,
        "x_base": -window.padding[1], "x_level": 0, "x_shift": stride_x.bit_length() - 1, "x_size": width,
    }  # fmt: skip
    if lr == 1:
        return fields
    if chunk % gemm.gradient.pixels == 0:
        images = chunk // gemm.gradient.pixels
        beside = {f"{operand}_lr": images * fields[f"{operand}_r2"] for operand in "ab"}
        steps = {f"{operand}_r2": fields[f"{operand}_r2"] * (lr if images == 1 else 1) for operand in "ab"}
        return fields | beside | steps | {"r2": samples // lr}
    strip = chunk // columns
    beside = {f"{operand}_lr": strip * fields[f"{operand}_r1"] for operand in "ab"}
    return fields | beside | {"r1": strip, "y_lr": strip * stride_y}


def _is_flat(gemm: GradientGemm) -> bool:
    """Whether every pixel of the gradient reads the same one of the source, and no other."""
    return gemm.window == PIXEL
