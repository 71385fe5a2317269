"""The same settings give the same files: twice, in any order, cut off, elsewhere, with workers."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from noise_search.ask import Prompt
from noise_search.study.folder import prompt_record
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings
from tests.conformance.elsewhere import Task, written
from tests.conformance.folders import by_prompt, files, play, results
from tests.conformance.plugging import environment
from tests.conformance.worlds import World

SEARCHES = [
    "random(batch=3)",
    "zero-order(neighbors=3,cosine=0.6,elitist=false)",
    "paths(paths=3,width=2,start=0.7,forward=0.2,backward=0.4)",
    "prune(at=0.2+0.4+0.6,keep=0.4)",
    "steps",
]
PATHS = 2  # which goes back along its paths, and has no other schedule to search on
MODELS = ["gaussian(dim=3)", "mixture(dim=5)", "gaussian(dim=2,path=vp)", "mixture(dim=2,path=vp)"]
CONFIGS, NIGHTLY_CONFIGS = 10, 30


def config(number: int) -> tuple[list[Prompt], Settings]:
    """Prompts and settings number so and so: any of the searches, the rest by chance."""
    rng = random.Random(number)
    steps = rng.randint(2, 9)
    world = World("any", rng.choice(MODELS), texts=tuple(f"text {i}" for i in range(4)))
    others: dict[str, Any] = {
        "seed": rng.randint(0, 2**40),
        "steps": steps,
        "search_steps": steps if number % 5 == PATHS else rng.randint(1, steps),
        "eta": rng.choice([0.0, 0.0, 0.4, 1.0]),
        "batch": rng.randint(1, 9),
        "top_k": rng.randint(1, 3),
    }
    search = SEARCHES[number % 5]
    budget = f"{rng.randint(3, 9) * steps}nfe+{rng.randint(9, 30)}calls"
    return prompts_of(world.texts), world.settings(search, budget, **others)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(CONFIGS))
def test_run_twice_in_another_order_or_cut_off_it_gives_the_same_files(
    number: int, scratch: Path
) -> None:
    check_here(number, scratch)


def check_here(number: int, scratch: Path) -> int:
    """Four variants in this process; how many there were."""
    prompts, settings = config(number)
    whole = scratch / "whole"
    play(whole, prompts, settings)
    play(scratch / "again", prompts, settings)
    assert files(scratch / "again") == files(whole)
    shuffled = random.Random(number).sample(prompts, len(prompts))
    play(scratch / "shuffled", shuffled, settings)
    assert by_prompt(scratch / "shuffled") == by_prompt(whole)
    data = (whole / "journal").read_bytes()
    for share in (0.3, 0.7):
        out = scratch / str(share)
        out.mkdir()
        (out / "journal").write_bytes(data[: int(share * len(data))])
        play(out, prompts, settings)
        assert (out / "candidates.jsonl").read_bytes() == (whole / "candidates.jsonl").read_bytes()
    return 4


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_thirty_configurations_in_twelve_ways(site: Path, scratch: Path) -> None:
    variants = 0
    for number in range(NIGHTLY_CONFIGS):
        variants += check_here(number, scratch / f"here-{number}")
    for hash_seed, workers in [*((seed, 1) for seed in range(5)), (5, 2), (6, 3), (7, 4)]:
        out = scratch / f"{hash_seed}-{workers}"
        run_elsewhere(
            range(NIGHTLY_CONFIGS), workers, out, environment(site, PYTHONHASHSEED=str(hash_seed))
        )
        for number in range(NIGHTLY_CONFIGS):
            look = files if workers == 1 else results
            assert look(out / str(number)) == look(scratch / f"here-{number}" / "whole")
            variants += 1
    assert variants == 12 * NIGHTLY_CONFIGS


def run_elsewhere(
    numbers: Sequence[int], workers: int, out: Path, variables: dict[str, str]
) -> None:
    tasks: list[Task] = []
    for number in numbers:
        prompts, settings = config(number)
        fields = [prompt_record(prompt) for prompt in prompts]
        tasks.append(Task(str(number), fields, settings.model_dump(), workers))
    command = [sys.executable, "-m", "tests.conformance.elsewhere", str(out)]
    subprocess.run(command, input=written(tasks), env=variables, text=True, check=True)
