"""`prefetch` and `--download`: where what was fetched lies is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from noise_search.study.fetch import fetch_for, fetched, needs


def run_prefetch(specs: Sequence[str], revision: str | None) -> None:
    """Fetch models and verifiers, and say where they lie.

    Raises:
        UserError: a spec is unknown, or the hub cannot be asked.
    """
    wanted = [(spec, need) for spec in specs for need in needs(spec, revision)]
    for spec, need in wanted:
        typer.echo(f"{spec}: {fetched(*need)}")


def fetch_and_say(values: Mapping[str, Any], *, quiet: bool) -> None:
    """Fetch what a run needs, as `prefetch` does: its model, its verifier, its evaluators.

    Args:
        values: settings by key, as they were given.
        quiet: do not say where things lie.

    Raises:
        UserError: a spec is unknown, or the hub cannot be asked.
    """

    def say(spec: str, folder: Path) -> None:
        if not quiet:
            typer.echo(f"{spec}: {folder}")

    fetch_for(values, say)
