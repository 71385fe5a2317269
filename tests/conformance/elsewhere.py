"""Makes runs in a process of its own: `python -m tests.conformance.elsewhere OUT < tasks`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from noise_search.ask import Prompt
from noise_search.study.generate import generate
from noise_search.study.settings import Settings


class Task(NamedTuple):
    """A run to be made.

    Attributes:
        folder: its name within the folder of all.
        prompts: fields of the prompts.
        settings: fields of the settings.
        workers: how many processes play it.
    """

    folder: str
    prompts: list[dict[str, Any]]
    settings: dict[str, Any]
    workers: int = 1


def written(tasks: Iterable[Task]) -> str:
    """Tasks as the other process reads them."""
    return json.dumps(list(tasks))


def main() -> None:
    """Make the runs of standard input."""
    out = Path(sys.argv[1])
    for task in map(Task._make, json.load(sys.stdin)):
        prompts = [Prompt(**fields) for fields in task.prompts]
        settings = Settings.of(task.settings)
        generate(prompts, settings, out / task.folder, workers=task.workers)


if __name__ == "__main__":
    main()
