"""Evaluators that share weights with the verifier are refused; its own parts may share a tower."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from noise_search.errors import UserError
from noise_search.study.judges import check_weights
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models
from tests.verifiers.towers import write_tower


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tower(tmp_path_factory.mktemp("tower"), 768)


@pytest.mark.parametrize(
    "verifier",
    [
        "aesthetic(tower={tower})",
        "rank(shapes,aesthetic(tower={tower}))",
        "weighted(shapes=1,aesthetic(tower={tower})=0.5)",
        "first(shapes,aesthetic(tower={tower}))",
    ],
)
@pytest.mark.parametrize("evaluator", ["clip:{copy}", "rank(shapes-clip,clip:{copy})"])
def test_equal_weights_are_found_out(
    verifier: str, evaluator: str, tower: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "another-name"
    shutil.copytree(tower, copy)
    guide = load(verifier.format(tower=tower), Models())
    with pytest.raises(UserError, match="has weights of the verifier") as error:
        check_weights(guide, [load(evaluator.format(copy=copy), Models())])
    assert "\n" not in str(error.value)


def test_parts_of_one_verifier_may_share_a_tower(tower: Path) -> None:
    joined = load(f"rank(clip:{tower},aesthetic(tower={tower}))", Models())
    check_weights(joined, [load("shapes", Models())])
