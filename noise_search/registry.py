"""Names to things: built-in tables and entry points, imported when they are used."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Any, get_origin, get_type_hints

from noise_search.errors import UserError, nearest
from noise_search.moves import Plan
from noise_search.specs import Spec, parse

SEARCHES: Mapping[str, str] = {
    "beam": "noise_search.searches.beam:beam",
    "diverse": "noise_search.searches.diverse:diverse",
    "paths": "noise_search.searches.paths:search_over_paths",
    "prune": "noise_search.searches.prune:prune",
    "random": "noise_search.searches.random:random_search",
    "revise": "noise_search.searches.revise:revise",
    "steps": "noise_search.searches.steps:more_steps",
    "zero-order": "noise_search.searches.zero_order:zero_order",
}
VERIFIERS: Mapping[str, str] = {
    "aesthetic": "noise_search.verifiers.aesthetic:aesthetic",
    "arithmetic": "noise_search.verifiers.loading:arithmetic",
    "classifier": "noise_search.verifiers.classifier:classifier",
    "clip": "noise_search.verifiers.loading:clip",
    "exact": "noise_search.verifiers.loading:exact",
    "first": "noise_search.verifiers.composite:first",
    "hps": "noise_search.verifiers.hps:hps",
    "image-reward": "noise_search.verifiers.image_reward:image_reward",
    "iqa": "noise_search.verifiers.iqa:iqa",
    "judge": "noise_search.verifiers.judge:judge",
    "math": "noise_search.verifiers.loading:math",
    "pick": "noise_search.verifiers.pick:pick",
    "prm": "noise_search.verifiers.loading:prm",
    "prm-random": "noise_search.verifiers.loading:prm_random",
    "rank": "noise_search.verifiers.composite:rank",
    "self": "noise_search.verifiers.own_preview:own_preview",
    "shapes": "noise_search.verifiers.loading:shapes",
    "shapes-clip": "noise_search.verifiers.loading:shapes_clip",
    "shapes-clip-weak": "noise_search.verifiers.loading:shapes_clip_weak",
    "reward": "noise_search.verifiers.loading:reward",
    "vqa": "noise_search.verifiers.vqa:vqa",
    "weighted": "noise_search.verifiers.composite:weighted",
}
MODELS: Mapping[str, str] = {
    "arithmetic": "noise_search.pipelines.text.loading:arithmetic",
    "diffusers": "noise_search.pipelines.files:diffusers",
    "hf": "noise_search.pipelines.text.loading:hf",
    "gaussian": "noise_search.pipelines.analytic.loading:gaussian",
    "mixture": "noise_search.pipelines.analytic.loading:mixture",
    "shapes": "noise_search.pipelines.shapes.loading:shapes",
}
MEASURES: Mapping[str, str] = {
    "fid": "noise_search.study.sets:fid",
    "is": "noise_search.study.sets:inception",
}
"""Of whole sets of pictures."""
_TABLES: Mapping[str, Mapping[str, str]] = {
    "search": SEARCHES,
    "verifier": VERIFIERS,
    "model": MODELS,
    "measure": MEASURES,
}


def names(kind: str) -> dict[str, str]:
    """All names of a kind with where they live; those of installed packages too."""
    others = {e.name: e.value for e in entry_points(group=f"noise_search.{kind}s")}
    return {**others, **_TABLES[kind]}


def _place(kind: str, name: str) -> str:
    """Where a name lives; installed packages are asked only about names that are not built in."""
    built_in = _TABLES[kind].get(name)
    if built_in is not None:
        return built_in
    known = names(kind)
    if name in MEASURES:
        raise UserError(
            f"{kind}: {name} judges a whole set of pictures; noise-search score does it"
        )
    if name not in known:
        raise UserError(f"{kind}: unknown {kind} {name[:60]!r}{nearest(name, known)}")
    return known[name]


def find(kind: str, name: str) -> Callable[..., Any]:
    """What a name stands for.

    Raises:
        UserError: nothing has that name.
    """
    module, _, attribute = _place(kind, name).partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found


def bind(kind: str, spec: Spec, function: Callable[..., Any], given: int) -> dict[str, Any]:
    """The options of a spec as the function's own types.

    Args:
        kind: what the spec names, for errors.
        spec: the spec.
        function: takes the options as keyword arguments.
        given: how many leading parameters are not options.

    Raises:
        UserError: an option is unknown or out of its bounds.
    """
    placed = list(inspect.signature(function).parameters.values())[given:]
    parameters = [p.name for p in placed if p.kind not in (p.POSITIONAL_ONLY, p.VAR_KEYWORD)]
    others = next((p.name for p in placed if p.kind is p.VAR_KEYWORD), None)
    options: dict[str, Any] = {}
    for key, text in spec.options.items():
        if key not in parameters and others is None:
            where = f"{kind} {spec.name}"
            ending = nearest(key, parameters) if parameters else "; it takes none"
            raise UserError(f"{where}: unknown option {key!r}{ending}")
        hint = _hint(function, key if key in parameters else others or key)
        options[key] = _convert(f"{kind} {spec.name}: {key}", text, hint)
    return options


def _hint(function: Callable[..., Any], key: str) -> Any:
    return get_type_hints(inspect.unwrap(function), include_extras=True)[key]


def _convert(where: str, text: str, hint: Any) -> Any:
    from pydantic import TypeAdapter, ValidationError

    bare = getattr(hint, "__origin__", hint)
    several = tuple in (get_origin(bare), bare)
    try:
        return TypeAdapter(hint).validate_python(text.split("+") if several else text)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
        raise UserError(f"{where}={text}: {said[:1].lower()}{said[1:]}") from None


def build_search(text: str) -> Plan:
    """The plan of a search spec.

    >>> build_search("prune(at=0.25+0.5)").keywords
    {'at': (0.25, 0.5)}

    Raises:
        UserError: the name or an option is unknown, or an option is out of its bounds.
    """
    spec = check_name("search", text)
    function = find("search", spec.name)
    inner = _inner(function)
    if spec.target is not None or len(spec.items) > len(inner):
        raise UserError(f"search {text!r}: options are given as key=value in parentheses")
    if len(spec.items) < len(inner):
        raise UserError(f"search {text!r}: name a search for it, as in {spec.name}(beam)")
    plans = {name: build_search(item) for name, item in zip(inner, spec.items, strict=True)}
    return partial(function, **plans, **bind("search", spec, function, given=1 + len(inner)))


def _inner(function: Callable[..., Any]) -> list[str]:
    """The parameters of a search that are searches themselves."""
    hints = get_type_hints(inspect.unwrap(function))
    parameters = list(inspect.signature(function).parameters)
    return [name for name in parameters[1:] if get_origin(hints.get(name)) is Callable]


def check_name(kind: str, text: str) -> Spec:
    """The parsed spec, if its name is known; nothing is imported.

    Raises:
        UserError: the text is not a spec, or nothing has that name.
    """
    try:
        spec = parse(text)
    except UserError as error:
        raise UserError(f"{kind}: {error}") from None
    _place(kind, spec.name)
    return spec
