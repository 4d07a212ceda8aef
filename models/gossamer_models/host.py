"""What a host writes into a program's memory image and reads back: tensors by name, in their logical shapes."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import GossamerError
from gossamer_models.grouping import groups_per_word
from gossamer_models.layers import BatchNorm, Conv2d, LayerNorm, Linear, RmsNorm, Rotary, Tokens
from gossamer_models.layouts import (
    BLOCK,
    entry_tile,
    pack_blocks,
    pack_grouped,
    pack_images,
    pack_patches,
    pack_weights,
    unpack_blocks,
    unpack_grouped,
    unpack_images,
    unpack_weights,
    words_of,
)
from gossamer_models.loss_scale import STATE_TENSOR, LossScale, scale_state
from gossamer_models.network import Network
from gossamer_models.program import Program, Tensor
from gossamer_models.shapes import Shape, infer
from gossamer_models.sparsity import Pattern, compress

__all__ = [
    "IMAGES", "PATCHES", "input_tensors", "read", "rotary_table", "write", "write_entries", "write_input",
    "write_loss_scale", "write_parameters", "write_weights",
]  # fmt: skip

IMAGES: Final = "input.images"
"""The network's input where the machine copies a first convolution's patches by itself."""

PATCHES: Final = "patches"
"""Name of the stage in which it does so."""

_TOKEN_DEVIATION = 0.02
_PARAMETER_STREAM = 1  # keeps parameters independent of data that a caller draws by the same seed


def write(program: Program, name: str, values: NDArray[Any]) -> None:
    """Write a tensor of its logical shape: ``blocks``, ``images`` and ``halves`` as fp16, parameters as fp32.

    Raises
    ------
    GossamerError
        The image is symbolic, the name unknown or the shape another.
    """
    tensor, data = _tensor(program, name)
    word = program.memory.word
    if values.shape != tensor.shape:
        raise GossamerError(f"tensor {name!r} has shape {list(tensor.shape)}, not {list(values.shape)}")
    if tensor.layout == "blocks":
        packed: NDArray[Any] = pack_blocks(values.astype(np.float16), word)
    elif tensor.layout == "images":
        packed = pack_images(values.astype(np.float16))
    elif tensor.layout == "weights":
        packed = pack_weights(values.astype(np.float32), word)
    elif tensor.layout == "grouped":
        packed = pack_grouped(values.astype(np.float32), _together(tensor, word), word)
    elif tensor.layout == "halves":
        packed = values.astype(np.float16)
    else:
        packed = np.zeros(tensor.size_bytes // 4, np.float32)
        packed[: values.size] = values.ravel()
    data[:] = packed.reshape(-1).view(np.uint8)


def read(program: Program, name: str) -> NDArray[Any]:
    """Read a tensor in its logical shape.

    Raises
    ------
    GossamerError
        The image is symbolic or the name unknown.
    """
    tensor, data = _tensor(program, name)
    shape: tuple[Any, ...] = tensor.shape
    word = program.memory.word
    if tensor.layout == "blocks":
        return unpack_blocks(data.view(np.float16), shape)
    if tensor.layout == "images":
        return unpack_images(data.view(np.float16), shape)
    if tensor.layout == "turned":
        return unpack_blocks(data.view(np.float16).reshape(-1, BLOCK, BLOCK).swapaxes(1, 2).ravel(), shape)
    if tensor.layout == "weights":
        return unpack_weights(data.view(np.float32), shape, word)
    if tensor.layout == "grouped":
        return unpack_grouped(data.view(np.float32), shape, _together(tensor, word), word)
    if tensor.layout == "halves":
        return data.view(np.float16).reshape(shape).copy()
    values = data.view(np.float32)
    return values[: int(np.prod(tensor.shape))].reshape(tensor.shape).copy()


def _together(tensor: Tensor, word: int) -> int:
    groups, _, inputs, _, _ = tensor.shape
    return min(groups, groups_per_word(inputs, word))


def write_weights(program: Program, layer: str, values: NDArray[np.float32]) -> None:
    """Write the masters of a convolution, (c_out, c_in / groups, kh, kw), or of a linear layer, (out, in).

    The layer that reads explicit patches keeps its weights as (c_out, kh kw c_in, 1, 1).
    """
    tensor, _ = _tensor(program, f"{layer}.weight")
    if f"{layer}.patches" in program.memory.tensors and values.ndim == 4:
        values = values.transpose(0, 2, 3, 1)
    write(program, tensor.name, values.reshape(tensor.shape))


def write_parameters(
    program: Program, network: Network, batch: int, seed: int, *, spread: float = 0.0
) -> dict[str, NDArray[np.float32]]:
    """Write the parameters that training starts from, drawn by ``seed``.

    Weights are normal with variance 2 / fan-in in convolutions and 1 / (3 fan-in) in linear layers; biases and shifts
    are 0, scales 1. Class tokens and positions are normal with deviation 0.02.

    Parameters
    ----------
    batch : that the program was compiled for.
    spread : standard deviation of biases and shifts, and half the range of scales around 1, where a test needs
        values that differ from channel to channel.

    Returns
    -------
    dict of array of float32
        By tensor: ``LAYER.weight`` in the layer's own shape, ``LAYER.bias`` (c_out,), ``LAYER.parameters`` (2 or 1,
        channels): scales, shifts, ``LAYER.class`` and ``LAYER.positions`` (tokens, channels).

    Raises
    ------
    GossamerError
        The image is symbolic or the program another network's.
    """
    rng = np.random.default_rng((seed, _PARAMETER_STREAM))
    written: dict[str, NDArray[np.float32]] = {}
    for shape in infer(network, batch):
        name = shape.name
        if isinstance(shape.params, Conv2d | Linear):
            variance = 2 if isinstance(shape.params, Conv2d) else 1 / 3
            deviation = (variance / float(np.prod(shape.weight_shape[1:]))) ** 0.5
            weights = (rng.standard_normal(shape.weight_shape) * deviation).astype(np.float32)
            write_weights(program, name, weights)
            written[f"{name}.weight"] = weights
            if shape.params.bias:
                bias = written[f"{name}.bias"] = (rng.standard_normal(shape.out_shape[0]) * spread).astype(np.float32)
                write(program, f"{name}.bias", bias)
        elif isinstance(shape.params, BatchNorm | LayerNorm | RmsNorm):
            channels = shape.in_shape[0]
            scales, shifts = 1 + spread * rng.uniform(-1, 1, channels), spread * rng.standard_normal(channels)
            vectors = [scales] if isinstance(shape.params, RmsNorm) else [scales, shifts]
            written[f"{name}.parameters"] = _write_padded(program, f"{name}.parameters", np.stack(vectors))
        elif isinstance(shape.params, Tokens):
            for part in ("class", "positions"):
                if f"{name}.{part}" in program.memory.tensors:
                    tokens = _tensor(program, f"{name}.{part}")[0].shape[0]
                    drawn = rng.standard_normal((tokens, shape.out_shape[0])) * _TOKEN_DEVIATION
                    written[f"{name}.{part}"] = _write_padded(program, f"{name}.{part}", drawn)
        elif isinstance(shape.params, Rotary):
            write(program, f"{name}.table", rotary_table(shape.params, shape.in_shape))
    return written


def write_loss_scale(program: Program, rule: float | LossScale, batch: int) -> None:
    """Write the state that dynamic loss scaling starts from; a constant scale has none.

    Raises
    ------
    GossamerError
        The image is symbolic, or the program was compiled for a constant scale.
    """
    if isinstance(rule, LossScale):
        write(program, STATE_TENSOR, scale_state(rule.initial, batch))


def rotary_table(params: Rotary, shape: Shape) -> NDArray[np.float16]:
    """Cosine and sine of token x base^(-2 i / d) for pair i of a head of d channels, as fp16, shape (tokens, d)."""
    channels = shape[0] // params.heads
    rates = params.base ** (-np.arange(0, channels, 2) / channels)
    angles = np.arange(shape[1] * shape[2])[:, None] * rates
    return np.stack([np.cos(angles), np.sin(angles)], axis=2).reshape(-1, channels).astype(np.float16)


def _write_padded(program: Program, name: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Write vectors of channels, (n, c), padded with zeros; return them as fp32."""
    padded = np.zeros(_tensor(program, name)[0].shape, np.float32)
    padded[:, : values.shape[1]] = values
    write(program, name, padded)
    return padded[:, : values.shape[1]]


