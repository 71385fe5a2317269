"""Language models that write within a pipeline's call: what they write is the prompt's own.

Some pipelines let one rewrite their prompts, and some let one write the tokens that a picture is
then made from. Those sample, one row after the other, and at every call. Here each prompt's text
is written once, in no company, by random numbers that begin alike: it is the same wherever the
prompt stands in a batch, however a path is cut, and in every run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from noise_search.pipelines.arguments import recorded
from noise_search.pipelines.draws import unstirred
from noise_search.pipelines.embeddings import Apart
from noise_search.pipelines.standins import in_place

__all__ = ["Writers"]

_IDS = "input_ids"


class Writers:
    """What a pipeline's language models have written, by what they were given.

    Args:
        keep: texts that are kept; the oldest are let go.
    """

    def __init__(self, keep: int = 1024) -> None:
        self._keep = keep
        self._said: OrderedDict[str, Tensor] = OrderedDict()

    @contextmanager
    def remembering(self, parts: Mapping[str, object], device: torch.device) -> Iterator[None]:
        """Let the writers among a pipeline's components write each prompt's text once.

        Args:
            parts: the components by name; those that write are found among them.
            device: where the pipeline runs.
        """
        with ExitStack() as stack:
            for name, part in parts.items():
                generate: Any = getattr(part, "generate", None)
                if isinstance(part, torch.nn.Module) and callable(generate):
                    once = self._once(name, generate, device)
                    stack.enter_context(in_place(part, generate=once))
            yield

    def _once(
        self, name: str, generate: Callable[..., Any], device: torch.device
    ) -> Callable[..., Any]:
        @wraps(generate)
        def written(*args: Any, **given: Any) -> Any:
            ids = given.get(_IDS)
            if args or not isinstance(ids, Tensor) or ids.ndim != 2:
                return _written(generate, device, *args, **given)
            if not _repeats(ids, len(ids)):
                raise Apart
            alone = _of_one(given, len(ids))
            if alone is None:
                return _written(generate, device, **given)
            key = f"{name} {recorded(alone)}"
            if key not in self._said:
                answer = _written(generate, device, **alone)
                if not isinstance(answer, Tensor):
                    return answer if len(ids) == 1 else _written(generate, device, **given)
                self._said[key] = answer
                while len(self._said) > self._keep:
                    self._said.popitem(last=False)
            self._said.move_to_end(key)
            said = self._said[key]
            return said.repeat(len(ids), *[1] * (said.ndim - 1))

        return written


def _written(generate: Callable[..., Any], device: torch.device, *args: Any, **given: Any) -> Any:
    with unstirred(device):
        return generate(*args, **given)


def _of_one(given: Mapping[str, Any], rows: int) -> dict[str, Any] | None:
    """What one of several equal rows is given; None where that cannot be told."""
    tensors = {key: value for key, value in given.items() if isinstance(value, Tensor)}
    if not all(value.ndim and _repeats(value, rows) for value in tensors.values()):
        return None
    return {**given, **{key: value[: len(value) // rows] for key, value in tensors.items()}}


def _repeats(tensor: Tensor, rows: int) -> bool:
    """Whether a tensor is so many times the same, along its first axis."""
    if len(tensor) % rows:
        return False
    first, *others = tensor.chunk(rows)
    return all(torch.equal(first, other) for other in others)
