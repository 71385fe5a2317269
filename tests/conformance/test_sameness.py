"""Workers, the order of prompts and the seed of Python's hashes change no byte of a result."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from noise_search.study.folder import prompt_record
from tests.conformance.conftest import Place
from tests.conformance.elsewhere import Task, written
from tests.conformance.folders import by_prompt, files, lines, play, record, results
from tests.conformance.plugging import environment
from tests.conformance.searches import SEARCHES, Listed, each
from tests.conformance.worlds import GAUSSIAN_SDE, SHAPES, TEXT, VOTES, WORLDS, World

pytestmark = pytest.mark.timeout(600)
STAGES = 22
ALL = [TEXT, *WORLDS[::-1]]  # those that need torch first: the server of workers loads it once
WORKED = [TEXT, SHAPES[1], GAUSSIAN_SDE]  # by workers, whose start takes the longest of all
OTHERS = [world for world in ALL if world not in WORKED]
Elsewhere = Callable[[int, int, Sequence[World]], Path]


def task(world: World, search: Listed, workers: int) -> Task:
    settings = world.settings(search.spec, world.budget(STAGES)).model_dump()
    prompts = [prompt_record(prompt) for prompt in world.prompts]
    return Task(f"{world}-{search}", prompts, settings, workers)


@pytest.fixture(scope="module")
def elsewhere(site: Path, placed: Place, tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    """Runs of several worlds, made in one process under a hash seed, with so many workers."""
    made: dict[tuple[int, int, str], Path] = {}

    def make(hash_seed: int, workers: int, worlds: Sequence[World]) -> Path:
        key = hash_seed, workers, ",".join(map(str, worlds))
        if key not in made:
            out = tmp_path_factory.mktemp("elsewhere")
            tasks = [
                task(world, search, workers)
                for world in map(placed, worlds)
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
            made[key] = out
        return made[key]

    return make


@each([TEXT, *WORLDS])
@pytest.mark.parametrize(
    "hash_seed", [0, 1, *(pytest.param(n, marks=pytest.mark.nightly) for n in (2, 3, 4))]
)
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
    assert files(elsewhere(hash_seed, 1, ALL) / f"{world}-{search}") == files(scratch)


@each(WORKED, nightly=OTHERS)
def test_three_workers_give_the_files_of_one(
    world: World, search: Listed, placed: Place, scratch: Path, elsewhere: Elsewhere
) -> None:
    world = placed(world)
    play(scratch, world.prompts, world.settings(search.spec, world.budget(STAGES)))
    together = WORKED if str(world) in map(str, WORKED) else OTHERS
    found = elsewhere(0, 3, together) / f"{world}-{search}"
    assert results(found) == results(scratch)
    # before the candidates stand the settings and the identity
    assert (found / "journal").read_bytes().count(b"\n") == len(lines(scratch)) + 2


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
