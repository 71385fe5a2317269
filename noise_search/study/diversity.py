"""How far pictures are from each other: winners that all look alike are a sign of hacking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum
from typing import TYPE_CHECKING, Any, cast

from noise_search.frames import key_frames
from noise_search.problem import Verifier

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
"""Pixels are compared on a grid of so many by so many."""

Vector = Any
"""Features of one sample: an array (D,)."""
Features = Callable[[Sequence[Any]], Sequence[Vector]]


@dataclass(frozen=True)
class Eye:
    """Sees how far samples are from each other.

    By the verifier's own features, where it has an encoder: the distance of two is 1 less their
    cosine. Otherwise by pixels, 0 to 1, on a coarse grid, or by the coordinates of a vector: the
    root of the mean square of their differences.

    Attributes:
        name: the verifier whose features are compared, or "pixels".
        features: of pictures (height, width, 3) uint8, in order; None compares pixels.
    """

    name: str = "pixels"
    features: Features | None = None

    @classmethod
    def of(cls, verifier: Verifier) -> Eye:
        """With the features of a verifier, or of the first part of a ranking that has any."""
        for part in cast("Sequence[Verifier]", getattr(verifier, "parts", (verifier,))):
            held = getattr(part, "verifier", part)  # behind a cache
            features = getattr(held, "features", None)
            if callable(features):
                return cls(part.name, cast("Features", features))
        return cls()

    def look(self, pixels: Any) -> Vector | None:
        """What is compared of one sample; of a video the mean over key frames; None of a text."""
        import numpy as np

        if pixels is None:
            return None
        whole = np.asarray(pixels)
        if whole.ndim == 1:
            return whole.astype(np.float64)
        frames = [whole[i] for i in key_frames(len(whole))] if whole.ndim == 4 else [whole]
        if self.features is None:
            return np.mean([_grid(frame) for frame in frames], axis=0)
        return np.mean(self.features(frames), axis=0)

    def diversity(self, vectors: Sequence[Vector | None]) -> float | None:
        """The mean distance of two samples; None of fewer than two."""
        known: list[Vector] = [vector for vector in vectors if vector is not None]
        pairs: list[tuple[Vector, Vector]] = list(combinations(known, 2))
        found = [self._distance(one, other) for one, other in pairs]
        return fsum(found) / len(found) if found else None

    def _distance(self, one: Vector, other: Vector) -> float:
        import numpy as np

        if self.features is None or one.shape != other.shape:
            apart: NDArray[np.float64] = one - other
            return float(np.sqrt(np.mean(apart**2)))
        norms = float(np.linalg.norm(one) * np.linalg.norm(other))
        return 1.0 - float((one * other).sum()) / max(norms, 1e-12)


def _grid(frame: NDArray[Any]) -> NDArray[Any]:
    """A picture's colours on a coarse grid, 0 to 1, as one row."""
    import numpy as np
    from PIL import Image

    small = Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.BOX)
    grid: NDArray[Any] = np.asarray(small, dtype=np.float64).reshape(-1) / 255
    return grid
