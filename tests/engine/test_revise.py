"""Chains of revisions: what each has in context, by name and by text, and whose vote counts."""

from __future__ import annotations

from itertools import pairwise

import pytest

from noise_search.ask import Ask
from noise_search.candidate import Candidate
from noise_search.moves import Continue, Search, Start
from noise_search.noise import Book, Gaussian, Revision, Splice, Tokens
from noise_search.task import Task
from noise_search.text import Text
from tests.engine import toy
from tests.engine.scribe import Scribe, outcome
from tests.engine.toy import Toy


def chains(found: list[Candidate], parallel: int) -> list[list[Candidate]]:
    """The candidates of each chain, which are asked for side by side."""
    return [found[i::parallel] for i in range(parallel)]


def test_the_latest_four_of_the_own_chain_are_in_context_oldest_first() -> None:
    scribe, book = Scribe(), Book()
    found = outcome("revise(sequential=8,parallel=3)", scribe=scribe, book=book)
    assert [len(batch) for batch in scribe.calls] == [3] * 8
    by_name = {ask.name: ask for ask in scribe.asks}
    for chain in chains(found.candidates, 3):
        assert isinstance(chain[0].noise, Tokens)
        for i, candidate in enumerate(chain):
            before = chain[max(0, i - 4) : i]
            assert list(by_name[candidate.name].about) == before
            assert book.revised(candidate.noise) == [c.noise.name for c in before]
            assert candidate.parent is None
        for older, newer in pairwise(chain):
            assert isinstance(newer.noise, Revision)
            assert newer.noise.of == older.noise.name


def test_what_is_in_context_has_a_say_in_the_text() -> None:
    first = outcome("revise(sequential=2,parallel=1)").candidates
    scribe = Scribe()
    plain = outcome(lambda task: iter_one(task, Start(Tokens(5))), scribe=scribe).candidates
    assert first[1].text != plain[0].text

    def other(task: Task) -> Search:
        [old] = yield [Start(task.fresh())]
        [new] = yield [Start(Revision(old.noise.name, 5))]
        [same] = yield [Start(Revision(new.noise.name, 5))]
        return [old, new, same]

    texts = [c.text for c in outcome(other).candidates]
    assert len(set(texts)) == 3


def iter_one(task: Task, move: Start) -> Search:
    return (yield [move])


def test_names_and_texts_in_context_agree_also_for_what_went_on_or_back() -> None:
    def plan(task: Task) -> Search:
        [old] = yield [Start(task.fresh())]
        for i in range(7):
            [part] = yield [Start(task.near(old, 0.5), until=2)]
            [old] = yield [Continue(part, part.noise)]
            if i % 3 == 1:
                [old] = yield [Continue(old, task.fresh(), rewind=1)]
        return [old]

    scribe, book = Scribe(), Book()
    found = outcome(plan, scribe=scribe, book=book)
    assert any(isinstance(c.noise, Splice) for c in found.candidates)
    assert max(len(ask.about) for ask in scribe.asks) == 4
    for ask in scribe.asks:
        assert book.revised(ask.path) == [c.noise.name for c in ask.about]
        assert all(c.finished for c in ask.about)


@pytest.mark.parametrize("spec", ["zero-order(neighbors=3)", "zero-order(elitist=false)"])
def test_zero_order_search_is_a_chain_of_revisions_too(spec: str) -> None:
    scribe, book = Scribe(), Book()
    found = outcome(spec, 800, scribe, book=book)
    assert max(len(ask.about) for ask in scribe.asks) == 4
    for ask in scribe.asks:
        assert book.revised(ask.path) == [c.noise.name for c in ask.about]
    assert found.best is not None


def test_only_a_finished_text_can_be_revised() -> None:
    def plan(task: Task) -> Search:
        [part] = yield [Start(task.fresh(), until=1)]
        assert isinstance(task.near(part, 0.5), Tokens)  # a new text takes its place
        return (yield [Start(Revision(part.noise.name, 1))])

    with pytest.raises(ValueError, match="only a finished text"):
        outcome(plan, scribe=Scribe(ends=lambda number: False))


def crafted(answers: list[str], scores: list[list[float]]) -> Scribe:
    """A scribe of chains that say these answers, letter by letter, with these scores."""
    order: list[str] = []

    def place(ask: Ask) -> tuple[int, int]:
        root = ask.about[0].noise.name if ask.about else ask.noise.name
        if root not in order:
            order.append(root)
        return order.index(root), len(ask.about)

    def answer(ask: Ask, text: Text) -> str | None:
        chain, depth = place(ask)
        return answers[chain][depth]

    def score(ask: Ask, text: Text) -> float:
        chain, depth = place(ask)
        return scores[chain][depth]

    return Scribe(answer=answer, score=score)


# In two chains of three y beats x, by sums and by numbers; of all samples alike most say x.
ANSWERS = ["xyy", "xyy", "xxx"]
SCORES = [[0.9, 0.5, 0.5], [0.9, 0.5, 0.5], [0.3, 0.3, 0.3]]


@pytest.mark.parametrize(("final", "wins"), [("weighted", "y"), ("majority", "x"), ("best", "x")])
def test_a_weighted_vote_is_held_within_each_chain_first_and_a_majority_over_all(
    final: str, wins: str
) -> None:
    scribe = crafted(ANSWERS, SCORES)
    found = outcome(f"revise(sequential=3,parallel=3,final={final})", scribe=scribe)
    assert found.best is not None
    assert found.best.answer == wins
    assert set(found.found) == set(found.candidates)
    assert len(found.found) == 9


def test_after_a_weighted_vote_the_winners_of_chains_come_first() -> None:
    scribe = crafted(ANSWERS, SCORES)
    found = outcome("revise(sequential=3,parallel=3,final=weighted)", scribe=scribe)
    assert [(c.answer, c.scores["scribe"]) for c in found.found[:3]] == [
        ("y", 0.5),
        ("y", 0.5),
        ("x", 0.3),
    ]


def test_a_chain_that_a_budget_cuts_short_still_has_its_say() -> None:
    whole = outcome("revise(sequential=4,parallel=3)").candidates
    for tokens in range(24, 150, 9):
        found = outcome("revise(sequential=4,parallel=3)", tokens)
        assert found.candidates == whole[: len(found.candidates)]
        assert set(found.found) == set(found.candidates)
        assert found.spent.tokens_out <= tokens


def test_a_failed_text_is_revised_by_a_new_one() -> None:
    scribe = Scribe(failing=lambda ask: None if ask.about else "broken")
    found = outcome("revise(sequential=3,parallel=1)", scribe=scribe).candidates
    assert [type(c.noise) for c in found] == [Tokens] * 3


def test_on_noise_a_chain_walks_from_neighbor_to_neighbor() -> None:
    found = toy.outcome("revise(sequential=4,parallel=2,cosine=0.7)", 640, Toy())
    for chain in chains(found.candidates, 2):
        assert isinstance(chain[0].noise, Gaussian)
        for older, newer in pairwise(chain):
            assert newer.noise.parents == (older.noise.name,)
    assert found.spent.nfe == 4 * 2 * 8
    assert found.best is not None
    assert found.best.scores["toy"] == max(c.scores["toy"] for c in found.candidates)
