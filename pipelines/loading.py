"""From a spec to a pipeline. torch is imported when a torch model is asked for, not before."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from noise_search.errors import UserError, nearest
from noise_search.noise import LATENTS, TEXT, Book, Medium
from noise_search.pipelines.prices import PicturePrices, TextPrices
from noise_search.pipelines.states import States
from noise_search.pipelines.text.options import TextOptions
from noise_search.problem import Pipeline, Prompt
from noise_search.registry import bind, check_name, find
from noise_search.specs import Spec

if TYPE_CHECKING:
    pass


__all__ = [
    "Defaults",
    "Options",
    "check_prompts",
    "defaults",
    "defaults_of",
    "gaussian",
    "load",
    "mixture",
    "price_only",
    "quietly",
    "shapes",
    "wrap",
]

Dtype = Literal["float32", "bfloat16", "float16"]
Dimension = Annotated[int, Field(ge=1, le=1_000_000)]
Positive = Annotated[float, Field(gt=0)]
Family = Literal["linear", "vp"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a run wants its model.

    Attributes:
        book: the recipes of the run.
        states: where latents are kept; in memory where it is None.
        steps: evaluations of the run's longest schedule, or None.
        width: rows of every batch.
        guidance_scale: strength of guidance, or None for the model's own.
        eta: how random a step is; 0 is deterministic.
        dtype: precision of the model.
        threads: CPU threads, or None to leave them as they are.
        device: where the model runs.
        fast: do not pad short batches; results then depend on the batch in their last bits.
        arguments: further keywords of the pipeline's call.
        text: how texts are written, where the model writes.
    """

    book: Book
    states: States | None = None
    steps: int | None = None
    width: int = 8
    guidance_scale: float | None = None
    eta: float = 0.0
    dtype: Dtype = "float32"
    threads: int | None = None
    device: str = "cpu"
    fast: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    text: TextOptions = field(default_factory=TextOptions)


@dataclass(frozen=True)
class Defaults:
    """What a model is best used with; None where it has no answer.

    Attributes:
        verifier: spec of the verifier that guides a search.
        evaluate: spec of the evaluator held out of it.
        steps: denoiser evaluations of a full path.
        guidance_scale: strength of guidance.
        decoder: whether latents are decoded.
        budget: of one prompt.
        batch: rows of a batch.
        searches: what a comparison compares.
        budgets: and at which budgets.
        text: how texts are written; None where the model makes none.
    """

    verifier: str | None = None
    evaluate: str | None = None
    steps: int = 50
    guidance_scale: float | None = None
    decoder: bool = False
    budget: str = "64nfe"
    batch: int = 8
    searches: tuple[str, ...] = ("random", "zero-order", "paths", "prune", "steps")
    budgets: tuple[str, ...] = ("32nfe", "64nfe", "128nfe")
    text: TextOptions | None = None

    @property
    def medium(self) -> Medium:
        """What the samples are made of."""
        return LATENTS if self.text is None else TEXT


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
_SHAPES = ("flow", "ddim")
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
    return _DEFAULTS.get(check_name("model", text).name, Defaults())


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
    parameters = inspect.signature(type(pipe).__call__).parameters
    if "num_inference_steps" not in parameters:
        kind = type(pipe).__name__
        raise UserError(
            f"pipe: {kind} is no diffusers pipeline and no pair of language model and tokenizer"
        )
    scale = parameters.get("guidance_scale")
    return Defaults(
        steps=parameters["num_inference_steps"].default,
        guidance_scale=None if scale is None else scale.default,
        decoder=getattr(pipe, "vae", None) is not None,
    )


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
) -> PicturePrices | TextPrices:
    """The prices of a model spec; neither torch nor weights are loaded.

    Raises:
        UserError: the model is unknown.
    """
    usual = defaults(text)
    if usual.text is not None:
        chosen = writing or usual.text
        return TextPrices(chosen.max_tokens, chosen.step_tokens)
    _check_guidance(check_name("model", text), guidance_scale)
    scale = usual.guidance_scale if guidance_scale is None else guidance_scale
    guided = (scale or 0.0) > 1.0
    return PicturePrices(guided=guided, decoder=usual.decoder, stochastic=eta > 0.0)


