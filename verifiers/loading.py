"""From a spec to a verifier. Models are imported when they are asked for, not before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from noise_search.ask import Prompt
from noise_search.budget import ZERO, Cost
from noise_search.errors import UserError
from noise_search.judged import most_of_judging
from noise_search.problem import Verifier
from noise_search.registry import bind, check_name, find
from noise_search.specs import Spec
from noise_search.verifiers.models import Device, Dtype, Models, Width
from noise_search.verifiers.process import Aggregation, Process, RandomProcess

if TYPE_CHECKING:
    from noise_search.verifiers.clip import Clip

__all__ = [
    "arithmetic",
    "check_answers",
    "check_medium",
    "clip",
    "earlier_of_spec",
    "exact",
    "from_callable",
    "load",
    "math",
    "most_of_spec",
    "parts_of",
    "prm",
    "prm_random",
    "reward",
    "shapes",
    "shapes_clip",
    "shapes_clip_weak",
]


def load(text: str, models: Models | None = None) -> Verifier:
    """The verifier of a spec; its name is the spec.

    Args:
        text: the spec.
        models: what other verifiers of the run have loaded, to be shared.

    Raises:
        UserError: the verifier is unknown, or cannot be had as asked.
    """
    spec = check_name("verifier", text)
    function = find("verifier", spec.name)
    given: list[Any] = [spec, models or Models()][: _placed(function)]
    verifier: Verifier = function(*given, **bind("verifier", spec, function, len(given)))
    return verifier


def _placed(function: Callable[..., Verifier]) -> int:
    """How many leading parameters are given by place: the spec, and perhaps the models."""
    parameters = list(signature(function).parameters.values())
    return 1 + (len(parameters) > 1 and parameters[1].kind is Parameter.POSITIONAL_ONLY)


def from_callable(
    function: Callable[[list[Any], str], Sequence[float]], name: str | None = None, batch: int = 1
) -> Verifier:
    """A user's function as a verifier; what it does wrong fails the candidates it was asked about.

    Args:
        function: `function(pictures, prompt)` is given PIL pictures, or the texts where the model
            writes, and gives one number each.
        name: what its scores are called; the function's own name by default.
        batch: pictures or texts a call, always; short batches are padded with copies.
    """
    from noise_search.verifiers.adapters import Custom

    return Custom(function, name or str(getattr(function, "__name__", "custom")), batch)


TEXT_JUDGES = frozenset({"arithmetic", "exact", "math", "prm", "prm-random"})
"""Verifiers that judge texts alone,"""
PICTURE_JUDGES = frozenset(
    {
        "aesthetic",
        "classifier",
        "clip",
        "hps",
        "image-reward",
        "iqa",
        "pick",
        "judge",
        "self",
        "shapes",
        "shapes-clip",
        "shapes-clip-weak",
        "vqa",
    }
)
"""and those that judge pictures alone; nothing is known of other packages'."""


def parts_of(spec: Spec) -> tuple[str, ...]:
    """The specs that a ranking joins; none of any other verifier."""
    if spec.name not in ("first", "rank", "weighted"):
        return ()
    return (*spec.items, *spec.options)


def most_of_spec(text: str, *, moving: bool) -> Cost:
    """What one look of a verifier costs at most beside the call; no model is loaded.

    Args:
        text: its spec.
        moving: whether samples are videos.

    Raises:
        UserError: the spec names no verifier, or an option is wrong.
    """
    spec = check_name("verifier", text)
    if parts := parts_of(spec):
        return sum((most_of_spec(part, moving=moving) for part in parts), ZERO)
    if spec.name != "judge" or spec.target == "local":
        return ZERO
    return most_of_judging(load(text), moving=moving)


def earlier_of_spec(text: str) -> float | None:
    """After which share of the stages a verifier is shown a preview, or None; none is loaded.

    Args:
        text: its spec.

    Raises:
        UserError: the spec names no verifier, or an option is wrong.
    """
    spec = check_name("verifier", text)
    if parts := parts_of(spec):
        return next((found for p in parts if (found := earlier_of_spec(p)) is not None), None)
    if spec.name != "self":
        return None
    from noise_search.verifiers.own_preview import own_preview

    usual: float = signature(own_preview).parameters["at"].default
    share: float = bind("verifier", spec, own_preview, given=2).get("at", usual)
    return share


