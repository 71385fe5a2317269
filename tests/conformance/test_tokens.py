"""Token by token: ledgers of texts are recounted from the words, and budgets of any size hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from noise_search.ask import Ask
from noise_search.candidate import Candidate
from noise_search.judged import Judged
from noise_search.noise import Book, Recipe, Revision, Splice
from noise_search.pipelines.text.pipeline import TextPipeline
from noise_search.pipelines.text.prompting import AGAIN
from noise_search.problem import Batch
from noise_search.registry import build_search
from noise_search.run import Job, Outcome, Run
from noise_search.study.bench import Bench
from tests.conformance.conftest import Place
from tests.conformance.searches import Listed, each
from tests.conformance.worlds import TEXT, TEXTS, Tally, World

pytestmark = pytest.mark.timeout(300)


class Bounded(Judged):
    """A problem that holds what is charged against what it was priced."""

    def play(self, asks: Sequence[Ask]) -> Batch:
        batch = super().play(asks)
        for ask, candidate in zip(asks, batch.candidates, strict=True):
            price, cost = self.price(ask), candidate.cost
            assert cost.tokens_in == price.tokens_in
            assert 0 < cost.tokens_out <= price.tokens_out
            assert cost.verifier_calls <= price.verifier_calls == 1
        return batch


@pytest.fixture(scope="module")
def bench_in(placed: Place) -> Callable[[World, Tally], Bench]:
    """Loads the model of a world, watched."""

    def bench(world: World, tally: Tally) -> Bench:
        return tally.bench(placed(world).settings("random", "1tok"), Book(), None)

    return bench


def held(bench: Bench, world: World, search: Listed, limits: Mapping[str, int]) -> Outcome:
    """One search on a bench that serves many."""
    problem = Bounded(bench.pipeline, bench.verifier)
    run = Run(problem, bench.ranking, width=bench.settings.batch or 1, book=bench.book)
    steps = bench.settings.steps or 1
    [found] = run.drive([Job(world.prompts[0], build_search(search.spec), limits, steps, 0)])
    return found


@each(TEXTS)
def test_costs_recounted_from_the_words_are_those_of_the_ledger(
    world: World, search: Listed, bench_in: Callable[[World, Tally], Bench]
) -> None:
    with Tally() as tally:
        bench = bench_in(world, tally)
        found = held(bench, world, search, {"tokens_out": 80 * world.tokens})
    assert found.spent.tokens_out == tally.drawn
    assert found.spent.verifier_calls == tally.judged == len(found.candidates)
    assert found.spent.judge_tokens == tally.judge_tokens
    by_name = {c.name: c for c in found.candidates}
    by_noise = {c.noise.name: c for c in found.candidates if c.finished}
    for candidate in found.candidates:
        assert candidate.text is not None
        written = len(candidate.text.tokens)
        kept = kept_tokens(candidate, by_name)
        if candidate.lookahead:  # greedy steps are paid for, judged, and not kept
            assert candidate.cost.tokens_out > written - kept
            assert candidate.cost.judge_tokens == candidate.cost.tokens_out + kept
        elif "lookahead" not in search.spec:
            assert candidate.cost.tokens_out == written - kept
            assert candidate.cost.judge_tokens == written
        if candidate.parent is None:
            words = context(world, candidate.noise, by_noise)
            assert candidate.cost.tokens_in == len(tokens(bench, words))
        else:
            assert candidate.cost.tokens_in == 0


def kept_tokens(candidate: Candidate, by_name: Mapping[str, Candidate]) -> int:
    """Tokens of the parent's text that it goes on from."""
    parent = by_name.get(candidate.parent or "")
    if parent is None or parent.text is None:
        return 0
    noise = candidate.noise
    back = noise.rewind if isinstance(noise, Splice) and noise != parent.noise else 0
    return len(parent.text.until(parent.stage - back).tokens)


def context(world: World, noise: Recipe, by_noise: Mapping[str, Candidate]) -> str:
    """What a text is begun after: the question, and the latest four of those it revises."""
    attempts: list[str] = []
    while isinstance(noise, Revision):
        older = by_noise[noise.of]
        attempts.insert(0, "" if older.text is None else older.text.words)
        noise = older.noise
    shown = "".join(f"{words.rstrip()}\n{AGAIN}\n" for words in attempts[-4:])
    return f"{world.prompts[0].text}\n{shown}"


def tokens(bench: Bench, words: str) -> list[int]:
    """As the model reads them."""
    assert isinstance(bench.pipeline, TextPipeline)
    ids: list[int] = bench.pipeline.tokenizer(words)["input_ids"]
    return ids


@each([TEXT])
@pytest.mark.parametrize("unit", ["tokens_out", "verifier_calls"])
def test_no_budget_from_one_up_is_passed_and_each_that_pays_for_a_text_makes_one(
    world: World, search: Listed, unit: str, bench_in: Callable[[World, Tally], Bench]
) -> None:
    with Tally() as tally:
        bench = bench_in(world, tally)
        whole = (bench.settings.max_tokens or 0) if unit == "tokens_out" else 1
        for limit in [*range(1, 31, 2), *range(31, 120, 11)] if whole > 1 else range(1, 14):
            before = tally.drawn, tally.judged
            found = held(bench, world, search, {unit: limit})
            spent = found.spent
            assert getattr(spent, unit) <= limit
            assert spent.tokens_out == tally.drawn - before[0]
            assert spent.verifier_calls == tally.judged - before[1]
            assert found.best is not None or limit < whole
