"""Several prompts about one picture: it is read once, and what comes out is the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noise_search.verifiers.judge_models import Seeing
from noise_search.verifiers.models import Place
from noise_search.verifiers.vqa import Vqa
from tests.verifiers.vision import write_idefics, write_internvl, write_llava, write_qwen

WRITERS = {
    "llava": write_llava,
    "qwen": write_qwen,
    "idefics": write_idefics,
    "internvl": write_internvl,
}
PROMPTS = ["a red circle", 'it\'s a "bird", a cloud', "x", "many words " * 8, "'s", "a  red"]


def picture(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (40, 66, 3), dtype=np.uint8)


@pytest.fixture(scope="module", params=list(WRITERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param))


def loaded(folder: Path, width: int = 4) -> Vqa:
    return Vqa(Seeing(folder, Place("cpu", "float32", width)))


@contextmanager
def counted(verifier: Vqa) -> Iterator[list[tuple[int, bool]]]:
    """Tokens of each call of the model, and whether it was shown a picture."""
    calls: list[tuple[int, bool]] = []

    def see(_: object, __: object, given: dict[str, Any]) -> None:
        calls.append((given["input_ids"].numel(), given.get("pixel_values") is not None))

    handle = verifier.model.model.register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def alone(verifier: Vqa, shown: Any, prompts: list[str]) -> list[float]:
    return [verifier.likelihoods([shown], [prompt])[0] for prompt in prompts]


def test_prompts_about_one_picture_score_as_each_alone(folder: Path) -> None:
    verifier, shown = loaded(folder), picture(0)
    expected = alone(verifier, shown, PROMPTS)
    assert len(set(expected)) == len(PROMPTS)
    for _ in range(2):  # the first time it is tried
        found = verifier.likelihoods([shown] * 6, PROMPTS)
        assert found == pytest.approx(expected, abs=1e-5, rel=1e-4)


def test_a_picture_is_read_once_for_all_of_them(folder: Path) -> None:
    verifier = loaded(folder)
    verifier.likelihoods([picture(0)] * 2, PROMPTS[:2])
    with counted(verifier) as calls:
        verifier.likelihoods([picture(1)] * 6, PROMPTS)
    assert [seen for _, seen in calls] == [True, False, False]  # six rests by four


def test_pictures_keep_their_own_answers(folder: Path) -> None:
    verifier, shown = loaded(folder), [picture(seed) for seed in range(3)]
    pairs = [(i, prompt) for prompt in PROMPTS[:3] for i in (2, 0, 1)]
    pairs[-1] = pairs[0]
    found = verifier.likelihoods([shown[i] for i, _ in pairs], [prompt for _, prompt in pairs])
    expected = [alone(verifier, shown[i], [prompt])[0] for i, prompt in pairs]
    assert found == pytest.approx(expected, abs=1e-5, rel=1e-4)


def test_a_search_whose_pictures_all_differ_is_asked_in_whole_batches(folder: Path) -> None:
    verifier = loaded(folder)
    with counted(verifier) as calls:
        verifier.likelihoods([picture(seed) for seed in range(8)], [PROMPTS[0]] * 8)
    assert [seen for _, seen in calls] == [True, True]


@pytest.mark.parametrize("why", ["template", "causal"])
def test_a_model_that_cannot_reads_whole_questions(why: str, tmp_path: Path) -> None:
    folder = write_llava(tmp_path)
    if why == "template":  # the picture comes last
        template = "{{ messages[0].content[1].text }}<image>{{ 'A:' if add_generation_prompt }}"
        (folder / "chat_template.jinja").write_text(template)
    else:  # a token sees those behind it
        config = json.loads((folder / "config.json").read_text())
        config["text_config"]["is_causal"] = False
        (folder / "config.json").write_text(json.dumps(config))
    verifier, shown = loaded(folder), picture(0)
    found = verifier.likelihoods([shown] * 6, PROMPTS)
    assert found == pytest.approx(alone(verifier, shown, PROMPTS), abs=1e-5, rel=1e-4)
    with counted(verifier) as calls:
        verifier.likelihoods([shown] * 6, PROMPTS)
    assert [seen for _, seen in calls] == [True, True]  # six questions by four
