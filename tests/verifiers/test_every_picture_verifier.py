"""What holds for every built-in verifier of pictures, each by a tiny model of its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.judged import judge
from noise_search.pipelines.shapes.scenes import parse, render
from noise_search.problem import Sample, Score, Verifier
from noise_search.verifiers.card import Card
from noise_search.verifiers.loading import PICTURE_JUDGES, load
from noise_search.verifiers.models import Models
from tests.verifiers.picture_specs import SPECS, write_folders
from tests.verifiers.towers import PROMPTS

ELSEWHERE = {"judge", "vqa", "iqa"}
"""Verifiers that answer in words, or come with an extra, have such tests beside their models."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    return write_folders(tmp_path_factory.mktemp)


@pytest.fixture(scope="module", params=list(SPECS))
def verifier(request: pytest.FixtureRequest, folders: Mapping[str, Path]) -> Verifier:
    return load(SPECS[request.param].format(**folders), Models())


def drawn(index: int, seed: int = 0) -> Any:
    text = PROMPTS[(index + seed) % len(PROMPTS)]
    return render(parse(text), np.random.default_rng(index + 100 * seed))


def samples(count: int) -> list[Sample]:
    """Pictures of shapes with earlier previews, some right and some wrong."""
    return [
        Sample(Prompt(f"p{i}", PROMPTS[i % 4]), drawn(i, i % 3), 8, 8, earlier=drawn(i, 4))
        for i in range(count)
    ]


def values(score: Score) -> dict[str, float]:
    assert score.failure is None, score.failure
    return dict(score.values)


def test_all_of_them_are_here() -> None:
    here = {spec.partition(":")[0].partition("(")[0] for spec in SPECS.values()}
    assert here >= PICTURE_JUDGES - ELSEWHERE


def test_sixteen_at_once_score_as_sixteen_alone(verifier: Verifier) -> None:
    shown = samples(16)
    together = [values(score) for score in verifier.score(shown)]
    fresh = load(verifier.name, Models())  # it remembers none of them
    alone = [values(fresh.score([sample])[0]) for sample in shown]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    order = np.random.default_rng(0).permutation(16)
    shuffled = verifier.score([shown[i] for i in order])
    for score, i in zip(shuffled, order, strict=True):
        assert values(score) == pytest.approx(together[i], abs=1e-5)


def test_pictures_are_told_apart(verifier: Verifier) -> None:
    found = [values(score) for score in verifier.score(samples(16))]
    for name in found[0]:
        assert len({round(score[name], 6) for score in found}) > (1 if name == "shapes" else 8)


SHAPE = (32, 32, 3)
BROKEN: Mapping[str, tuple[Any, str]] = {
    "nan": (np.full(SHAPE, np.nan, np.float32), "pixels are not finite"),
    "infinite": (np.full(SHAPE, np.inf, np.float32), "pixels are not finite"),
    "black": (np.zeros(SHAPE, np.uint8), "the picture is black"),
    "flat": (np.full(SHAPE, 128, np.uint8), "the picture is flat"),
    "grey": (np.zeros((32, 32), np.uint8), "the picture has the shape (32, 32)"),
    "four channels": (np.zeros((32, 32, 4), np.uint8), "the picture has the shape"),
    "no pixels": (np.zeros((0, 32, 3), np.uint8), "the picture has the shape"),
    "a vector": (np.zeros(7), "the picture has the shape (7,)"),
    "floats": (np.random.default_rng(0).random(SHAPE), "is of float64, not uint8"),
    "a text": (None, "it judges pictures, and this is none"),
    "no frames": (np.zeros((0, *SHAPE), np.uint8), "the video has no frames"),
    "a black video": (np.zeros((3, *SHAPE), np.uint8), "every key frame: the picture is black"),
    "a broken frame": (np.full((3, *SHAPE), np.nan), "frame 0: pixels are not finite"),
}


