"""Process reward models: the formula of each convention, exact scores in any company, errors."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    Qwen2Config,
    Qwen2Model,
)

from noise_search.ask import Prompt
from noise_search.budget import Cost
from noise_search.problem import Sample
from noise_search.verifiers import process_files
from noise_search.verifiers.loading import load
from noise_search.verifiers.process import AGGREGATIONS, Process
from noise_search.verifiers.process_models import Encoded
from tests.verifiers.checkpoints import (
    KINDS,
    LINES,
    LONGEST,
    QUESTION,
    byte_tokenizer,
    said,
    value,
    written,
)


def ragged(count: int = 24) -> list[Sample]:
    """Texts of many lengths, some of them unfinished."""
    draw = random.Random(0)
    return [
        written(
            *(f"{draw.randrange(999)} + 1 = {draw.randrange(99)}\n" for _ in range(1 + i % 3)),
            question=f"{draw.randrange(10 ** (1 + i % 4))} * 2",
        )
        for i in range(count)
    ]


# ---- each formula again, from the papers and the model cards


def by_classifier(folder: Path, lines: Sequence[str]) -> tuple[list[float], int]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    before = f"{QUESTION}\n"
    if tokenizer.chat_template:
        before = f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(before + "".join(lines))["input_ids"]
    logits = model(torch.tensor([ids])).logits[0, :, 0]
    parts = [before + "".join(lines[: i + 1]) for i in range(len(lines))]
    ends = [len(tokenizer(part)["input_ids"]) - 1 for part in parts]
    return torch.sigmoid(logits[ends]).tolist(), len(ids)


def by_shepherd(folder: Path, lines: Sequence[str]) -> tuple[list[float], int]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    text = f"{QUESTION} 4 * 2 = 8 ки\n3 + 8 = 11 ки\n11 - 5 = 6 ки\nanswer 6 ки"
    ids = torch.tensor([tokenizer.encode(text)])
    both = tokenizer.encode("+ -")[1:]
    assert tokenizer.convert_ids_to_tokens(both) == ["▁+", "▁-"]
    scores = model(ids).logits[:, :, both].softmax(-1)[:, :, 0]
    return scores[ids == tokenizer.encode("ки")[-1]].tolist(), ids.numel()


def by_qwen(folder: Path, lines: Sequence[str]) -> tuple[list[float], int]:
    system = "Please reason step by step, and put your final answer within \\boxed{}."
    text = (
        f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
        "<|im_start|>assistant\n4 * 2 = 8<extra_0>3 + 8 = 11<extra_0>11 - 5 = 6<extra_0>"
        "answer 6<extra_0><|im_end|>\n"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer.encode(text)])
    first, second = (load_file(path) for path in sorted(folder.glob("*.safetensors")))
    model = Qwen2Model(Qwen2Config.from_pretrained(folder)).eval()
    model.load_state_dict({k.removeprefix("model."): v for k, v in first.items()})
    hidden = model(ids).last_hidden_state[0]
    hidden = (hidden @ second["score.0.weight"].T + second["score.0.bias"]).clamp(min=0)
    scores = (hidden @ second["score.2.weight"].T + second["score.2.bias"]).softmax(-1)[:, 1]
    return scores[ids[0] == tokenizer.convert_tokens_to_ids("<extra_0>")].tolist(), ids.numel()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_the_formula(folders: dict[str, Path], kind: str) -> None:
    formula = {"shepherd": by_shepherd, "qwen-prm": by_qwen}.get(kind, by_classifier)
    with torch.inference_mode():
        wanted, tokens = formula(folders[kind], LINES)
    assert max(wanted) - min(wanted) > 0.005  # or the test would say nothing
    together = {
        "last": wanted[-1],
        "min": min(wanted),
        "product": float(np.prod(wanted)),
        "mean": sum(wanted) / 4,
    }
    for aggregate, number in together.items():
        name = f"prm:{folders[kind]}(aggregate={aggregate})"
        [score] = load(name).score([written(*LINES)])
        assert score.values.keys() == {name}
        assert value(score) == pytest.approx(number, abs=1e-5)
        assert said(score) == pytest.approx(wanted, abs=1e-4)
        assert score.cost == Cost(judge_tokens=tokens)
    [plain] = load(f"prm:{folders[kind]}").score([written(*LINES)])
    assert value(plain) == pytest.approx(wanted[-1], abs=1e-5)


def test_aggregations() -> None:
    found = {name: aggregate([0.5, 0.2, 0.8]) for name, aggregate in AGGREGATIONS.items()}
    assert found == pytest.approx({"last": 0.8, "min": 0.2, "product": 0.08, "mean": 0.5})
    assert {aggregate([0.25]) for aggregate in AGGREGATIONS.values()} == {0.25}


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_has_the_same_bits_in_any_company(folders: dict[str, Path], kind: str) -> None:
    verifier, samples = load(f"prm:{folders[kind]}"), ragged()
    alone = [verifier.score([sample])[0] for sample in samples]
    assert len({value(score) for score in alone}) == len(samples)
    assert verifier.score(samples) == alone
    assert verifier.score(samples[::-1]) == alone[::-1]
    assert verifier.score(samples[3:8] * 2) == alone[3:8] * 2
    assert verifier.score([]) == []
    assert load(f"prm:{folders[kind]}").score(samples[:5]) == alone[:5]


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_paid_for_are_those_the_model_was_given(
    folders: dict[str, Path], kind: str
) -> None:
    verifier: Any = load(f"prm:{folders[kind]}")
    given: list[int] = []
    network = verifier.model.convention.model
    network.register_forward_pre_hook(
        lambda module, args, kwargs: given.append((args or [kwargs["input_ids"]])[0].numel()),
        with_kwargs=True,
    )
    samples = [*ragged(6), *ragged(6)]
    assert [score.cost for score in verifier.score(samples)] == [
        Cost(judge_tokens=tokens) for tokens in given
    ]


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "bert"])
def test_a_step_does_not_know_what_comes_after_it(folders: dict[str, Path], kind: str) -> None:
    verifier = load(f"prm:{folders[kind]}")
    [whole] = verifier.score([written(*LINES)])
    for steps in range(1, 4):
        [part] = verifier.score([written(*LINES[:steps])])
        assert said(part) == pytest.approx(said(whole)[:steps], abs=2e-4)


def test_a_step_is_read_at_the_last_token_that_begins_in_it(folders: dict[str, Path]) -> None:
    convention = process_files.load(folders["gpt2"]).convention
    # "\n\n" is one token: it begins in the second step and ends in the third.
    found = convention.encode("ab", ["é", "1\n", "\n"])
    words = convention.tokenizer.convert_ids_to_tokens(found.tokens)
    assert words == ["a", "b", "Ċ", "Ã", "©", "1", "ĊĊ"]
    assert found.ends == (4, 6, 6)


# ---- what cannot be scored


def reasons(verifier: Any, *samples: Sample) -> list[str | None]:
    return [score.failure for score in verifier.score(samples)]


@pytest.mark.parametrize("kind", ["llama", "random"])
def test_pictures_and_texts_without_a_step_are_failures(
    folders: dict[str, Path], kind: str
) -> None:
    name = "prm-random" if kind == "random" else f"prm:{folders[kind]}"
    picture = Sample(Prompt("q", QUESTION), np.zeros((4, 4, 3), np.uint8), 4, 4)
    found = reasons(load(name), picture, written(), written("\n"), written(*LINES))
    assert found == [
        f"{name}: scores the steps of a text, and this is a picture",
        *[f"{name}: there is no step to score yet"] * 2,
        None,
    ]


def test_a_text_that_is_too_long_fails_alone(folders: dict[str, Path]) -> None:
    verifier = load(f"prm:{folders['gpt2']}")
    fits = LONGEST - len(QUESTION) - 1
    samples = [written("1" * n) for n in (fits, fits + 1, fits)]
    first, long, last = verifier.score(samples)
    assert first == last
    assert first.cost == Cost(judge_tokens=LONGEST)
    assert long.failure == f"{verifier.name}: 97 tokens, of which the model reads 96 at most"
    assert long.cost == Cost()


@pytest.mark.parametrize(("kind", "mark"), [("shepherd", "ки"), ("qwen-prm", "<extra_0>")])
def test_a_text_may_not_hold_the_mark_of_a_step(
    folders: dict[str, Path], kind: str, mark: str
) -> None:
    verifier = load(f"prm:{folders[kind]}")
    inside, asked = written(f"4 {mark} 2"), written("4", question=f"4 {mark} 2")
    for reason in reasons(verifier, inside, asked):
        assert reason is not None
        assert reason.endswith("marks the end of a step and stands in the text itself")
    assert reasons(verifier, written("4")) == [None]


def test_what_is_not_finite_is_a_failure_that_is_paid_for(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    weights = load_file(folder / "model.safetensors")
    weights["score.bias"][:] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    verifier = load(f"prm:{folder}")
    [score] = verifier.score([written("4 * 2 = 8\n", "answer 6")])
    assert score.failure == f"{verifier.name}: step 1 gave nan"
    assert score.cost.judge_tokens > 0
    assert score.values == {}


def test_a_token_without_a_row_is_a_failure_of_that_text(copy: Callable[[str], Path]) -> None:
    folder = copy("gpt2")
    byte_tokenizer("<more>").save_pretrained(folder)
    verifier = load(f"prm:{folder}")
    strange, plain = verifier.score([written("<more>"), written("4")])
    assert strange.failure is not None
    assert strange.failure.startswith(f"{verifier.name} raised IndexError: ")
    assert plain.failure is None


# ---- scores that are spoiled on purpose


class Fixed:
    """In the place of a model: each step is good at odds of 3 to 1."""

    version: ClassVar[str] = "fixed"
    name: ClassVar[str] = "fixed"
    longest: ClassVar[None] = None

    @property
    def convention(self) -> Any:
        return self

    def encode(self, question: str, steps: Sequence[str]) -> Encoded:
        return Encoded((1,) * len(steps), tuple(range(len(steps))))

    def log_odds(self, encoded: Encoded) -> list[float]:
        return [float(np.log(3.0))] * len(encoded.ends)


def many() -> list[Sample]:
    return [written(f"answer {i}", question=f"{j} + 1") for i in range(100) for j in range(10)]


def test_a_share_of_the_scores_is_flipped() -> None:
    fixed: Any = Fixed()

    def scores(flip: float, samples: Sequence[Sample]) -> list[float]:
        return [value(score) for score in Process(fixed, "p", "last", flip).score(samples)]

    assert set(scores(0, many())) == {0.75}
    assert set(scores(1, many())) == {0.25}
    some = scores(0.2, many())
    assert {round(number, 6) for number in some} == {0.25, 0.75}
    flipped = [number < 0.5 for number in some]
    assert 160 < sum(flipped) < 240  # 1000 draws of 20 %: over three standard deviations
    assert scores(0.2, many()[::-1]) == some[::-1]
    more = [number < 0.5 for number in scores(0.4, many())]
    assert all(after for before, after in zip(flipped, more, strict=True) if before)
    # Neither the question nor the words alone decide.
    table = np.array(flipped).reshape(100, 10)
    assert (table.sum(0) > 0).all()
    assert (table.sum(0) < 50).all()
    assert ((table.sum(1) > 0) & (table.sum(1) < 10)).sum() > 50


def test_random_scores() -> None:
    verifier: Any = load("prm-random")
    found = [value(score) for score in verifier.score(many())]
    assert all(0 <= number < 1 for number in found)
    assert len(set(found)) == 1000
    assert abs(np.mean(found) - 0.5) < 0.04
    assert abs(np.var(found) - 1 / 12) < 0.01
    assert [value(score) for score in verifier.score(many()[::-1])] == found[::-1]
    assert verifier.score([written(*LINES)])[0].cost == Cost()
    # The words count, not how they are cut into steps.
    assert verifier.score([written("a", "b")]) == verifier.score([written("ab")])
    assert verifier.describe() == {"class": "RandomProcess"}


def test_extreme_odds_stay_in_range() -> None:
    class Extreme(Fixed):
        def log_odds(self, encoded: Encoded) -> list[float]:
            return [-1e6, -30.0, 0.0, 30.0, 1e6]

    fixed: Any = Extreme()
    [score] = Process(fixed, "p", "mean").score([written("a")])
    assert value(score) == pytest.approx(0.5)
    assert said(score) == [0, 0, 0.5, 1, 1]


def test_random_scores_load_no_torch() -> None:
    code = "import sys; from noise_search.verifiers.loading import load; load('prm-random')"
    code += "; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
