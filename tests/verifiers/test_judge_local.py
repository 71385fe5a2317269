"""A judge on this machine can write nothing but an answer, and says in it what the model thinks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.judge_local import Form, LocalJudge
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models
from noise_search.verifiers.rubric import GRADE, Grades, Preference, grade_text, read
from noise_search.verifiers.tournament import tournament
from tests.verifiers.test_vqa import samples
from tests.verifiers.vision import write_llava, write_qwen

library: Any = transformers

ASPECTS = ("accuracy", "originality", "quality", "consistency", "emotion")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {
        "llava": write_llava(tmp_path_factory.mktemp("llava")),
        "qwen": write_qwen(tmp_path_factory.mktemp("qwen")),
    }


@pytest.fixture(scope="module")
def models() -> Models:
    return Models()


def judge_of(folder: Path, models: Models, options: str = "") -> LocalJudge:
    judge = load(f"judge:local#{folder}{options}", models)
    assert isinstance(judge, LocalJudge)
    return judge


@pytest.mark.parametrize("kind", ["llava", "qwen"])
def test_any_model_gives_an_answer_that_can_be_read(
    kind: str, folders: dict[str, Path], models: Models
) -> None:
    judge, shown = judge_of(folders[kind], models), samples(8)
    scores = judge.score(shown)
    assert [score.failure for score in scores] == [None] * 8
    for score in scores:
        assert list(score.values) == [judge.name, *(f"{judge.name}.{a}" for a in ASPECTS)]
        assert 0 <= score.values[judge.name] <= 100
        assert all(0 <= score.values[f"{judge.name}.{a}"] <= 10 for a in ASPECTS)
        assert list(score.detail) == [judge.name]
    assert len({str(score) for score in scores}) > 1


def test_of_what_is_allowed_the_model_writes_what_it_thinks_likeliest(
    folders: dict[str, Path], models: Models
) -> None:
    [sample], folder = samples(1), folders["qwen"]  # every letter is a token
    judge = judge_of(folder, models, "(words=0)")
    [score] = judge.score([sample])
    processor = library.AutoProcessor.from_pretrained(folder)
    model = library.AutoModelForImageTextToText.from_pretrained(folder).eval()
    written = (
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>"
        f"{GRADE}\n{grade_text(sample.prompt.text)}<|im_end|>\n<|im_start|>assistant\n"
        '{"reason": "'
    )
    picture = Image.fromarray(np.asarray(sample.pixels))
    before = '", '
    for key, most in [*((aspect, 10) for aspect in ASPECTS), ("overall", 100)]:
        written += f'{before}"{key}": '
        number = ""
        while True:
            after = "}" if key == "overall" else ","
            allowed = [d for d in "0123456789" if number != "0" and int(number + d) <= most]
            allowed += [after] if number else []
            inputs = processor(text=written + number, images=picture, return_tensors="pt")
            with torch.inference_mode():
                logits = model(**inputs).logits[0, -1]
            tokens = [processor.tokenizer(letter).input_ids[0] for letter in allowed]
            letter = allowed[int(logits[tokens].argmax())]
            if letter == after:
                break
            number += letter
        name = judge.name if key == "overall" else f"{judge.name}.{key}"
        assert score.values[name] == float(number)
        written, before = written + number, ", "


def test_sixteen_at_once_score_as_sixteen_alone(folders: dict[str, Path], models: Models) -> None:
    judge, shown = judge_of(folders["llava"], models, "(batch=4,words=8)"), samples(16)
    alone = [judge.score([sample])[0] for sample in shown]
    assert judge.score(shown) == alone
    assert len({str(score) for score in alone}) > 1


def test_its_reasons_are_its_own_words_and_as_long_as_was_said(
    folders: dict[str, Path], models: Models
) -> None:
    shown = samples(6)
    lengths = []
    for words in (0, 6, 24):
        judge = judge_of(folders["qwen"], models, f"(words={words})")
        lengths.append(max(len(s.detail[judge.name]) for s in judge.score(shown)))
    assert 0 == lengths[0] < lengths[1] <= 6  # a token is a letter
    assert lengths[1] <= lengths[2] <= 24


@pytest.mark.parametrize("kind", ["llava", "qwen"])
def test_it_can_hold_a_tournament(kind: str, folders: dict[str, Path], models: Models) -> None:
    prompt = Prompt("p", "a red circle")
    shown = [Sample(prompt, sample.pixels, 1, 1) for sample in samples(5)]
    black = Sample(prompt, np.zeros((32, 32, 3), np.uint8), 1, 1)
    standing = tournament(judge_of(folders[kind], models), [*shown, black])
    assert standing.failed == {5: "the picture is black"}
    assert sorted(n for place in standing.places for n in place) == [0, 1, 2, 3, 4]
    assert {match.failure for match in standing.matches} == {None}


def test_a_video_has_the_mean_of_its_key_frames_and_their_minimum(
    folders: dict[str, Path], models: Models
) -> None:
    judge = judge_of(folders["llava"], models)
    frames = [np.asarray(sample.pixels)[:, :32] for sample in samples(4)]
    prompt = Prompt("p", "a red circle")
    single = judge.score([Sample(prompt, frame, 1, 1) for frame in frames])
    marks = [score.values[judge.name] for score in single]
    [score] = judge.score([Sample(prompt, np.stack(frames), 1, 1)])
    assert score.values[judge.name] == pytest.approx(sum(marks) / 4)
    assert score.values[f"{judge.name}.min"] == min(marks)


def test_broken_pictures_fail_alone(folders: dict[str, Path], models: Models) -> None:
    judge, good = judge_of(folders["llava"], models), samples(1)[0]
    black = Sample(good.prompt, np.zeros((32, 32, 3), np.uint8), 1, 1)
    first, second, third = judge.score([good, black, good])
    assert second.failure == f"{judge.name}: the picture is black"
    assert first == third


class Spelled:
    """A tokenizer of whole words, given as a list."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def get_vocab(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}


