"""Plays moves on a pipeline as the driver does, without a verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from noise_search.ask import Ask, Prompt, resolve
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.moves import Move, Start
from noise_search.noise import Book, Gaussian
from noise_search.pipelines.diffusers import DiffusersPipeline
from noise_search.problem import Pipeline, Played
from tests.pipelines.zoo.kind import Kind

WIDTH = 2

PROMPT = Prompt("p0", "a red circle")


@dataclass
class Made:
    """A candidate with what its pipeline said of it."""

    candidate: Candidate
    played: Played

    @property
    def pixels(self) -> Any:
        return self.played.pixels

    @property
    def cost(self) -> Cost:
        return self.played.cost


class Player:
    """Plays moves in batches of one lane, and checks that the price was right."""

    def __init__(self, pipeline: Any, book: Book, steps: int) -> None:
        self.pipeline: Pipeline = pipeline
        self.book = book
        self.steps = steps
        self.overhead = ZERO

    def ask(self, move: Move, prompt: Prompt = PROMPT) -> Ask:
        self.book.add(move.noise)
        ask = resolve(prompt, move, self.steps, self.pipeline.stochastic)
        self.book.add(ask.path)
        return ask

    def play(self, moves: Sequence[Move], prompts: Sequence[Prompt] = ()) -> list[Made]:
        """Play moves of one lane, at most a batch of them, each with its prompt."""
        asks = [self.ask(move, prompts[i] if prompts else PROMPT) for i, move in enumerate(moves)]
        played, overhead = self.pipeline.play(asks)
        self.overhead += overhead
        assert [p.cost for p in played] == [self.pipeline.price(ask) for ask in asks]
        return [
            Made(_candidate(ask, result), result) for ask, result in zip(asks, played, strict=True)
        ]

    def one(self, move: Move, prompt: Prompt = PROMPT) -> Made:
        [made] = self.play([move], [prompt])
        return made

    def start(self, seed: int, until: int = 1 << 30, **options: Any) -> Made:
        return self.one(Start(Gaussian(seed), until=until, **options))


def player(pipe: Any, kind: Kind, width: int = WIDTH, **more: Any) -> Player:
    """Plays moves on a kind of the zoo, with the arguments of its calls unless others are given."""
    book, given = Book(), {"arguments": dict(kind.arguments), **more}
    return Player(DiffusersPipeline(pipe, book, width=width, **given), book, kind.steps)


def prompts(kind: Kind) -> list[Prompt]:
    """Those of the first rows of a batch."""
    return [Prompt(f"p{i}", text) for i, text in enumerate(kind.prompts[:WIDTH])]


def begun(play: Player, kind: Kind, **options: Any) -> list[Made]:
    """A path begun for each of them."""
    return play.play([Start(Gaussian(i + 1), **options) for i in range(WIDTH)], prompts(kind))


def state(play: Player, made: Made) -> dict[str, torch.Tensor]:
    """The arrays that are kept of a candidate."""
    found = play.pipeline.states.get(made.candidate.name, "torch")  # type: ignore[attr-defined]
    assert found is not None
    return dict(found)


def latents(play: Player, made: Made) -> torch.Tensor:
    """The latents of a candidate, as the loop holds them."""
    return state(play, made)["x"]


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The distance of two arrays, relative to the other's norm."""
    return float((one.double() - other.double()).norm() / other.double().norm())


def _candidate(ask: Ask, played: Played) -> Candidate:
    return Candidate(
        name=ask.name,
        prompt=ask.prompt.name,
        noise=ask.path,
        steps=ask.steps,
        stage=ask.until,
        parent=None if ask.parent is None else ask.parent.name,
        failure=played.failure,
        cost=played.cost,
    )
