"""What is printed when a command is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from noise_search.budget import SPOKEN
from noise_search.cli.text import printable
from noise_search.errors import UserError
from noise_search.study.dry_run import Estimate

if TYPE_CHECKING:
    from noise_search.study.compare import Comparison
    from noise_search.study.reproduce import Reproduction
    from noise_search.study.result import Result, Winner
    from noise_search.study.tables import Row

MOST_LINES = 20
"""Prompts of a run that are listed one by one."""


def print_estimate(
    prompts: int, images: int | None, estimate: Estimate, unknown: Sequence[str] = ()
) -> None:
    """A dry run's table."""
    most = "" if estimate.exact else "at most "
    rows = {"prompts": f"{prompts:,}"}
    if images is not None:
        rows["samples kept"] = f"at most {images:,}"
    rows["candidates"] = _figure(most, estimate.candidates)
    for kind in dict.fromkeys([*estimate.cost, *unknown]):
        known = None if kind in unknown else estimate.cost.get(kind)
        rows[SPOKEN[kind]] = _figure(most, known, money=kind == "micro_usd")
    size = estimate.record_bytes
    rows["disk"] = "unknown" if size is None else f"{_size(size)} of records, and the samples"
    width = max(map(len, rows))
    for name, value in rows.items():
        typer.echo(f"{name:<{width}}  {value}")
    typer.echo("Nothing was loaded, made or written.")


def _figure(most: str, number: int | None, *, money: bool = False) -> str:
    if number is None:
        return "unknown"
    return f"{most}{number / 1e6:,.4g}" if money else f"{most}{number:,}"


def _size(number: float) -> str:
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"about {number:.0f} {unit}"
        number /= 1000
    return f"about {number:.1f} GB"


def print_results(results: Sequence[Result], out: Path, *, quiet: bool) -> None:
    """A line for each prompt, and where everything is."""
    if not quiet:
        for result in results[:MOST_LINES]:
            typer.echo(f"{printable(result.prompt.text[:60])}: {_outcome(result.best)}")
        if len(results) > MOST_LINES:
            typer.echo(f"... and {len(results) - MOST_LINES:,} prompts more")
        unit = results[0].unit
        spent = sum(getattr(result.spent, unit) for result in results)
        found = sum(len(result.candidates) for result in results)
        failed = sum(c.failure is not None for result in results for c in result.candidates)
        typer.echo(
            f"{found:,} candidates, {spent:,} {SPOKEN[unit]}"
            + (f", {failed:,} of the candidates failed" if failed else "")
        )
        if equal := sum(result.outcome.equal for result in results):
            typer.echo(
                f"note: {equal:,} continuations were equal to others, as steps draw no noise; "
                "a search that branches needs --eta above 0"
            )
        for line in _watched(results):
            typer.echo(line)
    typer.echo(str(out))


def _watched(results: Sequence[Result]) -> list[str]:
    """What the evaluators see of the gain, and what the score cache has answered."""
    from noise_search.study.agreement import lines_of, summary

    lines = lines_of(summary([r.agreement for r in results if r.agreement is not None]))
    if results[0].cached:
        calls = sum(result.spent.verifier_calls for result in results)
        lines.append(f"{results[0].cached:,} of {calls:,} verifier calls answered by the cache")
    return lines


def print_comparison(comparison: Comparison, *, quiet: bool) -> None:
    """A table of searches by budgets, what evaluators see of it, and where everything is."""
    from noise_search.study.gains import diversity_cells, sight_cells, told

    if not quiet:
        tables = comparison.tables
        points = tables.rows()
        for metric in [*told(tables), tables.verifiers[0]]:
            if rows := [row for row in points if row.metric == metric]:
                typer.echo(f"{metric}: mean [95 % band] by search and budget")
                for line in grid_lines(rows):
                    typer.echo(line)
        for name in told(tables):
            if cells := sight_cells(tables, name):
                verifier = tables.verifiers[0]
                typer.echo(f"of what {verifier} gains over one sample {name} sees (doubts so many)")
                for line in _grid(cells):
                    typer.echo(line)
        if cells := diversity_cells(tables):
            typer.echo(f"mean distance of two seeds' winners by {tables.features}")
            for line in _grid(cells):
                typer.echo(line)
    typer.echo(str(comparison.out))


def grid_lines(rows: Sequence[Row]) -> list[str]:
    """One line a search, one column a budget."""
    return _grid({(row.search, row.budget): _band(row) for row in rows})


def _grid(cells: Mapping[tuple[str, str], str]) -> list[str]:
    searches, budgets = (list(dict.fromkeys(part)) for part in zip(*cells, strict=True))
    grid = [["", *budgets], *([s, *(cells.get((s, b), "") for b in budgets)] for s in searches)]
    widths = [max(map(len, column)) for column in zip(*grid, strict=True)]
    return [
        "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in grid
    ]


def _band(row: Row) -> str:
    if row.low is None or row.high is None:
        return f"{row.mean:.3g}"
    return f"{row.mean:.3g} [{row.low:.3g}, {row.high:.3g}]"


def _outcome(best: Winner | None) -> str:
    if best is None:
        return "nothing was finished"
    said = _scores(best.scores)
    if best.text is not None:
        said = f"{printable((best.answer or 'no answer')[:60])} ({said})"
    said += f"; held out: {_scores(best.evaluation)}" if best.evaluation else ""
    return said + (f"; doubted by {' and '.join(best.doubted)}" if best.doubted else "")


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())


def verdict(again: Reproduction) -> str:
    """What comparing a picture made again came to."""
    if again.equal is None:
        return f"{again.candidate}: made again; nothing was recorded to compare it with"
    if again.equal:
        return f"{again.candidate}: bit-equal"
    if again.difference is None or again.text is not None:
        return f"{again.candidate}: not bit-equal"
    return f"{again.candidate}: not bit-equal; the largest difference is {again.difference} of 255"


def write_picture(pixels: Any, out: Path, rate: float | None) -> None:
    """Write a picture made again; of a video its MP4 or, as PNG, its key frames too.

    Raises:
        UserError: there is a file already, or it cannot be written.
    """
    from noise_search.study.video import is_drawn, write_drawn

    if out.exists():
        raise UserError(f"out: {out} exists")
    if not is_drawn(pixels):
        raise UserError("out: this candidate is no picture")
    write_drawn(out, pixels, None, rate)
