"""Compiles one matrix product, as FF of a linear layer: Out[i, j] = sum_r A[i, r] B[r, j]."""

from gossamer_compiler.activations import allocate
from gossamer_compiler.builder import StageBuilder, stored
from gossamer_compiler.emit_channels import emit_channel_gemm
from gossamer_compiler.geometry import Window, forward_gemm
from gossamer_compiler.mapping import map_channels
from gossamer_compiler.product_reads import channel_reads
from gossamer_compiler.weight_stream import stream_of
from gossamer_models.architecture import Architecture
from gossamer_models.program import MemoryImage, Program, Tensor
from gossamer_models.sparsity import Pattern

__all__ = ["compile_product"]

_POINT = Window((1, 1), (1, 1), (0, 0))


def compile_product(i: int, r: int, j: int, pattern: Pattern, architecture: Architecture) -> Program:
    """Compile A (i, r) times B (r, j) with B pruned by ``pattern`` along r.

    Returns
    -------
    Program
        One stage. Tensors: ``a`` (i, r, 1, 1) and ``out`` (i, j, 1, 1) in blocks of fp16, ``b`` entries as
        :func:`gossamer_models.host.write_entries` writes them.

    Raises
    ------
    DoesNotFitError
        A buffer cannot hold the smallest tile.
    """
    memory = MemoryImage(word=architecture.array.group)
    gemm = forward_gemm(allocate(memory, "a", i, r, 1, 1), allocate(memory, "out", i, j, 1, 1), _POINT, pattern)
    mapping = map_channels(gemm, architecture, "product")
    layout = stream_of(gemm, mapping, architecture, Tensor("", 0, 0, "entries", ()))
    shape = (layout.j_tiles, layout.words, layout.entries, layout.lj, layout.columns)
    tensor = memory.allocate("b", 3 * layout.j_tiles * layout.tile_entries, "entries", shape)
    builder, stream = StageBuilder(), stream_of(gemm, mapping, architecture, tensor)
    builder.reads(*channel_reads(gemm, mapping, stream, architecture.array))
    emit_channel_gemm(builder, gemm, mapping, stream, architecture)
    stage = builder.finish(
        "product", "ff", dataflow=f"{mapping.dataflow.text} {mapping.li}x{mapping.lj}",
        sparsity="dense" if pattern.is_dense else str(pattern), macs=gemm.macs(), macs_dense=i * r * j,
    )  # fmt: skip
    return Program(f"product {i}x{r}x{j}", architecture.name, stored((stage,), architecture), memory)
