"""Fetches what specs need from the hub: the only command that downloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import typer

from noise_search.errors import UserError
from noise_search.registry import check_name, names

PATTERNS = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model", "*.jinja")
"""What is fetched of a model: weights that hold no code, and what tokenizers read."""


def run_prefetch(specs: Sequence[str], revision: str | None) -> None:
    """Fetch models and verifiers, and say where they lie.

    Raises:
        UserError: a spec is unknown, or the hub cannot be asked.
    """
    wanted = [(spec, *need) for spec in specs for need in _needs(spec)]
    for spec, repository, patterns in wanted:
        typer.echo(f"{spec}: {_fetched(repository, revision, patterns)}")


def _needs(text: str) -> Iterator[tuple[str, list[str]]]:
    """Repositories of a spec, with the patterns of their files."""
    from noise_search.pipelines.files import HUB
    from noise_search.verifiers.weights import needed

    head = text.strip().removeprefix("diffusers:").removeprefix("hf:").partition("(")[0]
    if HUB.fullmatch(head) and not Path(head).exists():
        yield head, list(PATTERNS)
        return
    if text.strip().partition(":")[0].partition("(")[0] in names("model"):
        return  # it comes with the package, or lies in a folder
    spec = check_name("verifier", text)
    for published in needed(spec.name, spec.target):
        yield published.repository, [*published.files, *published.more]


def _fetched(repository: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"prefetch: {repository} cannot be fetched: {said}") from None
