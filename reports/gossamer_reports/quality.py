"""How near two pictures are: peak signal-to-noise ratio and structural similarity."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32

__all__ = ["PERFECT_DB", "psnr_db", "ssim"]

PERFECT_DB: Final = 150.0
"""What stands for the infinite ratio of equal pictures: a result holds finite numbers only."""

_WINDOW: Final = 11
_SIGMA: Final = 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr_db(picture: Float32, reference: Float32) -> float:
    """Return 10 log10(1 / mean squared error), at most `PERFECT_DB`.

    Raises
    ------
    InputError
        The pictures have different shapes.
    """
    _check(picture, reference)
    error = float(np.mean((picture.astype(np.float64) - reference) ** 2))
    return min(PERFECT_DB, -10 * float(np.log10(max(error, 1e-300))))


def ssim(picture: Float32, reference: Float32) -> float:
    """Return the mean structural similarity of Wang et al. (IEEE TIP 13, 2004, doi 10.1109/TIP.2003.819861).

    Gaussian window of 11 pixels and sigma 1.5, whole windows only, all channels alike; smaller pictures take a window
    of their smaller side.

    Raises
    ------
    InputError
        The pictures have different shapes.
    """
    _check(picture, reference)
    x, y = picture.astype(np.float64), reference.astype(np.float64)
    size = min(_WINDOW, *picture.shape[:2])
    place = np.arange(size) - (size - 1) / 2
    window = np.exp(-(place**2) / (2 * _SIGMA**2))
    window /= window.sum()
    mean_x, mean_y = _smooth(x, window), _smooth(y, window)
    variance_x = _smooth(x * x, window) - mean_x**2
    variance_y = _smooth(y * y, window) - mean_y**2
    covariance = _smooth(x * y, window) - mean_x * mean_y
    above = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    below = (mean_x**2 + mean_y**2 + _C1) * (variance_x + variance_y + _C2)
    return float(np.mean(above / below))


def _check(picture: Float32, reference: Float32) -> None:
    if picture.shape != reference.shape:
        raise InputError(f"pictures of shapes {picture.shape} and {reference.shape} cannot be compared")


def _smooth(x: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weighted means over whole windows, along rows and columns."""
    size = len(window)
    rows = sum(weight * x[k : len(x) - size + 1 + k] for k, weight in enumerate(window))
    rows = np.asarray(rows)
    both = sum(weight * rows[:, k : rows.shape[1] - size + 1 + k] for k, weight in enumerate(window))
    return np.asarray(both)
