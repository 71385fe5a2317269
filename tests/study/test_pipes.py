"""Pipes, devices and folders in the place of a user's files: refused at once, in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import noise_search
from noise_search import UserError, reproduce
from noise_search.journal import Journal, header
from noise_search.noise import Book
from noise_search.study.generate import resume

Make = Callable[[Path], object]
KINDS: dict[str, Make] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": Path.mkdir,
}
each_kind = pytest.mark.parametrize("make", list(KINDS.values()), ids=list(KINDS))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    out = tmp_path / "run"
    noise_search.search("gaussian(dim=4)", "x", budget="16nfe", out=out)
    return out


@pytest.mark.parametrize("make", [KINDS["pipe"], KINDS["device"]], ids=["pipe", "device"])
def test_a_picture_to_reproduce(make: Make, tmp_path: Path) -> None:
    make(tmp_path / "best.png")
    with pytest.raises(UserError, match=r"picture .*best\.png: not a file"):
        reproduce(tmp_path / "best.png")


@each_kind
@pytest.mark.parametrize("name", ["run.json", "candidates.jsonl"])
def test_a_run_to_reproduce(run: Path, make: Make, name: str) -> None:
    (run / name).unlink()
    make(run / name)
    with pytest.raises(UserError, match=rf"run .*{name}: not a file"):
        reproduce(run)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"results": 3}', '{"results": [{}]}'])
@pytest.mark.parametrize("name", ["run.json", "candidates.jsonl"])
def test_a_run_that_is_damaged(run: Path, name: str, text: str) -> None:
    (run / name).write_text(text)
    with pytest.raises(UserError, match=r"damaged|no JSON|no candidate"):
        reproduce(run)


@each_kind
def test_a_journal(run: Path, make: Make) -> None:
    (run / "journal").unlink()
    make(run / "journal")
    for attempt in (lambda: header(run / "journal"), lambda: resume(run)):
        with pytest.raises(UserError, match="journal: not a file"):
            attempt()
    with (
        pytest.raises(UserError, match="journal: not a file"),
        Journal(run / "journal", {}, Book()),
    ):
        pass


@each_kind
def test_the_record_of_a_run_that_is_gone_on_with(run: Path, make: Make) -> None:
    """It is written anew: what it is to tell is in the journal."""
    (run / "run.json").unlink()
    make(run / "run.json")
    if make is KINDS["folder"]:
        with pytest.raises(OSError, match="directory"):
            resume(run)
        return
    resume(run)
    assert (run / "run.json").is_file()
    assert not (run / "run.json").is_symlink()
