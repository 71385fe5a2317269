"""Killed at any moment and begun again, a run loses nothing, doubles nothing, waits for nothing."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from noise_search.study.folder import prompt_record
from tests.conformance.conftest import Place
from tests.conformance.folders import files
from tests.conformance.plugging import environment
from tests.conformance.searches import SEARCHES, Listed
from tests.conformance.worlds import ANALYTIC, GAUSSIAN, SHAPES, World
from tests.reliability.killing import Ordeal, endured, lines_of, wait_for

WITHOUT_TORCH = [
    "noise_search.pipelines.analytic.world",
    "noise_search.pipelines.analytic.distributions",
    "noise_search.verifiers.reward",
    "safetensors.numpy",
]
WITH_TORCH = ["noise_search.pipelines.shapes.pipeline", "noise_search.pipelines.diffusers"]
MOST = 80
"""More operations on files than a small run makes."""
OF_NOISE = [search for search in SEARCHES if search.noise]
PAIRS = [(world, search) for world in ANALYTIC for search in OF_NOISE]


def ordeal(world: World, search: Listed, seed: int, budget: str, wait: int = 0) -> Ordeal:
    """A run whose verifier waits so many milliseconds a batch, so that kills land all over it."""
    others = {"verifier": f"slow(milliseconds={wait})"} if wait else {}
    settings = world.settings(search.spec, budget, **others).model_dump()
    prompts = [prompt_record(prompt) for prompt in world.prompts]
    return Ordeal(f"{world}-{search}-{seed}", prompts, settings, seed=seed)


def check(ordeals: list[Ordeal], root: Path, site: Path, modules: list[str]) -> None:
    fates = endured(ordeals, root, environment(site), modules)
    assert [fate.name for fate in fates] == [ordeal.name for ordeal in ordeals]
    assert [fate.name for fate in fates if not fate.ended] == []
    assert [fate.name for fate in fates if not fate.kept_all] == []
    assert {fate.name: fate.differing for fate in fates if fate.differing} == {}
    assert sum(len(fate.kept) for fate in fates) == sum(o.kills for o in ordeals)
    assert len({kept for fate in fates for kept in fate.kept}) > 2


@pytest.mark.timeout(600)
def test_three_kills_of_each_search_in_each_world(site: Path, scratch: Path) -> None:
    ordeals = [ordeal(*pair, seed, "48nfe", wait=seed % 3) for seed, pair in enumerate(PAIRS)]
    assert len(ordeals) >= 20
    check(ordeals, scratch, site, WITHOUT_TORCH)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "search",
    [s if s.spec == "paths" else pytest.param(s, marks=pytest.mark.nightly) for s in OF_NOISE],
    ids=str,
)
def test_a_kill_at_every_operation_on_files(search: Listed, site: Path, scratch: Path) -> None:
    one = ordeal(GAUSSIAN, search, 0, "18nfe")
    one = replace(one, kills=1, whole="whole")
    ordeals = [replace(one, name=str(n), operation=n) for n in range(1, MOST)]
    fates = endured(ordeals, scratch, environment(site), WITHOUT_TORCH)
    hit = [fate for fate in fates if fate.early == 0]
    assert len(hit) > 20, len(hit)
    assert fates[: len(hit)] == hit
    assert len(hit) < MOST - 1
    assert [fate.name for fate in fates if not fate.ended] == []
    assert {fate.name: fate.differing for fate in fates if fate.differing} == {}
    assert hit[0].kept == [0]
    assert hit[-1].kept == [lines_of(scratch / "whole" / "journal")]


@pytest.mark.timeout(600)
def test_kills_of_a_run_with_workers(site: Path, scratch: Path) -> None:
    one = ordeal(GAUSSIAN, SEARCHES[0], 1, "96nfe", wait=50)
    check([replace(one, workers=2, growth=5)], scratch, site, WITHOUT_TORCH)


@pytest.mark.nightly
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("night", range(10))
def test_three_kills_of_each_search_in_each_world_on_each_of_ten_nights(
    night: int, site: Path, tmp_path: Path
) -> None:
    seeds = range(1000 * night, 1000 * night + len(PAIRS))
    check(
        [ordeal(*pair, s, "96nfe", wait=s % 3) for s, pair in zip(seeds, PAIRS, strict=True)],
        tmp_path,
        site,
        WITHOUT_TORCH,
    )


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_kills_of_runs_with_pictures(site: Path, placed: Place, tmp_path: Path) -> None:
    ordeals = [ordeal(placed(SHAPES[i % 2]), s, i, "40nfe") for i, s in enumerate(OF_NOISE)]
    check(ordeals, tmp_path, site, WITH_TORCH)


@pytest.mark.timeout(600)
def test_kills_of_the_command_line_and_resume(site: Path, scratch: Path) -> None:
    options = ["--model", "gaussian(dim=4)", "--verifier", "slow(milliseconds=20)"]
    options += ["--search", "paths", "--budget", "96nfe", "--batch", "4", "--steps", "6"]
    whole, out = scratch / "whole", scratch / "out"

    def command(*words: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "noise_search.cli.main", *words, "--quiet"],
            env=environment(site),
        )

    assert command("generate", "a text", *options, "--out", str(whole)).wait() == 0
    number = (whole / "journal").read_bytes().count(b"\n")
    moments = sorted(random.Random(0).sample(range(1, number - 8), 3))
    for moment in moments:
        begun = (out / "journal").exists()
        words = (
            ["resume", str(out)] if begun else ["generate", "a text", *options, "--out", str(out)]
        )
        process = command(*words)
        wait_for(moment, out / "journal")
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert command("resume", str(out)).wait() == 0
    assert files(out) == files(whole)