def check_medium(text: str, *, writes: bool, model: str, key: str) -> None:
    """Refuse a verifier that cannot judge what a model makes.

    Args:
        text: the verifier's spec.
        writes: whether the model makes texts.
        model: its spec, for the error.
        key: the setting that names the verifier.

    Raises:
        UserError: one judges pictures, the other writes, or the other way round.
    """
    spec = check_name("verifier", text)
    for part in parts_of(spec):
        check_medium(part, writes=writes, model=model, key=key)
    name = spec.name
    if name in (PICTURE_JUDGES if writes else TEXT_JUDGES):
        judges, makes = ("pictures", "texts") if writes else ("texts", "pictures")
        raise UserError(f"{key}: {name} judges {judges}; {model} makes {makes}")


def check_answers(text: str, prompts: Sequence[Prompt], key: str = "evaluate") -> None:
    """Refuse prompts whose right answers a verifier needs and cannot have; others pass.

    Args:
        text: the spec of any verifier.
        prompts: what it is to judge texts for.
        key: the setting that names it, for the error.

    Raises:
        UserError: an answer is not known, or what compares them is not installed.
    """
    from noise_search.verifiers.answers import RIGHT
    from noise_search.verifiers.equivalence import check_installed

    spec = check_name("verifier", text)
    for part in parts_of(spec):
        check_answers(part, prompts, key)
    if spec.name not in RIGHT:
        return
    if spec.name == "math":
        check_installed(f"{key} {spec}")
    for prompt in prompts:
        try:
            RIGHT[spec.name](prompt)
        except ValueError as error:
            raise UserError(f"{key} {spec}: prompt {prompt.name!r} {error}") from None


def exact(spec: Spec, /) -> Verifier:
    """1 where a text's answer has the same normal form as the right one, as 0.5 and 1/2 have."""
    return _answered(spec)


def math(spec: Spec, /) -> Verifier:
    """1 where a text's answer equals the right one as mathematics, by math-verify."""
    from importlib.metadata import version

    from noise_search.verifiers.equivalence import Equivalence, check_installed

    check_installed(f"verifier {spec}")
    return _answered(spec, agree=Equivalence(), version=f"math-verify {version('math-verify')}")


def arithmetic(spec: Spec, /) -> Verifier:
    """1 where a text's answer is the value of its question; no answers have to be given."""
    return _answered(spec)


def clip(
    spec: Spec,
    models: Models,
    /,
    clipscore: bool = False,
    device: Device = None,
    dtype: Dtype = "float32",
    batch: Width = 8,
) -> Verifier:
    """A CLIP or SigLIP model: `clip:ViT-L-14/openai` (open_clip's names), or a folder's path.

    Args:
        spec: as written; `clip` alone is `clip:ViT-L-14/openai`.
        models: what other verifiers have loaded.
        clipscore: 2.5 max(cosine, 0) with "A photo depicts" (CLIPScore), not the raw cosine.
        device: where it runs.
        dtype: of its weights.
        batch: pictures a call, always.
    """
    from noise_search.verifiers.clip import (
        CLIPSCORE_PREFIX,
        CLIPSCORE_SCALE,
        TOWER,
        Clip,
        encoder_of,
    )
    from noise_search.verifiers.weights import needed

    if spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write clip:MODEL/WEIGHTS, as ViT-L-14/openai, or a path")
    place = models.place(device, dtype, batch, spec)
    target = spec.target or TOWER
    try:
        encoder = encoder_of(target, models, place)
    except UserError as error:
        raise UserError(f"verifier {spec}: {error}") from None
    options: Any = {"prefix": CLIPSCORE_PREFIX, "scale": CLIPSCORE_SCALE} if clipscore else {}
    source = needed("clip", target)
    licence = source[0].licence if source else "unknown"
    return _matching(Clip(encoder, **options), spec, licence, target)


