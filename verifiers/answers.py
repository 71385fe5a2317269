"""Verifiers of answers: whether a text comes to the right one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from noise_search.answers import normal
from noise_search.ask import Prompt
from noise_search.problem import Sample, Score

__all__ = ["RIGHT", "Answered", "same"]


def given(prompt: Prompt) -> str:
    """The right answer that came with a prompt.

    Raises:
        ValueError: none did; the message goes on from the prompt's name.
    """
    if prompt.answer is None or not prompt.answer.strip():
        raise ValueError("has no answer; --answer-column names the column that holds it")
    return prompt.answer


def computed(prompt: Prompt) -> str:
    """The value of a question of chained arithmetic, which needs no answer to come with it.

    Raises:
        ValueError: it is not one; the message goes on from the prompt's name.
    """
    from noise_search.pipelines.arithmetic.problems import value

    try:
        return str(value(prompt.text))
    except ValueError as error:
        raise ValueError(f"has no value: {' '.join(str(error).split())[:200]}") from None


RIGHT: Mapping[str, Callable[[Prompt], str]] = {
    "arithmetic": computed,
    "exact": given,
    "math": given,
}
"""Where the verifiers of answers have the right ones from."""


def same(answer: str, right: str) -> bool:
    """Whether two answers have one normal form."""
    return normal(answer) == normal(right)


class Answered:
    """1 where a text comes to the right answer; 0 where it comes to another, or to none.

    Args:
        name: the spec it was made from.
        right: the right answer of a prompt; a ValueError is a failure.
        agree: whether a text's answer agrees with the right one; a ValueError is a failure.
        version: what decides that, for the run's record.
    """

    def __init__(
        self,
        name: str,
        right: Callable[[Prompt], str],
        agree: Callable[[str, str], bool] = same,
        version: str = "noise_search.answers.normal",
    ) -> None:
        self.name = name
        self.right = right
        self.agree = agree
        self.version = version

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order."""
        return [self._score(sample) for sample in samples]

    def _score(self, sample: Sample) -> Score:
        if sample.text is None:
            return Score(failure=f"{self.name}: it judges texts, and this is none")
        try:
            right = self.right(sample.prompt)
        except ValueError as error:
            return Score(failure=f"{self.name}: the prompt {error}")
        answer = sample.text.answer
        try:
            correct = answer is not None and (same(answer, right) or self.agree(answer, right))
        except ValueError as error:
            return Score(failure=f"{self.name}: {error}")
        return Score({self.name: float(correct)})

    def describe(self) -> dict[str, object]:
        """What decides the scores, for the run's record."""
        return {"class": type(self).__name__, "version": self.version}
