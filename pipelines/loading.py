"""From a spec to a pipeline. torch is imported when a torch model is asked for, not before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from noise_search.ask import Prompt
from noise_search.errors import UserError, out_of_memory
from noise_search.pipelines.options import Defaults, Offload, Options
from noise_search.pipelines.prices import PicturePrices, TextPrices
from noise_search.pipelines.signatures import Signature, decoder_name, read_signature, signature_of
from noise_search.pipelines.text.options import TextOptions
from noise_search.problem import Pipeline
from noise_search.registry import MODELS, bind, check_name, find
from noise_search.specs import Spec

__all__ = [
    "Defaults",
    "Options",
    "check_arguments",
    "check_guidance",
    "check_prompts",
    "defaults",
    "defaults_of",
    "load",
    "price_only",
    "put",
    "quietly",
    "signature",
    "wrap",
]


_WRITES = Defaults(
    steps=40,
    budget="4ktok",
    batch=32,
    searches=("random", "random(final=weighted)", "random(final=majority)", "beam", "revise"),
    budgets=("1ktok", "2ktok", "4ktok"),
    text=TextOptions(),
)
_DEFAULTS: Mapping[str, Defaults] = {
    "arithmetic": replace(
        _WRITES,
        verifier="prm",
        evaluate="arithmetic",
        steps=12,
        budget="2ktok",
        batch=64,
        budgets=("500tok", "1ktok", "2ktok"),
        text=TextOptions(max_tokens=128, step_tokens=24, answers="answer"),
    ),
    "gaussian": Defaults("reward", "reward", 8),
    "hf": _WRITES,
    "mixture": Defaults("reward", "reward", 8),
    "shapes": Defaults("shapes-clip", "shapes", 8, 2.0),
}
_UNGUIDED = ("gaussian", "mixture")


def load(text: str, options: Options) -> Pipeline:
    """The pipeline of a model spec.

    Raises:
        UserError: the model is unknown, or cannot be had as asked.
    """
    spec = check_name("model", text)
    function = find("model", spec.name)
    pipeline: Pipeline = function(spec, options, **bind("model", spec, function, given=2))
    return pipeline


def defaults(text: str) -> Defaults:
    """What the model of a spec is best used with; nothing is loaded.

    >>> defaults("shapes:flow").verifier
    'shapes-clip'

    Raises:
        UserError: the model is unknown.
    """
    spec = check_name("model", text)
    if spec.name == "diffusers":
        from noise_search.pipelines.files import index_of
        from noise_search.pipelines.loras import loras_of

        index = index_of(spec)
        loras_of(spec)  # one that is missing is told before anything is loaded
        return _pictured(read_signature(index.kind) or Signature(index.kind), index.decodes)
    return _DEFAULTS.get(spec.name, Defaults())


def defaults_of(pipe: Any) -> Defaults:
    """What a loaded pipeline is best used with: its call's own defaults.

    Raises:
        UserError: it is neither a diffusers pipeline nor a language model.
    """
    from noise_search.pipelines.text.loading import loaded

    if type(pipe).__module__.startswith("noise_search.pipelines.shapes"):
        return _DEFAULTS["shapes"]
    if loaded(pipe) is not None:
        return _WRITES
    found = signature_of(type(pipe))
    steps = "num_inference_steps" in found.parameters
    if not steps and not (found.open and hasattr(pipe, "scheduler")):
        kind = type(pipe).__name__
        raise UserError(
            f"pipe: {kind} is no diffusers pipeline and no pair of language model and tokenizer"
        )
    return _pictured(found, decoder_name(pipe) is not None)


def _pictured(found: Signature, decoder: bool) -> Defaults:
    """What a pipeline is best used with: its call's own defaults, and 16 samples."""
    steps = found.steps or Defaults().steps
    return Defaults(
        steps=steps,
        guidance_scale=found.guidance_scale,
        decoder=decoder,
        budget=f"{16 * steps}nfe",
        budgets=(f"{8 * steps}nfe", f"{16 * steps}nfe", f"{32 * steps}nfe"),
    )


def signature(model: Any) -> Signature:
    """What the call of a model takes: of a spec without loading it, or of a loaded pipeline.

    Raises:
        UserError: the model is unknown.
    """
    if not isinstance(model, str):
        from noise_search.pipelines.text.loading import loaded

        kind = type(model)
        return Signature(kind.__name__) if loaded(model) is not None else signature_of(kind)
    spec = check_name("model", model)
    if spec.name == "diffusers":
        from noise_search.pipelines.files import index_of

        kind_name = index_of(spec).kind
        return read_signature(kind_name) or Signature(kind_name, open=True)
    if spec.name == "shapes":
        return read_signature("ShapesPipeline") or Signature(spec.name)
    return Signature(spec.name, open=spec.name not in MODELS)


