"""How a pipeline's call is spelled: its prompts, its denoisers, its pictures."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noise_search.ask import Prompt
from noise_search.errors import UserError, nearest
from noise_search.pipelines.signatures import DECODERS, signature_of

__all__ = ["EMBEDDED", "arguments_of", "check_call", "denoisers", "labelled", "pictures_of"]

_OURS = frozenset(
    {
        "batch_size",
        "class_labels",
        "eta",
        "generator",
        "latents",
        "num_images_per_prompt",
        "num_inference_steps",
        "num_videos_per_prompt",
        "output_type",
        "prompt",
        "return_dict",
    }
)


_PICTURE = "ip_adapter_image"
_SOUND = re.compile(r"audio_(end|length|duration)(_in)?(_s)?")
"""How pipelines call the length of a sound."""
_MASK = re.compile(r"(negative_)?prompt_\w*mask(_\d)?")
EMBEDDED = "embed"
"""In the names of arguments that stand for a prompt, as a prior has made them."""


def check_call(pipe: Any, given: Mapping[str, Any]) -> None:
    """Refuse arguments that are the search's own, or that the pipeline does not take.

    Raises:
        UserError: there is one, or the pipeline has no loop of steps.
    """
    name, takes = type(pipe).__name__, signature_of(type(pipe))
    if getattr(pipe, "scheduler", None) is None:
        raise UserError(f"{name} has no scheduler whose steps could be searched")
    if not takes.takes("num_inference_steps"):
        raise UserError(f"{name}: its call takes no num_inference_steps")
    if any(_SOUND.fullmatch(key) for key in takes.parameters):
        raise UserError(f"{name} makes sounds; pictures, videos and texts can be searched")
    within = [key for key, part in vars(pipe).items() if _is_pipeline(part) and _names(pipe, key)]
    if within:
        parts = " and ".join(within)
        raise UserError(f"{name} calls pipelines of its own: search {parts} one after the other")
    for key in given:
        if key in _OURS:
            raise UserError(f"{name}: argument {key!r} belongs to the search; leave it out")
        if not takes.takes(key):
            raise UserError(f"{name}: unknown argument {key!r}{nearest(key, takes.parameters)}")
    for part in denoisers(pipe):
        # Kolors has a projection here too, of its texts.
        projection = getattr(getattr(pipe, part), "encoder_hid_proj", None)
        adapted = hasattr(projection, "image_projection_layers")
        if adapted and takes.takes(_PICTURE) and not any(k.startswith(_PICTURE) for k in given):
            raise UserError(f"{name}: its IP-Adapter needs {_PICTURE}, or unload_ip_adapter()")


def _is_pipeline(part: object) -> bool:
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    return isinstance(part, DiffusionPipeline)


def _names(pipe: object, key: str) -> bool:
    """Whether a class speaks of an attribute of its own; users may hang others on a pipeline."""
    functions = [
        inspect.unwrap(f) for kind in type(pipe).__mro__ for f in vars(kind).values() if callable(f)
    ]
    return any(key in f.__code__.co_names for f in functions if inspect.isfunction(f))


def denoisers(pipe: Any) -> list[str]:
    """The names of a pipeline's denoisers: as diffusers calls them, or its one other model.

    Raises:
        UserError: it cannot be told.
    """
    import torch

    models = {n: m for n, m in pipe.components.items() if isinstance(m, torch.nn.Module)}
    usual = [n for n in models if n.startswith(("unet", "transformer"))]
    others = [
        n
        for n, m in models.items()
        if hasattr(m, "config")
        and type(m).__module__.startswith("diffusers.")
        and not n.startswith((*DECODERS, "controlnet", "text", "image", "safety"))
    ]
    found = usual or others[:1]
    if not found:
        raise UserError(f"{type(pipe).__name__} has no denoiser named unet or transformer")
    return found


def labelled(pipe: Any) -> bool:
    """Whether a pipeline is told classes, and not texts."""
    takes = signature_of(type(pipe))
    return takes.takes("class_labels") and not takes.takes("prompt")


def arguments_of(pipe: Any, prompts: Sequence[Prompt], given: Mapping[str, Any]) -> dict[str, Any]:
    """What prompts are to a pipeline: texts, or labels of classes by number or name.

    Embeddings of the user's stand for the prompt; what it says is then for verifiers alone.
    One that is told a picture or embeddings alone takes those for each row, and one that is told
    nothing at all the number of rows.

    Args:
        pipe: the pipeline.
        prompts: of the rows.
        given: the other arguments of its call.

    Raises:
        UserError: a label is unknown, a negative prompt has no place, or a picture is missing.
    """
    name, takes = type(pipe).__name__, signature_of(type(pipe))
    negative = [prompt.negative for prompt in prompts]
    if negative[0] is not None and not takes.takes("negative_prompt"):
        raise UserError(f"{name} takes no negative prompt")
    without: dict[str, Any] = {} if negative[0] is None else {"negative_prompt": negative}
    if not without and given.get("negative_prompt_embeds") is not None:
        without = {"negative_prompt": None}  # to some the empty text is one too
    without |= _embedded(given, len(prompts))
    texts = [prompt.text for prompt in prompts]
    if takes.takes("prompt") and given.get("prompt_embeds") is None:
        return {"prompt": texts, **without}
    if takes.takes("prompt"):
        if len(set(texts)) > 1:
            raise UserError("prompt_embeds: they are of one prompt, and there are several")
        return without
    rows = {"batch_size": len(prompts)} if "batch_size" in takes.parameters else {}
    if rows and not (takes.takes("image") or labelled(pipe)):
        return {**rows, **without}
    if takes.takes("image") and not labelled(pipe):
        return {"image": _repeated(name, given.get("image"), len(prompts)), **without}
    if not labelled(pipe):
        if any(EMBEDDED in key for key in given):
            return without
        raise UserError(f"{name} takes neither a prompt nor class labels nor an image")
    labels = [_label(pipe, prompt.text) for prompt in prompts]
    return {"class_labels": labels, **rows, **without}


def _embedded(given: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Embeddings and their masks for each row, where they are given for one."""
    parts = {k: v for k, v in given.items() if EMBEDDED in k or _MASK.fullmatch(k)}
    found: dict[str, Any] = {}
    for key, value in parts.items():
        if hasattr(value, "repeat_interleave") and len(value) == 1:
            found[key] = value.repeat_interleave(count, dim=0)
        elif isinstance(value, list) and len(value) == 1 and "prompt" in key:
            found[key] = value * count
    return found


