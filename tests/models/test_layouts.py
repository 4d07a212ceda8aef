import numpy as np
import pytest

from gossamer_models.layouts import (
    block_bytes,
    blocks_of,
    pack_blocks,
    pack_images,
    pack_patches,
    pack_weights,
    unpack_blocks,
    unpack_images,
    unpack_weights,
    words_of,
)

SHAPES = [(1, 1, 1, 1), (8, 8, 2, 3), (3, 20, 4, 5), (17, 9, 1, 2)]


def test_channels_fill_whole_words_and_samples_whole_blocks() -> None:
    assert [blocks_of(size) for size in (1, 8, 9, 17)] == [1, 1, 2, 3]
    assert [blocks_of(size, 16) for size in (1, 8, 9, 17)] == [2, 2, 2, 4]
    assert [words_of(size, 16) for size in (1, 16, 17)] == [1, 1, 2]


def numbered(shape: tuple[int, ...]) -> np.ndarray:
    return np.arange(1, np.prod(shape) + 1).reshape(shape)


@pytest.mark.parametrize("word", [8, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_blocks_place_every_element(shape: tuple[int, int, int, int], word: int) -> None:
    tensor = numbered(shape).astype(np.float16)
    packed = pack_blocks(tensor, word)
    batch, channels, height, width = shape
    assert packed.shape == (blocks_of(batch), height, width, blocks_of(channels, word), 8, 8)
    assert packed.nbytes == block_bytes(*shape, word)
    for n, c, y, x in np.ndindex(shape):
        assert packed[n // 8, y, x, c // 8, n % 8, c % 8] == tensor[n, c, y, x]
    assert np.count_nonzero(packed) == tensor.size
    np.testing.assert_array_equal(unpack_blocks(packed, shape), tensor)


@pytest.mark.parametrize("shape", SHAPES)
def test_images_place_every_element(shape: tuple[int, int, int, int]) -> None:
    tensor = numbered(shape).astype(np.float16)
    packed = pack_images(tensor)
    batch, channels, height, width = shape
    assert packed.shape == (blocks_of(batch), height, width, channels, 8)
    for n, c, y, x in np.ndindex(shape):
        assert packed[n // 8, y, x, c, n % 8] == tensor[n, c, y, x]
    assert np.count_nonzero(packed) == tensor.size
    np.testing.assert_array_equal(unpack_images(packed, shape), tensor)


@pytest.mark.parametrize("word", [8, 16])
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_place_every_element(shape: tuple[int, int, int, int], word: int) -> None:
    tensor = numbered(shape).astype(np.float32)
    packed = pack_weights(tensor, word)
    assert packed.shape[2:4] == (blocks_of(shape[1], word), blocks_of(shape[0], word))
    for o, i, y, x in np.ndindex(shape):
        assert packed[y, x, i // 8, o // 8, i % 8, o % 8] == tensor[o, i, y, x]
    assert np.count_nonzero(packed) == tensor.size
    np.testing.assert_array_equal(unpack_weights(packed, shape, word), tensor)


def test_patches_gather_windows_in_row_column_channel_order() -> None:
    images = numbered((2, 3, 5, 4)).astype(np.float16)
    (kh, kw), (sy, sx), (py, px) = (3, 2), (2, 1), (1, 0)
    patches = unpack_blocks(pack_patches(images, (kh, kw), (sy, sx), ((py, 2), (px, 1)), 16), (2, 18, 3, 4))
    for n, oy, ox, r, s, c in np.ndindex(2, 3, 4, kh, kw, 3):
        y, x = oy * sy - py + r, ox * sx - px + s
        expected = images[n, c, y, x] if 0 <= y < 5 and 0 <= x < 4 else 0
        assert patches[n, (r * kw + s) * 3 + c, oy, ox] == expected
