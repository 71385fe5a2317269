"""Pictures that a pipeline is given and encodes: their latents are the same in every row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch

from noise_search.pipelines.standins import in_place

__all__ = ["encoding_alike"]


@contextmanager
def encoding_alike(parts: Iterable[object]) -> Iterator[None]:
    """Let posteriors be sampled alike in all rows and calls, whichever model encodes.

    Most pipelines hand on the call's generators. Some (as SD3's ControlNet) hand on none, and the
    latents of a control picture would come from the global generator: others in every call, and
    others in each row.

    Args:
        parts: a pipeline's components; those that encode are found among them.
    """
    with ExitStack() as stack:
        for part in parts:
            encode: Any = getattr(part, "encode", None)
            if isinstance(part, torch.nn.Module) and callable(encode):
                stack.enter_context(in_place(part, encode=_alike(encode)))
        yield


def _alike(encode: Callable[..., Any]) -> Callable[..., Any]:
    """An encoder whose answer, where that is a posterior, is sampled alike in all rows."""

    @wraps(encode)
    def encoded(*args: Any, **kwargs: Any) -> Any:
        answer = encode(*args, **kwargs)
        found: Any = (
            answer[0] if isinstance(answer, tuple) else getattr(answer, "latent_dist", None)
        )
        if hasattr(found, "sample") and hasattr(found, "mean"):
            found.sample = _sampling(found.sample, len(found.mean))
        return answer

    return encoded


def _sampling(sample: Callable[..., Any], rows: int) -> Callable[..., Any]:
    """Sampling where each row draws what a row alone would.

    One generator for all rows comes out of it as from a plain call's single row, so a picture that
    is encoded next draws what it draws there.
    """

    def sampled(generator: Any = None) -> Any:
        if isinstance(generator, list):
            return sample(generator)
        first = torch.Generator("cpu").manual_seed(0) if generator is None else generator
        return sample([first, *(first.clone_state() for _ in range(rows - 1))])

    return sampled
