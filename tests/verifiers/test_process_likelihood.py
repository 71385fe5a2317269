"""A head on what a language model thinks of a text: its formula, its file, its fitting."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from noise_search import UserError
from noise_search.ask import Prompt
from noise_search.pipelines.arithmetic.problems import solve
from noise_search.pipelines.arithmetic.tokens import new_tokenizer
from noise_search.problem import Sample
from noise_search.text import Step, Text
from noise_search.verifiers.loading import load as load_verifier
from noise_search.verifiers.process import Process
from noise_search.verifiers.process_files import load, save_likelihood
from noise_search.verifiers.process_likelihood import HEAD, LOWEST, Likelihood, fit_head

QUESTION = "3 + 4 * 2 - 5"
LINES = ["4 * 2 = 8\n", "3 + 8 = 11\n", "11 - 5 = 6\n", "answer 6"]


def tiny() -> Likelihood:
    """A random language model with a random head."""
    tokenizer = new_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=96,
        initializer_range=0.5,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = Likelihood(LlamaForCausalLM(config).eval().requires_grad_(False), tokenizer)
        made.weight, made.bias = torch.randn(19, dtype=torch.float64) / 10, 0.3
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("likelihood")
    save_likelihood(folder, tiny())
    return folder


def sample(lines: list[str], question: str = QUESTION) -> Sample:
    text = Text(tuple(Step(words, ()) for words in lines))
    return Sample(Prompt("p", question), None, len(lines), 12, text)


def by_hand(model: Likelihood, lines: list[str]) -> list[float]:
    """The log-odds of each step, straight from the definition."""
    tokenizer, network = model.tokenizer, model.model
    found: list[float] = []
    begin = len(tokenizer(f"{QUESTION}\n")["input_ids"])
    for count in range(1, len(lines) + 1):
        ids = tokenizer(f"{QUESTION}\n" + "".join(lines[:count]))["input_ids"]
        before = len(tokenizer(f"{QUESTION}\n" + "".join(lines[: count - 1]))["input_ids"])
        said = network(torch.tensor([ids]), output_hidden_states=True)
        chances = torch.log_softmax(said.logits[0].double(), -1)
        likely = [max(LOWEST, float(chances[i - 1, ids[i]])) for i in range(begin, len(ids))]
        step = sum(likely[before - begin :])
        features = [*said.hidden_states[-1][0, -1].tolist(), sum(likely), min(likely), step]
        found.append(float(np.dot(features, model.weight.numpy())) + model.bias)
    return found


def test_a_score_is_the_heads_answer_to_state_and_likelihood(folder: Path) -> None:
    model = tiny()
    found = model.log_odds(model.encode(QUESTION, LINES))
    assert found == pytest.approx(by_hand(model, LINES), abs=1e-4)
    [score] = Process(load(folder), "prm").score([sample(LINES)])
    assert score.values["prm"] == pytest.approx(1 / (1 + np.exp(-found[-1])), abs=1e-6)
    assert score.cost.judge_tokens == len(model.encode(QUESTION, LINES).tokens)


def test_it_is_read_as_it_was_written(folder: Path) -> None:
    again = load(folder).convention
    assert isinstance(again, Likelihood)
    assert torch.equal(again.weight, tiny().weight)
    assert again.bias == tiny().bias


@pytest.mark.parametrize("fault", ["missing", "short", "no bias"])
def test_a_head_that_is_not_whole_is_one_line(folder: Path, fault: str, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "model")
    (copy / HEAD).unlink()
    if fault != "missing":
        weight = torch.zeros(18 if fault == "short" else 19, dtype=torch.float64)
        bias = {"bias": torch.zeros(1, dtype=torch.float64)} if fault == "short" else {}
        save_file({"weight": weight, **bias}, copy / HEAD)
    with pytest.raises(UserError, match=r"head\.safetensors") as refused:
        load(copy)
    assert "\n" not in str(refused.value)


def test_a_fit_finds_the_head_that_made_the_labels() -> None:
    model, rng = tiny(), np.random.default_rng(0)
    truth = torch.tensor(rng.normal(size=19))

    def solutions(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        x = torch.tensor(rng.normal(size=(count, 4, 19)))
        return [(row, torch.sigmoid(row @ truth - 0.5)) for row in x]

    losses = fit_head(model, solutions(200), solutions(50))
    assert torch.allclose(model.weight, truth, atol=0.1)
    assert model.bias == pytest.approx(-0.5, abs=0.1)
    assert min(held for _, held in losses) < losses[0][1]


def test_the_shipped_one_knows_right_solutions_from_wrong_ones() -> None:
    verifier: Any = load_verifier("prm")
    lines = [line + "\n" for line in solve("81 - 6 * 8 + 40")]
    lines[-1] = lines[-1].rstrip()  # the model ends there
    wrong = [lines[0].replace("48", "47"), "81 - 47 = 34\n", "34 + 40 = 74\n", "answer 74"]
    good, bad, half = verifier.score(
        [
            sample(lines, "81 - 6 * 8 + 40"),
            sample(wrong, "81 - 6 * 8 + 40"),
            sample(lines[:1], "81 - 6 * 8 + 40"),
        ]
    )
    assert good.values["prm"] > 0.7 > 0.3 > bad.values["prm"]
    assert half.values["prm"] > bad.values["prm"]
