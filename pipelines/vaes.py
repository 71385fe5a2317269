"""Pictures that a pipeline is given and encodes: their latents are the same in every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import torch

from noise_search.pipelines.standins import in_place

__all__ = ["encoding_alike"]


@contextmanager
def encoding_alike(vae: Any) -> Iterator[None]:
    """Let an autoencoder's posteriors be sampled alike in all rows and calls.

    Most pipelines hand on the call's generators. Some (as SD3's ControlNet) hand on none, and the
    latents of a control picture would come from the global generator: others in every call, and
    others in each row.
    """
    encode = getattr(vae, "encode", None)
    if not callable(encode):
        yield
        return

    @wraps(encode)
    def encoded(*args: Any, **kwargs: Any) -> Any:
        answer = encode(*args, **kwargs)
        found: Any = (
            answer[0] if isinstance(answer, tuple) else getattr(answer, "latent_dist", None)
        )
        if hasattr(found, "sample") and hasattr(found, "mean"):
            found.sample = _sampling(found.sample, len(found.mean))
        return answer

    with in_place(vae, encode=encoded):
        yield


def _sampling(sample: Callable[..., Any], rows: int) -> Callable[..., Any]:
    def sampled(generator: Any = None) -> Any:
        if not isinstance(generator, list):
            generator = [torch.Generator("cpu").manual_seed(0) for _ in range(rows)]
        return sample(generator)

    return sampled
