"""The picture of a comparison: quality against what was spent, with bands and direct labels.

A panel each for the evaluators and for the verifier, two beside each other.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, inf, log2
from typing import Any

from noise_search.study.gains import told
from noise_search.study.tables import SINGLE, Row, Tables, is_steps, shortened

SPENT = {
    "nfe": "denoiser evaluations for one picture (NFE)",
    "tokens_out": "tokens written for one question",
}
"""What the horizontal axis counts."""

Axes = Any
Figure = Any
# matplotlib's own types are partial: whatever takes keywords is unknown to a strict checker

WIDE, PANEL, DOTS = 9.0, 2.709, 200
"""Inches of the picture and of a panel's height, and dots an inch: 1,800 wide, legible at 900."""
ABOVE, BELOW, BETWEEN = 0.731, 0.86, 0.9
"""Inches above and below the panels, and between two rows of them."""
ACROSS = 2
"""Panels beside each other."""
TITLE, LABEL = 42, 13
"""Letters of a panel's title and of a curve's name that there is room for."""
INK, FAINT, GREY, PAPER = "#26282b", "#8a8d91", "#77797d", "#ffffff"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#a8509a", "#c28e00", "#3f9bcf", "#7a4b1e", "#333399")
"""Okabe and Ito's colours, told apart by colour-blind eyes, a little darker to be read as text."""
HOUSE = {"random": 0, "prune": 1, "zero-order": 2, "paths": 3}
"""Places of the usual searches in the palette, the same in every picture."""
MARKERS = ("o", "D", "s", "^", "v", "P", "X", "h")


@dataclass
class Line:
    """One search's curve: points of (spent, mean, low, high), in order of what was spent."""

    search: str
    points: list[tuple[float, float, float | None, float | None]] = field(
        default_factory=list[tuple[float, float, float | None, float | None]]
    )


def curve_png(tables: Tables, prompts: int, seeds: int) -> bytes:
    """The picture as PNG: the evaluators' verdicts and the verifier's score, against spending.

    Args:
        tables: the comparison's.
        prompts: how many prompts, for the caption.
        seeds: how many seeds of each.
    """
    from matplotlib import figure as figures

    metrics = [*told(tables), *tables.verifiers[:1]]
    across = min(ACROSS, len(metrics))
    down = ceil(len(metrics) / across)
    high = ABOVE + down * PANEL + (down - 1) * BETWEEN + BELOW
    figure: Figure = figures.Figure(figsize=(WIDE, high), dpi=DOTS, facecolor=PAPER)
    rows = tables.rows()
    panels = figure.subplots(down, across, squeeze=False, sharex=True).flat
    edges = {"top": 1 - ABOVE / high, "bottom": BELOW / high, "hspace": BETWEEN / PANEL}
    figure.subplots_adjust(left=0.06, right=0.875, wspace=0.5, **edges)
    for place, axes in enumerate(panels):
        if place < len(metrics):
            metric = metrics[place]
            _panel(axes, tables, [row for row in rows if row.metric == metric], metric)
            _foot(axes, tables.unit, lowest=place + across >= len(metrics))
        else:
            axes.set_visible(False)
    _caption(figure, tables, prompts, seeds, high)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def lines_of(rows: Sequence[Row], scale: float = 1.0) -> list[Line]:
    """The rows of one metric as curves, in the order of the comparison."""
    lines: dict[str, Line] = {}
    for row in rows:
        if row.search != SINGLE:
            line = lines.setdefault(row.search, Line(row.search))
            low = None if row.low is None else row.low * scale
            high = None if row.high is None else row.high * scale
            line.points.append((row.spent, row.mean * scale, low, high))
    for line in lines.values():
        line.points.sort()
    return list(lines.values())


def colours(searches: Sequence[str]) -> Mapping[str, str]:
    """A colour a search: its own for the usual ones, the next free one for others."""
    found: dict[str, str] = {}
    free = list(range(len(HOUSE), len(PALETTE)))
    for search in searches:
        own = HOUSE.get(search)
        if is_steps(search):
            found[search] = GREY
        elif own is not None:
            found[search] = PALETTE[own]
        else:
            found[search] = PALETTE[free.pop(0) if free else 0]
    return found


def _panel(axes: Axes, tables: Tables, rows: Sequence[Row], metric: str) -> None:
    share = tables.is_share(metric)
    scale = 100.0 if share else 1.0
    lines = lines_of(rows, scale)
    colour = colours([line.search for line in lines])
    for line in lines:
        _draw(axes, line, colour[line.search], len(lines))
    _reference(axes, rows, scale)
    _axis(axes, rows)
    held_out = metric in tables.evaluators
    what = "answers" if tables.unit == "tokens_out" else "pictures"
    title = f"Right {what}, in %, by " if share else "Mean score by "
    title += shortened(metric, TITLE - len(title))
    axes.set_title(title, loc="left", fontsize=10.5, color=INK, pad=20, fontweight="bold")
    said = "judges the winners; held out of the search" if held_out else "guides the search"
    axes.text(0, 1.03, said, transform=axes.transAxes, fontsize=8.5, color=GREY)
    _label(axes, lines, colour)


