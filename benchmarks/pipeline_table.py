"""Measures what is true of each kind of pipeline, and writes the table of `docs/pipelines.md`.

Tiny random checkpoints in the published format, loaded as users load theirs; every cut of a path.

    python benchmarks/pipeline_table.py
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkpoints of the tests

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from tests.pipelines.plainly import differences
from tests.pipelines.playing import Made, Player, apart, latents, player
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.calling import plain_call

PAGE = Path(__file__).parents[1] / "docs" / "pipelines.md"
BEGIN, END = "<!-- measured: python benchmarks/pipeline_table.py -->\n", "<!-- end -->\n"
HEAD = (
    "kind",
    "class",
    "scheduler",
    "forwards a step",
    "whole = plain call",
    "cut anywhere = whole",
    "width 3 to width 1",
    "random steps",
    "going back",
)


def main() -> None:
    """Measure every kind and put the table into the page."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    lines = [HEAD, ("---",) * len(HEAD)]
    with tempfile.TemporaryDirectory() as folder:
        for kind in KINDS.values():
            lines.append(row(kind, load(kind, Path(folder))))
            print(lines[-1], flush=True)
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(before + BEGIN + table + END + after, encoding="utf-8")


def row(kind: Kind, pipe: Any) -> tuple[str, ...]:
    """What is true of a kind, as cells."""
    play = player(pipe, kind)
    whole = play.one(Start(Gaussian(1)), prompt(kind))
    each = whole.cost.forwards / kind.steps
    return (
        f"`{kind.name}`",
        type(pipe).__name__.removesuffix("Pipeline"),
        type(pipe.scheduler).__name__.removesuffix("Scheduler"),
        f"{each:g}",
        plain(kind, pipe),
        cut(kind, play, whole),
        widths(kind, pipe),
        "yes" if play.pipeline.stochastic else "no",
        back(kind, play),
    )


def prompt(kind: Kind) -> Prompt:
    """What is asked for."""
    return Prompt("p", kind.prompts[0])


def plain(kind: Kind, pipe: Any) -> str:
    """Whether a whole path is the plain call with the same seed, or with the same draws."""
    parts = differences(kind, pipe, seed=7)
    if parts:
        return f"differs in {', '.join(parts)}"
    made = player(pipe, kind, width=1).one(Start(Gaussian(7)), prompt(kind))
    shown = (plain_call(kind, pipe, kind.prompts[0], seed=7)[0] * 255).round().astype(np.uint8)
    return "bit-equal" if np.array_equal(made.pixels, shown) else "bit-equal (same draws)"


def cut(kind: Kind, play: Player, whole: Made) -> str:
    """How far cut paths are from the whole one, at most."""
    worst = 0.0
    for stage in range(1, kind.steps):
        half = play.one(Start(Gaussian(1), until=stage), prompt(kind))
        again = play.one(Continue(half.candidate, Gaussian(1)), prompt(kind))
        worst = max(worst, apart(latents(play, again), latents(play, whole)))
    return told(worst)


def widths(kind: Kind, pipe: Any) -> str:
    """How far latents of two widths are from each other."""
    plays = [player(pipe, kind, width=width) for width in (3, 1)]
    found = [latents(p, p.one(Start(Gaussian(1)), prompt(kind))) for p in plays]
    return told(apart(*found))


def back(kind: Kind, play: Player) -> str:
    """Whether a candidate can go back and on."""
    half = play.one(Start(Gaussian(1), until=2), prompt(kind))
    try:
        made = play.one(Continue(half.candidate, Gaussian(2), rewind=1), prompt(kind))
    except UserError:
        return "refused"
    return "yes" if made.played.failure is None else "fails"


def told(distance: float) -> str:
    """A relative distance, as a cell."""
    return "bit-equal" if distance == 0 else f"{distance:.0e}"


if __name__ == "__main__":
    main()
