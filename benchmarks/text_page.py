"""The page and the picture of `text_curves.py`."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from common import points, share

from noise_search.study.statistics import METHOD, Band, band
from noise_search.study.tables import Entry, Tables

METRIC = "arithmetic"
PAIRS = (
    ("beam, width 4", "best of N"),
    ("beam, width √N", "best of N"),
    ("lookahead 1, width √N", "beam, width √N"),
    ("lookahead 3, width √N", "beam, width √N"),
)
Methods = Mapping[str, Mapping[int, Entry]]
BASE = "best of N, weighted"
SHOWN = {
    "best of N, weighted": ("#0072b2", "o"),
    "majority": ("#77797d", "v"),
    "beam, width 4": ("#d55e00", "D"),
    "beam, width √N": ("#c28e00", "s"),
    "lookahead 3, width √N": ("#a8509a", "P"),
    "revisions, √N chains": ("#009e73", "^"),
}
"""The curves that are drawn; the table holds all."""


def page(
    methods: Methods,
    tables: Tables,
    by_bin: Sequence[Tables],
    spoiled: Mapping[str, Tables],
    chains: Sequence[tuple[int, bool, bool]],
    facts: Mapping[str, Any],
) -> Iterator[str]:
    """The result as Markdown."""
    rates = ", ".join(f"{100 * rate:.0f} %" for rate in facts["pass@1 by bin"])
    yield "# arithmetic: right answers against tokens"
    yield ""
    yield (
        f"{facts['questions']} held-out questions of 2 to 8 operations, one seed. The verifier "
        "`prm` guides, the exact evaluator `arithmetic` judges. Bins of equal size by the share of "
        f"right answers among 128 other samples, the easiest first: {rates}."
    )
    yield ""
    yield from _accuracy(methods, tables)
    yield from _per_bin(methods, by_bin)
    yield from _differences(methods, tables, by_bin)
    yield from _pairs(methods, tables)
    yield from _votes(spoiled)
    yield from _revisions(chains)
    yield f"Bands: {METHOD}"
    yield ""
    machine = ", ".join(f"{k} {v}" for k, v in facts["machine"].items())
    yield f"Command: `{facts['command']}`. Machine: {machine}."


def _accuracy(methods: Methods, tables: Tables) -> Iterator[str]:
    sizes = (1, 4, 16, 64)
    yield "Percent right [95 % band] (tokens written for one question):"
    yield ""
    yield "| method | " + " | ".join(f"N = {n}" for n in sizes) + " |"
    yield "|---" * (len(sizes) + 1) + "|"
    for name, by_size in methods.items():
        cells = [
            f"{share(tables.band(by_size[n], METRIC))} ({tables.spent(by_size[n]):,.0f})"
            if n in by_size
            else ""
            for n in sizes
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""


def _per_bin(methods: Methods, by_bin: Sequence[Tables]) -> Iterator[str]:
    bins = range(1, len(by_bin) + 1)
    for n in (4, 16, 64):
        yield f"Percent right by bin of difficulty at N = {n}:"
        yield ""
        yield "| method | " + " | ".join(f"bin {i}" for i in bins) + " |"
        yield "|---" * (len(by_bin) + 1) + "|"
        for name, by_size in methods.items():
            if n in by_size:
                cells = [share(part.band(by_size[n], METRIC)) for part in by_bin]
                yield f"| {name} | " + " | ".join(cells) + " |"
        yield ""


def _differences(methods: Methods, tables: Tables, by_bin: Sequence[Tables]) -> Iterator[str]:
    yield f"Paired differences to `{BASE}` at the same N, in points [95 % band]:"
    yield ""
    bins = " | ".join(f"bin {i}" for i in range(1, len(by_bin) + 1))
    yield f"| method | N | all | {bins} |"
    yield "|---" * (len(by_bin) + 3) + "|"
    for name, by_size in methods.items():
        for n, entry in by_size.items():
            if name != BASE and n > 1:
                base = methods[BASE][n]
                cells = [_bold(part.difference(entry, base, METRIC)) for part in (tables, *by_bin)]
                yield f"| {name} | {n} | " + " | ".join(cells) + " |"
    yield ""


def _pairs(methods: Methods, tables: Tables) -> Iterator[str]:
    yield "Paired differences of some methods at the same N, over all questions:"
    yield ""
    yield "| | N = 4 | N = 16 | N = 64 |"
    yield "|---|---|---|---|"
    for ours, theirs in PAIRS:
        cells = [
            _bold(tables.difference(methods[ours][n], methods[theirs][n], METRIC))
            for n in (4, 16, 64)
        ]
        yield f"| {ours}, over {theirs} | " + " | ".join(cells) + " |"
    yield ""


def _votes(spoiled: Mapping[str, Tables]) -> Iterator[str]:
    yield "Votes weighted by verifiers that are spoiled on purpose, over the same samples:"
    yield ""
    yield "| verifier | weighted, N = 16 | weighted, N = 64 | best, N = 16 | best, N = 64 |"
    yield "|---|---|---|---|---|"
    for verifier, tables in spoiled.items():
        cells = [
            share(tables.band(Entry(search, f"{n}calls"), METRIC))
            for search in ("random(final=weighted)", "random")
            for n in (16, 64)
        ]
        yield f"| `{verifier}` | " + " | ".join(cells) + " |"
    yield ""


def _revisions(chains: Sequence[tuple[int, bool, bool]]) -> Iterator[str]:
    yield "Revisions, by their place in the chain (up to four earlier texts in context):"
    yield ""
    yield "| revision | right after | right answers spoiled | wrong answers mended | revisions |"
    yield "|---|---|---|---|---|"
    for name, low, high in [("1", 1, 1), ("2", 2, 2), ("3", 3, 3), ("4", 4, 4), ("5-63", 5, 63)]:
        some = [(before, after) for place, before, after in chains if low <= place <= high]
        if some:
            after = [a for _, a in some]
            spoil = [not a for b, a in some if b]
            mend = [a for b, a in some if not b]
            cells = [share(_rate(values)) for values in (after, spoil, mend)]
            yield f"| {name} | " + " | ".join(cells) + f" | {len(some):,} |"
    yield ""


def _rate(values: Sequence[bool]) -> Band | None:
    return band([[float(v)] for v in values], share=True)


def _bold(found: Band | None) -> str:
    """A difference with its band, bold where it is resolved."""
    text = points(found)
    return f"**{text}**" if found is not None and found.resolved else text


def draw(methods: Methods, tables: Tables, by_bin: Sequence[Tables]) -> bytes:
    """Accuracy against tokens: over all questions, and in three bins."""
    from matplotlib import figure as figures
    from matplotlib.ticker import StrMethodFormatter

    shown = [("all questions", tables), ("bin 1, the easiest", by_bin[0])]
    shown += [("bin 3", by_bin[2]), ("bin 5, the hardest", by_bin[4])]
    figure = figures.Figure(figsize=(11, 8), dpi=160, facecolor="white")
    for axes, (title, part) in zip(figure.subplots(2, 2).flat, shown, strict=True):
        for name, (colour, marker) in SHOWN.items():
            points_of = [
                (part.spent(entry), found)
                for entry in methods[name].values()
                if (found := part.band(entry, METRIC)) is not None
            ]
            x = [spent for spent, _ in points_of]
            y = [100 * found.mean for _, found in points_of]
            axes.plot(x, y, color=colour, marker=marker, markersize=4.5, linewidth=1.7, label=name)
            if part is tables:
                low = [100 * (found.low or 0.0) for _, found in points_of]
                high = [100 * (found.high or 0.0) for _, found in points_of]
                axes.fill_between(x, low, high, color=colour, alpha=0.08, linewidth=0)
        axes.set_title(title, loc="left", fontsize=10.5, fontweight="bold")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set_xlabel("tokens written for one question", fontsize=9)
        axes.set_ylabel("right answers, %", fontsize=9)
        axes.grid(axis="y", color="#e6e7e9", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].legend(fontsize=8, frameon=False, loc="lower right")
    figure.tight_layout()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