def check_arguments(model: Any, names: Iterable[str]) -> None:
    """Refuse arguments that the call of a model does not take; nothing is loaded.

    Raises:
        UserError: there is one.
    """
    found = signature(model)
    found.check(names)


def check_prompts(text: str, prompts: Sequence[Prompt]) -> None:
    """Refuse prompts that the model of a spec cannot draw; nothing is loaded.

    Raises:
        UserError: a prompt is outside the model's language.
    """
    name = check_name("model", text).name
    if name == "arithmetic":
        from noise_search.pipelines.text.loading import check_questions

        check_questions(prompts)
    if name != "shapes":
        return
    from noise_search.pipelines.shapes.scenes import WORDS, UnknownWord, parse

    for prompt in prompts:
        try:
            parse(prompt.text)
            for word in (prompt.negative or "").strip().removesuffix(".").lower().split():
                if word not in WORDS:
                    raise UnknownWord(word)
        except UnknownWord as error:
            raise UserError(
                f"prompt {prompt.text!r}: the built-in shapes model does not know {error.word!r}; "
                f"it knows: {', '.join(error.known)}; --model takes another model"
            ) from None
        except ValueError as error:
            raise UserError(
                f"prompt {prompt.text!r}: {error}; --model takes another model"
            ) from None


def price_only(
    text: str,
    *,
    guidance_scale: float | None = None,
    eta: float = 0.0,
    writing: TextOptions | None = None,
    preview: str | None = None,
) -> PicturePrices | TextPrices:
    """The prices of a model spec; neither torch nor weights are loaded.

    Raises:
        UserError: the model is unknown.
    """
    usual = defaults(text)
    if usual.text is not None:
        chosen = writing or usual.text
        return TextPrices(chosen.max_tokens, chosen.step_tokens)
    check_guidance(check_name("model", text), guidance_scale)
    scale = usual.guidance_scale if guidance_scale is None else guidance_scale
    # rows that the denoiser of any pipeline is given are counted when it is called
    guided = (scale or 0.0) > 1.0 and check_name("model", text).name != "diffusers"
    return PicturePrices(
        guided=guided, decoder=usual.decoder, stochastic=eta > 0.0, cheap=preview is not None
    )


def wrap(pipe: Any, options: Options) -> Pipeline:
    """A loaded diffusers pipeline, or language model with its tokenizer, as one to search with.

    It stays where it is and in its own precision.

    Raises:
        UserError: its scheduler or an argument is not supported.
    """
    import torch

    from noise_search.pipelines.diffusers import DiffusersPipeline
    from noise_search.pipelines.text import loading as text

    if (pair := text.loaded(pipe)) is not None:
        return text.wrap(*pair, options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    check_arguments(pipe, options.arguments)
    if options.fps is not None:
        signature_of(type(pipe)).check_rate(options.arguments)
    scale = options.guidance_scale
    guidance = {} if scale is None else {"guidance_scale": scale}
    return DiffusersPipeline(
        pipe,
        options.book,
        width=options.width,
        arguments={**guidance, **options.arguments},
        eta=options.eta,
        states=options.states,
        fast=options.fast,
        preview=options.preview,
        fps=options.fps,
    )


def put(pipe: Any, device: str, offload: Offload | None) -> None:
    """Put a pipeline where it is to run; what is not used may wait in the host's memory.

    Raises:
        UserError: there is no such device.
    """
    try:
        if offload == "model":
            pipe.enable_model_cpu_offload(device=device)
        elif offload == "sequential":
            pipe.enable_sequential_cpu_offload(device=device)
        else:
            pipe.to(device)
    except (RuntimeError, ValueError, AssertionError) as error:
        if out_of_memory(error):
            raise UserError(f"device={device}: the model does not fit; try --offload") from None
        raise UserError(f"device={device}: {str(error)[:200]}") from None


@contextmanager
def quietly() -> Iterator[None]:
    """No bars while a model of a few megabytes is loaded; put back as they were."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    shown = [bars for bars in (of_diffusers, of_transformers) if bars.is_progress_bar_enabled()]
    for bars in shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()


def check_guidance(spec: Spec, scale: float | None) -> None:
    """Refuse guidance where there is none: prices would be wrong."""
    if scale is not None and spec.name in _UNGUIDED:
        raise UserError(f"model {spec}: {spec.name} has no guidance_scale")