def _draw(axes: Axes, line: Line, colour: str, count: int) -> None:
    x = [point[0] for point in line.points]
    y = [point[1] for point in line.points]
    plain = is_steps(line.search)
    marker = "" if plain else MARKERS[HOUSE.get(line.search, len(HOUSE)) % len(MARKERS)]
    style = (0, (4, 2)) if plain else "-"
    axes.plot(
        x, y, color=colour, linestyle=style, linewidth=1.9, marker=marker, markersize=4.2, zorder=3
    )
    banded = [point for point in line.points if point[2] is not None and point[3] is not None]
    if banded:
        axes.fill_between(
            [p[0] for p in banded],
            [float(p[2] or 0.0) for p in banded],
            [float(p[3] or 0.0) for p in banded],
            color=colour,
            alpha=0.16 if count <= 3 else 0.08,
            linewidth=0,
            zorder=1,
        )


def _reference(axes: Axes, rows: Sequence[Row], scale: float) -> None:
    """One sample without a search: a point with its band, and a line to measure gains from."""
    for row in rows:
        if row.search != SINGLE:
            continue
        mean = row.mean * scale
        axes.axhline(mean, color=FAINT, linewidth=0.8, linestyle=":", zorder=2)
        if row.low is not None and row.high is not None:
            axes.vlines(
                row.spent, row.low * scale, row.high * scale, color=INK, linewidth=1.1, zorder=4
            )
        axes.plot([row.spent], [mean], marker="o", color=INK, markersize=4.6, zorder=4)
        axes.annotate(
            "one sample",
            (row.spent, mean),
            xytext=(6, -11),
            textcoords="offset points",
            fontsize=8.5,
            color=INK,
        )


def _axis(axes: Axes, rows: Sequence[Row]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    axes.set_xscale("log", base=2)
    ticks = sorted({2 ** round(log2(row.spent)) for row in rows if row.spent > 0})
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.tick_params(labelsize=8.5, color=FAINT, labelcolor=INK, length=3)
    axes.grid(axis="y", color="#e6e7e9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(FAINT)


def _foot(axes: Axes, unit: str, *, lowest: bool) -> None:
    """What the horizontal axis counts, below the last panel of a column."""
    axes.tick_params(labelbottom=lowest)
    if lowest:
        axes.set_xlabel(SPENT[unit], fontsize=9, color=INK)


def _label(axes: Axes, lines: Sequence[Line], colour: Mapping[str, str]) -> None:
    """Names at the ends of their curves, moved apart where they would touch."""
    low, high = axes.get_ylim()
    ends = sorted((line for line in lines if line.points), key=lambda line: line.points[-1][1])
    wanted = [line.points[-1][1] for line in ends]
    right = max((line.points[-1][0] for line in ends), default=1.0)
    gap = (high - low) * 0.062
    for line, y in zip(ends, spread(wanted, gap, high - gap / 2), strict=True):
        x = line.points[-1][0]
        axes.annotate(
            shortened(line.search, LABEL),
            (x, line.points[-1][1]),
            xytext=(right * 1.08, y),
            textcoords="data",
            fontsize=9,
            color=colour[line.search],
            va="center",
            annotation_clip=False,
            fontweight="bold",
            arrowprops={
                "arrowstyle": "-",
                "color": colour[line.search],
                "linewidth": 0.6,
                "relpos": (0, 0.5),
                "shrinkA": 1,
                "shrinkB": 3,
            },
        )


def spread(wanted: Sequence[float], gap: float, top: float = inf) -> list[float]:
    """Heights of labels: as wanted where they fit, else moved apart as little as can be.

    >>> spread([1.0, 1.0, 5.0], 1.0)
    [0.5, 1.5, 5.0]

    Args:
        wanted: heights in ascending order.
        gap: the least distance between two.
        top: the greatest height there is.
    """
    blocks: list[list[float]] = []
    for height in wanted:
        blocks.append([height])
        while len(blocks) > 1 and _top(blocks[-2], gap) + gap > _bottom(blocks[-1], gap):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    placed = [_bottom(block, gap) + i * gap for block in blocks for i in range(len(block))]
    return [min(y, top - gap * (len(placed) - 1 - i)) for i, y in enumerate(placed)]


def _bottom(block: Sequence[float], gap: float) -> float:
    """Where the lowest label of a block lies, so that the block sits amid what it wanted."""
    return sum(block) / len(block) - gap * (len(block) - 1) / 2


def _top(block: Sequence[float], gap: float) -> float:
    return _bottom(block, gap) + gap * (len(block) - 1)


def _caption(figure: Figure, tables: Tables, prompts: int, seeds: int, high: float) -> None:
    repeated = "one seed" if seeds == 1 else f"{seeds} seeds"
    said = f"{prompts} prompts x {repeated}. Shaded: 95 % bands over prompts."
    if any(is_steps(entry.search) for entry in tables.entries):
        said += " Dashed: the whole budget spent on denoising steps of a single picture."
    figure.text(0.06, 0.15 / high, said, fontsize=8.5, color=GREY)
