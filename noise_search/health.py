"""What makes a sample broken: checks that turn it into a failure with a reason.

A broken row is charged like any other and never raises; only its own candidate fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["image_problem", "vector_problem"]

_DARKEST = 2  # Of 255: what a decoder leaves of a black picture.
_FLATTEST = 1  # Of 255: the difference of rounding alone.


def image_problem(
    pixels: NDArray[Any], finished: bool, shape: tuple[int, ...] | None = None
) -> str | None:
    """Why a picture cannot be judged, or None.

    Args:
        pixels: (height, width, 3), floats in [0, 1] or uint8.
        finished: whether it is a finished picture. The prediction of an early stage may rightly
            be dark or empty, so those are asked for numbers and a shape alone.
        shape: the shape wanted, or None for any (height, width, 3).

    >>> import numpy as np
    >>> image_problem(np.zeros((4, 4, 3)), finished=True)
    'the picture is black'
    """
    import numpy as np

    if pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        return f"the picture has the shape {pixels.shape}, not (height, width, 3)"
    if shape is not None and pixels.shape != shape:
        return f"the picture has the shape {pixels.shape}, not {shape}"
    if not np.isfinite(pixels).all():
        return "pixels are not finite"
    if not finished:
        return None
    unit = 1 if np.issubdtype(pixels.dtype, np.integer) else 255
    # Over rows first, and over what is left of them then: a hundred times as fast as both at once.
    rows = pixels.reshape(len(pixels), -1)
    low = rows.min(axis=0).reshape(-1, 3).min(axis=0) * unit
    high = rows.max(axis=0).reshape(-1, 3).max(axis=0) * unit
    if high.max() <= _DARKEST:
        return "the picture is black"
    # Widened first: the difference of unsigned bytes wraps around.
    if (high.astype(np.float64) - low).max() <= _FLATTEST:
        return "the picture is flat: every pixel is the same"
    return None


def vector_problem(vector: NDArray[Any], shape: tuple[int, ...]) -> str | None:
    """Why a sample of an analytic world cannot be judged, or None.

    >>> import numpy as np
    >>> vector_problem(np.array([1.0, np.nan]), (2,))
    'the sample is not finite'
    """
    import numpy as np

    if vector.shape != shape:
        return f"the sample has the shape {vector.shape}, not {shape}"
    return None if np.isfinite(vector).all() else "the sample is not finite"
