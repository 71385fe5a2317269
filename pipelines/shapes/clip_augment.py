"""How generated pictures and x0-predictions look: blur, noise, low contrast, mixtures.

A sampler's prediction of the clean picture at high noise is a mean over pictures that are still
possible, so it is blurred and shows faint second answers.  The strength is shared by the pictures
of one group of near misses: a search compares candidates at one step, thus at one blur.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["degrade"]

Floats = NDArray[np.float32]


def degrade(
    images: Floats,
    partners: NDArray[np.int64],
    groups: int,
    amount: float,
    rng: np.random.Generator,
) -> Floats:
    """Degrade (B, 32, 32, 3) in [0, 1], members of a group ``groups`` apart.

    ``partners`` (B,) names the picture that may show through faintly; ``amount`` in [0, 1] scales
    all of it.
    """
    batch = len(images)
    group = amount * rng.beta(0.7, 1.0, groups)  # 0 clean, 1 worst
    level = np.clip(np.resize(group, batch) * rng.uniform(0.85, 1.15, batch), 0, 1)
    mix = rng.uniform(0, 0.4 * amount, batch) * (rng.random(batch) < 0.25 + 0.5 * level)
    share = mix.astype(np.float32)[:, None, None, None]
    mixed = ((1 - share) * images + share * images[partners]).astype(np.float32)
    images = _blur(mixed, (2.6 * level * rng.uniform(0.6, 1.0, batch)).astype(np.float32))
    contrast = 1 - rng.uniform(0, 0.5, batch) * level
    offset = rng.uniform(-0.02, 0.06, (batch, 3))
    gain = rng.uniform(0.88, 1.08, (batch, 3)) * contrast[:, None]
    shaded = images * _wide(gain) + _wide(offset)
    fine = rng.standard_normal(images.shape, dtype=np.float32)
    coarse = _blur(
        rng.standard_normal(images.shape, dtype=np.float32), np.full(batch, 1.2, np.float32)
    )
    strength = (rng.uniform(0.0, 0.08 * amount, (2, batch)) * (0.4 + 0.6 * level)).astype(
        np.float32
    )
    noisy = shaded + strength[0, :, None, None, None] * fine
    noisy = noisy + 3 * strength[1, :, None, None, None] * coarse
    degraded: Floats = np.clip(noisy, 0, 1).astype(np.float32)
    return degraded


def _wide(values: NDArray[np.float64]) -> Floats:
    wide: Floats = values.astype(np.float32)[:, None, None, :]
    return wide


def _blur(images: Floats, sigma: Floats) -> Floats:
    """Gaussian blur with one sigma (pixels) a picture, as two products with a Toeplitz matrix."""
    side = images.shape[1]
    away = np.subtract.outer(np.arange(side), np.arange(side)).astype(np.float32)
    kernel = np.exp(-0.5 * (away[None] / np.maximum(sigma, 0.05)[:, None, None]) ** 2)
    kernel /= kernel.sum(axis=2, keepdims=True)
    down = np.matmul(kernel, images.reshape(len(images), side, -1)).reshape(images.shape)
    across: Floats = np.matmul(kernel[:, None], down).astype(np.float32)
    return across