def _repeated(name: str, picture: Any, count: int) -> Any:
    """A picture for each row.

    Raises:
        UserError: there is none, or more than one.
    """
    if picture is None:
        raise UserError(f"{name} is told a picture: give it as the argument image")
    if hasattr(picture, "expand"):  # a tensor
        pictures = picture[None] if picture.ndim == 3 else picture
    else:
        pictures = list(picture) if isinstance(picture, (list, tuple)) else [picture]
    if len(pictures) != 1:
        raise UserError(f"{name}: one image is needed, not {len(pictures)}")
    return pictures * count if isinstance(pictures, list) else pictures.expand(count, -1, -1, -1)


def _label(pipe: Any, text: str) -> int:
    known: Mapping[str, int] = getattr(pipe, "labels", None) or {}
    if text.strip().isdigit():
        return int(text)
    if text.strip() in known:
        return int(known[text.strip()])
    ending = nearest(text, known) if known else "; write its number"
    raise UserError(f"prompt {text!r} is no class of the model{ending}")


def pictures_of(answer: Any, count: int) -> tuple[NDArray[Any], list[str | None]]:
    """The pictures of a call, and why a safety checker has blanked some.

    Returns:
        (rows, [frames,] height, width, 3) in [0, 1], and a reason or None for each row.
    """
    # Some hand on the pictures themselves, and not a tuple or an object of what they have made.
    if isinstance(answer, (np.ndarray, list)):
        return np.asarray(answer), [None] * count
    pictures = np.asarray(answer[0])
    more = answer[1] if len(answer) > 1 else None
    flags = more if isinstance(more, (list, tuple)) else []
    said = "the pipeline's safety checker blanked it"
    if len(flags) != count or not all(isinstance(f, (bool, np.bool_)) for f in flags):
        return pictures, [None] * count
    return pictures, [said if flag else None for flag in flags]
