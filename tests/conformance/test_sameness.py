"""Workers, the order of prompts and the seed of Python's hashes change no byte of a result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from noise_search.study.folder import prompt_record
from tests.conformance.conftest import Place
from tests.conformance.elsewhere import Task, written
from tests.conformance.folders import by_prompt, files, lines, play, record, results
from tests.conformance.plugging import environment
from tests.conformance.searches import SEARCHES, Listed, each
from tests.conformance.worlds import TEXT, VOTES, WORLDS, World

pytestmark = pytest.mark.timeout(600)
STAGES = 22
Elsewhere = Callable[[int, int], Path]


def task(world: World, search: Listed, workers: int) -> Task:
    settings = world.settings(search.spec, world.budget(STAGES)).model_dump()
    prompts = [prompt_record(prompt) for prompt in world.prompts]
    return Task(f"{world}-{search}", prompts, settings, workers)


@pytest.fixture(scope="module")
def elsewhere(
    site: Path, placed: Place, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int, int], Path]:
    """All runs of the suite, made in one process under a hash seed, with so many workers."""
    made: dict[tuple[int, int], Path] = {}

    def make(hash_seed: int, workers: int) -> Path:
        if (hash_seed, workers) not in made:
            out = tmp_path_factory.mktemp("elsewhere")
            # those that need torch come first: the server of workers loads it once for all
            worlds = [placed(world) for world in [TEXT, *WORLDS[::-1]]]
            tasks = [
                task(world, search, workers)
                for world in worlds
                for search in SEARCHES
                if search.fits(world)
            ]
            subprocess.run(
                [sys.executable, "-m", "tests.conformance.elsewhere", str(out)],
                input=written(tasks),
                env=environment(site, PYTHONHASHSEED=str(hash_seed)),
                text=True,
                check=True,
            )
            made[hash_seed, workers] = out
        return made[hash_seed, workers]

    return make


@each([TEXT, *WORLDS])
@pytest.mark.parametrize("hash_seed", range(5))
def test_under_any_hash_seed_the_files_are_the_same(
    hash_seed: int,
    world: World,
    search: Listed,
    placed: Place,
    scratch: Path,
    elsewhere: Elsewhere,
) -> None:
    world = placed(world)
    play(scratch, world.prompts, world.settings(search.spec, world.budget(STAGES)))
    assert files(elsewhere(hash_seed, 1) / f"{world}-{search}") == files(scratch)


@each([TEXT, *WORLDS])
def test_three_workers_give_the_files_of_one(
    world: World, search: Listed, placed: Place, scratch: Path, elsewhere: Elsewhere
) -> None:
    world = placed(world)
    play(scratch, world.prompts, world.settings(search.spec, world.budget(STAGES)))
    found = elsewhere(0, 3) / f"{world}-{search}"
    assert results(found) == results(scratch)
    assert (found / "journal").read_bytes().count(b"\n") == len(lines(scratch)) + 1


@each([TEXT, VOTES, *WORLDS])
def test_the_order_of_prompts_changes_nothing_of_any_of_them(
    world: World, search: Listed, placed: Place, scratch: Path
) -> None:
    world = placed(world)
    settings = world.settings(search.spec, world.budget(STAGES))
    one, other = scratch / "one", scratch / "other"
    play(one, world.prompts, settings)
    play(other, world.prompts[::-1], settings)
    assert record(one)["spent"] == record(other)["spent"]
    assert by_prompt(one) == by_prompt(other)
    assert all(len(by_prompt(one)[prompt.name]) > 1 for prompt in world.prompts)
    assert len(by_prompt(one)["pictures"]) == (len(world.prompts) if world.pictures else 0)
