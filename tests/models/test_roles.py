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
    ("pixels", "expected"), [(1, 512), (49, 392), (64, 512), (512, 512), (784, 392), (3136, 448), (12544, 448)]
)
def test_gradient_chunks_divide_images_or_hold_whole_ones(pixels: int, expected: int) -> None:
    assert gradient_chunk_words(pixels, 8) == expected
    assert expected % pixels == 0 or pixels % expected == 0


def test_an_image_without_divisors_is_not_cut() -> None:
    assert gradient_chunk_words(1021, 8) == 512
