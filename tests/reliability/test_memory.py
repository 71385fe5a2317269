"""What a search holds in memory: each figure is that of a process of its own."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "memory.py"

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]


def figure(name: str) -> dict[str, float]:
    spec = importlib.util.spec_from_file_location("memory", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, float] = module.child(name)
    return found


def test_the_peak_of_a_search_is_that_of_the_plain_pipeline() -> None:
    plain, search = figure("plain"), figure("search")
    assert plain["peak_mib"] - plain["loaded_mib"] >= 200  # activations worth the name
    assert search["peak_mib"] <= 1.1 * plain["peak_mib"]


@pytest.mark.parametrize("name", ["random", "prune(at=0.5)", "zero-order(neighbors=4)"])
def test_500_candidates_leave_nothing_behind(name: str) -> None:
    assert figure(name)["growth_mib"] <= 20
