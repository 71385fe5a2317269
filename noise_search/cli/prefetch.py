"""Fetches what specs need from the hub: `prefetch` and `--download` are all that downloads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from noise_search.errors import UserError
from noise_search.registry import check_name, names
from noise_search.specs import parse
from noise_search.study.judges import evaluators_in, leaves
from noise_search.study.settings import Settings

PATTERNS = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
"""What is fetched of a model: weights that hold no code, and what tokenizers read."""


def run_prefetch(specs: Sequence[str], revision: str | None) -> None:
    """Fetch models and verifiers, and say where they lie.

    Raises:
        UserError: a spec is unknown, or the hub cannot be asked.
    """
    wanted = [(spec, *need) for spec in specs for need in _needs(spec, revision)]
    for spec, repository, patterns in wanted:
        typer.echo(f"{spec}: {_fetched(repository, revision, patterns)}")


def fetch_for(values: Mapping[str, Any], *, quiet: bool) -> None:
    """Fetch what a run needs, as `prefetch` does: its model, its verifier, its evaluators.

    Args:
        values: settings by key, as they were given.
        quiet: do not say where things lie.

    Raises:
        UserError: a spec is unknown, or the hub cannot be asked.
    """
    given = {key: values[key] for key in ("verifier", "evaluate") if values.get(key)}
    settings = Settings.of(given)
    judges = [settings.verifier] if settings.verifier else []
    judges += evaluators_in(settings.evaluate)
    model = values.get("model")
    specs = [model] if isinstance(model, str) and model.strip() else []
    for spec in dict.fromkeys([*specs, *(leaf for judge in judges for leaf in leaves(judge))]):
        revision = None if spec == model else parse(spec).options.get("revision")
        for repository, patterns in _needs(spec, revision):
            folder = _fetched(repository, revision, patterns)
            if not quiet:
                typer.echo(f"{spec}: {folder}")


def _needs(text: str, revision: str | None) -> Iterator[tuple[str, Sequence[str]]]:
    """Repositories of a spec, with the patterns of their files."""
    from noise_search.pipelines.files import HUB
    from noise_search.verifiers.weights import is_path, needed

    head = text.strip().removeprefix("diffusers:").removeprefix("hf:").partition("(")[0]
    if HUB.fullmatch(head) and not Path(head).exists():
        index = _fetched(head, revision, ["model_index.json"]) / "model_index.json"
        yield head, patterns_of(index)
        return
    if text.strip().partition(":")[0].partition("(")[0] in names("model"):
        return  # it comes with the package, or lies in a folder
    spec = check_name("verifier", text)
    if spec.name == "iqa":
        from noise_search.verifiers.iqa import fetch

        return fetch(spec)  # pyiqa knows alone what its metrics need, and keeps it by itself
    found = needed(spec.name, spec.target, spec.options)
    if not found and spec.target is not None and not is_path(spec.target):
        raise UserError(f"prefetch: what files {spec} needs is not known; fetch them by hand")
    for published in found:
        yield published.repository, published.files


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
        parts = json.loads(index.read_bytes()).items()
    except (ValueError, AttributeError):
        raise UserError(f"prefetch: {index} is no JSON object") from None
    names = [name for name, value in parts if isinstance(value, list) and all(value)]
    return ["model_index.json", *(f"{name}/{p}" for name in names for p in PATTERNS)]


def _fetched(repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"prefetch: {repository} cannot be fetched: {said}") from None
