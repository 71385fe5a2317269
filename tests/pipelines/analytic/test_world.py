"""Stages, prices, states and going back, where every number is known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from noise_search.budget import ZERO, Cost
from noise_search.moves import Continue, Start
from noise_search.noise import Book, Gaussian, Neighbor, seed_from
from noise_search.pipelines.analytic import distributions as d
from noise_search.pipelines.analytic.world import Analytic, Path, levels
from noise_search.pipelines.states import States
from noise_search.samplers import Level, Parts, ddim_step, renoise
from tests.pipelines.playing import PROMPT, Made, Player

Array = NDArray[np.float64]
STEPS = 6
DIM = 5
WORLDS: list[Any] = [
    d.Gaussian(np.linspace(-1.0, 1.0, DIM), 0.7),
    d.Mixture([0.3, 0.7], np.eye(2, DIM) * 2.0, [0.5, 0.3]),
]
KINDS = [(world, path, eta) for world in WORLDS for path in ("linear", "vp") for eta in (0.0, 1.0)]
each_kind = pytest.mark.parametrize(("world", "path", "eta"), KINDS)


def player(world: Any = WORLDS[0], path: Path = "linear", eta: float = 0.0, **more: Any) -> Player:
    book = Book()
    more = {"width": 4, **more}
    return Player(Analytic(world, book, path=path, eta=eta, **more), book, STEPS)


def normal(seed: int) -> Array:
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(DIM)


def at_step(seed: int, step: int) -> Array:
    return normal(seed if step == 0 else seed_from("step", seed, step))


class Path0:
    """The sampler once more, one row at a time and with nothing kept: what the world must give."""

    def __init__(self, world: Any, path: Path, eta: float, x: Array, stage: int = 0) -> None:
        self.world, self.eta, self.x, self.stage = world, eta, x, stage
        self.grid = levels(path, STEPS)
        self.parts: Parts[Array] | None = None
        self.seed = 0

    def leave(self, noise: Array | None) -> None:
        if self.parts is not None:
            now, then = self.grid[self.stage - 1], self.grid[self.stage]
            eta = 0.0 if noise is None else self.eta
            self.x = ddim_step(self.parts, now, then, eta, noise)
            self.parts = None

    def walk(self, seed: int, until: int) -> Path0:
        self.seed = seed
        while self.stage < until:
            self.leave(at_step(seed, self.stage))
            parts = self.world.parts(self.x[np.newaxis], self.grid[self.stage])
            self.parts = Parts(parts.x0[0], parts.eps[0])
            self.stage += 1
        if until == STEPS:
            self.leave(None)
        return self

    def back(self, seed: int, to: int) -> Path0:
        self.leave(at_step(self.seed, self.stage))  # the new noise is for the way forward
        self.x = renoise(self.x, self.grid[self.stage], self.grid[to], at_step(seed, -to))
        self.stage = to
        return self


def reference(world: Any, path: Path, eta: float, seed: int) -> Path0:
    return Path0(world, path, eta, at_step(seed, 0))


def close(found: Any, wanted: Array) -> None:
    # One row at a time gives other last bits than a batch.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


def same(found: Any, wanted: Any) -> None:
    assert np.array_equal(found, wanted)


@each_kind
def test_a_path_is_the_sampler_on_the_exact_denoiser(world: Any, path: Path, eta: float) -> None:
    made = player(world, path, eta).start(3)
    close(made.pixels, reference(world, path, eta, 3).walk(3, STEPS).x)
    assert made.candidate.finished


@each_kind
def test_a_preview_is_the_prediction_of_the_last_evaluation(
    world: Any, path: Path, eta: float
) -> None:
    for stage in range(1, STEPS):
        parts = reference(world, path, eta, 3).walk(3, stage).parts
        assert parts is not None
        close(player(world, path, eta).start(3, stage).pixels, parts.x0)


@each_kind
@pytest.mark.parametrize("cut", range(1, STEPS))
def test_a_path_cut_anywhere_is_the_whole_path(
    world: Any, path: Path, eta: float, cut: int
) -> None:
    play = player(world, path, eta)
    whole = play.start(3)
    half = play.start(3, cut)
    for noise in (Gaussian(3), half.candidate.noise):
        same(play.one(Continue(half.candidate, noise)).pixels, whole.pixels)
    again = play.one(Continue(half.candidate, Gaussian(3), until=cut + 1))
    if cut + 1 < STEPS:
        same(play.one(Continue(again.candidate, Gaussian(3))).pixels, whole.pixels)
    assert play.overhead == ZERO


@each_kind
def test_going_on_draws_the_noise_of_whoever_goes_on(world: Any, path: Path, eta: float) -> None:
    play = player(world, path, eta)
    half = play.start(3, 2).candidate
    branches = play.play([Continue(half, Gaussian(seed)) for seed in (11, 12)])
    for branch, seed in zip(branches, (11, 12), strict=True):
        close(branch.pixels, reference(world, path, eta, 3).walk(3, 2).walk(seed, STEPS).x)
    assert np.array_equal(branches[0].pixels, branches[1].pixels) == (eta == 0.0)


@each_kind
@pytest.mark.parametrize("rewind", [1, 2, 3])
def test_going_back_renoises_and_costs_what_it_walks(
    world: Any, path: Path, eta: float, rewind: int
) -> None:
    play = player(world, path, eta)
    half = play.start(3, 3).candidate
    back = play.one(Continue(half, Gaussian(9), until=5, rewind=rewind))
    walk = reference(world, path, eta, 3).walk(3, 3).back(9, 3 - rewind).walk(9, 5)
    assert walk.parts is not None
    close(back.pixels, walk.parts.x0)
    assert back.cost == Cost(nfe=2 + rewind, forwards=2 + rewind)


@each_kind
@pytest.mark.parametrize("rewind", [1, 4, STEPS])
def test_going_back_from_a_finished_sample(world: Any, path: Path, eta: float, rewind: int) -> None:
    play = player(world, path, eta)
    whole = play.start(3).candidate
    back = play.one(Continue(whole, Gaussian(9), rewind=rewind))
    walk = reference(world, path, eta, 3).walk(3, STEPS).back(9, STEPS - rewind).walk(9, STEPS)
    close(back.pixels, walk.x)
    assert back.cost.nfe == rewind


def test_going_back_to_pure_noise_begins_anew() -> None:
    play = player()
    whole = play.start(3).candidate
    same(play.one(Continue(whole, Gaussian(9), rewind=STEPS)).pixels, play.start(9).pixels)


@each_kind
def test_looking_ahead_is_deterministic_charged_and_leaves_no_trace(
    world: Any, path: Path, eta: float
) -> None:
    play = player(world, path, eta)
    half = play.start(3, 2, lookahead=2)
    walk = reference(world, path, eta, 3).walk(3, 2)
    walk.eta = 0.0
    walk.walk(3, 4)
    assert walk.parts is not None
    close(half.pixels, walk.parts.x0)
    assert half.cost.nfe == 4
    same(play.one(Continue(half.candidate, Gaussian(3))).pixels, play.start(3).pixels)


@each_kind
def test_looking_ahead_stops_at_the_end(world: Any, path: Path, eta: float) -> None:
    play = player(world, path, eta)
    half = play.start(3, 4, lookahead=99)
    assert half.cost.nfe == STEPS
    walk = reference(world, path, eta, 3).walk(3, 4)
    walk.eta = 0.0
    close(half.pixels, walk.walk(3, STEPS).x)
    assert play.start(3, STEPS, lookahead=3).cost.nfe == STEPS


def test_a_waypoint_shows_nothing_and_needs_no_look_ahead() -> None:
    play = player()
    waypoint = play.start(3, 2, look=False, lookahead=2)
    assert waypoint.pixels is None
    assert waypoint.cost.nfe == 2
    assert play.start(3, STEPS, look=False).pixels is not None


@each_kind
def test_a_row_does_not_depend_on_its_neighbours(world: Any, path: Path, eta: float) -> None:
    alone = player(world, path, eta).start(3).pixels
    for neighbours in ([1], [2, 4], [5, 6, 7]):
        for position in range(len(neighbours) + 1):
            seeds = [*neighbours[:position], 3, *neighbours[position:]]
            rows = player(world, path, eta).play([Start(Gaussian(s)) for s in seeds])
            same(rows[position].pixels, alone)


def test_more_asks_than_a_batch_are_played_in_batches() -> None:
    play = player(width=3)
    rows = play.play([Start(Gaussian(seed)) for seed in range(7)])
    for seed, row in enumerate(rows):
        same(row.pixels, player(width=3).start(seed).pixels)


def test_asks_of_different_lanes_are_refused() -> None:
    play = player()
    with pytest.raises(ValueError, match="lanes"):
        play.play([Start(Gaussian(1)), Start(Gaussian(2), until=2)])


class Counting:
    """A distribution that counts what its denoiser is given, and can be made to break."""

    def __init__(self, inner: Any, spoil: Callable[[Array], Array] = lambda x: x) -> None:
        self.inner, self.spoil = inner, spoil
        self.calls = self.rows = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def parts(self, x: ArrayLike, level: Level) -> Parts[Array]:
        self.calls += 1
        self.rows += len(np.asarray(x))
        parts: Parts[Array] = self.inner.parts(x, level)
        return Parts(self.spoil(parts.x0), parts.eps)


def test_the_ledger_counts_what_the_denoiser_was_given() -> None:
    counting = Counting(WORLDS[0])
    play = player(counting)
    moves = [Start(Gaussian(seed), until=3, lookahead=1) for seed in range(4)]
    made = play.play(moves)
    made += play.play([Continue(m.candidate, Gaussian(8), rewind=2) for m in made])
    assert counting.rows == sum(m.cost.forwards for m in made) == 4 * (4 + 5)


@each_kind
def test_states_that_were_lost_are_made_again(world: Any, path: Path, eta: float) -> None:
    def chain(states: States) -> tuple[list[Made], Cost]:
        play = player(world, path, eta, states=states)
        a = play.play([Start(Gaussian(seed), until=3) for seed in (1, 2, 3)])
        b = play.play([Continue(m.candidate, Gaussian(7), until=4, rewind=2) for m in a])
        c = play.play([Continue(m.candidate, Neighbor(Gaussian(7).name, 5, 0.9)) for m in b])
        e = play.play([Continue(m.candidate, Gaussian(8), rewind=3) for m in c])
        return [*a, *b, *c, *e], play.overhead

    kept, nothing = chain(States())
    lost, overhead = chain(States(memory=0))
    assert nothing == ZERO
    for one, other in zip(kept, lost, strict=True):
        same(one.pixels, other.pixels)
        assert one.cost == other.cost
    # Before b: 3 evaluations of a; before c: those and b's 3; before e: those and c's 2.
    assert overhead.nfe == 3 * (3 + (3 + 3) + (3 + 3 + 2))


def test_parents_shared_by_a_batch_are_made_again_once() -> None:
    play = player(states=States(memory=0))
    half = play.start(1, 3).candidate
    play.play([Continue(half, Gaussian(seed), rewind=1) for seed in range(4)])
    assert play.overhead == Cost(nfe=3, forwards=3)


def test_another_process_finds_the_states_in_the_folder(tmp_path: FilePath) -> None:
    first = player(states=States(tmp_path))
    half = first.start(1, 3)
    other = player(states=States(tmp_path))
    other.book.add(Gaussian(1))
    same(
        other.one(Continue(half.candidate, Gaussian(1))).pixels,
        first.one(Continue(half.candidate, Gaussian(1))).pixels,
    )
    assert other.overhead == ZERO


@each_kind
def test_pictures_of_candidates_are_those_that_were_judged(
    world: Any, path: Path, eta: float
) -> None:
    play = player(world, path, eta)
    half = play.start(3, 3)
    whole = play.one(Continue(half.candidate, Gaussian(5)))
    fresh = Analytic(world, play.book, path=path, eta=eta, width=4)
    for made in (half, whole):
        picture = fresh.picture(made.candidate, play.ask(Start(Gaussian(3))).prompt)
        same(picture.pixels, made.pixels)
        assert picture.overhead.nfe == made.candidate.stage
    assert play.pipeline.picture(whole.candidate, PROMPT)[2] == ZERO


def test_a_failed_candidate_has_no_picture() -> None:
    play = player()
    with pytest.raises(ValueError, match="has failed: why"):
        play.pipeline.picture(replace(play.start(3).candidate, failure="why"), PROMPT)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("until", [2, STEPS])
def test_a_broken_row_fails_alone_and_is_charged(broken: float, until: int) -> None:
    def spoil(x0: Array) -> Array:
        return np.where(np.arange(len(x0))[:, np.newaxis] == 1, broken, x0)

    moves = [Start(Gaussian(seed), until=until) for seed in range(4)]
    rows = player(Counting(WORLDS[0], spoil)).play(moves)
    sound = player().play(moves)
    for i, (row, other) in enumerate(zip(rows, sound, strict=True)):
        assert row.cost == other.cost
        if i == 1:
            assert row.played.failure == "the sample is not finite"
            assert row.pixels is None
        else:
            assert row.played.failure is None
            same(row.pixels, other.pixels)


def test_what_cannot_be_made_again_is_a_failure() -> None:
    breaking = False

    def spoil(x0: Array) -> Array:
        return x0 * np.nan if breaking else x0

    play = player(Counting(WORLDS[0], spoil), states=States(memory=0))
    half = play.start(1, 3).candidate
    breaking = True
    asks = [play.ask(Continue(half, Gaussian(1)))]
    [played], overhead = play.pipeline.play(asks)
    assert played.failure == "the latents to go on from could not be made again"
    assert played.cost == ZERO
    assert overhead.nfe == 3


@pytest.mark.parametrize(("stage", "back"), [(4, 1), (4, 3), (STEPS, 2)])
@pytest.mark.parametrize("path", ["linear", "vp"])
def test_going_back_is_the_forward_kernel(path: Path, stage: int, back: int) -> None:
    """On Gaussian data every map is affine, so mean and variance are followed exactly."""
    count, world, grid = 4000, d.Gaussian([0.5], 0.8), levels(path, STEPS)

    def affine(start: float, begin: int, until: int) -> Path0:
        walk = Path0(world, path, 0.0, np.array([start]), begin)
        walk.grid = grid
        return walk.walk(0, until)

    def state_of(start: float) -> float:
        walk = affine(start, 0, stage)
        walk.leave(None)
        return float(walk.x[0])

    def preview_of(start: float) -> float:
        parts = affine(start, stage - back, stage - back + 1).parts
        assert parts is not None
        return float(parts.x0[0])

    mean, gain = state_of(0.0), state_of(1.0) - state_of(0.0)
    now, then = grid[stage], grid[stage - back]
    kept = then.a / now.a
    mean, variance = kept * mean, kept**2 * (gain**2 - now.s**2) + then.s**2
    offset, slope = preview_of(0.0), preview_of(1.0) - preview_of(0.0)
    mean, deviation = offset + slope * mean, abs(slope) * variance**0.5

    book = Book()
    play = Player(Analytic(world, book, path=path, width=count), book, STEPS)
    parents = play.play([Start(Gaussian(s), until=stage) for s in range(count)])
    rows = play.play(
        [
            Continue(m.candidate, Gaussian(count + i), until=stage - back + 1, rewind=back)
            for i, m in enumerate(parents)
        ]
    )
    found = np.array([row.pixels[0] for row in rows])
    assert found.mean() == pytest.approx(mean, abs=4 * deviation / count**0.5)
    assert found.std() == pytest.approx(deviation, rel=4 / (2 * count) ** 0.5)
