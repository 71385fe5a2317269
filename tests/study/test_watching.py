"""Evaluators beside a search: they never guide it, and they tell when its verifier is hacked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noise_search
from noise_search import Score, UserError
from noise_search.cli.main import main
from noise_search.journal import Journal, header
from noise_search.noise import Book
from noise_search.study.agreement import (
    PANEL,
    Agreement,
    Gain,
    Seen,
    deviation_within,
    doubts,
    lines_of,
    ratio,
    summary,
)
from noise_search.study.diversity import Eye
from noise_search.study.judges import check_apart, evaluators_in
from noise_search.study.settings import Settings
from noise_search.verifiers.card import Card
from noise_search.verifiers.loading import load

MODEL = "gaussian(dim=4)"
BOTH = "reward(slope=1+1),reward(slope=0+0+1)"


class Noted:
    """A costly verifier of vectors that counts what it is asked."""

    def __init__(self, name: str = "noted", version: str = "1", weight: float = 1.0) -> None:
        self.name = name
        self.weight = weight
        self.card = Card(version=version, costly=True, needs=frozenset({"pixels"}))
        self.asked = 0

    def score(self, samples: Sequence[noise_search.Sample]) -> list[Score]:
        self.asked += len(samples)
        vectors: list[Any] = [sample.pixels for sample in samples]
        return [Score({self.name: self.weight * float(vector[0])}) for vector in vectors]


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_evaluators_change_nothing_of_the_search_and_cost_nothing_of_its_budget() -> None:
    plain = noise_search.search(MODEL, "x", budget="96nfe", search="zero-order")
    watched = noise_search.search(MODEL, "x", budget="96nfe", search="zero-order", evaluate=BOTH)
    assert [c.name for c in watched.candidates] == [c.name for c in plain.candidates]
    assert watched.spent == plain.spent
    assert watched.best is not None
    assert set(watched.best.evaluation) == {"reward(slope=1+1)", "reward(slope=0+0+1)"}


def test_a_list_of_specs_and_objects_is_as_good() -> None:
    judge = Noted("own")
    found = noise_search.search(
        MODEL, "x", budget="64nfe", evaluate=["reward(slope=1+1)", judge], cache=False
    )
    assert found.agreement is not None
    assert judge.asked == found.agreement.judged == min(len(found.candidates), PANEL + 1)
    assert found.best is not None
    assert set(found.best.evaluation) == {"reward(slope=1+1)", "own"}


def test_the_record_tells_gains_ratio_and_calls(tmp_path: Path) -> None:
    out = tmp_path / "run"
    noise_search.search(MODEL, ["x", "y"], budget="160nfe", evaluate=BOTH, out=out)
    run = json.loads((out / "run.json").read_text())
    told = run["agreement"]
    assert (told["searches"], told["judged"]) == (2, 2 * (PANEL + 1))
    assert told["spent"] == {"verifier_calls": 2 * told["judged"]}
    gains = {}
    for result in run["results"]:
        first = next(iter(result["agreement"]["verifier"].values()))
        gains[result["prompt"]["name"]] = first["gain"]
    assert told["verifier"]["reward"]["gain"] == pytest.approx(sum(gains.values()) / 2)
    seen = told["evaluators"]["reward(slope=1+1)"]
    by = told["verifier"]["reward"]
    expected = (seen["gain"] / seen["deviation"]) / (by["gain"] / by["deviation"])
    assert seen["ratio"] == pytest.approx(expected)
    assert told["diversity"]["features"] == "pixels"
    assert told["diversity"]["judged"] > 0
    assert set(run["judges"]["evaluators"]) == set(BOTH.split(","))


def test_doubt_needs_both_a_rise_and_a_fall() -> None:
    others = [Seen(1.0, {"e": 1.0}), Seen(2.0, {"e": 2.0}), Seen(3.0, {"e": 3.0})]
    assert doubts(Seen(9.0, {"e": 0.0}), others) == ("e",)
    assert doubts(Seen(9.0, {"e": 2.0}), others) == ()  # the middle
    assert doubts(Seen(9.0, {"e": 4.0}), others) == ()
    assert doubts(Seen(0.0, {"e": 0.0}), others) == ()  # both fell
    assert doubts(Seen(9.0, {}), others) == ()  # it could not be judged
    tied = [Seen(1.0, {"e": 0.0})] * 3
    assert doubts(Seen(9.0, {"e": 0.0}), tied) == ()


def test_a_ratio_needs_a_gain_and_a_scale() -> None:
    assert ratio(Gain(1.0, 2.0, 1), Gain(1.0, 1.0, 1)) == 0.5
    assert ratio(Gain(-1.0, 1.0, 1), Gain(2.0, 1.0, 1)) == -0.5
    assert ratio(Gain(1.0, 0.0, 1), Gain(1.0, 1.0, 1)) is None
    assert ratio(Gain(1.0, 1.0, 1), Gain(0.0, 1.0, 1)) is None
    assert deviation_within([[1.0], [2.0]]) is None


def test_gains_are_means_over_prompts_and_said_in_words() -> None:
    def found(name: str, gain: float, doubted: tuple[str, ...] = ()) -> Agreement:
        others = [Seen(0.0, {"e": 0.0}), Seen(2.0, {"e": 2.0})]
        best = Seen(4.0, {"e": gain})
        return Agreement("v", name, others[0], best, others, {name: doubted}, judged=3)

    told = summary([found("a", 2.0), found("b", 0.0, ("e",))])
    assert told["verifier"]["v"]["gain"] == 4.0
    assert told["evaluators"]["e"]["gain"] == 1.0
    assert told["evaluators"]["e"]["ratio"] == pytest.approx(0.25)
    assert lines_of(told) == [
        "gain over the first sample: v +4 (+2.83 sd), e +1 (+0.71 sd, ratio 0.25)",
        "e doubts 1 of 2 winners",
    ]
    assert lines_of(summary([])) == []


@pytest.mark.parametrize(
    ("first", "best", "others", "said"),
    [
        (1.0, 1.0, [0.0, 1.0], "e +0 (it has seen none better than the first)"),  # right already
        (0.0, 0.0, [0.0, 1.0], "e +0 (+0.00 sd, ratio 0.00)"),  # it could have been right
        (1.0, 0.0, [0.0, 1.0], "e -1 (-1.41 sd, ratio -0.50)"),
        (0.0, 0.0, [0.0, 0.0], "e +0 (it has seen none better than the first)"),  # all alike
    ],
)
def test_where_the_first_sample_was_right_already_there_is_no_ratio(
    first: float, best: float, others: list[float], said: str
) -> None:
    seen = [Seen(float(2 * i), {"e": value}) for i, value in enumerate(others)]
    found = Agreement("v", "a", Seen(0.0, {"e": first}), Seen(4.0, {"e": best}), seen, judged=3)
    assert lines_of(summary([found]))[0].endswith(f"v +4 (+2.83 sd), {said}")
    room = Agreement("v", "b", Seen(0.0, {"e": 0.0}), Seen(4.0, {"e": 1.0}), seen, judged=3)
    assert "none better" not in lines_of(summary([found, room]))[0]


def test_diversity_is_by_features_where_the_verifier_has_an_encoder() -> None:
    rng = np.random.default_rng(0)
    pictures = list(rng.integers(0, 255, (3, 32, 32, 3), dtype=np.uint8))
    by_features, by_pixels = Eye.of(load("shapes-clip")), Eye.of(load("shapes"))
    assert (by_features.name, by_pixels.name) == ("shapes-clip", "pixels")
    for eye in (by_features, by_pixels, Eye.of(load("rank(shapes,shapes-clip)"))):
        apart = eye.diversity([eye.look(p) for p in pictures])
        same = eye.diversity([eye.look(pictures[0])] * 3)
        assert apart is not None
        assert same is not None
        assert apart > same == pytest.approx(0, abs=1e-9)
    assert by_pixels.diversity([by_pixels.look(pictures[0])]) is None
    assert by_pixels.look(None) is None
    black, white = np.zeros((8, 8, 3), np.uint8), np.full((2, 8, 8, 3), 255, np.uint8)
    assert by_pixels.diversity([by_pixels.look(black), by_pixels.look(white)]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("verifier", "evaluate", "said"),
    [
        ("reward", "reward", "reward guides the search"),
        ("reward", "reward(slope=1+1),reward", "reward guides the search"),
        ("rank(reward,reward(slope=0+1))", "reward(slope=0+1)", "guides the search"),
        ("reward", "rank(reward(slope=0+1),reward)", "guides the search"),
        ("reward", "none,reward(slope=0+1)", "appears twice"),
        ("reward", "reward(slope=0+1),", "is empty"),
        ("reward", ["reward(slope=0+1)", "reward(slope=0+1)"], "appears twice"),
        ("reward", "rank(reward(slope=0+1),reward(slope=0)),reward(slope=0)", "is named twice"),
    ],
)
def test_what_guides_cannot_be_held_out(verifier: str, evaluate: Any, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        noise_search.search(MODEL, "x", budget="16nfe", verifier=verifier, evaluate=evaluate)
    assert "\n" not in str(error.value)


def test_what_needs_previews_cannot_be_held_out() -> None:
    judge = Noted("preview")
    judge.earlier = 0.5  # type: ignore[attr-defined]  # as self:clip has
    with pytest.raises(UserError, match="preview compares previews of a search; none are kept"):
        noise_search.search(MODEL, "x", budget="16nfe", evaluate=judge)


def test_the_same_weights_under_another_spec_are_no_second_opinion() -> None:
    check_apart("shapes-clip", evaluators_in("shapes-clip-weak"))
    folder = Path(noise_search.__file__).parent / "verifiers" / "shapes_clip"
    with pytest.raises(UserError, match="has weights of the verifier shapes-clip"):
        noise_search.search(
            "shapes",
            "a red circle",
            budget="8nfe",
            verifier="shapes-clip",
            evaluate=f"clip:{folder}",
        )


def test_a_models_own_evaluator_steps_back_where_it_guides() -> None:
    found = noise_search.search("shapes", "a red circle", budget="8nfe", verifier="shapes")
    assert found.best is not None
    assert found.best.evaluation == {}


def test_a_yaml_list_names_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    specs = "".join(f"  - {spec}\n" for spec in BOTH.split(","))
    text = f"model: {MODEL}\nprompt: x\nbudget: 32nfe\nout: run\nevaluate:\n{specs}"
    (tmp_path / "c.yaml").write_text(text)
    assert main(["generate", "--config", "c.yaml", "--quiet"]) == 0
    assert header(tmp_path / "run" / "journal")["evaluate"] == BOTH


def test_an_evaluator_that_breaks_ends_nothing(tmp_path: Path) -> None:
    class Broken(Noted):
        def score(self, samples: Sequence[noise_search.Sample]) -> list[Score]:
            raise RuntimeError("no")

    judges = [Broken("broken"), Noted("sound", weight=-1.0)]
    found = noise_search.search(MODEL, "x", budget="96nfe", evaluate=judges)
    assert found.best is not None
    assert found.best.unjudged == "broken raised RuntimeError: no"
    assert found.best.doubted == ("sound",)
    assert set(found.best.evaluation) == {"sound"}


def test_the_cache_saves_calls_and_changes_no_byte(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": "96nfe", "search": "zero-order"}
    plain, first, second = Noted(), Noted(), Noted()
    one = noise_search.search(
        MODEL, "x", verifier=plain, cache=False, out=tmp_path / "a", **options
    )
    two = noise_search.search(MODEL, "x", verifier=first, out=tmp_path / "b", **options)
    three = noise_search.search(MODEL, "x", verifier=second, out=tmp_path / "c", **options)
    assert plain.asked == first.asked == one.spent.verifier_calls == 12
    assert (two.cached, second.asked, three.cached) == (0, 0, 12)
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c")


def test_a_run_resumed_with_a_full_cache_comes_to_the_same(tmp_path: Path) -> None:
    options: dict[str, Any] = {"budget": "160nfe", "search": "paths"}
    noise_search.search(MODEL, "x", verifier=Noted(), out=tmp_path / "a", **options)
    out = tmp_path / "b"
    noise_search.search(MODEL, "x", verifier=Noted(), out=out, **options)
    lines = (out / "journal").read_bytes().splitlines(keepends=True)
    for name in ("run.json", "candidates.jsonl"):
        (out / name).unlink()
    (out / "journal").write_bytes(b"".join(lines[: len(lines) // 2]))
    judge = Noted()
    noise_search.search(MODEL, "x", verifier=judge, out=out, **options)
    assert judge.asked == 0
    whole, again = files(tmp_path / "a"), files(out)
    assert again["candidates.jsonl"] == whole["candidates.jsonl"]
    # what had to be made again, as its latents were gone, is told beside
    told = [json.loads(found["run.json"]) for found in (whole, again)]
    assert told[0]["results"] == told[1]["results"]


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"verifier": Noted(version="weights b crop")}, "another verifier noted: a, not b;"),
        ({"evaluate": Noted("held", "2")}, "another evaluators held: 1, not 2;"),
    ],
    ids=["verifier", "evaluator"],
)
def test_other_weights_behind_one_name_are_refused(
    tmp_path: Path, other: dict[str, Any], said: str
) -> None:
    options: dict[str, Any] = {
        "verifier": Noted(version="weights a crop"),
        "evaluate": Noted("held", "1"),
        "budget": "32nfe",
        "out": tmp_path / "run",
    }
    noise_search.search(MODEL, "x", **options)
    before = files(tmp_path / "run")
    with pytest.raises(UserError, match=said) as error:
        noise_search.search(MODEL, "x", **{**options, **other})
    assert "\n" not in str(error.value)
    assert files(tmp_path / "run") == before
    noise_search.search(MODEL, "x", **options)


def test_other_weights_of_the_model_are_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, {"model": "m"}, Book()) as journal:
        journal.identify({"weights": "sha256:a", "verifier": {"v": "1"}, "evaluators": {}})
    with (
        Journal(path, {"model": "m"}, Book()) as journal,
        pytest.raises(UserError, match="was begun with another weights: sha256:a, not sha256:b;"),
    ):
        journal.identify({"weights": "sha256:b", "verifier": {"v": "1"}, "evaluators": {}})


def test_a_journal_that_lacks_a_part_of_the_identity_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, {"model": "m"}, Book()) as journal:
        journal.identify({"weights": "sha256:a"})
    with (
        Journal(path, {"model": "m"}, Book()) as journal,
        pytest.raises(UserError, match="was begun by a version that keeps no setting of adapters;"),
    ):
        journal.identify({"weights": "sha256:a", "setting of adapters": "sha256:c"})


def test_a_journal_from_before_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    noise_search.search(MODEL, "x", budget="64nfe", out=out)
    from noise_search.journal import decode, encode

    records = [decode(line) for line in (out / "journal").read_bytes().splitlines(keepends=True)]
    kept = [r for r in records if r is not None and "identity" not in r]
    old = b"".join(encode({**record, "n": n}) for n, record in enumerate(kept[:-2]))
    (out / "journal").write_bytes(old)
    (out / "run.json").unlink()
    found = noise_search.search(MODEL, "x", budget="64nfe", out=out)
    assert len(found.candidates) == 8


def test_settings_keep_several_as_one_line() -> None:
    assert Settings.of({"evaluate": ["a", "rank(b,c)"]}).evaluate == "a,rank(b,c)"
    assert "cache" not in Settings.of({"cache": False}).model_dump()
