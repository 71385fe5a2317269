"""Language models within a pipeline write a prompt's text once, and no other beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from noise_search.ask import Prompt
from noise_search.moves import Continue, Start
from noise_search.noise import Gaussian
from noise_search.pipelines.embeddings import Apart
from noise_search.pipelines.writers import Writers
from tests.pipelines.passing import rows_of
from tests.pipelines.playing import player
from tests.pipelines.zoo import load
from tests.pipelines.zoo.composed import REWRITING
from tests.pipelines.zoo.warnings import KNOWN

pytestmark = [*KNOWN]

CPU = torch.device("cpu")
ONE, OTHER = torch.tensor([[1, 2]]), torch.tensor([[3, 4]])


class Writer(torch.nn.Module):
    """Samples two tokens after those it is given, and notes what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []

    def generate(self, input_ids: Tensor, seen: Tensor | None = None, named: bool = False) -> Any:
        self.rows.append(len(input_ids) if seen is None else len(seen))
        said = torch.cat([input_ids, torch.randint(100, (len(input_ids), 2))], 1)
        return {"sequences": said} if named else said


def test_copies_of_a_prompt_get_the_same_text_which_is_written_once() -> None:
    writer, writers = Writer(), Writers()
    with writers.remembering({"llm": writer}, CPU):
        first = writer.generate(input_ids=ONE.repeat(3, 1))
        assert torch.equal(first, first[:1].repeat(3, 1))
        assert torch.equal(writer.generate(input_ids=ONE), first[:1])
    with writers.remembering({"llm": writer}, CPU):
        assert torch.equal(writer.generate(input_ids=ONE), first[:1])
    assert writer.rows == [1]
    with Writers().remembering({"llm": writer}, CPU):
        writer.generate(input_ids=OTHER)
        assert torch.equal(writer.generate(input_ids=ONE), first[:1])  # whatever came before
    assert "generate" not in vars(writer)


def test_prompts_are_not_written_side_by_side() -> None:
    writer = Writer()
    with Writers().remembering({"llm": writer}, CPU), pytest.raises(Apart):
        writer.generate(input_ids=torch.cat([ONE, OTHER]))
    assert writer.rows == []


def test_what_else_a_row_is_given_goes_with_it_where_it_can_be_told() -> None:
    writer, seen = Writer(), torch.ones(2, 5)
    with Writers().remembering({"llm": writer}, CPU):
        writer.generate(input_ids=ONE.repeat(2, 1), seen=seen.repeat(2, 1))
        writer.generate(input_ids=ONE.repeat(2, 1), seen=seen)
        writer.generate(input_ids=ONE.repeat(2, 1), seen=torch.ones(3, 5))
        assert writer.rows == [2, 1, 3]
        found = writer.generate(input_ids=ONE, named=True)["sequences"]
        assert torch.equal(found, writer.generate(ONE))  # by name or place, from the same numbers


def test_prompts_that_a_pipeline_has_rewritten_are_the_same_wherever_they_stand(
    tmp_path: Path,
) -> None:
    pipe, text = load(REWRITING, tmp_path), [Prompt("a", "a red circle"), Prompt("b", "two")]
    starts = [Start(Gaussian(1)), Start(Gaussian(2))]
    play = player(pipe, REWRITING)
    with rows_of(pipe.pe) as written:
        whole = play.play(starts, text)
        halves = play.play([replace(move, until=2) for move in starts], text[::-1])
        moves = [Continue(half.candidate, Gaussian(i)) for i, half in enumerate(halves, 1)]
        again = play.play(moves, text[::-1])
        told = len(written)
        play.play(starts, text)
        assert len(written) == told > 0
    alone = player(pipe, REWRITING)
    for i, made in enumerate(whole):
        once = alone.one(starts[i], text[i])
        assert np.array_equal(made.pixels, once.pixels)
    for i, made in enumerate(again):
        assert np.array_equal(made.pixels, alone.one(starts[i], text[1 - i]).pixels)


def test_the_oldest_are_let_go() -> None:
    writer = Writer()
    with Writers(keep=1).remembering({"llm": writer, "none": None}, CPU):
        for ids in (ONE, ONE, OTHER, ONE):
            writer.generate(input_ids=ids)
    assert writer.rows == [1] * 3
