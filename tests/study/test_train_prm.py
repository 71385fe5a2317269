"""A process reward model is trained from rollouts: what is labelled, kept, resumed and reported."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from noise_search.ask import Prompt
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.study.bench import complete
from noise_search.study.calibration import auc, bins_of, calibration_png, entropy, gap
from noise_search.study.generate import resume
from noise_search.study.prompts import Row, name_prompts
from noise_search.study.rollouts import Rolling, collect, is_held_out
from noise_search.study.settings import Settings
from noise_search.study.train_prm import Trained, train_prm
from noise_search.study.watch import Silent
from noise_search.text import Step, Text
from noise_search.verifiers.loading import load
from noise_search.verifiers.process_models import TokenClassification
from noise_search.verifiers.process_train import Example, Plan, encode, fit, new_model

ROLLING = Rolling(samples=2, rollouts=3)
PLAN = Plan(epochs=3, lr=3e-3, batch=8)
SIGNS = ("<pad>", "</s>", "<unk>", "\n", "+", "1", "2", "3")


def write_model(folder: Path) -> Path:
    """A model that writes about anything: digits, signs and lines."""
    tokens = {token: i for i, token in enumerate(SIGNS)}
    tokenizer = Tokenizer(models.WordLevel(tokens, SIGNS[2]))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r".|\n"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    special = dict(zip(("pad_token", "eos_token", "unk_token"), SIGNS, strict=False))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    config = LlamaConfig(
        vocab_size=len(SIGNS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def questions() -> list[Prompt]:
    return name_prompts(Row(f"{a}+{b}", answer=str(a)) for a in range(1, 4) for b in range(1, 7))


@dataclass(frozen=True)
class Made:
    """A policy, how it is to write, and what was trained on it."""

    policy: Path
    settings: Settings
    trained: Trained

    @property
    def lines(self) -> list[dict[str, Any]]:
        text = (self.trained.out / "steps.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("prm")
    policy = write_model(folder / "policy")
    given = {"model": f"hf:{policy}", "verifier": "exact", "evaluate": "none", "batch": 32}
    writing = {"steps": 4, "max_tokens": 12, "step_tokens": 4, "answers": "number"}
    settings = complete(Settings.of({**given, **writing}))
    trained = train_prm(questions(), settings, ROLLING, PLAN, folder / "out")
    return Made(policy, settings, trained)


def records(out: Path) -> Iterator[dict[str, Any]]:
    """The journal's candidates as they stand on the disk, with their recipes' kinds."""
    lines = (out / "rollouts" / "journal").read_bytes().splitlines()
    kinds: dict[str, str] = {}
    for line in lines[2:]:
        record = json.loads(line[9:])
        kinds |= {recipe["name"]: recipe["kind"] for recipe in record.get("recipes", [])}
        yield {**record, "kind": kinds[record["noise"]]}


def test_its_folder_holds_what_was_promised(made: Made) -> None:
    held = {path.name for path in made.trained.out.iterdir()}
    assert held == {"rollouts", "steps.jsonl", "model", "report.json", "calibration.png"}
    assert [p.name for p in (made.trained.out / "rollouts").iterdir()] == ["journal"]
    report = json.loads((made.trained.out / "report.json").read_text(encoding="utf-8"))
    assert report == made.trained.report
    assert report["rolling"] == {"samples": 2, "rollouts": 3}
    assert report["questions"] == 18
    assert len(made.lines) == 36


def test_every_label_is_the_share_of_right_texts_that_go_on(made: Made) -> None:
    right = {prompt.name: prompt.answer for prompt in questions()}
    paths: dict[str, list[dict[str, Any]]] = defaultdict(list)
    verdicts: dict[str, list[bool]] = defaultdict(list)
    for record in records(made.trained.out):
        correct = record["text"].get("answer") == right[record["prompt"]]
        if record["kind"] == "splice":
            verdicts[record["parent"]].append(correct)
        else:
            paths[record["noise"]].append({**record, "correct": correct})
    labels: list[list[float]] = []
    for path in paths.values():
        shares = [sum(verdicts[r["candidate"]]) / 3 for r in path[:-1]]
        labels.append([*shares, float(path[-1]["correct"])])
    assert all(len(found) == 3 for found in verdicts.values())
    assert sorted(labels) == sorted(line["labels"] for line in made.lines)
    assert len({label for row in labels for label in row}) >= 3, "some are right, some wrong"


def test_a_solution_is_its_steps_and_its_answer(made: Made) -> None:
    for line in made.lines:
        assert line["finished"]
        assert len(line["steps"]) == len(line["labels"]) <= 4
        assert line["labels"][-1] == float(line["answer"] == line["question"][0])


def test_no_question_is_in_both_splits(made: Made) -> None:
    splits: dict[str, set[str]] = defaultdict(set)
    for line in made.lines:
        splits[line["question"]].add(line["split"])
    assert all(len(found) == 1 for found in splits.values())
    assert {*map(frozenset, splits.values())} == {frozenset({"train"}), frozenset({"held-out"})}
    assert all(
        is_held_out(question) == (found == {"held-out"}) for question, found in splits.items()
    )
    report = made.trained.report
    texts = sum(bool("".join(line["steps"]).strip()) for line in made.lines)
    assert report["train"]["solutions"] + report["held-out"]["solutions"] == texts
    assert report["unread"] == 36 - texts


def test_about_a_fifth_is_held_out() -> None:
    held = sum(is_held_out(f"{a} + {b}") for a in range(100) for b in range(100))
    assert 1850 < held < 2150
    assert is_held_out("1 + 2") == is_held_out("1+2")


class Interrupts(Silent):
    """Ends the process, as it were, after so many candidates."""

    def __init__(self, after: int) -> None:
        self.left = after

    def candidate(self, candidate: Candidate) -> bool | None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return None


@pytest.mark.parametrize("after", [0, 40, 80])
def test_what_was_interrupted_goes_on_to_the_same_labels(
    made: Made, tmp_path: Path, after: int
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train_prm(questions(), made.settings, ROLLING, PLAN, tmp_path, watch=Interrupts(after))
    begun = (tmp_path / "rollouts" / "journal").read_bytes()
    again = train_prm(questions(), made.settings, ROLLING, PLAN, tmp_path)
    assert (tmp_path / "rollouts" / "journal").read_bytes().startswith(begun)
    for name in ("steps.jsonl", "report.json", "model/model.safetensors"):
        assert (tmp_path / name).read_bytes() == (made.trained.out / name).read_bytes()
    assert again.report == made.trained.report


def test_a_head_on_the_likelihood_is_a_verifier_too(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.trained.out / "rollouts", tmp_path / "rollouts")
    plan = Plan(tails=True, likelihood=True)
    trained = train_prm(questions(), made.settings, ROLLING, plan, tmp_path)
    losses = trained.report["training"]["losses"]
    assert min(loss["held-out"] for loss in losses) <= trained.report["steps"]["loss"] + 0.05
    text = Text((Step("1\n", ()), Step("2", ())))
    [score] = load(f"prm:{trained.model}").score([Sample(Prompt("p", "1+2"), None, 2, 4, text)])
    assert 0 < score.values[f"prm:{trained.model}"] < 1


def test_other_training_makes_no_new_rollouts(made: Made, tmp_path: Path) -> None:
    train_prm(questions(), made.settings, ROLLING, PLAN, tmp_path)
    before = (tmp_path / "rollouts" / "journal").read_bytes()
    again = train_prm(
        questions(), made.settings, ROLLING, Plan(epochs=1, lr=1e-3, batch=4), tmp_path
    )
    assert (tmp_path / "rollouts" / "journal").read_bytes() == before
    assert len(again.report["training"]["losses"]) == 1


def test_a_rollout_lends_its_verdict_to_its_own_steps(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.trained.out / "rollouts", tmp_path / "rollouts")
    found = collect(questions(), made.settings, ROLLING, tmp_path / "rollouts", workers=1,
                    watch=Silent())  # fmt: skip
    begun = sum(len(s.labels) - 1 for s in found.solutions)
    assert len(found.tails) == 3 * begun
    for tail in found.tails:
        right = tail.answer == tail.question[0]
        assert 0 < len(tail.labels) < len(tail.steps)
        assert set(tail.labels) == {float(right)}
    learnt = train_prm(
        questions(), made.settings, ROLLING, Plan(epochs=1, lr=3e-3, batch=8, tails=True), tmp_path
    )
    train = [s for s in found.tails if not s.held_out and "".join(s.steps).strip()]
    texts = learnt.report["training"]["texts"]
    assert texts == learnt.report["train"]["solutions"] + len(train)
    assert learnt.report["held-out"] == made.trained.report["held-out"]


@pytest.mark.nightly
def test_workers_change_nothing(made: Made, tmp_path: Path) -> None:
    train_prm(questions(), made.settings, ROLLING, PLAN, tmp_path, workers=2)
    for name in ("steps.jsonl", "report.json"):
        assert (tmp_path / name).read_bytes() == (made.trained.out / name).read_bytes()


def test_a_run_of_rollouts_is_not_gone_on_with_as_a_search(made: Made) -> None:
    with pytest.raises(UserError, match="train-prm"):
        resume(made.trained.out / "rollouts")


def test_rollouts_of_other_settings_are_refused(made: Made) -> None:
    with pytest.raises(UserError, match="samples"):
        train_prm(questions(), made.settings, Rolling(3, 3), PLAN, made.trained.out)


def test_the_bound_holds(made: Made) -> None:
    candidates, tokens = ROLLING.bounds(made.settings)
    assert made.trained.report["candidates"] <= 18 * candidates
    assert made.trained.report["spent"]["tokens_out"] <= 18 * tokens


def test_the_model_is_a_verifier(made: Made) -> None:
    verifier = load(f"prm:{made.trained.model}")
    line = next(line for line in made.lines if "".join(line["steps"]).strip())
    text = Text(tuple(Step(words, ()) for words in line["steps"]))
    prompt = Prompt("q", line["question"])
    [score] = verifier.score([Sample(prompt, None, 1, 4, text)])
    assert score.failure is None
    assert 0 < score.values[verifier.name] < 1
    assert len(score.detail["step scores"].split()) == len(line["steps"])


def test_the_backbone_is_the_language_models_own(made: Made) -> None:
    policy = LlamaForCausalLM.from_pretrained(made.policy)
    began = new_model(made.policy, seed=0).model
    for name, weight in policy.model.state_dict().items():
        assert torch.equal(weight, began.model.state_dict()[name])


def examples(convention: TokenClassification) -> list[Example]:
    """Steps that are right where they end in 1: a rule that can be learnt."""
    found: list[Example] = []
    for number in range(256):
        digits = [1 + number % 3, 1 + number // 3 % 3, 1 + number // 9 % 3]
        steps = [f"{digit}\n" for digit in digits]
        labels = [0.9 if digit == 1 else 0.1 for digit in digits]
        example = encode(convention, "1+1", steps, labels)
        assert example is not None
        found.append(example)
    return found


def test_it_learns_and_keeps_the_best_epoch(made: Made) -> None:
    convention = new_model(made.policy, seed=0)
    found = examples(convention)
    fitted = fit(convention, found[:200], found[200:], Plan(epochs=12, lr=1e-2, batch=16))
    held = [loss for _, loss in fitted.losses]
    assert held[fitted.best - 1] == min(held)
    labels = [label for example in found[200:] for label in example.labels]
    mean = sum(labels) / len(labels)
    assert min(held) < 0.75 * entropy([mean] * len(labels), labels)


def test_training_is_the_same_each_time(made: Made) -> None:
    def weights() -> dict[str, torch.Tensor]:
        convention = new_model(made.policy, seed=3)
        found = examples(convention)[:40]
        fit(convention, found[:32], found[32:], Plan(epochs=2, lr=1e-2, batch=8, seed=3))
        state: dict[str, torch.Tensor] = convention.model.state_dict()
        return state

    first, second = weights(), weights()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_frozen_backbone_stays_as_it_was(made: Made) -> None:
    convention = new_model(made.policy, seed=0)
    before = {name: w.clone() for name, w in convention.model.state_dict().items()}
    found = examples(convention)[:40]
    fit(convention, found[:32], found[32:], Plan(epochs=1, lr=1e-2, batch=8, freeze=True))
    after = convention.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("score.") for name in changed)


def test_what_cannot_be_a_classifier_is_refused_before_anything_is_made(
    made: Made, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="base"):
        train_prm(questions(), made.settings, ROLLING, PLAN, out, base=str(tmp_path))
    assert not out.exists()


def test_too_few_questions_are_refused(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="prompts: of 1 questions"):
        train_prm(questions()[:1], made.settings, ROLLING, PLAN, tmp_path / "out")


CHANCES = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.99, 1.0]), st.booleans()), max_size=30
)


@given(CHANCES)
def test_auc_is_the_chance_that_a_right_one_is_above(pairs: list[tuple[float, bool]]) -> None:
    above = [
        1.0 if p > q else 0.5 if p == q else 0.0
        for p, right in pairs
        if right
        for q, other in pairs
        if not other
    ]
    found = auc([p for p, _ in pairs], [right for _, right in pairs])
    assert found == (pytest.approx(sum(above) / len(above)) if above else None)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_perfect_chances_are_calibrated(chances: list[float]) -> None:
    bins = bins_of(chances, chances)
    assert sum(b.size for b in bins) == len(chances)
    assert gap(bins) == pytest.approx(0)
    assert entropy(chances, chances) <= entropy([0.5] * len(chances), chances) + 1e-9


def test_a_picture_of_empty_bins_can_be_drawn() -> None:
    assert calibration_png(bins_of([0.05], [0.0]), "one step").startswith(b"\x89PNG")
