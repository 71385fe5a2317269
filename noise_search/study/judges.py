"""What judges in a run: the verifier that guides it, and the evaluators held out of it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from noise_search.errors import UserError
from noise_search.problem import Verifier
from noise_search.registry import check_name
from noise_search.specs import split_top
from noise_search.study.settings import Settings

if TYPE_CHECKING:
    from noise_search.verifiers.cache import ScoreCache

Judge = str | Verifier | Callable[..., Any]
"""A spec, a verifier, or a callable `f(images, prompt)` that returns a score an image."""


def evaluators_in(text: str | None) -> tuple[str, ...]:
    """The specs of a setting that names evaluators.

    >>> evaluators_in("pick,rank(clip:a/b,shapes)")
    ('pick', 'rank(clip:a/b,shapes)')
    >>> evaluators_in("none")
    ()
    """
    return () if text in (None, "none") else tuple(split_top(text))


def held_out(own: str | None, verifier: str | None) -> str | None:
    """A model's own evaluators, less those that guide the search."""
    if verifier is None:
        return own
    rest = [spec for spec in evaluators_in(own) if not _common(verifier, spec)]
    return ",".join(rest) or ("none" if evaluators_in(own) else own)


def check_apart(verifier: str, evaluators: Sequence[str]) -> None:
    """Refuse an evaluator that the verifier's spec names too, or that needs what it is not shown.

    Nothing is loaded.

    Raises:
        UserError: there is one.
    """
    from noise_search.verifiers.loading import earlier_of_spec

    for spec in evaluators:
        if earlier_of_spec(spec) is not None:
            raise UserError(_no_previews(spec))
        if _common(verifier, spec):
            raise UserError(f"evaluate: {spec} guides the search; an evaluator is held out of it")


def _no_previews(name: str) -> str:
    return f"evaluate: {name} compares previews of a search, and evaluators are shown the outcome"


def _common(one: str, other: str) -> bool:
    return bool(set(leaves(one)) & set(leaves(other)))


def leaves(text: str) -> tuple[str, ...]:
    """The verifiers that a spec names, each as it is spelled in full.

    >>> leaves("rank(shapes,first(shapes-clip,shapes))")
    ('shapes', 'shapes-clip')
    """
    from noise_search.verifiers.loading import parts_of

    try:
        spec = check_name("verifier", text)
    except UserError:
        return (text,)  # the name of an object
    found = [leaf for part in parts_of(spec) for leaf in leaves(part)]
    return tuple(dict.fromkeys(found)) or (str(spec),)


class Judges:
    """Loads the verifiers of one run: each model once, whoever asks for it.

    Args:
        settings: completed settings.
        device: where models run whose spec names no device.
    """

    def __init__(self, settings: Settings, device: str) -> None:
        from noise_search.verifiers.models import Models

        self._settings = settings
        self._models = Models(device)

    def verifier(self, given: Judge | None = None) -> Verifier:
        """What guides the search: the settings' unless one is given."""
        return self._loaded(given or self._settings.verifier)

    def evaluators(self, given: Judge | Sequence[Judge] | None, guide: Verifier) -> list[Verifier]:
        """What judges the outcome: the settings' unless some are given.

        Args:
            given: one or several; a text may name several.
            guide: the verifier.

        Raises:
            UserError: one of them shares weights with the verifier, has another's name, or needs
                what is gone when a search has ended.
        """
        asked = listed(self._settings.evaluate if given is None else given)
        found = [self._loaded(one) for one in asked]
        for evaluator in found:
            if getattr(evaluator, "earlier", None) is not None:
                raise UserError(
                    f"evaluate: {evaluator.name} compares previews of a search; none are kept"
                )
        check_weights(guide, found)
        return found

    def _loaded(self, judge: Judge | None) -> Verifier:
        from noise_search.verifiers.cache import cached, computed_on
        from noise_search.verifiers.loading import from_callable, load
        from noise_search.verifiers.speeds import speeds_file, timed

        if judge is None:
            raise UserError("verifier: this model has none of its own; name one")
        if isinstance(judge, str):
            found = load(judge, self._models)
        else:
            found = from_callable(judge) if callable(judge) else judge
        if not self._settings.cache:
            return found
        torch = sys.modules.get("torch")
        threads = self._settings.threads if torch is None else torch.get_num_threads()
        watched = timed(found, self._models.device, speeds_file())
        return cached(watched, lambda: self._cache, computed_on(self._models.device, threads))

    @cached_property
    def _cache(self) -> ScoreCache:
        from noise_search.verifiers.cache import ScoreCache, cache_file

        return ScoreCache(cache_file())


def listed(given: Judge | Sequence[Judge] | None) -> list[Judge]:
    """Evaluators as a list; a text may name several."""
    if given is None or isinstance(given, str):
        return list(evaluators_in(given))
    if isinstance(given, list | tuple):
        several = cast("Sequence[Judge]", given)
        return [judge for one in several for judge in listed(one)]
    return [cast("Judge", given)]


def declared(verifier: Verifier) -> dict[str, object]:
    """What decides a verifier's scores by its own word, by the name of each of its parts."""
    from noise_search.verifiers.composite import Several

    parts = verifier.parts if isinstance(verifier, Several) else [verifier]
    return {part.name: _version(part) for part in parts}


def _version(verifier: Verifier) -> object:
    """The version in its card, else what it says of itself, else its class."""
    card = getattr(verifier, "card", None)
    if card is not None:
        return str(card.version)
    describe = getattr(verifier, "describe", None)
    return describe() if callable(describe) else type(verifier).__qualname__


def check_weights(guide: Verifier, evaluators: Sequence[Verifier]) -> None:
    """Refuse evaluators that cannot contradict: those that share weights with the verifier.

    Raises:
        UserError: one is the verifier itself, has its weights, or has another's name; or it
            compares previews, of which evaluators are shown none.
    """
    names = [name for judge in evaluators for name in declared(judge)]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"evaluate: {name} is named twice")
    for evaluator in evaluators:
        if getattr(evaluator, "earlier", None) is not None:
            raise UserError(_no_previews(evaluator.name))
        for name in declared(evaluator):
            if name in declared(guide):
                raise UserError(
                    f"evaluate: {name} guides the search; an evaluator is held out of it"
                )
        if _weights(evaluator) & _weights(guide):
            raise UserError(
                f"evaluate: {evaluator.name} has weights of the verifier {guide.name}; "
                "what it says would be no second opinion"
            )


def _weights(verifier: Verifier) -> set[str]:
    """Checksums in the versions that a verifier declares."""
    said = (str(version) for version in declared(verifier).values())
    return {found for text in said for found in re.findall(r"sha256:[0-9a-f]{8,}", text)}
