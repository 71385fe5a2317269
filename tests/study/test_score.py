"""Verifiers without a search: from Python and from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import noise_search
from noise_search import UserError
from noise_search.verifiers.clip import Clip
from tests.cli.conftest import Call, call, here

__all__ = ["call", "here"]

PROMPT = "a red circle"


def picture(seed: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    return Image.fromarray(values)


@pytest.fixture
def folder(here: Path) -> Path:
    (here / "pictures").mkdir()
    for seed in range(3):
        picture(seed).save(here / f"pictures/{seed}.png")
    return here / "pictures"


def brightness(images: list[Any], prompt: str) -> list[float]:
    return [float(np.asarray(image).mean()) for image in images]


def test_paths_pictures_and_pixels_have_the_same_scores(folder: Path) -> None:
    images = [folder / "0.png", str(folder / "1.png"), picture(2), np.asarray(picture(0))]
    found = noise_search.score(images, PROMPT, verifier="shapes-clip")
    expected = Clip.shipped().similarity([picture(i) for i in (0, 1, 2, 0)], [PROMPT] * 4)
    assert [s.values["shapes-clip"] for s in found] == pytest.approx(expected, abs=1e-5)


def test_every_picture_may_have_a_prompt_of_its_own(folder: Path) -> None:
    prompts = [PROMPT, "two blue squares"]
    found = noise_search.score([picture(0)] * 2, prompts, verifier="shapes-clip")
    expected = Clip.shipped().similarity([picture(0)] * 2, prompts)
    assert [s.values["shapes-clip"] for s in found] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(UserError, match="prompts: 2 for 3 pictures"):
        noise_search.score([picture(0)] * 3, prompts, verifier="shapes-clip")


def test_many_pictures_are_read_in_parts_and_keep_their_order(folder: Path) -> None:
    paths = [folder / f"{i % 3}.png" for i in range(150)]
    paths[70] = folder / "gone.png"
    found = noise_search.score(paths, verifier=brightness)
    assert found[70].failure == f"image: {folder / 'gone.png'}: No such file or directory"
    means = [float(np.asarray(picture(i)).mean()) for i in range(3)]
    rest = [(i, one) for i, one in enumerate(found) if i != 70]
    assert all(one.values["brightness"] == means[i % 3] for i, one in rest)


def test_videos_are_judged_too() -> None:
    frames = np.stack([np.asarray(picture(i)) for i in range(5)])
    [found] = noise_search.score([frames], verifier=brightness)
    assert found.values["brightness.min"] <= found.values["brightness"]


@pytest.mark.parametrize(
    ("verifier", "said"),
    [
        ("shapes-clip", "prompt: shapes-clip needs what the picture was asked to show"),
        ("rank(shapes,shapes-clip)", "prompt: shapes needs what"),
        ("exact", "verifier exact: it judges texts, and these are pictures"),
        ("rank(shapes-clip,exact)", "verifier exact: it judges texts"),
        ("shapes-clp", "did you mean 'shapes-clip'"),
    ],
)
def test_what_cannot_be_judged_is_refused(verifier: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        noise_search.score([picture(0)], verifier=verifier)


def test_the_command_prints_a_line_a_picture(call: Call, folder: Path) -> None:
    (folder / "a.png").write_text("no picture")
    Image.new("RGB", (32, 32)).save(folder / "b.png")
    said = call("score", "rank(shapes-clip,shapes-clip-weak)", "pictures", "--prompt", PROMPT)
    lines = said.out.splitlines()
    assert (said.code, said.err) == (1, "2 of 5 pictures could not be judged\n")
    assert lines[0].split() == ["image", "rank", "shapes-clip", "shapes-clip-weak"]
    assert [line.split()[0] for line in lines[1:]] == [
        f"pictures/{name}.png" for name in ("0", "1", "2", "a", "b")
    ]
    assert "failed: image: pictures/a.png is no PNG, JPEG or WEBP picture" in lines[4]
    assert "the picture is black" in lines[5]
    [score] = noise_search.score([picture(1)], PROMPT, verifier="shapes-clip")
    assert float(lines[2].split()[2]) == pytest.approx(score.values["shapes-clip"], rel=1e-5)


def test_the_command_writes_json_and_takes_a_file_of_prompts(call: Call, folder: Path) -> None:
    Path("prompts.txt").write_text(f"{PROMPT}\na blue square\n")
    files = ("pictures/0.png", "pictures/gone.png")
    said = call("score", "shapes-clip", *files, "--prompts", "prompts.txt", "--json")
    first, second = map(json.loads, said.out.splitlines())
    assert (said.code, said.err) == (1, "1 of 2 pictures could not be judged\n")
    assert first["image"] == "pictures/0.png"
    assert first["prompt"] == PROMPT
    assert set(first["scores"]) == {"shapes-clip"}
    assert second["failure"] == "image: pictures/gone.png: No such file or directory"
    said = call("score", "shapes-clip", "pictures", "--prompts", "prompts.txt")
    assert (said.code, said.err) == (
        2,
        "noise-search: prompts prompts.txt: 2 prompts for 3 pictures\n",
    )


def test_the_exit_code_tells_that_a_picture_has_no_score(call: Call, folder: Path) -> None:
    said = call("score", "shapes-clip", "pictures", "--prompt", PROMPT)
    assert (said.code, said.err) == (0, "")
    said = call("score", "shapes-clip", "pictures/gone.png", "--prompt", PROMPT)
    assert (said.code, "No such file" in said.out) == (1, True)


SEVERAL = [PROMPT, PROMPT, "a blue square", "a blue square"]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "spec",
    [
        "rank(shapes-clip,shapes-clip-weak)",
        "weighted(shapes-clip=1,shapes-clip-weak=-0.5)",
        "first(shapes,shapes-clip)",
    ],
)
def test_what_a_ranking_joins_is_told_by_prompt(
    call: Call, folder: Path, spec: str, as_json: bool
) -> None:
    picture(3).save(folder / "3.png")
    Path("prompts.txt").write_text("\n".join(SEVERAL))
    flags = ["--json"] if as_json else []
    said = call("score", spec, "pictures", "--prompts", "prompts.txt", *flags)
    assert said.code == 0
    if as_json:
        values = [json.loads(line)["joined"] for line in said.out.splitlines()]
    else:
        head, *lines = said.out.splitlines()
        assert head.split()[:3] == ["image", "prompt", spec.partition("(")[0]]
        rests = [li.partition(text)[2] for li, text in zip(lines, SEVERAL, strict=True)]
        values = [float(rest.split()[0]) for rest in rests]
    raw = noise_search.score(sorted(folder.iterdir()), SEVERAL, verifier=spec)
    for pair in (0, 2):  # each prompt's two pictures
        one, other = (raw[pair + i].values for i in range(2))
        if spec.startswith("rank"):
            above = [float(one[name] > other[name]) for name in one]
            expected = [1 + sum(above) / 2, 2 - sum(above) / 2]
        elif spec.startswith("first"):
            expected = [2, 1] if tuple(one.values()) > tuple(other.values()) else [1, 2]
        else:  # of two, one is a deviation above the mean and the other below
            signs = {name: 1 if one[name] > other[name] else -1 for name in one}
            total = signs["shapes-clip"] - 0.5 * signs["shapes-clip-weak"]
            expected = [total, -total]
        assert values[pair : pair + 2] == pytest.approx(expected, rel=1e-4)


def test_one_picture_is_asked_about_by_all_prompts(call: Call, folder: Path) -> None:
    Path("prompts.txt").write_text(f"{PROMPT}\na blue square\nthree green triangles\n")
    flags = ("--prompts", "prompts.txt", "--json")
    said = call("score", "shapes-clip", "pictures/0.png", *flags)
    found = [json.loads(line) for line in said.out.splitlines()]
    texts = [line["prompt"] for line in found]
    assert texts == [PROMPT, "a blue square", "three green triangles"]
    expected = noise_search.score([picture(0)] * 3, texts, verifier="shapes-clip")
    assert [line["scores"] for line in found] == [score.values for score in expected]


def test_of_a_run_the_pictures_are_judged_and_not_its_reports(call: Call, here: Path) -> None:
    how = ("--budget", "4nfe", "--steps", "2", "--out", "run", "--quiet")
    assert call("generate", "a red circle", *how).code == 0
    assert (here / "run/sheet.png").exists()
    picture(0).save(here / "run/curve.png")
    picture(0).save(here / "run/images/film.png")
    (here / "run/images/film.mp4").write_bytes(b"a film, whose strip is not judged")
    said = call("score", "shapes-clip", "run", "--prompt", PROMPT)
    files = [line.split()[0] for line in said.out.splitlines()[1:]]
    assert files
    assert all(file.startswith("run/images/") and "film" not in file for file in files)
    assert said.err == "note: 3 reports of runs are no pictures to judge\n"
    named = call("score", "shapes-clip", "run/sheet.png", "--prompt", PROMPT)
    assert named.out.splitlines()[1].startswith("run/sheet.png")
    picture(0).save(here / "sheet.png")  # of nobody's run
    assert "sheet.png" in call("score", "shapes-clip", ".", "--prompt", PROMPT).out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("shapes-clp", "pictures", "--prompt", "a"), "did you mean 'shapes-clip'"),
        (("rank(shapes-clip,shaps)", "pictures", "--prompt", "a"), "did you mean 'shapes'"),
        (("shapes-clip", "."), "prompt: shapes-clip needs"),
        (("shapes-clip", "empty", "--prompt", "a"), "images: empty holds no PNG, JPEG or WEBP"),
        (("shapes-clip", ".", "--prompt", "a", "--prompts", "b.txt"), "exclude each other"),
    ],
)
def test_mistakes_get_one_line(call: Call, folder: Path, words: tuple[str, ...], said: str) -> None:
    Path("empty").mkdir()
    told = call("score", *words)
    assert told.code == 2
    assert said in told.err
    assert told.err.count("\n") == 1
