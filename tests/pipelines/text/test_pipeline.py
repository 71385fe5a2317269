"""Texts are pure functions of question and recipe: gone on with, gone back, and made again."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.ask import Prompt
from noise_search.budget import Ledger
from noise_search.candidate import Candidate
from noise_search.journal import candidate_record, read_candidate
from noise_search.judged import Judged
from noise_search.moves import Continue, Move, Start
from noise_search.noise import Book, Recipe, Tokens
from noise_search.pipelines.loading import Options, load
from noise_search.pipelines.text.options import TextOptions
from noise_search.pipelines.text.pipeline import TextPipeline
from noise_search.problem import content_hash
from noise_search.ranking import ByScore
from noise_search.registry import build_search
from noise_search.run import Job, Outcome, Run
from noise_search.specs import parse
from noise_search.task import Conversation, Task
from tests.conformance.extras import words
from tests.conformance.texts import save_tiny_text

STEPS, MOST = 6, 24
QUESTION = Prompt("q", "3 + 4 * 2")
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_text(tmp_path_factory.mktemp("weights"))


def opened(folder: Path, book: Book, **text: Any) -> TextPipeline:
    """The pipeline of a model that was just loaded."""
    writing = TextOptions(**{"max_tokens": MOST, "step_tokens": 8, **text})
    pipeline = load(f"hf:{folder}", Options(book=book, width=4, threads=1, text=writing))
    assert isinstance(pipeline, TextPipeline)
    return pipeline


@pytest.fixture(scope="module")
def pipeline(weights: Path) -> TextPipeline:
    return opened(weights, Book())


def judged(pipeline: TextPipeline) -> Judged:
    return Judged(pipeline, words(parse("words")))


def searched(pipeline: TextPipeline, spec: str, tokens: int, prompt: Prompt = QUESTION) -> Outcome:
    run = Run(judged(pipeline), ByScore("words"), width=4, book=pipeline.book)
    [found] = run.drive([Job(prompt, build_search(spec), {"tokens_out": tokens}, STEPS, 0)])
    return found


class Desk:
    """One conversation, in which moves are played as they are asked for."""

    def __init__(self, pipeline: TextPipeline) -> None:
        self.pipeline = pipeline
        self.problem = judged(pipeline)
        self.task = Task(Conversation(QUESTION, self.problem, ByScore("words"), STEPS, 0), Ledger())

    def made(self, *moves: Move) -> list[Candidate]:
        """What moves lead to, from one batch."""
        asks = [ask for move in moves if (ask := self.task.ask(move)) is not None]
        assert len(asks) == len(moves)
        for ask in asks:
            self.pipeline.book.add(ask.noise)
            self.pipeline.book.add(ask.path)
        found = self.problem.play(asks).candidates
        for candidate in found:
            self.task.conversation.learn(candidate)
        return found

    def one(self, move: Move) -> Candidate:
        [candidate] = self.made(move)
        return candidate


@pytest.fixture(scope="module")
def desk(weights: Path) -> Desk:
    return Desk(opened(weights, Book()))


def essence(candidate: Candidate) -> tuple[object, ...]:
    return candidate.text, candidate.stage, candidate.ended, candidate.scores, candidate.sha256


@given(seed=seeds, stage=st.integers(1, STEPS - 1))
def test_to_stop_and_go_on_is_to_go_on(desk: Desk, seed: int, stage: int) -> None:
    noise = Tokens(seed)
    whole = desk.one(Start(noise))
    part = desk.one(Start(noise, until=stage, lookahead=seed % 3))
    assert part.text is not None
    assert whole.text is not None
    if part.finished:
        assert essence(part) == essence(whole)
        return
    assert part.text == whole.text.until(stage)
    assert part.stage == stage
    rest = desk.one(Continue(part, noise))
    assert essence(rest) == essence(whole)
    assert rest.cost.tokens_out == len(whole.text.tokens) - len(part.text.tokens)
    assert (whole.cost.tokens_in > 0, rest.cost.tokens_in) == (True, 0)


@given(seed=seeds, other=seeds, back=st.integers(1, STEPS))
def test_going_back_drops_the_last_steps_and_writes_others(
    desk: Desk, seed: int, other: int, back: int
) -> None:
    first, second = Tokens(seed), Tokens(other)
    parent = desk.one(Start(first))
    back = min(back, parent.stage)
    again = desk.one(Continue(parent, second, rewind=back))
    assert parent.text is not None
    assert again.text is not None
    kept = parent.stage - back
    assert again.text.steps[:kept] == parent.text.steps[:kept]
    new = [step.tokens for step in again.text.steps[kept:]]
    assert again.cost.tokens_out == sum(map(len, new)) > 0
    if kept == 0:
        assert again.text == desk.one(Start(second)).text
    else:  # the same as if the parent had been stopped there
        part = desk.one(Start(first, until=kept))
        assert again.text == desk.one(Continue(part, second)).text


@given(seed=seeds, other=seeds)
def test_to_go_back_stop_and_go_on_is_to_go_back_and_on(desk: Desk, seed: int, other: int) -> None:
    parent = desk.one(Start(Tokens(seed), until=5))
    back = parent.stage - 1
    if back == 0:
        return
    whole = desk.one(Continue(parent, Tokens(other), rewind=back))
    part = desk.one(Continue(parent, Tokens(other), until=2, rewind=back))
    if not part.finished:  # it goes on by its own path, of which the part before is another's
        assert essence(desk.one(Continue(part, part.noise))) == essence(whole)


def test_siblings_share_what_came_before_and_differ_after_it(desk: Desk) -> None:
    part = next(c for n in range(99) if not (c := desk.one(Start(Tokens(n), until=2))).finished)
    siblings = desk.made(*(Continue(part, Tokens(100 + n)) for n in range(4)))
    texts = [c.text for c in siblings if c.text is not None]
    assert len({text.words for text in texts}) > 1
    assert {text.until(2).steps for text in texts} == {part.text.steps if part.text else ()}


def test_a_lookahead_is_judged_and_paid_but_not_kept(desk: Desk) -> None:
    for n in range(20):
        near, far = desk.made(*(Start(Tokens(n), until=1, lookahead=ahead) for ahead in (0, 2)))
        assert near.text == far.text
        if not near.finished:
            assert far.cost.tokens_out > near.cost.tokens_out
            assert far.cost.judge_tokens == far.cost.tokens_out
            assert far.sha256 != near.sha256
            assert (near.lookahead, far.lookahead) == (0, 2)


def test_a_row_does_not_depend_on_its_neighbours(desk: Desk) -> None:
    moves = [Start(Tokens(n), until=1 + n % STEPS, lookahead=n % 2) for n in range(12)]
    together = desk.made(*moves)
    assert [essence(c) for c in together] == [essence(desk.one(move)) for move in moves]


SPECS = {
    "random": 200,
    "beam(draws=4,width=2,lookahead=2)": 200,
    "revise(sequential=10,parallel=1)": 400,
    "zero-order(neighbors=2)": 300,
    "paths(paths=2,width=2,start=0.5,forward=0.3,backward=0.5)": 400,
    "prune": 200,
}


@pytest.mark.parametrize("spec", SPECS)
def test_every_text_is_made_again_from_its_recipe_alone(weights: Path, spec: str) -> None:
    candidates = searched(opened(weights, Book()), spec, SPECS[spec]).candidates
    first = opened(weights, book := Book())
    found = searched(first, spec, SPECS[spec]).candidates
    assert [essence(c) for c in found] == [essence(c) for c in candidates]
    assert len(found) > 4
    for candidate in found[::-1]:
        lines = [recipe.line() for recipe in book.closure([candidate.noise.name])]
        fresh = TextPipeline(
            first.decoder, first.tokenizer, first.style, Book(map(Recipe.read, lines))
        )
        bare = replace(candidate, text=None, scores={})
        text, latents, cost = fresh.picture(bare, QUESTION)
        assert latents == text
        assert content_hash(text) == candidate.sha256
        assert candidate.lookahead or text == candidate.text
        assert not cost


AGAIN = """
import json, sys
from pathlib import Path
from noise_search.journal import read_candidate
from noise_search.noise import Book, Recipe
from noise_search.problem import content_hash
from tests.pipelines.text.test_pipeline import QUESTION, opened
given = json.load(sys.stdin)
book = Book(map(Recipe.read, given["recipes"]))
pipeline = opened(Path(given["weights"]), book)
found = [pipeline.picture(read_candidate(r, book), QUESTION)[0] for r in given["records"]]
print(json.dumps([content_hash(text) for text in found]))
"""


def test_another_process_makes_the_same_texts_from_the_records_without_words(weights: Path) -> None:
    book = Book()
    pipeline = opened(weights, book)
    found = [searched(pipeline, spec, most).candidates[-1] for spec, most in SPECS.items()]
    records = [candidate_record(replace(c, text=None)) for c in found]
    recipes = [recipe.line() for recipe in book.closure([c.noise.name for c in found])]
    given = {"weights": str(weights), "records": records, "recipes": recipes}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert json.loads(done.stdout.splitlines()[-1]) == [c.sha256 for c in found]


def test_a_record_with_words_is_the_same_candidate(pipeline: TextPipeline) -> None:
    for candidate in searched(pipeline, "beam(draws=4,width=2)", 200).candidates:
        again = read_candidate(json.loads(json.dumps(candidate_record(candidate))), pipeline.book)
        assert essence(again) == essence(candidate)


def test_a_revision_shows_as_many_of_the_latest_attempts_as_leave_room(weights: Path) -> None:
    pipeline = opened(weights, Book())
    assert pipeline.decoder.room == 256
    long = Prompt("long", " + ".join("1" * 80))
    found = searched(pipeline, "revise(sequential=5,parallel=2)", 1000, long).candidates
    alone = len(pipeline.style.prompting(long, ()))
    most = 256 - min(pipeline.style.most, 128)
    assert not any(c.failure for c in found)
    assert {c.cost.tokens_in <= most for c in found} == {True}
    assert len({c.cost.tokens_in for c in found if c.cost.tokens_in > alone}) > 1
    for candidate in found:
        assert content_hash(pipeline.picture(candidate, long)[0]) == candidate.sha256


def test_a_text_ends_where_the_context_does(weights: Path) -> None:
    pipeline = opened(weights, Book(), max_tokens=1000, step_tokens=1000, split="tokens:999")
    read = len(pipeline.style.prompting(QUESTION, ()))
    desk = Desk(pipeline)
    texts = [c.text for c in desk.made(*(Start(Tokens(n)) for n in range(16)))]
    lengths = [len(text.tokens) for text in texts if text is not None and text.ending == "length"]
    assert set(lengths) == {pipeline.decoder.room - read}


def test_words_of_steps_are_the_words_of_the_text(pipeline: TextPipeline) -> None:
    for candidate in searched(pipeline, "random", 400).candidates:
        text = candidate.text
        assert text is not None
        assert text.words == pipeline.tokenizer.decode(text.tokens, skip_special_tokens=True)
        for step in text.steps:
            assert 1 <= len(step.tokens) <= 8
            assert text.ending or step.words.endswith("\n") or len(step.tokens) == 8
