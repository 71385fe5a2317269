"""Models that are loaded once, and the three settings that say how each is run."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Interval

from noise_search.errors import UserError

if TYPE_CHECKING:
    import torch

__all__ = ["Device", "Dtype", "Models", "Place", "Width"]

T = TypeVar("T")

Device = str | None
"""Option ``device``: where a model runs; None is where the run's own model does."""
Dtype = Literal["float32", "bfloat16", "float16"]
"""Option ``dtype``: of its weights. Half precision changes the third digit of a score."""
Width = Annotated[int, Interval(ge=1, le=4096)]
"""Option ``batch``: rows of every call; halved where the memory does not suffice."""


@dataclass(frozen=True)
class Place:
    """How a model is run. Verifiers that name one model share it if they run it in one way.

    Attributes:
        device: as torch spells it.
        dtype: of the weights.
        batch: rows of every call.
    """

    device: str = "cpu"
    dtype: Dtype = "float32"
    batch: int = 8

    @property
    def torch_dtype(self) -> torch.dtype:
        """The number type as torch's own."""
        import torch

        found: torch.dtype = getattr(torch, self.dtype)
        return found

    def check(self, key: str) -> None:
        """Refuse a device that is not there.

        Args:
            key: the spec that asks for it, for the error.

        Raises:
            UserError: torch does not know it, or this machine has none.
        """
        import torch

        try:
            torch.empty(0, device=self.device)
        except Exception as error:
            said = str(error).strip().splitlines()[:1]
            raise UserError(f"verifier {key}: device={self.device}: {' '.join(said)}") from None


class Models:
    """What the verifiers of one run have loaded: what is asked for again is had at once.

    Args:
        device: where models run whose spec names no device.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        self._held: dict[Hashable, Any] = {}

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """What was loaded under a key, by `load` where nothing was.

        Args:
            key: tells models apart: kind, file or folder, and `Place`.
            load: called at most once a key.
        """
        if key not in self._held:
            self._held[key] = load()
        found: T = self._held[key]
        return found

    def place(self, device: Device, dtype: Dtype, batch: int, spec: object) -> Place:
        """How a model is run whose spec gives these options.

        Raises:
            UserError: its device is not there; the spec is named.
        """
        found = Place(device or self.device, dtype, batch)
        found.check(str(spec))
        return found
