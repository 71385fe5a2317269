"""How many lines of searches and core run in both worlds, and how many in one alone.

Every search is held in a world of noise and in one of text while the lines that run are noted.

    python benchmarks/shared_code.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from common import save

import noise_search
from noise_search.noise import Book
from noise_search.run import Run
from noise_search.study.bench import build, complete
from noise_search.study.generate import jobs_of
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings

ROOT = Path(noise_search.__file__).parent
FINALS = [f"{search}(final=weighted)" for search in ("random", "beam", "revise")]
BOTH = ["random", "zero-order", "paths", "prune", "beam(draws=4,width=2,lookahead=1)", "revise"]
BOTH.append("diverse(beam(draws=2,width=2),groups=2)")
WORLDS: dict[str, tuple[dict[str, Any], list[str], str]] = {
    "noise": ({"model": "gaussian(dim=4)", "eta": 1.0}, [*BOTH, "steps"], "60nfe"),
    "text": ({"model": "arithmetic", "verifier": "prm-random"}, [*BOTH, *FINALS], "800tok"),
}
Line = tuple[str, int]


def kind_of(file: str) -> str | None:
    """Whether a file is of the searches, of the core, or of neither."""
    path = Path(file)
    if path.is_relative_to(ROOT / "searches"):
        return "searches"
    core = path.parent == ROOT and path.name not in ("__init__.py", "registry.py", "specs.py")
    return "core" if core or path.parent == ROOT / "budget" else None


def run(world: str) -> set[Line]:
    """The lines that run while every search is held in a world."""
    given, searches, budget = WORLDS[world]
    lines: set[Line] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Callable[..., Any] | None:
        file = frame.f_code.co_filename
        if kind_of(file) is None:
            return None
        if event == "line":
            lines.add((file, frame.f_lineno))
        return trace

    for search in searches:
        settings = complete(Settings.of({**given, "search": search, "budget": budget}))
        book = Book()
        bench = build(settings, book, None)
        jobs = jobs_of(prompts_of(["3 + 4 * 2 - 5", "60 - 7 * 8 + 9"]), settings)
        held = Run(bench.problem, bench.ranking, width=settings.batch or 1, book=book)
        sys.settrace(trace)
        try:
            held.drive(jobs)
        finally:
            sys.settrace(None)
    return lines


def main() -> None:
    """Count, and write the result."""
    noise, text = run("noise"), run("text")
    record = {
        kind: {
            "both": len({line for line in noise & text if kind_of(line[0]) == kind}),
            "noise alone": len({line for line in noise - text if kind_of(line[0]) == kind}),
            "text alone": len({line for line in text - noise if kind_of(line[0]) == kind}),
        }
        for kind in ("searches", "core")
    }
    for kind, counts in record.items():
        print(kind, counts)
    save("shared_code.json", {"lines that run": record})


if __name__ == "__main__":
    main()
