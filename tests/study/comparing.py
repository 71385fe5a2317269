"""What tests of comparisons share: one that is whole, and what its folder holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from noise_search.study.compare import Comparison, compare
from noise_search.study.prompts import prompts_of
from noise_search.study.settings import Settings

SEARCHES = ("random", "zero-order(neighbors=2)", "paths", "prune", "steps")
BUDGETS = ("16nfe", "40nfe")
PROMPTS = prompts_of(["one", "two", "three"])


def settings(**values: Any) -> Settings:
    world = {
        "model": "gaussian(dim=4)",
        "verifier": "reward",
        "evaluate": "reward(slope=0.5+1)",
        "steps": 8,
    }
    return Settings.of({**world, **values})


def run(out: Path, **options: Any) -> Comparison:
    return compare(PROMPTS, settings(), SEARCHES, BUDGETS, 2, out, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return run(tmp_path_factory.mktemp("compare") / "run")


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the journal, whose lines keep the order in which batches were played."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "journal"
    }


def apart_from_overhead(folder: Path) -> dict[str, bytes | dict[str, Any]]:
    """All files, where latents that were gone had to be made again."""
    record = {k: v for k, v in record_of(folder).items() if k not in ("spent", "overhead")}
    return {**contents(folder), "run.json": record}


def record_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found
