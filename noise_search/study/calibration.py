"""How good predicted chances are: losses, ranking, calibration, and a picture of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from math import fsum, log, log1p
from typing import Any, NamedTuple

from noise_search.study.curves import FAINT, GREY, INK, PALETTE, PAPER

BINS = 10
_TINY = 1e-12

Axes = Any
# matplotlib's own types are partial: whatever takes keywords is unknown to a strict checker


class Bin(NamedTuple):
    """Predictions from `low` up to `high`.

    Attributes:
        low: where it begins.
        high: where it ends.
        size: predictions in it.
        predicted: their mean, or None where there is none.
        observed: the mean of their labels, likewise.
    """

    low: float
    high: float
    size: int
    predicted: float | None
    observed: float | None


def entropy(predicted: Sequence[float], labels: Sequence[float]) -> float:
    """The mean binary cross-entropy of soft labels, in nats.

    >>> round(entropy([0.5, 0.5], [0.0, 1.0]), 4)
    0.6931
    """
    return fsum(map(_entropy, predicted, labels)) / len(labels)


def _entropy(p: float, label: float) -> float:
    p = min(max(p, _TINY), 1 - _TINY)
    return -(label * log(p) + (1 - label) * log1p(-p))


def auc(predicted: Sequence[float], right: Sequence[bool]) -> float | None:
    """The chance that a right one is predicted above a wrong one, ties counting half.

    None where all are right, or none is. It is Mann and Whitney's U over the number of pairs.

    >>> auc([0.1, 0.4, 0.4, 0.9], [False, False, True, True])
    0.875
    """
    order = sorted(range(len(predicted)), key=predicted.__getitem__)
    ranks = 0.0
    begin = 0
    while begin < len(order):
        end = begin
        while end < len(order) and predicted[order[end]] == predicted[order[begin]]:
            end += 1
        ranks += (begin + end + 1) / 2 * sum(right[i] for i in order[begin:end])
        begin = end
    positive = sum(right)
    negative = len(right) - positive
    if not positive or not negative:
        return None
    return (ranks - positive * (positive + 1) / 2) / (positive * negative)


def bins_of(predicted: Sequence[float], labels: Sequence[float]) -> list[Bin]:
    """Ten equal bins of [0, 1]; a prediction of 1 is in the last."""
    members: list[list[int]] = [[] for _ in range(BINS)]
    for i, p in enumerate(predicted):
        members[min(BINS - 1, int(p * BINS))].append(i)
    return [
        Bin(
            k / BINS,
            (k + 1) / BINS,
            len(inside),
            fsum(predicted[i] for i in inside) / len(inside) if inside else None,
            fsum(labels[i] for i in inside) / len(inside) if inside else None,
        )
        for k, inside in enumerate(members)
    ]


def gap(bins: Sequence[Bin]) -> float:
    """The expected calibration error: the mean distance of predicted and observed, by count."""
    count = sum(b.size for b in bins)
    return fsum(
        b.size * abs(b.predicted - b.observed)
        for b in bins
        if b.predicted is not None and b.observed is not None
    ) / max(1, count)


def calibration_png(bins: Sequence[Bin], caption: str) -> bytes:
    """Predicted chances against observed shares, above how often each is predicted.

    Args:
        bins: ten of them.
        caption: one line below.
    """
    from matplotlib import figure as figures

    figure: Any = figures.Figure(figsize=(5.2, 6.2), dpi=160, facecolor=PAPER)
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    figure.subplots_adjust(left=0.15, right=0.96, top=0.93, bottom=0.15, hspace=0.1)
    top.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, linestyle=":")
    top.text(0.02, 0.94, "dotted: perfect", color=GREY, fontsize=8.5)
    there = [(b.predicted, b.observed) for b in bins if b.size]
    x, y = [p for p, _ in there], [o for _, o in there]
    top.plot(x, y, color=PALETTE[0], linewidth=1.9, marker="o", markersize=5)
    top.set_ylabel("share of rollouts that came out right", fontsize=9, color=INK)
    top.set_title("Calibration on held-out questions", loc="left", fontsize=10.5, color=INK)
    top.set_ylim(-0.02, 1.02)
    counts = [b.size for b in bins]
    below.bar([(b.low + b.high) / 2 for b in bins], counts, width=0.09, color=PALETTE[0])
    below.set_ylabel("steps", fontsize=9, color=INK)
    below.set_xlabel("predicted chance", fontsize=9, color=INK)
    for axes in (top, below):
        _plain(axes)
    figure.text(0.15, 0.03, caption, fontsize=8, color=GREY)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _plain(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.tick_params(labelsize=8.5, color=FAINT, labelcolor=INK, length=3)
    axes.grid(axis="y", color="#e6e7e9", linewidth=0.7)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(FAINT)
