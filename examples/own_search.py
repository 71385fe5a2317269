"""Write a search of your own: a generator that yields moves and is sent what they led to.

Budget, batches, resume and records are not its business. Installed under the entry-point group
`noise_search.searches`, it has a name for the command line and for `compare` too.
"""

from __future__ import annotations

import sys
from pathlib import Path

import noise_search
from noise_search import Search, Start, Task


def explore_then_refine(task: Task, seeds: int = 4, cosine: float = 0.9) -> Search:
    """Half of the moves look at fresh noises, the other half near the best one so far."""
    best = task.best((yield [Start(task.fresh()) for _ in range(seeds)]))
    while True:
        fresh = [Start(task.fresh()) for _ in range(seeds // 2)]
        near = [Start(task.near(best, strength=cosine)) for _ in range(seeds // 2)]
        best = task.best([best, *(yield fresh + near)])


def main(out: Path) -> None:
    """Use it as any other search."""
    result = noise_search.search(
        "shapes",
        "two green triangles above a red square",
        search=explore_then_refine,
        budget="48nfe",
        seed=0,
        out=out,
    )
    print("best score by NFE:", *result.curve())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/own-search"))
