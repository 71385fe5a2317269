"""The picture of a comparison: legible, told apart without colour, and the same every time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from noise_search.budget import Cost
from noise_search.study.curves import PALETTE, colours, curve_png, lines_of, spread
from noise_search.study.tables import SINGLE, Entry, Tables, Verdict, csv_text, spelt


def tables(searches: tuple[str, ...] = ("random", "prune", "steps")) -> Tables:
    """Three searches at two budgets, and one sample, on four prompts and two seeds."""
    found: list[Verdict] = []
    entries = [Entry(SINGLE, "8nfe")]
    entries += [Entry(search, budget) for search in searches for budget in ("32nfe", "64nfe")]
    for prompt in range(4):
        for seed in range(2):
            for place, entry in enumerate(entries):
                right = float((prompt + seed + place) % 3 > 0)
                spent = Cost(nfe=int(entry.budget.removesuffix("nfe")))
                score = {"clip": 0.1 * prompt + 0.05 * place}
                found.append(
                    Verdict(
                        str(prompt), seed, entry, "w", score, {"shapes": right}, 8, spent, 4, ""
                    )
                )
    return Tables(found, ["clip"], ["shapes"], 1000)


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
    text = csv_text(tables().rows())
    assert text.splitlines()[0] == "search,budget,spent,metric,mean,low,high,n"
    assert text.splitlines()[1].startswith("single,8nfe,8,shapes,0.625,")


def test_budgets_are_spelt_as_people_do() -> None:
    assert [spelt(b) for b in ("64nfe", "2.5h", "640nfe+90s")] == [
        "64 NFE",
        "2.5 h",
        "640 NFE + 90 s",
    ]
