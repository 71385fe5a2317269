"""Measures of sets by their specs: over folders, over the winners of a run, on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import noise_search
from noise_search import UserError
from noise_search.pipelines.shapes.scenes import parse, render
from noise_search.study.sets import Fid, Inception, statistics
from noise_search.verifiers.clip import Clip
from noise_search.verifiers.sets import Statistics, frechet
from tests.cli.conftest import Call, call, here
from tests.verifiers import test_classifier
from tests.verifiers.test_own_preview import write_dino

__all__ = ["call", "here"]
FID = "fid(features=shapes-clip,reference=stats.safetensors)"


def drawn(text: str, seed: int) -> Any:
    return render(parse(text), np.random.default_rng(seed))


def folder_of(path: Path, text: str, count: int) -> Path:
    path.mkdir()
    for seed in range(count):
        Image.fromarray(drawn(text, seed)).save(path / f"{seed:03}.png")
    return path


@pytest.fixture
def two(here: Path) -> Path:
    """Folders of circles and of squares, and the statistics of circles."""
    folder_of(here / "circles", "a red circle", 12)
    folder_of(here / "squares", "a blue square", 12)
    statistics(sorted((here / "circles").iterdir()), "shapes-clip").save("stats.safetensors")
    return here


def means(pictures: Sequence[Any]) -> list[Any]:
    return [np.asarray(picture).mean((0, 1)) / 255 for picture in pictures]


def test_the_distance_is_that_of_the_features(two: Path) -> None:
    encoder = Clip.shipped().encoder
    sets = [[drawn(text, i) for i in range(12)] for text in ("a blue square", "a red circle")]
    rows = [np.stack(encoder.pictures(one)) for one in sets]
    found = noise_search.measure(sorted((two / "squares").iterdir()), FID)
    expected = frechet(Statistics.of(rows[0]), Statistics.of(rows[1]))
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.value > 10 * noise_search.measure(sets[1], FID).value
    assert found.pictures == 12
    assert [note[:40] for note in found.notes] == [
        "the set has 12 pictures for 128 features",
        "the reference has 12 pictures for 128 fe",
    ]


def test_a_folder_is_a_reference_too(two: Path) -> None:
    spec = "fid(features=shapes-clip,reference=circles)"
    paths = sorted((two / "squares").iterdir())
    by_file, by_folder = (noise_search.measure(paths, one).value for one in (FID, spec))
    assert by_folder == pytest.approx(by_file, rel=1e-9)


def test_functions_of_ones_own_are_features_and_probabilities() -> None:
    sets = [[drawn(text, i) for i in range(8)] for text in ("a blue square", "a red circle")]
    goal = Fid(means, statistics(sets[1], means, "colours"))
    found = noise_search.measure(sets[0], goal)
    rows = [Statistics.of(means(one)) for one in sets]
    assert found.value == pytest.approx(frechet(*rows))
    assert found.notes == ()

    def sure(pictures: Sequence[Any]) -> list[Any]:
        return [
            np.eye(2)[int(np.asarray(p)[..., 0].mean() > np.asarray(p)[..., 2].mean())]
            for p in pictures
        ]

    assert noise_search.measure(sets[0] * 2 + sets[1] * 2, Inception(sure)).value == pytest.approx(
        2
    )


def test_the_winners_of_a_run_are_a_set() -> None:
    found = noise_search.search(
        "shapes", ["a red circle", "a blue square"], budget="32nfe", top_k=2
    )
    pixels = [winner.pixels for result in found for winner in result.winners]
    goal = Fid(means, statistics([drawn("a red circle", i) for i in range(8)], means))
    by_results, by_pixels = noise_search.measure(found, goal), noise_search.measure(pixels, goal)
    assert by_results == by_pixels
    assert by_results.pictures == 4


def test_many_pictures_stream_and_broken_ones_are_left_out(two: Path) -> None:
    pictures: list[Any] = [drawn("a red circle", i) for i in range(150)]
    goal = Fid(means, statistics(pictures, means))
    pictures[70] = np.zeros((32, 32, 3), np.uint8)
    pictures[3] = two / "gone.png"
    found = noise_search.measure(pictures, goal)
    assert found.pictures == 148
    assert set(found.failures) == {3, 70}
    assert found.failures[70] == "the picture is black"
    with pytest.raises(UserError, match="there is no picture to judge"):
        noise_search.measure([two / "gone.png"], goal)
    with pytest.raises(UserError, match="picture 3: image: "):
        statistics(pictures, means)


def test_classes_by_a_classifier_of_transformers(tmp_path: Path) -> None:
    folder = test_classifier.write(tmp_path / "classifier")
    pictures = [drawn("a red circle", i) for i in range(20)]
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    processor = AutoImageProcessor.from_pretrained(folder)
    network = AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        pixels = processor([Image.fromarray(p) for p in pictures], return_tensors="pt").pixel_values
        p = network(pixels).logits.double().softmax(-1).numpy()
    expected = np.exp((p * (np.log(p) - np.log(p.mean(0)))).sum(1).mean())
    found = noise_search.measure(pictures, f"is(classifier={folder})")
    assert found.value == pytest.approx(expected, abs=1e-5)


def test_features_by_any_model_of_pictures(tmp_path: Path) -> None:
    folder = write_dino(tmp_path / "dino")
    pictures = [drawn("a red circle", i) for i in range(4)]
    statistics(pictures, str(folder)).save(tmp_path / "stats.safetensors")
    spec = f"fid(features={folder},reference={tmp_path / 'stats.safetensors'})"
    assert noise_search.measure(pictures, spec).value == pytest.approx(0, abs=1e-9)


def test_a_reference_of_other_features_is_refused(two: Path) -> None:
    spec = "fid(features=shapes-clip-weak,reference=stats.safetensors)"
    with pytest.raises(
        UserError, match=r"the reference was made with .*shapes_clip .*not with .*weak"
    ):
        noise_search.measure(["circles/000.png"], spec)


def test_the_command_says_the_figure_and_what_is_missing(call: Call, two: Path) -> None:
    (two / "squares/broken.png").write_text("no picture")
    said = call("score", FID, "squares")
    first, second, *notes = said.out.splitlines()
    assert (said.code, said.err) == (1, "1 of 13 pictures could not be judged\n")
    assert first.startswith(f"{FID}  0.")
    assert first.endswith("(12 pictures)")
    assert second.startswith("squares/broken.png  failed: image: squares/broken.png is no PNG")
    assert all(note.startswith("note: ") for note in notes)
    told = json.loads(call("score", FID, "squares", "--json").out)
    assert told["value"] == pytest.approx(float(first.split()[1]), rel=1e-5)
    assert set(told["failures"]) == {"squares/broken.png"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("score", "fid", "squares"), "measure fid: write fid(features=MODEL,reference=FILE)"),
        (("score", "is", "squares"), "measure is: write is(classifier=FOLDER)"),
        (("score", "fid(reference=gone.safetensors)", "squares"), "no such file"),
        (("score", "fid(refrence=a)", "squares"), "did you mean 'reference'"),
        (("score", "is(classifier=./gone)", "squares"), "no folder"),
        (("generate", "a red circle", "--verifier", "fid"), "fid judges a whole set of pictures"),
        (("generate", "a red circle", "--evaluate", "is"), "is judges a whole set of pictures"),
    ],
)
def test_mistakes_get_one_line(call: Call, two: Path, words: tuple[str, ...], said: str) -> None:
    told = call(*words)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert said in told.err
