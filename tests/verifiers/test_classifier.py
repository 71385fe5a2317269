"""The logit of a label, by classifiers of transformers; labels by name, number and prompt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from noise_search.ask import Prompt
from noise_search.errors import UserError
from noise_search.problem import Sample
from noise_search.verifiers.loading import load
from noise_search.verifiers.models import Models
from tests.verifiers.towers import lively, samples

LABELS = {0: "tench, Tinca tinca", 1: "goldfish", 2: "tabby, tabby cat", 3: "7"}


def write(folder: Path, kind: str = "vit") -> Path:
    from transformers import (
        ConvNextConfig,
        ConvNextForImageClassification,
        ConvNextImageProcessor,
        ViTConfig,
        ViTForImageClassification,
        ViTImageProcessor,
    )

    names = {"id2label": LABELS, "label2id": {name: i for i, name in LABELS.items()}}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        if kind == "vit":
            config: Any = ViTConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=32,
                patch_size=16,
                **names,
            )
            model: Any = ViTForImageClassification(config)
            processor: Any = ViTImageProcessor(size={"height": 32, "width": 32})
        else:
            config = ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, **names)
            model = ConvNextForImageClassification(config)
            processor = ConvNextImageProcessor(size={"shortest_edge": 32})
        lively(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("classifier"))


def values(spec: str, shown: list[Sample]) -> list[float]:
    scores = load(spec).score(shown)
    assert [score.failure for score in scores] == [None] * len(shown)
    return [score.values[spec] for score in scores]


@pytest.mark.parametrize("kind", ["vit", "convnext"])
def test_scores_are_the_logits_of_the_model(kind: str, tmp_path: Path) -> None:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    write(tmp_path, kind)
    model: Any = AutoModelForImageClassification.from_pretrained(str(tmp_path)).eval()
    processor: Any = AutoImageProcessor.from_pretrained(str(tmp_path))
    shown = samples(4)
    images = [Image.fromarray(np.asarray(s.pixels)) for s in shown]
    with torch.inference_mode():
        logits = model(processor(images, return_tensors="pt").pixel_values).logits
    assert float(logits[:, 2].std()) > 1e-3
    assert values(f"classifier:{tmp_path}#2", shown) == pytest.approx(
        logits[:, 2].tolist(), abs=1e-5
    )


@pytest.mark.parametrize(
    ("label", "number"),
    [("goldfish", 1), ("Goldfish", 1), ("tabby cat", 2), ("tabby, tabby cat", 2), ("7", 3)],
)
def test_a_label_has_names_and_a_number(folder: Path, label: str, number: int) -> None:
    shown = samples(2)
    by_number = values(f"classifier:{folder}#{number}", shown)
    assert values(f"classifier:{folder}#{label}", shown) == by_number
    others = [values(f"classifier:{folder}#{i}", shown) for i in range(4) if i != number]
    assert by_number not in others


def test_without_a_label_prompts_are_labels(folder: Path) -> None:
    [sample] = samples(1)
    asked = [replace(sample, prompt=Prompt("p", text)) for text in ("goldfish", "goldfsh", "0")]
    named, misspelt, numbered = load(f"classifier:{folder}").score(asked)
    name = f"classifier:{folder}"
    assert named.values[name] == values(f"{name}#goldfish", [sample])[0]
    assert numbered.values[name] == pytest.approx(values(f"{name}#0", [sample])[0], abs=1e-6)
    assert misspelt.values == {}
    assert str(misspelt.failure).endswith("unknown label 'goldfsh'; did you mean 'goldfish'?")


def test_sixteen_at_once_score_as_sixteen_alone(folder: Path) -> None:
    spec, shown = f"classifier:{folder}#tench(batch=4)", samples(16)
    alone = [values(spec, [sample])[0] for sample in shown]
    assert values(spec, shown) == pytest.approx(alone, abs=1e-6)


def test_labels_share_a_model_and_the_card_tells_of_it(folder: Path) -> None:
    models = Models()
    first, other = (load(f"classifier:{folder}#{label}", models) for label in ("0", "goldfish"))
    cards: list[Any] = [getattr(verifier, "card") for verifier in (first, other)]  # noqa: B009
    assert cards[0].version == cards[1].version
    assert cards[0].needs == {"pixels"}
    assert "ViTForImageClassification" in cards[0].version


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("classifier", "write classifier:ORG/NAME#label"),
        ("classifier:{folder}#goldfsh", r"unknown label 'goldfsh'; did you mean 'goldfish'\?$"),
        ("classifier:{folder}#44", "label 44: it knows 4, numbered from 0$"),
        ("classifier:./absent#1", "no folder 'absent'"),
        ("classifier:org/model#1", r"config.json and .* of org/model are not on the disk; .*fetch"),
        ("classifier:{folder}#1(devise=cpu)", "did you mean 'device'"),
        ("clasifier:{folder}#1", "did you mean 'classifier'"),
    ],
)
def test_what_lacks_is_named(spec: str, said: str, folder: Path) -> None:
    with pytest.raises(UserError, match=said) as error:
        load(spec.format(folder=folder))
    assert "\n" not in str(error.value)


def test_a_folder_of_another_kind_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(
        UserError, match=r"^verifier classifier:.*: no image classifier in"
    ) as error:
        load(f"classifier:{tmp_path}#0")
    assert "\n" not in str(error.value)


def test_nothing_is_shown_while_a_model_is_loaded(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    load(f"classifier:{folder}#0")
    assert capfd.readouterr() == ("", "")