def test_broken_pictures_fail_alone_and_with_a_reason(verifier: Verifier) -> None:
    good = samples(3)
    bad = [replace(good[0], pixels=pixels) for pixels, _ in BROKEN.values()]
    scores = judge(verifier, [good[0], *bad, good[1]])
    for score, (_, said) in zip(scores[1:-1], BROKEN.values(), strict=True):
        assert score.values == {}
        assert said in str(score.failure)
        assert "\n" not in str(score.failure)
    sound = [values(score) for score in (scores[0], scores[-1])]
    expected = [values(score) for score in verifier.score(good[:2])]
    assert sound[0] == pytest.approx(expected[0], abs=1e-5)
    assert sound[1] == pytest.approx(expected[1], abs=1e-5)


def test_only_broken_pictures_are_all_failures(verifier: Verifier) -> None:
    [good] = samples(1)
    black = replace(good, pixels=np.zeros(SHAPE, np.uint8))
    scores = judge(verifier, [black, black])
    assert [score.values for score in scores] == [{}, {}]
    assert judge(verifier, []) == []


def test_a_video_has_the_mean_and_the_least_of_its_frames(verifier: Verifier) -> None:
    still = samples(4)
    frames = np.stack([np.asarray(s.pixels) for s in still])
    before = np.stack([np.asarray(s.earlier) for s in still])
    video = replace(still[0], pixels=frames, earlier=before)
    stills = [replace(s, prompt=still[0].prompt) for s in still]
    single = [values(score) for score in verifier.score(stills)]
    [moving] = verifier.score([video])
    found = values(moving)
    for name in single[0]:
        scores = [score[name] for score in single]
        assert found[name] == pytest.approx(sum(scores) / 4, abs=1e-5)
        assert found[f"{name}.min"] == pytest.approx(min(scores), abs=1e-5)
    assert len(found) == 2 * len(single[0])


def test_a_preview_may_be_dark(verifier: Verifier) -> None:
    [good] = samples(1)
    dark = replace(good, pixels=np.zeros(SHAPE, np.uint8), stage=4)
    [score] = verifier.score([dark])
    if verifier.name == "shapes":  # it looks for shapes, and says that there are none
        assert score.values == {"shapes": 0.0}
    else:
        assert np.isfinite(list(values(score).values())).all()


def test_scores_lie_within_their_declared_range(verifier: Verifier) -> None:
    card: object = getattr(verifier, "card", None)
    if not isinstance(card, Card):
        return  # a ranking has none; its parts are here
    found = [value for score in verifier.score(samples(16)) for value in values(score).values()]
    assert min(found) >= (-np.inf if card.low is None else card.low)
    assert max(found) <= (np.inf if card.high is None else card.high)
    assert card.version
    assert "pixels" in card.needs
    assert ("prompt" in card.needs) == depends_on_the_prompt(verifier)


def depends_on_the_prompt(verifier: Verifier) -> bool:
    shown = samples(8)
    prompt = Prompt("o", "two green squares below a blue circle")
    first, other = (verifier.score(s) for s in (shown, [replace(s, prompt=prompt) for s in shown]))
    return any(values(a) != values(b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    "name", [name for name in SPECS if not name.startswith(("shapes", "rank"))]
)
def test_settings_are_those_of_all(name: str, folders: Mapping[str, Path]) -> None:
    spec = SPECS[name].format(**folders)
    head, _, inner = spec.partition("(")
    options = f"{inner.removesuffix(')')}," if inner else ""
    shown = samples(5)
    wide, narrow = (load(f"{head}({options}batch={width})") for width in (5, 2))
    for one, other in zip(wide.score(shown), narrow.score(shown), strict=True):
        [first], [second] = values(one).values(), values(other).values()
        assert first == pytest.approx(second, abs=1e-5 * max(1, abs(first)))
    with pytest.raises(UserError, match="device=nowhere"):
        load(f"{head}({options}device=nowhere)")
    with pytest.raises(UserError, match="batch=0: input should be greater than or equal to 1"):
        load(f"{head}({options}batch=0)")
