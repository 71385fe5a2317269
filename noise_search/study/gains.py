"""What a comparison gains over one sample, by the verifier and by those held out of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noise_search.noise import Name
from noise_search.study.agreement import Gain, Seen, deviation_within, doubts, ratio
from noise_search.study.tables import SINGLE, Entry, Row, Tables, Verdict


@dataclass(frozen=True)
class Sight:
    """How one evaluator sees the winners of one entry.

    Attributes:
        gain: over one sample, paired.
        ratio: of it to the verifier's gain, each in standard deviations of one sample.
        doubted: winners that it ranks below the middle of the prompt's single samples, although
            the verifier ranks them above it.
        winners: how many there are.
    """

    gain: Gain
    ratio: float | None
    doubted: int
    winners: int


def sights(tables: Tables, entry: Entry) -> dict[str, Sight]:
    """How the evaluators see an entry, by name; empty for the single sample itself."""
    verifier = gain_of(tables, entry, tables.verifiers[0])
    if verifier is None:
        return {}
    winners = [v for v in tables.entries[entry] if v.winner is not None]
    singles = _singles(tables)
    doubted = [
        name
        for verdict in winners
        for name in doubts(_seen(tables, verdict), _others(tables, verdict, singles))
    ]
    return {
        name: Sight(gain, ratio(gain, verifier), doubted.count(name), len(winners))
        for name in told(tables)
        if (gain := gain_of(tables, entry, name)) is not None
    }


def told(tables: Tables) -> list[str]:
    """Evaluators' scores; the least of a video's frames only stands beside its mean."""
    return [name for name in tables.evaluators if not name.endswith(".min")]


def gain_of(tables: Tables, entry: Entry, metric: str) -> Gain | None:
    """The mean gain over one sample, by prompt and seed; None where there is nothing to compare."""
    single = next((other for other in tables.entries if other.search == SINGLE), None)
    if single is None or single == entry:
        return None
    found = tables.difference(entry, single, metric)
    if found is None:
        return None
    groups = list(tables.values(single, metric).values())
    within = deviation_within(groups)
    whole = deviation_within([[value for values in groups for value in values]])
    return Gain(found.mean, whole if within is None else within, found.n)


def _singles(tables: Tables) -> Mapping[Name, Sequence[Verdict]]:
    found: dict[Name, list[Verdict]] = {}
    for entry, verdicts in tables.entries.items():
        for verdict in verdicts if entry.search == SINGLE else ():
            if verdict.winner is not None:
                found.setdefault(verdict.prompt, []).append(verdict)
    return found


def _others(
    tables: Tables, verdict: Verdict, singles: Mapping[Name, Sequence[Verdict]]
) -> list[Seen]:
    others = singles.get(verdict.prompt, ())
    return [_seen(tables, other) for other in others if other.winner != verdict.winner]


def _seen(tables: Tables, verdict: Verdict) -> Seen:
    by = {name: verdict.evaluation[name] for name in told(tables) if name in verdict.evaluation}
    return Seen(verdict.scores.get(tables.verifiers[0], float("-inf")), by)


def csv_text(tables: Tables) -> str:
    """The contents of `curve.csv`: a line an entry and metric; what cannot be told is left empty.

    Beside each point of a curve stand, of an evaluator, the ratio of its gain to the verifier's
    and how many winners it doubts; and the diversity of the entry's winners.
    """
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*Row._fields, "ratio", "doubted", "diversity"])
    seen = {entry: sights(tables, entry) for entry in tables.entries}
    for row in tables.rows():
        entry = Entry(row.search, row.budget)
        sight = seen[entry].get(row.metric)
        watched = (None, None) if sight is None else (sight.ratio, sight.doubted)
        cells = [*row, *watched, tables.diversity.get(entry)]
        writer.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])
    return out.getvalue()


def sight_records(tables: Tables, entry: Entry) -> dict[str, Any]:
    """The sights of an entry, for a record."""
    return {
        name: {
            "gain": sight.gain.gain,
            "deviation": sight.gain.deviation,
            "ratio": sight.ratio,
            "doubted": sight.doubted,
        }
        for name, sight in sights(tables, entry).items()
    }


def sight_lines(tables: Tables, entry: Entry, head: str) -> list[str]:
    """The sights of an entry in plain sentences, and how alike its winners are.

    Args:
        tables: of the comparison.
        entry: whose.
        head: how it is called.
    """
    lines: list[str] = []
    for name, sight in sights(tables, entry).items():
        if sight.ratio is not None:
            seen = f"{name} sees {sight.ratio:.2f} of what {tables.verifiers[0]} gains"
            lines.append(f"{head}: {seen} over one sample")
        if sight.doubted:
            lines.append(f"{head}: {name} doubts {sight.doubted} of {sight.winners} winners")
    if entry in tables.diversity:
        apart = f"{tables.diversity[entry]:.3g} by {tables.features}"
        lines.append(f"{head}: mean distance of two seeds' winners {apart}")
    return lines


def sight_cells(tables: Tables, name: str) -> dict[tuple[str, str], str]:
    """Ratios by entry with the number of doubted winners, for a table on the terminal.

    A dash stands where there is none: nothing was gained, or all samples are alike.
    """
    cells: dict[tuple[str, str], str] = {}
    for entry in tables.entries:
        sight = sights(tables, entry).get(name)
        if sight is not None:
            share = "-" if sight.ratio is None else f"{sight.ratio:.2f}"
            cells[entry] = f"{share} ({sight.doubted} of {sight.winners})"
    return cells


def diversity_cells(tables: Tables) -> dict[tuple[str, str], str]:
    """How far the winners of different seeds are from each other, for a table on the terminal."""
    return {entry: f"{value:.3g}" for entry, value in tables.diversity.items()}