def write_entries(program: Program, name: str, matrix: NDArray[np.float16], pattern: Pattern) -> None:
    """Prune operand B, shape (r, j), along r and write it as its GEMM reads it.

    The machine's own update writes such tensors itself; this serves a product that stands alone.

    Raises
    ------
    GossamerError
        The image is symbolic, the name unknown or the shape another.
    """
    tensor, data = _tensor(program, name)
    j_tiles, words, per_word, lj, columns = tensor.shape
    held, word = j_tiles * lj * columns, program.memory.word
    if words_of(matrix.shape[0], word) != words or matrix.shape[1] > held or pattern.entries_per_word(word) != per_word:
        raise GossamerError(f"tensor {name!r} takes {words} words by up to {held} columns, not {list(matrix.shape)}")
    kept = compress(matrix, pattern, word, axis=0)
    values = np.zeros((held, words, per_word), np.float16)
    metadata = np.zeros((held, words, per_word), np.uint8)
    values[: matrix.shape[1]] = kept.values
    metadata[: matrix.shape[1]] = kept.metadata
    shape = (j_tiles, lj, columns, words, per_word)
    padding = entry_tile(words, per_word, lj, columns) - words * per_word * lj * columns
    parts = []
    for part in (values, metadata):
        tiles = part.reshape(shape).transpose(0, 3, 4, 1, 2).reshape(j_tiles, -1)
        parts.append(np.pad(tiles, ((0, 0), (0, padding))).reshape(-1).view(np.uint8))
    data[:] = np.concatenate(parts)


