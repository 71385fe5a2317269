"""How fast verifiers are is measured while they work, and told by ``list verifiers``."""

from __future__ import annotations

import os
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noise_search
from noise_search.cli.listing import status_of
from noise_search.cli.main import main
from noise_search.verifiers import speeds
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models
from noise_search.verifiers.speeds import Stopwatch, speed_of, speeds_file, timed
from tests.study.comparing import contents

RANDOM = np.random.default_rng(0)
PICTURES = [RANDOM.integers(0, 255, (32, 32, 3), np.uint8) for _ in range(24)]


def rows() -> list[tuple[Any, ...]]:
    with sqlite3.connect(speeds_file()) as file:
        found = file.execute("SELECT spec, version, device, pictures FROM speeds").fetchall()
    file.close()
    return found


def test_a_run_measures_its_verifier_and_a_list_tells_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    usual = "3.8 ms an image"
    assert status_of("shapes").endswith(usual)
    noise_search.search("shapes", "a red circle", verifier="shapes", budget="128nfe", batch=8)
    [(spec, version, device, pictures)] = [row for row in rows() if row[0] == "shapes"]
    card: Any = load("shapes", Models())
    assert (spec, version) == ("shapes", card.card.version)
    assert "CPU" in device
    assert pictures == 8, "the first batch warms it up"
    found = speed_of("shapes")
    assert found is not None
    assert found.milliseconds > 0
    assert main(["list", "verifiers"]) == 0
    said = capsys.readouterr().out
    assert f"Apache-2.0; {found.milliseconds:.3g} ms an image on {device}" in said


def test_without_the_cache_nothing_is_kept_and_nothing_else_differs(tmp_path: Path) -> None:
    for name, cache in (("with", True), ("without", False)):
        given: Any = {"budget": "128nfe", "batch": 8, "cache": cache, "out": tmp_path / name}
        noise_search.search("shapes", "a red circle", verifier="shapes", **given)
        if cache:
            rows()
            speeds_file().unlink()
    assert not speeds_file().exists()
    assert contents(tmp_path / "with") == contents(tmp_path / "without")
    assert (tmp_path / "with/journal").read_bytes() == (tmp_path / "without/journal").read_bytes()


def test_score_measures_at_once() -> None:
    noise_search.score(PICTURES, "a red circle", verifier="shapes-clip")
    [(spec, _, _, pictures)] = rows()
    assert (spec, pictures) == ("shapes-clip", 8), "of 24 the first 16 warm it up"
    scores = noise_search.score(PICTURES, "a red circle", verifier="shapes-clip", cache=False)
    alone = [
        noise_search.score([picture], "a red circle", verifier="shapes-clip", cache=False)[0]
        for picture in PICTURES
    ]
    assert [score.values for score in scores] == [score.values for score in alone]


def test_a_spec_tells_its_own_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    for spec, milliseconds in (("clip:a/b", 3), ("clip:c/d(batch=4)", 5), ("clipper", 7)):
        watch = Stopwatch(spec, "v", "a device", speeds_file())
        watch(PICTURES[:8], 1)
        watch(PICTURES[:8], 8 * milliseconds * 1_000_000)
    assert status_of("clip").endswith("clip:c/d(batch=4): 5 ms an image on a device")
    assert status_of("clipper") == "7 ms an image on a device", "of another package"
    assert speed_of("cli") is None


def test_calls_that_tell_nothing_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speeds, "WAIT", 0.0)
    watch = Stopwatch("clip", "v", "d", speeds_file())
    watch(PICTURES[:8], 1)
    watch(PICTURES[:3], 1)  # padded
    watch([PICTURES[0]] * 8, 1)  # read once
    assert not speeds_file().exists()
    watch(PICTURES[:8], 16_000_000)
    watch(PICTURES[8:16], 32_000_000)
    found = speed_of("clip")
    assert found is not None
    assert (found.pictures, found.milliseconds) == (16, 3.0)


def test_parts_of_a_ranking_are_not_timed() -> None:
    joined: Any = timed(load("rank(shapes,shapes-clip)", Models()), "cpu", speeds_file())
    assert [part.stopwatch for part in joined.parts] == [None, None]


def _measure(folder: str) -> None:
    os.environ["NOISE_SEARCH_CACHE"] = folder
    speeds.WAIT = 0.0
    watch = Stopwatch("clip", "v", "d", speeds_file())
    for _ in range(21):
        watch(PICTURES[:4], 4_000_000)


def test_processes_measure_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with ProcessPoolExecutor(3, mp_context=get_context("spawn")) as pool:
        list(pool.map(_measure, [str(tmp_path)] * 3))
    monkeypatch.setenv("NOISE_SEARCH_CACHE", str(tmp_path))
    found = speed_of("clip")
    assert found is not None
    assert (found.pictures, found.milliseconds) == (3 * 20 * 4, 1.0)


@pytest.mark.parametrize("broken", ["file", "folder", "nothing"])
def test_a_file_that_cannot_be_used_is_no_error(
    broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOISE_SEARCH_CACHE", str(folder))
    if broken == "folder":
        folder.write_text("no folder")
    else:
        folder.mkdir()
        speeds_file().write_text("no SQLite file, whatever it says" if broken == "file" else "")
    watch = Stopwatch("clip", "v", "d", speeds_file())
    watch(PICTURES[:8], 1)
    assert speed_of("clip") is None
    watch(PICTURES[:8], 1)
    assert (speed_of("clip") is None) == (broken != "nothing")
