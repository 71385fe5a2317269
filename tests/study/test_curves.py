"""The picture of a comparison: legible, told apart without colour, and the same every time."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noise_search.budget import Cost
from noise_search.study.curves import PALETTE, colours, curve_png, lines_of, spread
from noise_search.study.gains import csv_text
from noise_search.study.sheet import Cell, write_sheet
from noise_search.study.tables import SINGLE, Entry, Tables, Verdict, spelt


def tables(
    searches: tuple[str, ...] = ("random", "prune", "steps"), evaluators: tuple[str, ...] = ()
) -> Tables:
    """Three searches at two budgets, and one sample, on four prompts and two seeds."""
    found: list[Verdict] = []
    entries = [Entry(SINGLE, "8nfe")]
    entries += [Entry(search, budget) for search in searches for budget in ("32nfe", "64nfe")]
    for prompt in range(4):
        for seed in range(2):
            for place, entry in enumerate(entries):
                right = float((prompt + seed + place) % 3 > 0)
                spent = Cost(nfe=int(entry.budget.removesuffix("nfe")))
                score = {"clip": 0.1 * prompt + 0.05 * place + 0.02 * seed}
                said = {"shapes": right, **dict.fromkeys(evaluators, right + 20.5)}
                found.append(Verdict(str(prompt), seed, entry, "w", score, said, 8, spent, 4, ""))
    return Tables(found, ["clip"], ["shapes", *evaluators], 1000)


def test_the_picture_is_wide_enough_and_the_same_every_time() -> None:
    first, second = curve_png(tables(), 4, 2), curve_png(tables(), 4, 2)
    assert first == second
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.width == 1800
        assert np.asarray(picture.convert("L")).std() > 10


def test_no_global_state_of_matplotlib_is_touched() -> None:
    import matplotlib
    from matplotlib._pylab_helpers import Gcf

    before = dict(matplotlib.rcParams)
    curve_png(tables(), 4, 2)
    assert Gcf.figs == {}
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("count", [1, 2, 12])
def test_any_number_of_searches_can_be_drawn(count: int) -> None:
    named = tuple(f"zero-order(cosine=0.{k + 1})" for k in range(count))
    assert curve_png(tables(named), 4, 2).startswith(b"\x89PNG")


def test_curves_go_by_what_was_spent_and_leave_out_the_reference() -> None:
    rows = [row for row in tables().rows() if row.metric == "shapes"]
    lines = lines_of(rows, 100.0)
    assert [line.search for line in lines] == ["random", "prune", "steps"]
    for line in lines:
        assert [point[0] for point in line.points] == [32, 64]
        for _, mean, low, high in line.points:
            assert low is not None
            assert high is not None
            assert 0 <= low <= mean <= high <= 100


def test_usual_searches_keep_their_colours_and_steps_is_grey() -> None:
    some, more = colours(["prune", "steps"]), colours(["random", "mine", "prune", "steps"])
    assert some["prune"] == more["prune"]
    assert some["steps"] not in PALETTE
    assert len(set(more.values())) == 4


def test_labels_that_would_touch_are_moved_apart_and_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        wanted = sorted(rng.random(6).tolist())
        placed = spread(wanted, 0.1)
        gaps = np.diff(placed)
        assert (gaps > 0.1 - 1e-9).all()
        assert max(abs(a - b) for a, b in zip(wanted, placed, strict=True)) < 0.5
        below = spread(wanted, 0.1, 0.6)
        assert (np.diff(below) > 0.1 - 1e-9).all()
        assert below[-1] <= 0.6


def test_numbers_of_the_table_are_short_and_empty_where_unknown() -> None:
    found = tables(evaluators=("pick", "pick.min"))
    apart = replace(found, diversity={Entry("prune", "64nfe"): 0.125}, features="pixels")
    head, *lines = csv_text(apart).splitlines()
    assert head == "search,budget,spent,metric,mean,low,high,n,ratio,doubted,diversity"
    assert lines[0].startswith("single,8nfe,8,shapes,0.625,")
    assert lines[0].endswith(",8,,,"), "one sample gains nothing over itself"
    rows = {(row[0], row[1], row[3]): row for row in (line.split(",") for line in lines)}
    seen, ours = rows["prune", "64nfe", "pick"], rows["prune", "64nfe", "clip"]
    assert float(seen[8]) < 1
    assert int(seen[9]) >= 0
    assert ours[8:] == ["", "", "0.125"], "a verifier is no witness of itself"
    assert rows["prune", "32nfe", "pick"][10] == ""


def drawn(count: int) -> np.ndarray:
    """The picture of a comparison with so many evaluators besides the first."""
    named = tuple(f"pick:folder-{k}/and-a-long-name" for k in range(count))
    found = tables(evaluators=(*named, "least.min"))
    with Image.open(io.BytesIO(curve_png(found, 4, 2))) as picture:
        grey: np.ndarray = np.asarray(picture.convert("L"))
    return grey


def test_every_evaluator_has_a_panel_of_the_same_size() -> None:
    two, three, four, five = (drawn(count) for count in range(4))
    assert len(two) < len(three) == len(four) < len(five)
    assert abs((len(five) - len(four)) - (len(four) - len(two))) <= 1
    right = slice(len(two), len(two) + 300), slice(1000, 1700)
    assert three[right].min() == 255, "the place of a fourth panel is empty"
    assert four[right].min() < 128
    assert np.array_equal(three[:500], four[:500]), "the first two are the same"


def test_a_sheet_tells_every_evaluator_below_the_picture(tmp_path: Path) -> None:
    grey = np.full((8, 8, 3), 200, np.uint8)
    said = {"shapes": 1.0, "pick:a-folder/with-a-long-name": 21.25, "hps": 0.25, "hps.min": 0.1}
    cell = Cell.judged(grey, "0.3, doubted", said)
    assert cell.mark is True
    assert cell.caption == "0.3, doubted\npick:a-fol…long-name 21.25\nhps 0.25"
    assert Cell.judged(grey, "0.3", {"pick": 21.5, "shapes": 0.0}).mark is None
    assert Cell.judged(grey, "0.3", {}) == Cell(grey, "0.3")
    sizes: list[tuple[int, int]] = []
    for one in (cell, Cell(grey, "0.3")):
        write_sheet(tmp_path / "sheet.png", ["best"], [("a prompt", [one])])
        with Image.open(tmp_path / "sheet.png") as picture:
            sizes.append(picture.size)
    assert sizes[0][1] == sizes[1][1] + 2 * 14, "a line each"


def test_budgets_are_spelt_as_people_do() -> None:
    assert [spelt(b) for b in ("64nfe", "2.5h", "640nfe+90s")] == [
        "64 NFE",
        "2.5 h",
        "640 NFE + 90 s",
    ]
