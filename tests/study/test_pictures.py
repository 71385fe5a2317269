"""Pictures of the shipped model: metadata, sheets, reproduction from the PNG alone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import noise_search
from noise_search import Result, UserError
from noise_search.study.png import read_png

PROMPTS = ["two red circles left of a blue square", "a yellow triangle"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Result]]:
    out = tmp_path_factory.mktemp("run") / "b"
    found = noise_search.search(
        "shapes", PROMPTS, search="paths", budget="96nfe", top_k=2, batch=4, out=out
    )
    return out, found


def test_winners_lie_in_a_folder_of_their_prompt(run: tuple[Path, list[Result]]) -> None:
    out, found = run
    for result in found:
        folder = out / "images" / result.prompt.name
        assert sorted(p.name for p in folder.iterdir()) == ["best.png", "top-2.png"]
        assert result.best is not None
        pixels = np.asarray(Image.open(folder / "best.png"))
        assert np.array_equal(pixels, result.best.pixels)
    assert not (out / "live").exists()


def test_a_picture_carries_its_recipe_in_both_dialects(run: tuple[Path, list[Result]]) -> None:
    out, found = run
    path = out / "images" / found[0].prompt.name / "best.png"
    _, record = read_png(path)
    assert record["prompt"]["text"] == PROMPTS[0]
    assert record["candidate"]["scores"]
    with Image.open(path) as image:
        lines = image.info["parameters"].splitlines()
    assert lines[0] == PROMPTS[0]
    assert "Steps: 8, CFG scale: 2.0" in lines[-1]


def test_a_picture_is_made_again_from_the_png_alone(
    run: tuple[Path, list[Result]], tmp_path: Path
) -> None:
    out, found = run
    copy = tmp_path / "holiday.png"
    shutil.copy(out / "images" / found[0].prompt.name / "top-2.png", copy)
    again = noise_search.reproduce(copy)
    assert again.equal
    assert again.difference == 0


def test_any_candidate_is_made_again_from_the_run(run: tuple[Path, list[Result]]) -> None:
    out, found = run
    partial = [c for c in found[1].candidates if not c.finished][:6]
    assert len(partial) == 6
    for candidate in [*partial, found[1].candidates[-1]]:
        assert noise_search.reproduce(out, candidate=candidate.name).equal


def test_a_changed_picture_is_noticed(run: tuple[Path, list[Result]], tmp_path: Path) -> None:
    out, found = run
    path = out / "images" / found[1].prompt.name / "best.png"
    with Image.open(path) as image:
        from PIL import PngImagePlugin

        info = PngImagePlugin.PngInfo()
        info.add_itxt("noise-search", image.info["noise-search"])
        changed = np.asarray(image).copy()
    changed[3, 4] ^= 8
    Image.fromarray(changed).save(tmp_path / "changed.png", pnginfo=info)
    again = noise_search.reproduce(tmp_path / "changed.png")
    assert again.equal is False
    assert again.difference == 8


def test_a_picture_without_a_recipe_says_so(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(UserError, match="carries no recipe"):
        noise_search.reproduce(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(UserError, match="not a readable PNG"):
        noise_search.reproduce(tmp_path / "text.png")


def test_metadata_can_be_left_out(tmp_path: Path) -> None:
    found = noise_search.search("shapes", PROMPTS[1], budget="8nfe", metadata=False)
    with Image.open(found.save(tmp_path / "run") / "images" / "best.png") as image:
        assert image.info == {}


def test_the_run_tells_what_it_spent_and_how_its_winners_were_judged(
    run: tuple[Path, list[Result]],
) -> None:
    out, found = run
    record = json.loads((out / "run.json").read_text())
    assert record["spent"]["forwards"] == 2 * record["spent"]["nfe"]
    assert record["spent"]["nfe"] == sum(r.spent.nfe for r in found) <= 2 * 96
    for result in record["results"]:
        assert result["best"]["evaluation"].keys() == {"shapes"}
        assert (out / result["best"]["image"]).is_file()


def test_the_sheet_shows_a_row_a_prompt(run: tuple[Path, list[Result]]) -> None:
    with Image.open(run[0] / "sheet.png") as sheet:
        assert sheet.width < sheet.height * 2
        assert np.asarray(sheet).std() > 10


def test_few_steps_while_searching_and_all_for_the_final_picture(tmp_path: Path) -> None:
    found = noise_search.search(
        "shapes", PROMPTS[1], search="random", budget="64nfe", steps=16, search_steps=4, top_k=2
    )
    assert found.spent.nfe == 64
    assert [w.candidate.steps for w in found.winners] == [16, 16]
    assert [c.steps for c in found.candidates].count(4) == 8


def test_a_search_that_goes_back_needs_its_own_schedule() -> None:
    with pytest.raises(UserError, match="search_steps"):
        noise_search.search(
            "shapes", PROMPTS[1], search="paths", budget="64nfe", steps=16, search_steps=8
        )


def test_an_unknown_word_is_told_with_the_words_that_are_known() -> None:
    with pytest.raises(UserError, match=r"'purple'.*circle.*--model"):
        noise_search.search("shapes", "a purple circle", budget="8nfe")
