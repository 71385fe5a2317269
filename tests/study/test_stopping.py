"""A search that the user's own callback ends: nothing that was paid for is lost or hidden."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noise_search import Continue, Gaussian, Prompt, Result, Start, search
from noise_search.errors import Stop
from noise_search.noise import Book
from noise_search.pipelines.calls import denoisers
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.states import States
from noise_search.problem import CutShort
from tests.pipelines.playing import Player
from tests.pipelines.zoo import KINDS, Kind, load
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]
BATCH = 2
FULL = 8  # candidates of a whole run
PROMPT = Prompt("p", "a red circle")
Callback = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Kind, Any]]:
    root = tmp_path_factory.mktemp("zoo")
    return lambda name: (KINDS[name], load(KINDS[name], root))


class Ending:
    """A user's callback that ends the run at the nth step it sees, in one of two ways."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.seen = at, how, 0

    def __call__(self, pipe: Any, index: int, time: Any, given: Any) -> dict[str, Any]:
        self.seen += 1
        if self.seen == self.at and self.how == "raise":
            raise Stop
        if self.seen == self.at:
            pipe._interrupt = True
        return {}


def brightness(pictures: list[Any], _: str) -> list[float]:
    return [float(np.asarray(p).mean()) for p in pictures]


def run(kind: Kind, pipe: Any, ending: Ending, **options: Any) -> Result:
    given: dict[str, Any] = {
        "verifier": brightness,
        "budget": f"{FULL * kind.steps}nfe",
        "steps": kind.steps,
        "batch": BATCH,
        **kind.arguments,
        **options,
    }
    return search(pipe, kind.prompts[0], **given, callback_on_step_end=ending)


@contextmanager
def rows_given(pipe: Any) -> Iterator[list[int]]:
    """Rows of every evaluation, seen from within the denoiser."""
    rows: list[int] = []

    def hook(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        rows.append(len(next(v for v in (*given, *named.values()) if hasattr(v, "__len__"))))

    networks = [getattr(pipe, name) for name in denoisers(pipe)]
    handles = [n.register_forward_pre_hook(hook, with_kwargs=True) for n in networks]
    try:
        yield rows
    finally:
        for handle in handles:
            handle.remove()


def record(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "run.json").read_text())
    return found


