"""Specs and functions lead to verifiers; what a user's function does wrong is a failure."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.pipelines.shapes.scenes import parse, render
from noise_search.problem import Sample, Score
from noise_search.verifiers.clip import encoder_of
from noise_search.verifiers.clip_files import shipped_folder
from noise_search.verifiers.loading import from_callable, load
from noise_search.verifiers.models import Models, Place

RED, BLUE = Prompt("r", "a red circle"), Prompt("b", "two blue squares")


def drawn(prompt: Prompt, seed: int = 0, shown: Prompt | None = None) -> Sample:
    pixels = render(parse((shown or prompt).text), np.random.default_rng(seed))
    return Sample(prompt, pixels, 8, 8)


def vector(*values: float) -> Sample:
    return Sample(RED, np.array(values), 8, 8)


def _mean(sample: Sample) -> float:
    return float(np.asarray(sample.pixels, dtype=np.uint8).mean())


def brightness(images: Sequence[Image.Image], prompt: str) -> list[float]:
    return [float(np.asarray(image).mean()) for image in images]


def test_rewards() -> None:
    first, other = load("reward"), load("reward(slope=1+-0.5)")
    assert first.score([vector(2, 4), vector(-1, 0)]) == [
        Score({"reward": 2.0}),
        Score({"reward": -1.0}),
    ]
    assert other.name == "reward(slope=1+-0.5)"
    assert other.score([vector(2, 4)]) == [Score({other.name: 0.0})]
    [short] = other.score([vector(2)])
    assert short.failure == "a reward of 2 coordinates of shape (1,)"
    assert first.score([]) == []


def test_the_evaluator_of_shapes() -> None:
    shapes = load("shapes")
    scores = shapes.score([drawn(RED), drawn(RED, shown=BLUE), drawn(BLUE)])
    assert [score.values for score in scores] == [{"shapes": 1.0}, {"shapes": 0.0}, {"shapes": 1.0}]
    [strange] = shapes.score([Sample(Prompt("p", "a purple dog"), drawn(RED).pixels, 8, 8)])
    assert strange.failure is not None
    assert strange.failure.startswith("shapes: unknown word 'purple'")
    [small] = shapes.score([Sample(RED, np.zeros((4, 4, 3), np.uint8), 8, 8)])
    assert small.failure is not None


def test_clip_scores_carry_the_spec_and_a_card() -> None:
    folder = shipped_folder("shapes-clip")
    samples = [drawn(RED), drawn(BLUE)]
    shipped = load("shapes-clip").score(samples)
    text = f"clip:{folder}(batch=3)"
    assert [s.values.keys() for s in load(text).score(samples)] == [{text}] * 2
    text = f"clip:{folder}"
    assert [s.values[text] for s in load(text).score(samples)] == [
        s.values["shapes-clip"] for s in shipped
    ]
    verifier: Any = load(f"{text}(clipscore=true,dtype=bfloat16)")
    assert (verifier.card.low, verifier.card.high) == (0.0, 2.5)
    assert "bf16" in verifier.card.version
    assert "A photo depicts" in verifier.card.version


def test_verifiers_of_one_run_share_a_model() -> None:
    models = Models()
    folder = shipped_folder("shapes-clip")
    one, two = (encoder_of(str(folder), models, Place()) for _ in range(2))
    assert one is two
    assert encoder_of(str(folder), models, Place(batch=4)) is not one


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("clipp", "unknown verifier 'clipp'; did you mean 'clip'"),
        ("clip:ViT-L-14/opnai", "open_clip has no weights 'opnai' of 'ViT-L-14'; did you mean"),
        ("clip:a#b", "write clip:MODEL/WEIGHTS"),
        ("clip:./nowhere", "no folder 'nowhere'"),
        ("clip:ViT-L-14/openai(clipscore=perhaps)", "clipscore=perhaps: input should be a valid"),
        ("shapes:x", "shapes takes no target"),
        ("shapes-clip:x", "shapes-clip takes no target"),
        ("reward:x", "reward takes no target"),
        ("reward(slop=1)", "unknown option 'slop'; did you mean 'slope'"),
    ],
)
def test_specs_that_lead_nowhere(text: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        load(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_function_sees_pictures_of_one_prompt_at_a_time() -> None:
    calls: list[tuple[int, str]] = []

    def judge(images: list[Image.Image], prompt: str) -> list[float]:
        assert all(isinstance(i, Image.Image) and i.size == (32, 32) for i in images)
        calls.append((len(images), prompt))
        return brightness(images, prompt)

    samples = [drawn(RED, 1), drawn(BLUE, 2), drawn(RED, 3), drawn(BLUE, 4), drawn(RED, 5)]
    wanted = [Score({"judge": _mean(s)}) for s in samples]
    assert from_callable(judge).score(samples) == wanted
    assert calls == [(1, RED.text)] * 3 + [(1, BLUE.text)] * 2
    calls.clear()
    assert from_callable(judge, batch=2).score(samples) == wanted
    # Always two pictures: a short batch is padded, so that a score has no company to depend on.
    assert calls == [(2, RED.text)] * 2 + [(2, BLUE.text)]


def test_names_of_functions() -> None:
    assert from_callable(brightness).name == "brightness"
    assert from_callable(brightness, "light").score([drawn(RED)])[0].values.keys() == {"light"}

    class Judge:
        def __call__(self, images: list[Any], prompt: str) -> list[float]:
            return [1.0] * len(images)

    assert from_callable(Judge()).score([drawn(RED)]) == [Score({"custom": 1.0})]


def broken(images: list[Any], prompt: str) -> Any:
    raise RuntimeError("out of\n memory")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([float("nan")], "judge gave nan"),
        ([float("inf")], "judge gave inf"),
        ([], "judge gave 0 scores for 1 pictures"),
        ([1.0, 2.0], "judge gave 2 scores for 1 pictures"),
        (["good"], "judge gave 'good', not a number"),
        ([None], "judge gave None, not a number"),
        (None, "judge raised TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_wrong_answers_are_failures(answer: Any, reason: str) -> None:
    [score] = from_callable(lambda images, prompt: answer, "judge").score([drawn(RED)])
    assert score == Score(failure=reason)


def test_exceptions_are_failures_and_fail_no_other() -> None:
    [score] = from_callable(broken).score([drawn(RED)])
    assert score == Score(failure="broken raised RuntimeError: out of memory")

    def picky(images: list[Any], prompt: str) -> list[float]:
        if prompt == BLUE.text:
            raise KeyError("blue")
        return [1.0] * len(images)

    scores = from_callable(picky).score([drawn(RED), drawn(BLUE), drawn(RED)])
    assert [score.failure is None for score in scores] == [True, False, True]

    def leaving(images: list[Any], prompt: str) -> list[float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        from_callable(leaving).score([drawn(RED)])


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_row_does_not_depend_on_its_neighbours(count: int) -> None:
    verifiers = [from_callable(brightness, batch=3), load("shapes"), load("reward")]
    pictures = [drawn(RED, seed) for seed in range(count)]
    vectors = [vector(float(seed), 1.0) for seed in range(count)]
    for verifier, samples in zip(verifiers, [pictures, pictures, vectors], strict=True):
        alone = [verifier.score([sample])[0] for sample in samples]
        assert list(verifier.score(samples)) == alone


def test_rewards_load_no_torch() -> None:
    code = "import sys; from noise_search.verifiers.loading import load; load('reward')"
    code += "; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
