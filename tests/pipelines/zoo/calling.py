"""A plain call of a pipeline of the zoo, as its user writes it."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tests.pipelines.zoo.kind import Kind

Pictures = NDArray[np.float32]


def condition(pipe: Any, *prompts: str) -> dict[str, Any]:
    """The keyword a pipeline takes its prompts by: texts, numbers of classes, or none at all."""
    takes = inspect.signature(pipe.__call__).parameters
    if "class_labels" in takes:
        return {"class_labels": [int(prompt) for prompt in prompts]}
    return {"prompt": list(prompts)} if "prompt" in takes else {}


def plain_call(kind: Kind, pipe: Any, prompt: str, seed: int) -> Pictures:
    """Pictures (1, H, W, 3), or (1, frames, H, W, 3) of a video, in 0..1."""
    asked = condition(pipe, prompt)
    made = pipe(
        **({name: value[0] for name, value in asked.items()} if kind.single else asked),
        num_inference_steps=kind.steps,
        generator=torch.Generator().manual_seed(seed),
        output_type="np",
        **kind.arguments,
    )
    return np.asarray(made[0])


def networks(pipe: Any) -> list[Any]:
    """The denoisers; of several, each is called at a part of the steps."""
    names = ("unet", "transformer", "transformer_2")
    return [pipe.components[n] for n in names if pipe.components.get(n) is not None]
