"""Measures of pictures against their definitions, written out."""

import numpy as np
import pytest

from gossamer_models.errors import InputError
from gossamer_reports.quality import PERFECT_DB, psnr_db, ssim

RNG = np.random.default_rng(9)
ONE = RNG.random((20, 17, 3)).astype(np.float32)
OTHER = np.clip(ONE + RNG.normal(0, 0.1, ONE.shape), 0, 1).astype(np.float32)


def test_psnr_by_hand() -> None:
    assert psnr_db(np.full((2, 2, 3), 0.6, np.float32), np.full((2, 2, 3), 0.5, np.float32)) == pytest.approx(
        20, abs=1e-4
    )
    assert psnr_db(ONE, ONE) == PERFECT_DB


def test_ssim_of_one_window_by_hand() -> None:
    """The window in the middle of the picture, by the two-dimensional formula."""
    x, y = ONE[:11, :11, :1].astype(np.float64), OTHER[:11, :11, :1].astype(np.float64)
    place = np.arange(11) - 5
    window = np.exp(-(place[:, None] ** 2 + place**2) / 4.5)[..., None]
    window /= window.sum()
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
    cov = (window * (x - mx) * (y - my)).sum()
    expected = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert ssim(ONE[:11, :11, :1], OTHER[:11, :11, :1]) == pytest.approx(expected)


def test_ssim_falls_with_noise() -> None:
    assert ssim(ONE, ONE) == pytest.approx(1)
    assert 0 < ssim(ONE, OTHER) < 0.99
    assert ssim(ONE[:3, :3], ONE[:3, :3]) == pytest.approx(1)


def test_shapes_must_agree() -> None:
    for measure in (psnr_db, ssim):
        with pytest.raises(InputError, match="cannot be compared"):
            measure(ONE, ONE[:5])
