"""A comparison is one run: fair, paired, resumable, and honest about what it could not finish."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.problem import Sample, Score
from noise_search.study.bench import build
from noise_search.study.compare import Comparison, compare
from noise_search.study.gains import sight_cells, sights
from noise_search.study.gallery import file_names, sheet_entries
from noise_search.study.generate import resume
from noise_search.study.prompts import Row, name_prompts, prompts_of
from noise_search.study.tables import SINGLE, Entry
from noise_search.study.watch import Silent
from noise_search.verifiers.reward import Reward
from tests.study.comparing import (
    BUDGETS,
    PROMPTS,
    SEARCHES,
    contents,
    record_of,
    run,
    settings,
    whole,
)

__all__ = ["whole"]


def test_the_folder_holds_the_whole_comparison(whole: Comparison) -> None:
    names = {path.name for path in whole.out.iterdir()}
    assert names == {
        "candidates.jsonl",
        "curve.csv",
        "curve.png",
        "journal",
        "run.json",
        "summary.json",
    }
    with (whole.out / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    head = ["search", "budget", "spent", "metric", "mean", "low", "high", "n"]
    assert list(rows[0]) == [*head, "ratio", "doubted", "diversity"]
    assert all(row["diversity"] for row in rows)
    of_winners = [row for row in rows if row["search"] != SINGLE]
    assert all((row["metric"] != "reward") == bool(row["doubted"]) for row in of_winners)
    told = {(row["search"], row["budget"], row["metric"]) for row in rows}
    entries = [(SINGLE, "8nfe"), *((s, b) for s in SEARCHES for b in BUDGETS)]
    assert told == {(*e, m) for e in entries for m in ("reward", "reward(slope=0.5+1)")}
    assert {row["n"] for row in rows} == {"6"}


def test_no_search_is_charged_more_than_its_budget_and_shared_work_is_done_once(
    whole: Comparison,
) -> None:
    for entry, verdicts in whole.tables.entries.items():
        limit = int(entry.budget.removesuffix("nfe"))
        assert all(v.spent.nfe <= limit for v in verdicts)
    charged = sum(v.spent.nfe for v in whole.tables.verdicts)
    lines = [json.loads(x) for x in (whole.out / "candidates.jsonl").read_text().splitlines()]
    record = record_of(whole.out)
    spent = sum((Cost(**line["cost"]) for line in lines), ZERO) + Cost(**record["overhead"])
    assert spent == Cost(**record["spent"])
    assert spent.nfe < charged
    assert len({line["candidate"] for line in lines}) == len(lines) == record["candidates"]


def test_searches_of_one_prompt_and_seed_begin_with_the_same_sample(whole: Comparison) -> None:
    lines = [json.loads(x) for x in (whole.out / "candidates.jsonl").read_text().splitlines()]
    names = {line["candidate"]: line for line in lines}
    singles = [v.winner for v in whole.tables.entries[Entry(SINGLE, "8nfe")]]
    assert len(set(singles)) == 6
    assert all(names[winner]["noise"]["kind"] == "gaussian" for winner in singles if winner)
    seeds = [v.seed for v in whole.tables.entries[Entry("random", "16nfe")]]
    assert seeds == [0, 1] * 3


def test_more_budget_never_lowers_the_mean_score_of_random_search(whole: Comparison) -> None:
    means = [whole.tables.band(Entry("random", b), "reward") for b in BUDGETS]
    single = whole.tables.band(Entry(SINGLE, "8nfe"), "reward")
    heights = [band.mean for band in (single, *means) if band is not None]
    assert heights == sorted(heights)
    assert len(heights) == 3


def test_the_summary_says_in_words_what_was_found(whole: Comparison) -> None:
    summary = json.loads((whole.out / "summary.json").read_text())
    pairs = {
        (p["search"], p["budget"], p["against"]["search"], p["metric"]): p
        for p in summary["differences"]
    }
    pair = pairs["prune", "40nfe", "random", "reward"]
    assert pair["against"]["budget"] == "40nfe"
    assert pair["low"] < pair["mean"] < pair["high"]
    assert pair["n"] == 6
    assert pair["clusters"] == 3
    assert pair["line"].startswith("prune at 40 NFE against random at 40 NFE, by reward: ")
    assert ("random", "40nfe", SINGLE, "reward") in pairs
    assert ("random", "40nfe", "random", "reward") not in pairs
    assert any(line.startswith("random at 16 NFE: ") for line in summary["lines"])
    assert any(line.startswith("paths at 16 NFE (12 NFE spent): ") for line in summary["lines"])
    assert "Student" in summary["bands"]


def test_a_finished_comparison_is_read_back_without_doing_it_again(whole: Comparison) -> None:
    before = contents(whole.out)
    again = run(whole.out)
    assert again.tables == whole.tables
    assert again.tables.rows() == whole.tables.rows()
    assert contents(whole.out) == before
    assert [path.name for path in whole.out.glob("live")] == []


def test_watchers_are_told_every_candidate_once_and_how_many_evaluations_to_expect(
    tmp_path: Path,
) -> None:
    class Counting(Silent):
        def __init__(self) -> None:
            self.begun: list[tuple[str, int | None]] = []
            self.told: Counter[str] = Counter()
            self.nfe = 0

        def begin(self, label: str, total: int | None, unit: str = "nfe") -> None:
            self.begun.append((label, total))

        def candidate(self, candidate: Candidate) -> None:
            self.told[candidate.name] += 1
            self.nfe += candidate.cost.nfe

    watch = Counting()
    found = run(tmp_path / "run", watch=watch)
    winners = len({v.winner for v in found.tables.verdicts})
    assert set(watch.told.values()) == {1}
    assert [label for label, _ in watch.begun] == ["66 searches", f"judging {winners} winners"]
    expected = watch.begun[0][1]
    assert expected is not None
    assert 0.75 * expected < watch.nfe <= expected


class Failing(Reward):
    """A verifier to whom every sample of one prompt is a failure."""

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        return [
            Score(failure="no") if s.prompt.text == "two" else score
            for s, score in zip(samples, super().score(samples), strict=True)
        ]


def test_a_search_that_finished_nothing_counts_as_a_failure_and_never_disappears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any) -> Any:
        bench = build(*args)
        return type(bench)(**{**vars(bench), "verifier": Failing()})

    monkeypatch.setattr("noise_search.study.compare.build", failing)
    found = compare(PROMPTS, settings(), ["random"], ["16nfe"], 2, tmp_path / "run").tables
    entry = Entry("random", "16nfe")
    evaluator = "reward(slope=0.5+1)"
    values = found.values(entry, evaluator)
    seen = [v.evaluation[evaluator] for v in found.verdicts if v.winner is not None]
    assert set(values[PROMPTS[1].name]) == {min(0.0, *seen)}
    band, score = found.band(entry, evaluator), found.band(entry, "reward")
    assert band is not None
    assert score is not None
    assert (band.n, score.n) == (6, 4)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    entries = {(e["search"], e["budget"]): e for e in summary["entries"]}
    assert entries[entry]["failed"] == 2
    assert any("2 of 6 searches finished nothing" in line for line in summary["lines"])


def test_the_baseline_of_steps_says_when_the_scheduler_has_no_more(tmp_path: Path) -> None:
    small = prompts_of(["one"])
    found = compare(small, settings(), ["steps"], ["100nfe", "1200nfe"], 1, tmp_path / "run")
    below, above = Entry("steps", "100nfe"), Entry("steps", "1200nfe")
    assert not found.tables.at_limit(below)
    assert found.tables.at_limit(above)
    assert found.tables.spent(above) == found.tables.most_steps == 1000
    lines = json.loads((tmp_path / "run/summary.json").read_text())["lines"]
    assert "steps reached the scheduler's limit of 1,000 steps at 1200 NFE" in lines[-1]


def test_single_prompts_and_seeds_have_no_band(tmp_path: Path) -> None:
    found = compare(prompts_of(["one"]), settings(), ["random"], ["16nfe"], 1, tmp_path / "run")
    assert all(row.low is None and row.high is None and row.n == 1 for row in found.tables.rows())
    with (tmp_path / "run/curve.csv").open(newline="") as file:
        assert {row["low"] for row in csv.DictReader(file)} == {""}


def test_a_prompt_with_a_seed_of_its_own_counts_up_from_it(tmp_path: Path) -> None:
    prompts = name_prompts([Row("one", None, 7)])
    found = compare(prompts, settings(), ["random"], ["16nfe"], 2, tmp_path / "run")
    assert sorted({v.seed for v in found.tables.verdicts}) == [7, 8]


def test_further_pairs_can_be_compared_and_are_resumed(tmp_path: Path) -> None:
    also = [("random", "64nfe")]
    found = compare(PROMPTS, settings(), ["random"], ["16nfe"], 1, tmp_path / "run", also=also)
    (tmp_path / "run/run.json").unlink()
    again = resume(tmp_path / "run")
    assert isinstance(again, Comparison)
    assert again.tables == found.tables
    assert Entry("random", "64nfe") in found.tables.entries


def test_steps_while_searching_may_be_fewer(tmp_path: Path) -> None:
    few = settings(search_steps=4)
    found = compare(PROMPTS, few, ["random", "prune"], ["32nfe"], 1, tmp_path / "run").tables
    for entry, verdicts in found.entries.items():
        assert {v.steps for v in verdicts} == {8}, entry
    assert found.spent(Entry("random", "32nfe")) > 8


def test_impossible_comparisons_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    out = tmp_path / "run"
    refused: list[tuple[dict[str, Any], str]] = [
        ({"budgets": ["7nfe"]}, "budget 7nfe is less than one sample, 8nfe"),
        ({"budgets": ["0.5calls"]}, "not a whole number"),
        ({"budgets": []}, "at least one prompt, search, budget and seed"),
        ({"seeds": 0}, "at least one prompt, search, budget and seed"),
        ({"prompts": []}, "at least one prompt, search, budget and seed"),
        ({"searches": ["random", "random"]}, "named twice"),
        ({"searches": ["single"]}, "leave it out"),
        ({"searches": ["randon"]}, "did you mean 'random'"),
        ({"searches": ["prune(kep=1)"]}, "did you mean 'keep'"),
    ]
    for changes, said in refused:
        given: dict[str, Any] = {
            "prompts": PROMPTS,
            "searches": ["random"],
            "budgets": ["16nfe"],
            "seeds": 1,
            **changes,
        }
        with pytest.raises(UserError, match=said):
            compare(
                given["prompts"],
                settings(),
                given["searches"],
                given["budgets"],
                given["seeds"],
                out,
            )
        assert not out.exists(), said


def test_a_folder_of_another_comparison_is_left_alone(whole: Comparison) -> None:
    before = contents(whole.out)
    with pytest.raises(UserError, match="choose another folder"):
        compare(PROMPTS, settings(), ["random"], BUDGETS, 2, whole.out)
    assert contents(whole.out) == before


def test_file_names_are_safe_and_distinct() -> None:
    entries = [
        Entry("prune(at=0.25+0.5)", "64nfe"),
        Entry("prune(at=0.25,0.5)", "64nfe"),
        Entry("../x", "1s"),
    ]
    names = file_names(entries)
    assert len(set(names.values())) == 3
    assert all("/" not in name and not name.startswith("..") for name in names.values())


def test_a_sheet_shows_the_budget_that_most_searches_have() -> None:
    entries = [
        Entry(SINGLE, "8nfe"),
        *(Entry(s, b) for s in ("random", "paths") for b in ("16nfe", "32nfe")),
        Entry("random", "512nfe"),
    ]
    shown = sheet_entries(entries)
    assert shown == [Entry(SINGLE, "8nfe"), Entry("random", "32nfe"), Entry("paths", "32nfe")]


def test_all_pairs_are_paired_by_prompt_and_seed(whole: Comparison) -> None:
    ours, theirs = Entry("prune", "40nfe"), Entry("random", "40nfe")
    by_hand: dict[str, list[float]] = defaultdict(list)
    scores = {
        (v.entry, v.prompt, v.seed): v.scores["reward"]
        for v in whole.tables.verdicts
        if v.entry in (ours, theirs)
    }
    for entry, prompt, seed in scores:
        if entry == ours:
            by_hand[prompt].append(scores[ours, prompt, seed] - scores[theirs, prompt, seed])
    found = whole.tables.difference(ours, theirs, "reward")
    assert found is not None
    means = [sum(values) / len(values) for values in by_hand.values()]
    assert found.mean == pytest.approx(sum(means) / len(means))


def test_it_tells_how_much_of_a_gain_evaluators_see(tmp_path: Path) -> None:
    """A verifier and three evaluators: one agrees, one knows nothing of it, one is against it."""
    evaluators = "reward(slope=2),reward(slope=0+1),reward(slope=-1),reward(slope=0)"
    found = compare(
        PROMPTS, settings(evaluate=evaluators), ["random"], ["16nfe", "64nfe"], 4, tmp_path / "run"
    )
    seen = sights(found.tables, Entry("random", "64nfe"))
    agreeing, blind, against, mute = (seen[spec] for spec in evaluators.split(","))
    assert agreeing.ratio == pytest.approx(1)
    assert against.ratio == pytest.approx(-1)
    assert blind.ratio is not None
    assert abs(blind.ratio) < 0.6
    assert agreeing.doubted == 0
    assert mute.ratio is None  # nothing is better than anything else
    cells = sight_cells(found.tables, "reward(slope=0)")
    assert cells == {("random", budget): "- (0 of 12)" for budget in ("16nfe", "64nfe")}
    assert sight_cells(found.tables, "reward(slope=2)")["random", "64nfe"] == "1.00 (0 of 12)"
    assert against.doubted >= against.winners - 2  # some winners are not above the middle
    assert sights(found.tables, Entry(SINGLE, "8nfe")) == {}
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    told = "random at 64 NFE: reward(slope=-1) sees -1.00 of what reward gains over one sample"
    assert told in summary["lines"]
    assert [e["mean"] > 0 for e in summary["diversity"]["entries"]] == [True] * 3
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    winners = {v.winner for v in found.tables.verdicts}
    assert record["judging"] == {"verifier_calls": 4 * len(winners)}
    assert set(record["judges"]["evaluators"]) == set(evaluators.split(","))
