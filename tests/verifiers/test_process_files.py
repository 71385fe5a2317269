"""Folders of process reward models: what is loaded, saved and recorded, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
)

from noise_search.errors import UserError
from noise_search.verifiers import process_files
from noise_search.verifiers.loading import load
from tests.verifiers.checkpoints import (
    LINES,
    byte_tokenizer,
    classifier,
    value,
    write_shepherd,
    written,
)


def spoil(folder: Path, what: str) -> None:
    card = folder / "process_reward.json"
    if what == "no config":
        (folder / "config.json").unlink()
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "no card":
        card.unlink()
    elif what == "torn weights":
        path = folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    elif what == "no head":
        kept = {k: v for k, v in load_file(folder / "model.safetensors").items() if "sco" not in k}
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    elif what == "two labels":
        classifier("llama", AutoTokenizer.from_pretrained(folder), 2).save_pretrained(folder)
    elif what == "torn card":
        card.write_text("{")
    else:
        card.write_text(what)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("no config", "no config.json"),
        ("no weights", "no weights (*.safetensors)"),
        ("no card", "Qwen2ForProcessRewardModel, not LlamaForTokenClassification"),
        ("torn weights", "cannot load a process reward model from"),
        ("no head", "the weights lack score.bias, score.weight; expected token-classification"),
        ("two labels", "expected a model of 1 label, not of 2"),
        ("torn card", "cannot load a process reward model from"),
        ('{"format": 1, "convention": "steptag"}', "'steptag'; did you mean 'step-tag'?"),
        ('{"format": 2, "convention": "step-tag"}', "process_reward.json: expected"),
        ("[]", "process_reward.json: unknown convention ''; known: likelihood, process-head"),
        (
            '{"format": 1, "convention": "step-tag", "step": "ки"}',
            "expected step-tag",
        ),
    ],
)
def test_a_folder_of_another_format(copy: Callable[[str], Path], what: str, line: str) -> None:
    folder = copy("llama")
    spoil(folder, what)
    with pytest.raises(UserError) as caught:
        load(f"prm:{folder}")
    assert line in str(caught.value)
    assert str(caught.value).startswith(f"verifier prm:{folder}: ")
    assert "\n" not in str(caught.value)


def test_a_language_model_that_is_no_process_reward_model(tmp_path: Path) -> None:
    folder = write_shepherd(tmp_path, "ab")
    with pytest.raises(UserError, match="expected '\\+', '-' and 'ки' in the vocabulary"):
        load(f"prm:{folder}")


def test_a_head_without_its_token_or_template(copy: Callable[[str], Path]) -> None:
    folder = copy("qwen-prm")
    byte_tokenizer("<|im_start|>", "<|im_end|>", "<extra_0>").save_pretrained(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="expected a tokenizer with a chat template"):
        load(f"prm:{folder}")
    byte_tokenizer("<|im_start|>", "<|im_end|>", chat=True).save_pretrained(folder)
    with pytest.raises(UserError, match="expected '<extra_0>' in the vocabulary"):
        load(f"prm:{folder}")
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="cannot load a process reward model from"):
        load(f"prm:{folder}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("prm:./nowhere", "verifier prm:./nowhere: no folder 'nowhere'"),
        ("prm:nowhere", "no folder 'nowhere'"),
        ("prm:org/nowhere", "no folder 'org/nowhere', and no model of this name is on the disk"),
        ("prm:a b/c", "no folder 'a b/c', and no model of this name is on the disk"),
        ("prm:a#b", "write prm, prm:FOLDER, or prm:ORG/NAME"),
        ("prm(aggregate=max)", "aggregate=max: input should be 'last', 'min', 'product' or 'mean'"),
        ("prm(flip=1.5)", "flip=1.5: input should be less than or equal to 1"),
        ("prm-random:x", "prm-random takes no target"),
    ],
)
def test_specs_that_lead_nowhere(text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        load(text)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_shipped_model_is_a_folder_like_any_other(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process_files, "SHIPPED", folders["llama"])
    shipped, named = load("prm"), load(f"prm:{folders['llama']}")
    assert value(shipped.score([written(*LINES)])[0]) == value(named.score([written(*LINES)])[0])
    monkeypatch.setattr(process_files, "SHIPPED", tmp_path / "nothing")
    with pytest.raises(UserError, match="verifier prm: no trained model comes with the package"):
        load("prm")


def test_a_model_of_the_hub_is_looked_for_in_the_cache(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    room = tmp_path / "models--org--model"
    shutil.copytree(folders["qwen-prm"], room / "snapshots" / ("0" * 40))
    (room / "refs").mkdir()
    (room / "refs" / "main").write_text("0" * 40)
    found = load("prm:org/model").score([written(*LINES)])
    assert value(found[0]) == value(load(f"prm:{folders['qwen-prm']}").score([written(*LINES)])[0])


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (sys.exit, ("a pickle was run",))


def test_torch_files_are_read_as_weights_alone(copy: Callable[[str], Path]) -> None:
    folder = copy("shepherd")
    wanted = load(f"prm:{folder}").score([written(*LINES)])
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    assert load(f"prm:{folder}").score([written(*LINES)]) == wanted
    torch.save({**weights, "evil": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot load a process reward model"):
        load(f"prm:{folder}")
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="cannot load a process reward model"):
        load(f"prm:{folder}")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    with pytest.raises(UserError, match="expected a model of 1 label, not of 3"):
        process_files.save(tmp_path, classifier("gpt2", tokenizer, labels=3), tokenizer)
    assert not list(tmp_path.iterdir())
    model = classifier("gpt2", tokenizer).half()
    process_files.save(tmp_path / "new", model, tokenizer)
    card = json.loads((tmp_path / "new" / "process_reward.json").read_text())
    assert card == {"format": 1, "convention": "token-classification", "step": "last token"}
    found = process_files.load(tmp_path / "new").convention
    assert {weight.dtype for weight in found.model.parameters()} == {torch.float32}
    for name, weight in model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], weight.float())


def test_the_record_says_what_decides_the_scores(copy: Callable[[str], Path]) -> None:
    folder = copy("llama")
    first: Any = load(f"prm:{folder}(aggregate=min,flip=0.25)")
    record = first.describe()
    version = record.pop("version")
    assert record == {
        "class": "Process",
        "convention": "token-classification",
        "dtype": "float32",
        "aggregate": "min",
        "flip": 0.25,
    }
    assert version.startswith("prm:LlamaForTokenClassification/llama sha256:")
    assert str(folder.parent) not in version
    (folder / "README.md").write_text("words")
    again: Any = load(f"prm:{folder}")
    assert again.describe()["version"] == version
    weights = load_file(folder / "model.safetensors")
    weights["score.bias"] += 1
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    other: Any = load(f"prm:{folder}")
    assert other.describe()["version"] != version
