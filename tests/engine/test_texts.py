"""Texts in records: told by what is new since the parent's, and read back to the last token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noise_search.candidate import Candidate
from noise_search.journal import Journal, candidate_record, read_candidate
from noise_search.noise import Book
from noise_search.text import Step, Text, read_text, text_record
from tests.engine.scribe import Scribe, outcome

steps = st.builds(
    Step,
    st.text(max_size=8),
    st.lists(st.integers(0, 2**31), min_size=1, max_size=4).map(tuple),
)
texts = st.builds(
    Text,
    st.lists(steps, max_size=5).map(tuple),
    st.one_of(st.none(), st.text(max_size=5)),
    st.sampled_from(["", "stop", "length"]),
)
SPECS = [
    "random",
    "beam(draws=4,width=2)",
    "beam(draws=4,width=2,lookahead=1)",
    "revise(sequential=6,parallel=2)",
    "zero-order(neighbors=2)",
    "paths",
    "prune",
]


def stored(record: dict[str, Any]) -> dict[str, Any]:
    """A record as a file gives it back."""
    again: dict[str, Any] = json.loads(json.dumps(record))
    return again


@given(texts, st.one_of(st.none(), texts))
def test_a_record_read_back_is_the_same_text(text: Text, parent: Text | None) -> None:
    assert read_text(stored(text_record(text, parent)), parent) == text


@given(texts, st.integers(0, 5), st.lists(steps, max_size=3).map(tuple))
def test_of_what_goes_on_from_another_only_what_is_new_is_told(
    parent: Text, kept: int, new: tuple[Step, ...]
) -> None:
    before = parent.steps[:kept]
    text = Text((*before, *new), "7", "stop")
    record = text_record(text, parent)
    told = len(record["steps"])
    assert told <= len(new)
    assert record.get("kept", 0) + told == len(text.steps)
    assert read_text(stored(record), parent) == text


def test_a_record_without_its_parent_is_refused() -> None:
    step = Step("1\n", (1,))
    parent = Text((step, step))
    record = text_record(Text((step, step, step)), parent)
    for known in (None, Text(), Text((step,))):
        with pytest.raises(ValueError, match="goes on from 2 steps"):
            read_text(record, known)


@given(texts, st.integers(0, 6))
def test_the_first_steps_of_a_text_have_no_answer_of_a_later_one(text: Text, stage: int) -> None:
    part = text.until(stage)
    assert part.steps == text.steps[:stage]
    if stage >= len(text.steps):
        assert part == text
    else:
        assert (part.answer, part.ending) == (None, "")
    assert part.words == "".join(step.words for step in part.steps)
    assert part.tokens == tuple(token for step in part.steps for token in step.tokens)


@pytest.mark.parametrize("spec", SPECS)
def test_a_candidate_read_back_is_the_same(spec: str) -> None:
    book = Book()
    found = outcome(spec, 500, book=book).candidates
    known: dict[str, Candidate] = {}
    for candidate in found:
        parent = known.get(candidate.parent or "")
        again = read_candidate(stored(candidate_record(candidate, parent)), book, parent)
        assert essence(again) == essence(candidate)
        known[again.name] = again


def essence(c: Candidate) -> tuple[object, ...]:
    return c.name, c.noise, c.stage, c.parent, c.scores, c.cost, c.ended, c.text, c.lookahead


@pytest.mark.parametrize("spec", SPECS)
def test_a_journal_of_texts_cut_anywhere_goes_on_to_the_same(spec: str, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = [essence(c) for c in outcome(spec, 300, journal=path).candidates]
    data = path.read_bytes()
    assert data.count(b"\n") == len(whole) + 1
    for cut in range(0, len(data) + 1, 1 + len(data) // 60):
        path.write_bytes(data[:cut])
        scribe = Scribe()
        again = outcome(spec, 300, scribe, journal=path)
        assert [essence(c) for c in again.candidates] == whole
        assert len(scribe.asks) == len(whole) - max(0, data[:cut].count(b"\n") - 1)
        assert path.read_bytes() == data


def test_a_journal_tells_of_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    scribe = Scribe(ends=lambda number: False)
    found = outcome("beam(draws=4,width=2)", scribe=scribe, journal=path).candidates
    records = [json.loads(line[9:]) for line in path.read_bytes().splitlines()[1:]]
    assert [len(record["text"]["steps"]) for record in records] == [1] * len(found)
    assert [record["text"].get("kept", 0) for record in records] == [c.stage - 1 for c in found]
    book = Book()
    with Journal(path, {"search": "some"}, book) as journal:
        recalled = [journal.recall(c.name) for c in found]
    assert [essence(c) for c in recalled if c] == [essence(c) for c in found]
