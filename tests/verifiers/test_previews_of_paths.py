"""The earlier preview of a path: the same however it is cut, and found again when it is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noise_search.ask import Ask, Prompt, resolve
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.judged import Judged
from noise_search.moves import END, Continue, Start
from noise_search.noise import Book, Gaussian, Recipe
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.pipelines.loading import load as load_model
from noise_search.pipelines.options import Options
from noise_search.pipelines.states import States
from noise_search.problem import Batch, Sample
from tests.pipelines.zoo import KINDS
from tests.pipelines.zoo import load as load_kind
from tests.pipelines.zoo.warnings import KNOWN
from tests.verifiers.looking import Looking

pytestmark = [*KNOWN]
PROMPT = Prompt("p", "a red circle")
STEPS = 8
NOISES = [Gaussian(seed) for seed in range(7, 10)]
WORLDS = [("shapes", 0.0), ("shapes:ddim", 1.0), ("gaussian", 0.0), ("mixture", 1.0)]


class World:
    """A model whose samples are looked at, and all that it was asked."""

    def __init__(
        self,
        model: str = "shapes",
        eta: float = 0.0,
        share: float | None = 0.5,
        states: States | None = None,
    ) -> None:
        self.book = Book(NOISES)
        options = Options(book=self.book, width=2, eta=eta, states=states)
        self.pipeline: Any = load_model(model, options)
        self.looking = Looking(share)
        self.problem = Judged(self.pipeline, self.looking)

    def play(self, move: Start | Continue) -> tuple[Candidate, Batch, Ask]:
        ask = resolve(PROMPT, move, STEPS, self.problem.stochastic)
        for recipe in (ask.noise, ask.path):
            self.book.add(recipe)
        batch = self.problem.play([ask])
        [candidate] = batch.candidates
        assert candidate.failure is None
        assert candidate.cost == self.problem.price(ask)
        return candidate, batch, ask

    def shown(self, move: Start | Continue) -> tuple[Sample, Batch]:
        _, batch, _ = self.play(move)
        return self.looking.seen[-1], batch


def same(one: Sample, other: Sample) -> bool:
    return all(
        np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in ((one.pixels, other.pixels), (one.earlier, other.earlier))
    )


def preview(model: str, eta: float, stage: int, noise: Recipe = NOISES[0]) -> np.ndarray:
    """What a path looks like at a stage."""
    sample, _ = World(model, eta, None).shown(Start(noise, until=stage))
    return np.asarray(sample.pixels)


@pytest.mark.parametrize(("model", "eta"), WORLDS)
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_it_is_the_same_however_the_path_is_cut(model: str, eta: float, share: float) -> None:
    whole, _ = World(model, eta, share).shown(Start(NOISES[0]))
    stage = round(share * STEPS)
    assert np.array_equal(np.asarray(whole.earlier), preview(model, eta, stage))
    world = World(model, eta, share)
    for cut in (stage - 1, stage, 7) if model.startswith("shapes") else range(1, STEPS):
        half, batch, _ = world.play(Start(NOISES[0], until=cut, look=cut % 2 == 0))
        rest, more = world.shown(Continue(half, NOISES[0]))
        assert same(rest, whole), cut
        assert batch.overhead == more.overhead == ZERO


@pytest.mark.parametrize(("model", "eta"), WORLDS[1:])
def test_it_is_found_on_a_path_of_single_steps(model: str, eta: float) -> None:
    world = World(model, eta, 0.5)
    move: Start | Continue = Start(NOISES[0], until=1)
    stages = dict(zip(range(1, STEPS + 1), [1, 1, 2, 2, 2, 2, 4, 4], strict=True))
    for stage, before in stages.items():
        candidate, batch, _ = world.play(move)
        sample = world.looking.seen[-1]
        assert np.array_equal(np.asarray(sample.earlier), preview(model, eta, before)), stage
        assert batch.overhead == ZERO
        move = Continue(candidate, NOISES[0], stage + 1)


def test_it_costs_a_decoding_and_no_evaluation(tmp_path: Path) -> None:
    pipe = load_kind(KINDS["sd15"], tmp_path)
    prompt, steps = Prompt("p", KINDS["sd15"].prompts[0]), 4
    costs: dict[float | None, list[Cost]] = {}
    for share in (None, 0.5):
        pipeline = DiffusersPipeline(pipe, Book(NOISES), width=1, arguments=KINDS["sd15"].arguments)
        problem = Judged(pipeline, Looking(share))
        asks = [resolve(prompt, Start(NOISES[0], until=until), steps, False) for until in (1, 3)]
        found = [problem.play([ask]).candidates[0] for ask in asks]
        asks.append(resolve(prompt, Continue(found[1], NOISES[0]), steps, False))
        found += problem.play([asks[2]]).candidates
        costs[share] = [candidate.cost for candidate in found]
        assert costs[share] == [problem.price(ask) for ask in asks]
    first, *others = zip(costs[None], costs[0.5], strict=True)
    assert first[1] == first[0], "the first prediction is its own"
    for plain, looked in others:
        assert looked == plain + Cost(decodes=1)


@pytest.mark.parametrize(("model", "eta"), WORLDS)
def test_going_back_leaves_what_was_seen_before(model: str, eta: float) -> None:
    world = World(model, eta)
    half, _, _ = world.play(Start(NOISES[0], until=6))
    back, batch = world.shown(Continue(half, NOISES[1], END, rewind=1))
    assert np.array_equal(np.asarray(back.earlier), preview(model, eta, 4))
    assert batch.overhead == ZERO
    behind, _ = world.shown(Continue(half, NOISES[1], END, rewind=3))
    assert not np.array_equal(np.asarray(behind.earlier), preview(model, eta, 4)), "walked anew"
    end, _, _ = world.play(Start(NOISES[2]))
    again, batch = world.shown(Continue(end, NOISES[1], END, rewind=2))
    assert np.array_equal(np.asarray(again.earlier), preview(model, eta, 4, NOISES[2]))
    assert batch.overhead == ZERO


@pytest.mark.parametrize(("model", "eta"), WORLDS[1:])
def test_what_is_not_carried_is_made_again_with_the_path(model: str, eta: float) -> None:
    move = Start(NOISES[0], until=7)
    world = World(model, eta)
    half, _, _ = world.play(move)
    far = Continue(half, NOISES[1], 4, rewind=4)
    kept, batch = world.shown(far)
    assert batch.overhead.nfe == 7, "stage 2 lies far behind: two previews are carried at most"
    assert np.array_equal(np.asarray(kept.earlier), preview(model, eta, 2))
    onward, _ = world.shown(Continue(half, NOISES[0]))
    for lost in (World(model, eta, None), World(model, eta)):
        lost.play(move)  # by a verifier that looks at no previews, or not at all by this process
        watched = World(model, eta, states=lost.pipeline.states)
        found, batch = watched.shown(Continue(half, NOISES[0]))
        assert same(found, onward)
        assert (batch.overhead.nfe == 7) == (lost.looking.earlier is None)


def test_a_path_carries_two_previews_at_most_to_the_disk_and_back(tmp_path: Path) -> None:
    world = World(share=0.8, states=States(tmp_path))
    half, _, _ = world.play(Start(NOISES[0], until=6))
    state = States(tmp_path).get(half.name, "torch")
    assert state is not None
    assert sorted(state) == ["seen.5", "seen.6", "x"]
    there = World(share=0.8, states=States(tmp_path))
    found, batch = there.shown(Continue(half, NOISES[0]))
    assert same(found, World(share=0.8).shown(Start(NOISES[0]))[0])
    assert batch.overhead == ZERO


def test_a_path_of_one_step_has_none() -> None:
    world = World()
    ask = resolve(PROMPT, Start(NOISES[0], steps=1), STEPS, stochastic=False)
    world.problem.play([ask])
    assert world.looking.seen[-1].earlier is None


@pytest.mark.nightly
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("cut", [2, 5])
def test_every_kind_of_pipeline_carries_it(kind: str, cut: int, tmp_path: Path) -> None:
    chosen, noise, steps = KINDS[kind], NOISES[0], 6
    pipe, prompt = load_kind(chosen, tmp_path), Prompt("p", chosen.prompts[0])

    def begin(share: float | None) -> tuple[Judged, Looking]:
        looking = Looking(share)
        made = DiffusersPipeline(pipe, Book([noise]), width=1, arguments=chosen.arguments)
        return Judged(made, looking), looking

    def play(problem: Judged, move: Start | Continue) -> Candidate:
        ask = resolve(prompt, move, steps, problem.stochastic)
        [candidate] = problem.play([ask]).candidates
        assert candidate.failure is None
        assert candidate.cost == problem.price(ask)
        return candidate

    plain, shown = begin(None)
    whole, half = (play(plain, Start(noise, until=until)) for until in (END, 4))
    problem, looking = begin(0.67)
    both = play(problem, Start(noise))
    first = play(problem, Start(noise, until=cut))
    play(problem, Continue(first, noise))
    for sample in (looking.seen[0], looking.seen[-1]):
        assert np.array_equal(np.asarray(sample.pixels), np.asarray(shown.seen[0].pixels))
        assert np.array_equal(np.asarray(sample.earlier), np.asarray(shown.seen[1].pixels))
    decodes = half.cost.decodes
    assert replace(both.cost, verifier_calls=0) == replace(
        whole.cost + Cost(decodes=decodes), verifier_calls=0
    )