def test_numbers_may_be_spelled_in_any_way_the_tokenizer_knows() -> None:
    from noise_search.verifiers.judge_local import _digits, _spellings

    digits = _digits(Spelled([*"0123456789", "10", "42", "100", "007"]))
    assert {1, 10} < set(digits.values())
    ways = _spellings(100, digits)
    assert {way for way in ways if way[0] == 1 and len(way) == 3} == {(1, 0, 0)}
    assert {(10,), (1, 0), (12,), (10, 0), (11,), (4, 2), (0,)} <= ways
    assert (13,) not in ways
    assert (0, 0) not in ways
    with pytest.raises(UserError, match="no token for the digit 7"):
        _digits(Spelled(list("012345689")))


def test_a_form_is_what_the_parser_reads(folders: dict[str, Path]) -> None:
    tokenizer = library.AutoTokenizer.from_pretrained(folders["qwen"])
    for kind in (Grades, Preference):
        form = Form(tokenizer, kind, 8)
        tokens: list[int] = []
        for piece in form.pieces:
            so_far: tuple[int, ...] = ()
            while not piece.may_end(so_far):
                so_far = (*so_far, min(piece.next(so_far)))
            tokens += so_far
        assert len(tokens) < form.longest
        answer = read(kind, form.text(tokens))
        assert json.loads(form.text(tokens)) == answer.model_dump()


def test_it_says_what_decides_its_scores(folders: dict[str, Path], models: Models) -> None:
    judge = judge_of(folders["llava"], models, "(words=7)")
    assert judge.card.version.startswith("judge rubric 1 sha256:")
    assert judge.card.version.endswith(" float32 greedy words=7")
    assert judge.card.costly


def test_what_lacks_is_told_in_one_line(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^verifier judge:local#[^\n]*: no config.json and no saf"):
        load(f"judge:local#{tmp_path}")
    folder = Path(shutil.copytree(folders["llava"], tmp_path / "spoiled"))
    (folder / "processor_config.json").write_text("{")
    with pytest.raises(UserError, match=r"^verifier judge:local#[^\n]*cannot be loaded: [^\n]*$"):
        load(f"judge:local#{folder}")