def write_input(program: Program, network: Network, images: NDArray[np.float16]) -> None:
    """Write the network's input (batch, c, h, w), as explicit patches for the layers that read them so.

    Of what the machine copies by itself it writes the images. A linear layer's one patch is the flattened image,
    channel outermost as its weights have it.
    """
    names = input_tensors(program, network)
    for name in {"input", IMAGES}.intersection(names):
        write(program, name, images)
    for layer in network.layers:
        if (name := f"{layer.name}.patches") not in names:
            continue
        _, data = _tensor(program, name)
        if isinstance(layer, Conv2d):
            packed = pack_patches(images, layer.kernel, layer.stride, layer.paddings, program.memory.word)
        else:
            packed = pack_blocks(images.reshape(len(images), -1, 1, 1), program.memory.word)
        data[:] = packed.reshape(-1).view(np.uint8)


def input_tensors(program: Program, network: Network) -> tuple[str, ...]:
    """Names of the tensors that :func:`write_input` writes: no patches that a stage makes of images."""
    made = {stage.layer for stage in program.stages if stage.stage == PATCHES}
    patches = (f"{layer.name}.patches" for layer in network.layers if layer.name not in made)
    names = ("input", *([IMAGES] if made else []), *patches)
    return tuple(name for name in names if name in program.memory.tensors)


def _tensor(program: Program, name: str) -> tuple[Tensor, NDArray[np.uint8]]:
    if program.memory.data is None:
        raise GossamerError(f"the memory image of program {program.name!r} is symbolic: fill it first")
    if name not in program.memory.tensors:
        raise GossamerError(f"program {program.name!r} has no tensor {name!r}")
    tensor = program.memory.tensors[name]
    return tensor, program.memory.data[tensor.address : tensor.address + tensor.size_bytes]
