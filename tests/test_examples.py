"""Every example runs as it is, and is short enough to be read at a glance."""

from __future__ import annotations

import importlib.util
import json
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_leaves_a_run(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(tmp_path / "run")
    assert capsys.readouterr().out
    if path.stem == "one_purse":
        check_purse(tmp_path / "run/journal")
        return
    assert (tmp_path / "run/run.json").is_file()
    assert list((tmp_path / "run/images").rglob("*.png"))


def test_the_oracle_lowers_the_figure_that_it_looks_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runpy.run_path(str(FOLDER / "greedy_oracle.py"))["main"](tmp_path / "run")
    first, chosen = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines())
    assert 0 < chosen < first


def check_purse(journal: Path) -> None:
    """All prompts of both worlds were paid from one purse, and none of it is left."""
    records = [json.loads(line[9:]) for line in journal.read_text().splitlines()[1:]]
    assert sum(record["cost"]["verifier_calls"] for record in records) == 64
    assert len({record["prompt"] for record in records}) == 4
    assert all("text" in r or "nfe" in r["cost"] for r in records)


def test_there_are_examples_and_they_are_short() -> None:
    names = {path.stem for path in EXAMPLES}
    assert {"search_inside_my_program", "own_verifier", "own_search", "one_purse"} <= names
    assert all(len(path.read_text().splitlines()) < 40 for path in EXAMPLES)
