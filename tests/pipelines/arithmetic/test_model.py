"""The shipped weights, and the loops that sample from them and train on what was sampled."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noise_search.pipelines.arithmetic.data import batches, plain_example
from noise_search.pipelines.arithmetic.evaluate import (
    Player,
    accuracy_by_depth,
    revision_figures,
    right_by_revision,
)
from noise_search.pipelines.arithmetic.model import FOLDER, load, new_model
from noise_search.pipelines.arithmetic.problems import (
    DEPTHS,
    answer_in,
    held_out,
    parse,
    questions,
    value,
)
from noise_search.pipelines.arithmetic.revisions import (
    collect,
    edit_distance,
    revision_example,
)
from noise_search.pipelines.arithmetic.rollouts import solutions
from noise_search.pipelines.arithmetic.tokens import RETRY, new_tokenizer, prompt_text
from noise_search.pipelines.arithmetic.train import Recipe, fit


@pytest.fixture(scope="module")
def player() -> Player:
    return Player(*load())


def test_the_folder_is_small_and_complete_and_names_no_machine() -> None:
    names = {"config.json", "generation_config.json", "model.safetensors"}
    names |= {"tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in FOLDER.iterdir()} == names
    assert (FOLDER / "model.safetensors").stat().st_size <= 1.6e6
    assert json.loads((FOLDER / "config.json").read_text())["dtype"] == "float16"
    for path in FOLDER.glob("*.json"):
        assert '": "/' not in path.read_text()


def test_the_folder_loads_as_a_llama_with_the_tokenizer_of_the_code(player: Player) -> None:
    assert player.model.config.model_type == "llama"
    assert player.model.dtype == torch.float32
    assert player.tokenizer.get_vocab() == new_tokenizer().get_vocab()
    text = prompt_text("3 + 4 * 2", ["4 * 2 = 8\n3 + 8 = 12\nanswer 12"])
    ids = player.tokenizer.encode(text)
    assert ids == new_tokenizer().encode(text)
    assert player.tokenizer.decode(ids, skip_special_tokens=True) == text
    assert player.tokenizer.eos_token_id == player.model.generation_config.eos_token_id


def test_easy_held_out_questions_are_mostly_right(player: Player) -> None:
    rng = np.random.default_rng(3)
    asked = [q for depth in (2, 3) for q in questions(rng, depth, 30)]
    written = player.solve([prompt_text(q) for q in asked], 0.0, 0)
    assert player.right(asked, written).mean() > 0.6


def test_the_batched_loop_writes_what_generate_writes(player: Player) -> None:
    rng = np.random.default_rng(4)
    prompts = [prompt_text(q) for depth in (2, 4, 7) for q in questions(rng, depth, 2)]
    written = solutions(player.model, player.tokenizer, prompts, 0.0, 0)
    for prompt, text in zip(prompts, written, strict=True):
        inputs = player.tokenizer(prompt, return_tensors="pt")
        model: Any = player.model
        output = model.generate(**inputs, do_sample=False)[0][inputs["input_ids"].shape[1] :]
        assert player.tokenizer.decode(output, skip_special_tokens=True) == text


def test_sampling_repeats_with_its_seed(player: Player) -> None:
    prompts = [prompt_text(q) for q in questions(np.random.default_rng(5), 8, 8)]
    one, two, other = (player.solve(prompts, 1.0, seed) for seed in (0, 0, 1))
    assert one == two
    assert one != other


def test_figures_are_shares(player: Player) -> None:
    assert set(accuracy_by_depth(player, 2, 0.0)) == set(DEPTHS)
    assert right_by_revision(player, 2, 2).shape == (14, 3)
    right = np.array([[True, False, True], [False, False, True]])
    assert revision_figures(right) == {
        "right answers spoiled": 1.0,
        "wrong answers repaired": pytest.approx(2 / 3),
        "right at least once": 1.0,
    }


@given(st.text("ab", max_size=6), st.text("ab", max_size=6))
def test_edit_distance_is_that_of_the_recursion(a: str, b: str) -> None:
    def distance(a: str, b: str) -> int:
        if not a or not b:
            return len(a) + len(b)
        change = distance(a[1:], b[1:]) + (a[0] != b[0])
        return min(change, distance(a[1:], b) + 1, distance(a, b[1:]) + 1)

    assert edit_distance(a, b) == distance(a, b)


def test_revision_examples_show_wrong_attempts_the_closest_last_and_at_most_one_right(
    player: Player,
) -> None:
    failures = collect(player.model, player.tokenizer, per_depth=2, samples=6, seed=0)
    rng = np.random.default_rng(0)
    counts = set()
    for item, _ in itertools.product(failures, range(20)):
        assert not held_out(item.question)
        example = revision_example(item, rng)
        question, *rest = example.prompt.split("\n", 1)
        assert question == str(parse(question))
        attempts = rest[0].split(f"\n{RETRY}\n")[:-1]
        counts.add(len(attempts))
        wrong = [a for a in attempts if answer_in(a) != str(value(question))]
        assert attempts.count(example.solution) == len(attempts) - len(wrong) <= 1
        if len(wrong) == len(attempts):
            distances = [edit_distance(attempt, example.solution) for attempt in wrong]
            assert distances[-1:] == sorted(distances)[:1]
        assert answer_in(example.solution) == str(value(question))
    assert counts == set(range(5))


def test_batches_keep_to_their_size_and_label_only_solutions() -> None:
    tokenizer = new_tokenizer()
    stream = batches(plain_example, tokenizer, seed=0, tokens=1000)
    for batch in itertools.islice(stream, 40):
        assert batch.inputs.numel() <= 1000
        for ids, labels in zip(batch.inputs, batch.labels, strict=True):
            asked, solution = str(tokenizer.decode(ids[labels == -100])), ids[labels != -100]
            assert solution[-1] == tokenizer.eos_token_id
            question = asked.removeprefix("<s>").split("\n")[0]
            assert answer_in(str(tokenizer.decode(solution[:-1]))) == str(value(question))


def test_training_lowers_the_loss() -> None:
    model = new_model(seed=0)
    stream = batches(plain_example, new_tokenizer(), seed=0, tokens=500)
    held = next(stream)

    def loss() -> float:
        with torch.no_grad():
            return float(model(input_ids=held.inputs, labels=held.labels).loss)

    before = loss()
    fit(model, stream, Recipe(steps=12, tokens=500, muon=6e-3, adamw=2e-3, seed=0))
    assert loss() < before - 0.2
