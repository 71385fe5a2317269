"""The weak verifier of shapes is hacked by a search, and what watches it says so."""

from __future__ import annotations

import zlib
from typing import Any

import pytest

import noise_search
from noise_search.pipelines.shapes.scenes import CATEGORIES, held_out_captions, parse
from noise_search.study.agreement import summary

EACH = 5


def captions() -> list[str]:
    """The first of each category that the model was not trained on, in order of CRC-32."""
    ordered = sorted(held_out_captions(), key=lambda text: zlib.crc32(text.encode()))
    kinds = {text: parse(text).category for text in ordered}
    return [t for kind in CATEGORIES for t in [t for t in ordered if kinds[t] == kind][:EACH]]


def watched(verifier: str) -> dict[str, Any]:
    found = noise_search.search(
        "shapes", captions(), verifier=verifier, evaluate="shapes", budget="128nfe"
    )
    told = summary([result.agreement for result in found if result.agreement is not None])
    seen: dict[str, Any] = told["evaluators"]["shapes"]
    return seen


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_doubt_and_ratio_tell_the_weak_verifier_from_the_good_one() -> None:
    weak, good = watched("shapes-clip-weak"), watched("shapes-clip")
    assert good["gain"] - weak["gain"] > 0.1  # share of right pictures
    assert weak["doubted"] >= 3
    assert weak["doubted"] >= 2 * good["doubted"]
    assert weak["ratio"] < good["ratio"]