def shapes_clip(spec: Spec, models: Models, /) -> Verifier:
    """The CLIP model of the shapes language that comes with the package."""
    return _shipped(spec, models)


def shapes_clip_weak(spec: Spec, models: Models, /) -> Verifier:
    """A CLIP model of the shapes language that was trained too little."""
    return _shipped(spec, models)


def shapes(spec: Spec, /) -> Verifier:
    """The evaluator of the shapes language: 1 where a picture is right, 0 where it is not."""
    from noise_search import __version__
    from noise_search.verifiers.adapters import right_or_wrong
    from noise_search.verifiers.card import Card
    from noise_search.verifiers.pictures import Pictures
    from noise_search.verifiers.shapes import is_correct

    _no_target(spec)
    source = "comes with the package"
    card = Card(
        version=f"shapes of {__version__}", low=0, high=1, licence="Apache-2.0", source=source
    )
    return Pictures(right_or_wrong(is_correct), str(spec), card)


def prm(
    spec: Spec,
    /,
    aggregate: Aggregation = "last",
    flip: Annotated[float, Interval(ge=0, le=1)] = 0.0,
) -> Verifier:
    """A process reward model of texts: the one that ships, `prm:FOLDER`, or `prm:ORG/NAME`.

    Args:
        spec: as written.
        aggregate: how the scores of the steps become one.
        flip: the share of texts whose score p becomes 1 - p.
    """
    from noise_search.verifiers.process_files import SHIPPED, find_folder
    from noise_search.verifiers.process_files import load as load_process

    if spec.part is not None or spec.items:
        raise UserError(f"verifier {spec}: write prm, prm:FOLDER, or prm:ORG/NAME")
    if spec.target is None and not SHIPPED.is_dir():
        raise UserError(
            f"verifier {spec}: no trained model comes with the package; write prm:FOLDER"
        )
    try:
        model = load_process(SHIPPED if spec.target is None else find_folder(spec.target))
    except UserError as error:
        raise UserError(f"verifier {spec}: {error}") from None
    return Process(model, str(spec), aggregate, flip)


def prm_random(spec: Spec, /) -> Verifier:
    """A score of texts that knows nothing: a hash of prompt and words."""
    _no_target(spec)
    return RandomProcess(str(spec))


def reward(spec: Spec, /, slope: tuple[float, ...] = (1.0,)) -> Verifier:
    """The linear reward slope . x of an analytic world; coordinates not named weigh nothing.

    Args:
        spec: as written.
        slope: the first coordinates of the slope, joined by "+".
    """
    from noise_search.verifiers.reward import Reward

    _no_target(spec)
    return Reward(slope, str(spec))


def _answered(spec: Spec, **options: Any) -> Verifier:
    from noise_search.verifiers.answers import RIGHT, Answered

    _no_target(spec)
    return Answered(str(spec), RIGHT[spec.name], **options)


def _shipped(spec: Spec, models: Models) -> Verifier:
    from noise_search.verifiers.clip import Clip, encoder_of
    from noise_search.verifiers.clip_files import shipped_folder

    _no_target(spec)
    place = models.place(None, "float32", 8, spec)
    encoder = encoder_of(str(shipped_folder(spec.name)), models, place)
    return _matching(Clip(encoder), spec, "Apache-2.0", "comes with the package")


def _matching(model: Clip, spec: Spec, licence: str, source: str) -> Verifier:
    from noise_search.verifiers.card import Card
    from noise_search.verifiers.pictures import Pictures
    from noise_search.verifiers.weights import FLOPS

    low, high = model.bounds
    card = Card(
        version=model.version,
        low=low,
        high=high,
        flops=FLOPS.get(source),
        licence=licence,
        source=source,
    )
    return Pictures(model.similarity, str(spec), card, features=model.encoder.pictures)


def _no_target(spec: Spec) -> None:
    if spec.target is not None or spec.items:
        raise UserError(f"verifier {spec}: {spec.name} takes no target")
