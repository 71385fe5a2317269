"""Fetching from the hub what specs need; nothing else in this package downloads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from noise_search.errors import UserError
from noise_search.registry import check_name, names
from noise_search.specs import parse
from noise_search.study.judges import evaluators_in, leaves
from noise_search.study.settings import Settings

__all__ = ["fetch_for", "fetched", "needs", "patterns_of"]

PATTERNS = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
"""What is fetched of a model: weights that hold no code, and what tokenizers read."""
Need = tuple[str, str | None, Sequence[str]]
"""A repository, its revision, and the patterns of its files."""


def fetch_for(values: Mapping[str, Any], say: Callable[[str, Path], object] | None = None) -> None:
    """Fetch what a run needs, as `prefetch` does: its model, its verifier, its evaluators.

    Args:
        values: settings by key, as they were given; objects need nothing.
        say: is told each spec, and where what it needs lies.

    Raises:
        UserError: a spec is unknown, or the hub cannot be asked.
    """
    told: object = values.get("evaluate")
    several = cast("Sequence[object]", told if isinstance(told, list | tuple) else [told])
    given = {"verifier": [values.get("verifier")], "evaluate": several}
    texts = {k: ",".join(v for v in parts if isinstance(v, str)) for k, parts in given.items()}
    settings = Settings.of({k: v for k, v in texts.items() if v})
    judges = [settings.verifier] if settings.verifier else []
    judges += evaluators_in(settings.evaluate)
    model = values.get("model")
    specs = [model] if isinstance(model, str) and model.strip() else []
    for spec in dict.fromkeys([*specs, *(leaf for judge in judges for leaf in leaves(judge))]):
        for need in needs(spec):
            folder = fetched(*need)
            if say is not None:
                say(spec, folder)


def needs(text: str, revision: str | None = None) -> Iterator[Need]:
    """What a spec needs of the hub.

    Args:
        text: of a model or a verifier.
        revision: where the spec names none.

    Raises:
        UserError: it is unknown, or what it needs is not known.
    """
    from noise_search.pipelines.files import HUB
    from noise_search.pipelines.loras import hub_loras
    from noise_search.verifiers.weights import is_path, needed

    text = text.strip()
    full = text if ":" in text.partition("(")[0] else f"diffusers:{text}"
    if "lora=" in text:
        yield from ((name, None, PATTERNS) for name in hub_loras(parse(full)))
    head = text.removeprefix("diffusers:").removeprefix("hf:").partition("(")[0]
    if HUB.fullmatch(head) and not Path(head).exists():
        revision = parse(full).options.get("revision", revision)
        index = fetched(head, revision, ["model_index.json"]) / "model_index.json"
        yield head, revision, patterns_of(index)
        return
    if text.partition(":")[0].partition("(")[0] in names("model"):
        return  # it comes with the package, or lies in a folder
    spec = check_name("verifier", text)
    if spec.name == "iqa":
        from noise_search.verifiers.iqa import fetch

        return fetch(spec)  # pyiqa knows alone what its metrics need, and keeps it by itself
    found = needed(spec.name, spec.target, spec.options)
    if not found and spec.target is not None and not is_path(spec.target):
        raise UserError(f"prefetch: what files {spec} needs is not known; fetch them by hand")
    for published in found:
        yield published.repository, spec.options.get("revision", revision), published.files


def patterns_of(index: Path) -> list[str]:
    """The files of a model: of a pipeline those of its components alone, no whole checkpoints.

    Args:
        index: a pipeline's `model_index.json`; a language model has none.

    Raises:
        UserError: it is no JSON object.
    """
    if not index.is_file():
        return list(PATTERNS)
    try:
        parts: list[tuple[str, Any]] = list(json.loads(index.read_bytes()).items())
    except (ValueError, AttributeError):
        raise UserError(f"prefetch: {index} is no JSON object") from None
    names = [
        name
        for name, value in parts
        if isinstance(value, list) and all(cast("list[object]", value))
    ]
    return ["model_index.json", *(f"{name}/{p}" for name in names for p in PATTERNS)]


def fetched(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The folder of the hub's cache that holds files of a repository, fetched where it does not.

    Raises:
        UserError: the hub cannot be asked, or has no such repository.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub = cast("Any", huggingface_hub)  # its types are incomplete
    try:
        return Path(
            hub.snapshot_download(repository, revision=revision, allow_patterns=list(patterns))
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"prefetch: {repository} cannot be fetched: {said}") from None