def gaussian(
    spec: Spec,
    options: Options,
    /,
    dim: Dimension = 16,
    mean: float = 0.0,
    scale: Positive = 1.0,
    path: Family = "linear",
) -> Pipeline:
    """The world of N(mean, scale^2) in `dim` coordinates, with its exact denoiser.

    Args:
        spec: as written.
        options: the run's.
        dim: number of coordinates.
        mean: mean of every coordinate.
        scale: standard deviation of every coordinate.
        path: noise levels, linear (flow matching) or vp (cosine).
    """
    from noise_search.pipelines.analytic.distributions import Gaussian

    return _analytic(spec, Gaussian([mean] * dim, scale), options, path)


def mixture(
    spec: Spec,
    options: Options,
    /,
    dim: Dimension = 16,
    apart: Positive = 2.0,
    scale: Positive = 0.5,
    weight: Annotated[float, Field(gt=0, lt=1)] = 0.5,
    path: Family = "linear",
) -> Pipeline:
    """Two Gaussians at +apart and -apart on the first coordinate, with their exact denoiser.

    Args:
        spec: as written.
        options: the run's.
        dim: number of coordinates.
        apart: distance of each centre from the middle.
        scale: standard deviation of every coordinate within a component.
        weight: probability of the component at +apart.
        path: noise levels, linear (flow matching) or vp (cosine).
    """
    from noise_search.pipelines.analytic.distributions import Mixture

    centre = [apart] + [0.0] * (dim - 1)
    means = [centre, [-c for c in centre]]
    shares = [weight, 1.0 - weight]
    return _analytic(spec, Mixture(shares, means, [scale, scale]), options, path)


def shapes(spec: Spec, options: Options, /) -> Pipeline:
    """The built-in model of coloured shapes: `shapes:flow` (the default) or `shapes:ddim`.

    Args:
        spec: as written.
        options: the run's.
    """
    variant = _SHAPES[0] if spec.target is None else spec.target
    if variant not in _SHAPES or spec.part is not None or spec.items:
        raise UserError(f"model {spec}: unknown variant {variant!r}{nearest(variant, _SHAPES)}")
    import torch

    from noise_search.pipelines.shapes.pipeline import ShapesPipeline

    folder = _folder(variant)
    if not (folder / "model_index.json").is_file():
        raise UserError(f"model {spec}: its weights are missing from {folder}; install it again")
    pipe: Any = ShapesPipeline
    with quietly():
        pipe = pipe.from_pretrained(folder)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            # Not the model's own method, which warns of modules to keep in fp32: it has none.
            torch.nn.Module.to(module, getattr(torch, options.dtype))
    pipe.to(options.device)
    if options.guidance_scale is None:
        options = replace(options, guidance_scale=_DEFAULTS["shapes"].guidance_scale)
    return wrap(pipe, options)


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
    )


def _folder(variant: str) -> Path:
    """Where the weights of a shapes model lie in the package."""
    return Path(__file__).resolve().parent / "shapes" / variant


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


def _analytic(spec: Spec, distribution: Any, options: Options, path: Family) -> Pipeline:
    from noise_search.pipelines.analytic.world import Analytic

    if spec.target is not None or spec.items:
        raise UserError(f"model {spec}: {spec.name} takes options alone, as in {spec.name}(dim=64)")
    _check_guidance(spec, options.guidance_scale)
    return Analytic(
        distribution,
        options.book,
        path=path,
        states=options.states,
        width=options.width,
        eta=options.eta,
        fast=options.fast,
    )


def _check_guidance(spec: Spec, scale: float | None) -> None:
    """Refuse guidance where there is none: prices would be wrong."""
    if scale is not None and spec.name in _UNGUIDED:
        raise UserError(f"model {spec}: {spec.name} has no guidance_scale")
