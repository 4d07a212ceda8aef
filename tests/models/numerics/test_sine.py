"""Sine and cosine of every fp16 number against float64."""

import numpy as np

from gossamer_models.numerics.sine import cosine, sine

ALL = np.arange(1 << 16, dtype=np.uint16).view(np.float16)


def test_every_number_is_within_the_bound() -> None:
    finite = ALL[np.isfinite(ALL)]
    for ours, theirs in ((sine, np.sin), (cosine, np.cos)):
        error = np.abs(ours(finite).astype(np.float64) - theirs(finite.astype(np.float64)))
        assert error.max() < 2**-11.9, finite[error.argmax()]


def test_multiples_of_a_quarter_turn_and_what_is_no_number() -> None:
    assert sine(np.array([0, -0.0], np.float16)).tolist() == [0, 0]
    assert cosine(np.array([0], np.float16)).tolist() == [1]
    outside = np.array([np.inf, -np.inf, np.nan], np.float16)
    assert sine(outside).view(np.uint16).tolist() == [0x7E00] * 3
