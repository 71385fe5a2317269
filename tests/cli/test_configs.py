"""The recipes in configs/ run as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from noise_search.study.settings import read_config
from tests.cli.conftest import Call, contents

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


def test_there_are_some() -> None:
    assert len(CONFIGS) >= 5


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_recipe_can_be_run_as_it_is(path: Path, call: Call, here: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    command = "compare" if "searches" in read_config(path) else "generate"
    assert f"#     noise-search {command} --config configs/{path.name}" in lines
    said = call(command, "--config", str(path), "--dry-run")
    assert said.code == 0, said.err
    if read_config(path)["model"] == "arithmetic":  # how long a text becomes is known to nobody
        assert "at most" in said.out
    else:
        assert "unknown" not in said.out
    assert contents(here) == {}
