"""One run, one purse: pictures and answers are searched by the same function, from one budget."""

import sys
from pathlib import Path

from noise_search.budget import Purse
from noise_search.journal import Journal
from noise_search.noise import Book
from noise_search.registry import build_search
from noise_search.run import Job, Run
from noise_search.study.bench import build, complete
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings

PROMPTS = {
    "shapes": ["a red circle", "two green triangles above a red square"],
    "arithmetic": ["12 + 7 * 3 - 5", "81 - 6 * 8 + 40 + 9 * 7"],
}


def main(out: Path, calls: int = 64) -> None:
    """Share so many calls of verifiers; what one search leaves goes to the others."""
    out.mkdir(parents=True, exist_ok=True)
    book, plan = Book(), build_search("zero-order")
    jobs: list[Job] = []
    for model, texts in PROMPTS.items():
        bench = build(complete(Settings(model=model)), book, None)
        steps, world = bench.settings.steps or 1, bench.world
        jobs += [Job(prompt, plan, {}, steps, 0, world) for prompt in prompts_of(texts)]
    with Journal(out / "journal", {"prompts": PROMPTS, "calls": calls}, book) as journal:
        run = Run(bench.problem, bench.ranking, book=book, memory=journal)
        for found in run.drive(jobs, Purse({"verifier_calls": calls})):
            print(found.prompt.text, found.best and found.best.answer, found.spent.record())


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/one-purse"))
