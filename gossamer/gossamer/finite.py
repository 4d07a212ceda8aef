"""Pictures that are numbers: a field may hold values that overflow on the way to a colour."""

import numpy as np

from gossamer_models.errors import InputError
from gossamer_models.numerics.formats import Float32
from gossamer_models.render.field import Field

__all__ = ["check_finite"]


def check_finite(field: Field, image: Float32, how: str = "") -> None:
    """Refuse a picture with pixels that are infinite or no numbers.

    Parameters
    ----------
    how : in which run the field gives it, where that is not its own

    Raises
    ------
    InputError
    """
    if not np.isfinite(image).all():
        raise InputError(
            f"field {field.name!r:.60} gives pixels that are infinite or no numbers{how and ', '}{how}",
            "factors and a network that fp16 holds",
        )
