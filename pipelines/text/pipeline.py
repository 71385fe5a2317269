"""A language model as a pipeline: a stage is a reasoning step, a noise is its random numbers.

A text is a pure function of its question and its recipe: the numbers that decide its tokens come
from (recipe, step, place in the step). So siblings, rewinds and revisions are names, as on noise.

Tokens are charged by name: `tokens_in` is what a text is begun from (the question, in a revision
earlier texts too), `tokens_out` what is written, greedy lookaheads included. The cache of keys and
values is a cache: what it saves, and what it has to read again, stands in no ledger.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from noise_search.answers import Rule as AnswerRule
from noise_search.answers import extract
from noise_search.ask import Ask, Prompt
from noise_search.budget import ZERO, Cost
from noise_search.candidate import Candidate
from noise_search.errors import UserError
from noise_search.noise import TEXT, Book, Name, Recipe, Splice
from noise_search.pipelines.text.bounds import bound, kept_of
from noise_search.pipelines.text.decoder import Decoder
from noise_search.pipelines.text.prompting import Prompting
from noise_search.pipelines.text.writing import Limits, Writing
from noise_search.problem import Played
from noise_search.text import Step, Text

__all__ = ["Style", "TextPipeline"]

_KEPT_CONTEXTS = 4096
_TORN = "\ufffd"  # What the bytes of half a character are decoded to.


@dataclass(frozen=True)
class Style:
    """How texts are begun, split and read.

    Attributes:
        prompting: what the model is given to read.
        limits: where steps and texts end.
        most: tokens of a whole text.
        answers: how a final answer is found.
        facts: what the record says of all this.
    """

    prompting: Prompting
    limits: Limits
    most: int
    answers: AnswerRule
    facts: Mapping[str, object]


@dataclass(frozen=True)
class _Path:
    """One text to be written: from what, by which numbers, how far."""

    context: Sequence[int]
    kept: Text
    noise: Recipe
    until: int
    lookahead: int
    steps: int


class TextPipeline:
    """Writes texts step by step.

    Args:
        decoder: writes tokens.
        tokenizer: of transformers.
        style: how texts are begun, split and read.
        book: the recipes of the run.
    """

    medium = TEXT
    stochastic = True
    most_steps = 10_000

    def __init__(self, decoder: Decoder, tokenizer: Any, style: Style, book: Book) -> None:
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.style = style
        self.book = book
        self._contexts: OrderedDict[Hashable, list[int]] = OrderedDict()

    def describe(self) -> dict[str, object]:
        """What decides the results, for the run's record."""
        return {**self.style.facts, **self.decoder.describe()}

    def price(self, ask: Ask) -> Cost:
        """What is read, and at most what can be written.

        Raises:
            UserError: the question alone fills the model's context.
        """
        read = len(self._context(ask.prompt, [_words(c) for c in ask.about]))
        if ask.parent is None and not ask.about and read >= self.decoder.room:
            raise UserError(
                f"prompt {ask.prompt.text[:60]!r}: its {read:,} tokens leave no room in the "
                f"model's context of {self.decoder.room:,}"
            )
        most = min(self.style.most, self.decoder.room - read)
        return Cost(
            tokens_in=0 if ask.parent else read,
            tokens_out=bound(ask, most, self.style.limits.step),
        )

    def lane(self, ask: Ask) -> Hashable:
        """All in one: rows of a batch may begin and end where they like."""
        return None

    def play(self, asks: Sequence[Ask]) -> tuple[list[Played], Cost]:
        """Write one batch of texts, in order. There is no overhead: a cache is not charged."""
        written = self._write([self._path(ask) for ask in asks])
        return [self._played(*pair) for pair in zip(asks, written, strict=True)], ZERO

    def picture(self, candidate: Candidate, prompt: Prompt) -> tuple[Text, Text, Cost]:
        """A candidate's text written again from its recipe alone, lookahead included.

        Raises:
            ValueError: the candidate has failed.
        """
        if candidate.failure is not None:
            raise ValueError(f"candidate {candidate.name} has failed: {candidate.failure}")
        made: dict[Name, Text] = {}
        todo: list[Recipe] = [candidate.noise]
        while todo:
            missing = [n for n in self.book.revised(todo[-1]) if n not in made]
            if missing:
                todo += [self.book[name] for name in missing]
                continue
            path = todo.pop()
            if path.name in made:
                continue
            last = path == candidate.noise
            stage = candidate.stage if last else candidate.steps
            ahead = candidate.lookahead if last else 0
            attempts = [made[name].words for name in self.book.revised(path)]
            context = self._context(prompt, attempts)
            made[path.name] = self._again(path, context, stage, ahead, candidate.steps)
        return made[candidate.noise.name], made[candidate.noise.name], ZERO

    def _again(
        self, path: Recipe, context: Sequence[int], stage: int, ahead: int, steps: int
    ) -> Text:
        """One path from its beginning, segment by segment."""
        text = Text()
        segments = self.book.segments(path, stage)
        for i, (noise, rewind, until, _) in enumerate(segments):
            kept = text.until(len(text.steps) - rewind) if i else text
            lookahead = ahead if i == len(segments) - 1 else 0
            [(text, seen)] = self._write([_Path(context, kept, noise, until, lookahead, steps)])
            if lookahead:
                return seen
        return text

    def _context(self, prompt: Prompt, attempts: Sequence[str]) -> list[int]:
        """What a text is begun from: as many of the latest attempts as leave room to write."""
        key = (prompt.name, tuple(attempts))
        if key not in self._contexts:
            most = self.decoder.room - min(self.style.most, self.decoder.room // 2)
            shown, tokens = list(attempts), self.style.prompting(prompt, attempts)
            while shown and len(tokens) > most:
                shown = shown[1:]
                tokens = self.style.prompting(prompt, shown)
            self._contexts[key] = tokens
            while len(self._contexts) > _KEPT_CONTEXTS:
                self._contexts.popitem(last=False)
        self._contexts.move_to_end(key)
        return self._contexts[key]

    def _path(self, ask: Ask) -> _Path:
        context = self._context(ask.prompt, [_words(c) for c in ask.about])
        return _Path(context, kept_of(ask), ask.noise, ask.until, ask.lookahead, ask.steps)

    def _write(self, paths: Sequence[_Path]) -> list[tuple[Text, Text]]:
        """Each path's text, and the same with its lookahead."""
        rows = [self._row(path) for path in paths]
        for start in range(0, len(rows), self.decoder.width):
            self.decoder.extend(rows[start : start + self.decoder.width])
        return [self._texts(row, path) for row, path in zip(rows, paths, strict=True)]

    def _row(self, path: _Path) -> Writing:
        most = min(self.style.most, self.decoder.room - len(path.context))
        return Writing(
            path.context,
            [step.tokens for step in path.kept.steps],
            lambda step: self._seed(path.noise, step),
            path.until,
            min(path.lookahead, path.steps - path.until),
            most,
            self.style.limits,
        )

    def _seed(self, noise: Recipe, step: int) -> int:
        """The seed of a path's step: that of its tail after a cut, of its head before it."""
        while isinstance(noise, Splice):
            noise = self.book[noise.head if step < noise.at - noise.rewind else noise.tail]
        seed = getattr(noise, "seed", None)
        if not isinstance(seed, int):
            raise TypeError(f"a {noise.kind} decides no tokens")
        return seed

    def _texts(self, row: Writing, path: _Path) -> tuple[Text, Text]:
        known = path.kept.steps
        words = self._steps_words(row.steps, len(known), ended=bool(row.ending))
        steps = [*known, *map(Step, words, row.steps[len(known) :])]
        ending = row.ending or ("length" if len(steps) >= path.steps else "")
        seen = self._read(tuple(steps), ending, torn=row.ending == "length")
        return (seen if len(steps) <= path.until else seen.until(path.until)), seen

    def _steps_words(
        self, steps: Sequence[tuple[int, ...]], known: int, *, ended: bool
    ) -> list[str]:
        """The words of the steps from the known ones on, told apart in the whole text."""
        tokens = [token for step in steps[:known] for token in step]
        before = self._decode(tokens).rstrip(_TORN)
        words: list[str] = []
        for step in steps[known:]:
            tokens += step
            whole = self._decode(tokens)
            if step is not steps[-1] or not ended:
                whole = whole.rstrip(_TORN)  # a character that the next step completes
            words.append(whole[len(before) :] if whole.startswith(before) else self._decode(step))
            before = whole
        return words

    def _decode(self, tokens: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))

    def _read(self, steps: tuple[Step, ...], ending: str, *, torn: bool) -> Text:
        """The text with its answer; of a step that was cut off only what has an end of its own."""
        text, rule = Text(steps, None, ending), self.style.answers
        if not ending:
            return text
        if not torn:
            return Text(steps, extract(text.words, rule), ending)
        whole = extract(text.words, "boxed") if rule in ("auto", "boxed") else None
        return Text(steps, whole or extract(Text(steps[:-1]).words, rule), ending)

    def _played(self, ask: Ask, written: tuple[Text, Text]) -> Played:
        text, seen = written
        new = len(seen.tokens) - len(kept_of(ask).tokens)
        read = 0 if ask.parent else len(self._context(ask.prompt, [_words(c) for c in ask.about]))
        ended = bool(text.ending)
        return Played(
            Cost(tokens_in=read, tokens_out=new),
            ended=ended,
            stage=len(text.steps),
            text=text,
            seen=seen if ask.look or ended else None,
        )


def _words(candidate: Candidate) -> str:
    return "" if candidate.text is None else candidate.text.words
