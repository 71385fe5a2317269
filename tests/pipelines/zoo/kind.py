"""One kind of pipeline: how it is built, saved and loaded, and what keeps a call small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

library: Any = diffusers

PROMPTS = ("a red circle", "two blue squares", "green")


@dataclass(frozen=True)
class Kind:
    """A pipeline of tiny random components; `arguments` are keywords of a call beside its prompt.

    Those never hold the prompt, steps, generator or output type. The `prompts` of models with
    class labels are numbers as texts.

    Attributes:
        beside: components that lie with no checkpoint: whoever loads it hands them in.
        settle: what its user sets after loading.
        single: whether it takes one prompt, and that in no list.
        drawings: how many of its random numbers' drawings make its initial noise.
    """

    name: str
    make: Callable[[], Any]
    arguments: Mapping[str, Any]
    prompts: tuple[str, ...] = PROMPTS
    steps: int = 4
    video: bool = False
    each_commit: bool = False
    beside: Callable[[], Mapping[str, Any]] = dict
    settle: Callable[[Any], None] = lambda _: None
    single: bool = False
    drawings: int = 1


def save(kind: Kind, root: Path) -> Path:
    """The folder of the pipeline below `root`, in diffusers' format; written once."""
    folder = root / kind.name
    if not folder.exists():
        kind.make().save_pretrained(folder)
    return folder


def load(kind: Kind, root: Path, dtype: torch.dtype = torch.float32) -> Any:
    """The pipeline as a user loads it, without its progress bar."""
    given = {"dtype": dtype, **kind.beside()}
    pipe = library.DiffusionPipeline.from_pretrained(save(kind, root), **given)
    pipe.set_progress_bar_config(disable=True)
    kind.settle(pipe)
    return pipe