def lines(out: Path) -> list[dict[str, Any]]:
    text = (out / "candidates.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


PLACES = ("mid-batch", "end of a batch", "first step")
OFTEN = {("sd15", "interrupt", "mid-batch"), ("sd15", "raise", "end of a batch")}
# LCM's pipeline looks at no `_interrupt` of its own.
CASES = [
    pytest.param(*case, marks=[] if case in OFTEN else pytest.mark.nightly)
    for case in product(("sd15", "flux", "lcm"), ("raise", "interrupt"), PLACES)
]


@pytest.mark.parametrize(("name", "how", "at"), CASES)
def test_what_was_finished_stays_and_what_was_under_way_is_charged(
    loaded: Callable[[str], tuple[Kind, Any]], tmp_path: Path, name: str, how: str, at: str
) -> None:
    kind, pipe = loaded(name)
    step = {"mid-batch": kind.steps + 2, "end of a batch": 2 * kind.steps, "first step": 1}[at]
    whole = run(kind, pipe, Ending(0, how), out=tmp_path / "whole")
    finished = step // kind.steps * BATCH
    out = tmp_path / "run"
    with rows_given(pipe) as rows:
        found = run(kind, pipe, Ending(step, how), out=out)
    told = record(out)
    assert found.candidates == whole.candidates[:finished]
    assert found.outcome.reason == "stopped"
    assert told["results"][0]["ended"] == "stopped"
    assert told["candidates"] == finished
    assert told["spent"].get("forwards", 0) == sum(rows)
    assert told["spent"]["nfe"] == step * BATCH
    assert told["overhead"].get("nfe", 0) == (step % kind.steps) * BATCH
    assert (out / "images").exists() == (found.best is not None)
    assert len(lines(out)) == finished

    with rows_given(pipe) as again:
        resumed = run(kind, pipe, Ending(0, how), out=out)
    assert resumed.candidates == whole.candidates
    assert lines(out) == lines(tmp_path / "whole")
    told = record(out)
    assert told["spent"]["forwards"] == sum(rows) + sum(again)
    assert told["results"][0]["ended"] == record(tmp_path / "whole")["results"][0]["ended"]
    assert not (out / "live").exists()


def test_partial_samples_of_a_run_that_was_ended_are_gone_on_with(
    loaded: Callable[[str], tuple[Kind, Any]], tmp_path: Path
) -> None:
    kind, pipe = loaded("sd15")
    options = {"search": "prune(at=0.5)", "budget": f"{4 * kind.steps}nfe"}
    whole = run(kind, pipe, Ending(0, "raise"), out=tmp_path / "whole", **options)
    steps = sum(c.cost.nfe for c in whole.candidates) // BATCH
    assert not all(c.finished for c in whole.candidates)
    out = tmp_path / "run"
    run(kind, pipe, Ending(steps, "interrupt"), out=out, **options)
    assert record(out)["results"][0]["ended"] == "stopped"
    resumed = run(kind, pipe, Ending(0, "raise"), out=out, **options)
    assert resumed.candidates == whole.candidates
    assert "nfe" not in record(out)["overhead"]  # no state had to be made again


def test_an_interrupt_from_elsewhere_ends_the_run_too(
    loaded: Callable[[str], tuple[Kind, Any]], tmp_path: Path
) -> None:
    kind, pipe = loaded("sd15")
    calls: list[int] = []

    def press(*_: Any) -> None:
        """A button of a user interface, pressed while the second batch is under way."""
        calls.append(1)
        pipe._interrupt = len(calls) == kind.steps + 2

    handle = pipe.unet.register_forward_hook(press)
    try:
        found = search(
            pipe,
            kind.prompts[0],
            verifier=brightness,
            budget=f"{FULL * kind.steps}nfe",
            steps=kind.steps,
            batch=BATCH,
            out=tmp_path / "run",
            **kind.arguments,
        )
    finally:
        handle.remove()
    assert len(found.candidates) == BATCH
    assert found.best is not None
    told = record(tmp_path / "run")
    assert told["results"][0]["ended"] == "stopped"
    assert told["spent"]["nfe"] == (kind.steps + 2) * BATCH


def test_an_interrupt_of_an_earlier_call_is_not_for_this_one(
    loaded: Callable[[str], tuple[Kind, Any]],
) -> None:
    kind, pipe = loaded("lcm")
    pipe._interrupt = True
    try:
        found = run(kind, pipe, Ending(0, "raise"), budget=f"{BATCH * kind.steps}nfe")
        assert len(found.candidates) == BATCH
        assert pipe._interrupt is True
    finally:
        del pipe._interrupt


def test_states_that_are_made_again_are_charged_when_the_run_is_ended_there(
    loaded: Callable[[str], tuple[Kind, Any]],
) -> None:
    kind, pipe = loaded("sd15")
    ending = Ending(0, "raise")
    play = player(kind, pipe, ending)
    [half] = play.play([Start(Gaussian(1), 2, look=False)], [PROMPT])
    ending.at = ending.seen + 1
    with rows_given(pipe) as rows, pytest.raises(CutShort) as cut:
        play.play([Continue(half.candidate, Gaussian(1))], [PROMPT])
    assert cut.value.played == [None]
    assert cut.value.overhead.nfe == 1
    assert cut.value.overhead.forwards == sum(rows)


def test_pictures_of_what_was_found_are_made_again_whatever_the_callback_wants(
    loaded: Callable[[str], tuple[Kind, Any]],
) -> None:
    kind, pipe = loaded("sd15")
    ending = Ending(0, "interrupt")
    play = player(kind, pipe, ending)
    [made] = play.play([Start(Gaussian(1))], [PROMPT])
    ending.at = ending.seen + 1
    again = play.pipeline.picture(made.candidate, PROMPT)
    assert np.array_equal(again[0], made.pixels)
    assert ending.seen == 2 * kind.steps


def player(kind: Kind, pipe: Any, ending: Ending) -> Player:
    """A pipeline that keeps no states, and so makes them again."""
    book = Book()
    arguments = {**kind.arguments, "callback_on_step_end": ending}
    pipeline = DiffusersPipeline(pipe, book, width=1, arguments=arguments, states=States(memory=0))
    return Player(pipeline, book, kind.steps)
