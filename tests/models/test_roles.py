import pytest

from gossamer_models.roles import ROLES, Case, channel_chunk_words, gradient_chunk_words


def test_table_has_a_row_per_case() -> None:
    assert set(ROLES) == set(Case)


@pytest.mark.parametrize(
    ("words", "group", "expected"), [(1, 8, 1), (512, 8, 512), (513, 8, 257), (576, 8, 288), (600, 16, 200)]
)
def test_channel_chunks_are_even_and_short_enough(words: int, group: int, expected: int) -> None:
    assert channel_chunk_words(words, group) == expected
    assert expected * group <= 4096


@pytest.mark.parametrize(
    ("height", "width", "group", "expected"),
    [
        (1, 1, 8, 512), (7, 7, 8, 392), (8, 8, 8, 512), (16, 32, 8, 512), (28, 28, 8, 392), (56, 56, 8, 448),
        (112, 112, 8, 448), (7, 7, 16, 196), (64, 64, 16, 256), (56, 56, 16, 224), (1, 2048, 8, 512),
        # 256 divides 112 x 112, but only every sixteenth row ends with it.
        (112, 112, 16, 224),
        # A prime side below 32: one row.
        (23, 23, 8, 23), (29, 29, 8, 29), (31, 31, 8, 31), (17, 17, 16, 17), (19, 19, 16, 19),
    ],
)  # fmt: skip
def test_gradient_chunks_divide_images_or_hold_whole_ones(height: int, width: int, group: int, expected: int) -> None:
    pixels = height * width
    assert gradient_chunk_words(height, width, group) == expected
    assert expected % pixels == 0 or pixels % expected == 0


def test_an_image_without_divisors_is_not_cut() -> None:
    assert gradient_chunk_words(1, 1021, 8) == 512
