"""Language models by their specs and as users hold them; what cannot be had is refused."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

import noise_search
from noise_search import UserError
from noise_search.ask import Prompt
from noise_search.noise import Book
from noise_search.pipelines.loading import Options, load
from noise_search.pipelines.text.loading import ARITHMETIC, wrap
from noise_search.pipelines.text.options import TextOptions
from noise_search.pipelines.text.prompting import AGAIN, Chat, Plain

TEMPLATE = (
    "{% for m in messages %}{{ m.role }}\n{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant\n{% endif %}"
)
QUESTION = Prompt("q", "3 + 4 * 2 - 5")


@pytest.fixture(scope="module")
def loaded() -> tuple[Any, Any]:
    model: Any = AutoModelForCausalLM.from_pretrained(ARITHMETIC)
    tokenizer: Any = AutoTokenizer.from_pretrained(ARITHMETIC)
    return model, tokenizer


def options(**text: Any) -> Options:
    return Options(book=Book(), width=4, threads=1, text=TextOptions(**text))


def lengths(texts: Sequence[str], prompt: str) -> list[float]:
    return [float(len(text)) for text in texts]


def test_the_built_in_model_and_its_folder_as_any_other_read_the_same() -> None:
    own: Any = load("arithmetic", options())
    other: Any = load(f"hf:{ARITHMETIC}", options())
    assert own.style.prompting(QUESTION, ()) == other.style.prompting(QUESTION, ())
    attempts = ["4 * 2 = 9\nanswer 7"]
    assert own.style.prompting(QUESTION, attempts) != other.style.prompting(QUESTION, attempts)


def test_a_plain_revision_shows_the_attempts_and_asks_again(loaded: tuple[Any, Any]) -> None:
    _, tokenizer = loaded
    ids = Plain(tokenizer)(QUESTION, ["4 * 2 = 9\nanswer 7"])
    words = f"{QUESTION.text}\n4 * 2 = 9\nanswer 7\n{AGAIN}\n"
    assert ids == tokenizer(words)["input_ids"]


def test_a_chat_is_put_in_the_models_own_template(loaded: tuple[Any, Any]) -> None:
    model, tokenizer = loaded
    tokenizer.chat_template = TEMPLATE
    try:
        chat = Chat(tokenizer, "be brief")
        said = "system\nbe brief\nuser\n1\nassistant\n2\nuser\n" + AGAIN + "\nassistant\n"
        wanted = tokenizer(said, add_special_tokens=False)["input_ids"]
        assert chat(Prompt("q", "1"), ["2"]) == wanted
        usual: Any = wrap(model, tokenizer, options())
        assert isinstance(usual.style.prompting, Chat)
        plain: Any = wrap(model, tokenizer, options(), chat=False)
        assert isinstance(plain.style.prompting, Plain)
    finally:
        tokenizer.chat_template = None


def test_a_template_that_refuses_a_conversation_is_one_line(loaded: tuple[Any, Any]) -> None:
    _, tokenizer = loaded
    tokenizer.chat_template = "{{ raise_exception('no system line') }}"
    try:
        with pytest.raises(UserError, match=r"chat template refuses .* no system line"):
            Chat(tokenizer)(QUESTION, ())
    finally:
        tokenizer.chat_template = None


def test_a_template_that_asks_for_the_time_is_told_the_same_every_day(
    loaded: tuple[Any, Any],
) -> None:
    _, tokenizer = loaded
    tokenizer.chat_template = "{{ strftime_now('%Y') }} {{ date_string }}\n"
    try:
        said = tokenizer("26 Jul 2024 26 Jul 2024", add_special_tokens=False)["input_ids"]
        assert Chat(tokenizer)(QUESTION, ()) == said
    finally:
        tokenizer.chat_template = None


def test_the_built_in_model_has_no_system_line() -> None:
    with pytest.raises(UserError, match="system"):
        load("arithmetic", options(system="be brief"))


@pytest.mark.parametrize("spec", ["hf:{0}(chat=true)", "hf:{0}"], ids=["asked", "with a system"])
def test_a_model_without_a_template_cannot_chat(spec: str) -> None:
    text = {} if "chat" in spec else {"system": "be brief"}
    with pytest.raises(UserError, match="chat"):
        load(spec.format(ARITHMETIC), options(**text))


@pytest.mark.parametrize("spec", ["hf", "hf:x#y", "hf:./none", "hf:no/such-model", "arithmetic:x"])
def test_a_model_that_is_not_there_is_one_line(
    spec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError) as refused:
        load(spec, options())
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_torn_weights_are_one_line(tmp_path: Path) -> None:
    folder = shutil.copytree(ARITHMETIC, tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="cannot be loaded"):
        load(f"hf:{folder}", options())


def test_weights_that_are_missing_are_not_made_up(tmp_path: Path) -> None:
    folder = shutil.copytree(ARITHMETIC, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack model\.norm\.weight"):
        load(f"hf:{folder}", options())


def test_a_question_that_fills_the_context_is_refused_before_anything_is_spent(
    tmp_path: Path,
) -> None:
    question = " + ".join(["12"] * 300)
    with pytest.raises(UserError, match="leave no room in the model's context of 512"):
        noise_search.search("arithmetic", question, verifier=lengths, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_pair_and_a_pipeline_of_transformers_are_searched(loaded: tuple[Any, Any]) -> None:
    given: dict[str, Any] = {
        "verifier": lengths,
        "budget": "6calls",
        "batch": 4,
        "max_tokens": 40,
        "answers": "answer",
    }
    pair = noise_search.search(loaded, QUESTION.text, **given)
    pipe: Any = pipeline("text-generation", model=loaded[0], tokenizer=loaded[1])
    [again] = noise_search.search(pipe, [QUESTION.text], **given)
    assert pair.best is not None
    assert again.best is not None
    assert pair.best.text == again.best.text
    assert pair.best.text is not None
    assert pair.spent.tokens_out == sum(len(c.text.tokens) for c in pair.candidates if c.text)
    with pytest.raises(TypeError, match="text"):
        _ = pair.best.image


def test_what_is_neither_pipeline_nor_language_model_is_refused() -> None:
    with pytest.raises(UserError, match="no diffusers pipeline and no pair"):
        noise_search.search((1, 2), "3 + 4", verifier=lengths)
