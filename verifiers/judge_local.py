"""A judge on this machine: a vision-language model that can write nothing but an answer.

What it writes is held to the form of an answer while it writes: keys and marks are given, its
reasons end at the first quotation mark, and of numbers and choices only those count that are
allowed.  So every answer can be read, and the model decides everything in it that matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from noise_search.errors import UserError
from noise_search.problem import Sample, Score, Verifier
from noise_search.specs import Spec
from noise_search.verifiers.batches import Batches
from noise_search.verifiers.card import Card
from noise_search.verifiers.judge import FRAMES, scored
from noise_search.verifiers.judge_client import Answered
from noise_search.verifiers.judge_models import Seeing, find_model, seeing
from noise_search.verifiers.models import Models, Place
from noise_search.verifiers.pictures import Pixels, frames_of
from noise_search.verifiers.rubric import (
    COMPARE,
    GRADE,
    VERSION,
    Grades,
    Preference,
    compare_text,
    grade_text,
    read,
    schema_of,
)

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Form", "LocalJudge", "local_judge"]

A = TypeVar("A", bound=BaseModel)


def local_judge(
    spec: Spec, models: Models, revision: str | None, place: Place, words: int
) -> Verifier:
    """The judge of `judge:local#MODEL`.

    Args:
        spec: as written.
        models: of the run.
        revision: of a model that is named as on the hub.
        place: how it is run.
        words: tokens of its reasons, at most.

    Raises:
        UserError: the model is not on the disk, or cannot judge.
    """
    target = spec.part or ""
    model = seeing(models, find_model(target, str(spec), revision), place, str(spec))
    try:
        return LocalJudge(model, str(spec), target, words)
    except UserError as error:
        raise UserError(f"verifier {spec}: {error}") from None


class LocalJudge:
    """Grades pictures, and compares them, by a loaded model.

    Args:
        model: sees and writes.
        name: the spec it was made from.
        source: where its weights come from.
        words: tokens of its reasons, at most.
    """

    def __init__(self, model: Seeing, name: str, source: str, words: int) -> None:
        self.name = name
        self.card = Card(
            version=f"judge {VERSION} {model.version} greedy words={words}",
            low=0,
            high=100,
            source=source,
            costly=True,
        )
        self._model = model
        self._grading = Form(model.tokenizer, Grades, words)
        self._comparing = Form(model.tokenizer, Preference, words)
        self._grade = Batches(self._graded, model.place.batch)
        self._compare = Batches(self._compared, model.place.batch)

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score a sample, in order; a broken picture is a failure."""
        shown = [frames_of(sample, FRAMES) for sample in samples]
        due = [
            (frame, sample.prompt.text)
            for sample, frames in zip(samples, shown, strict=True)
            if not isinstance(frames, str)
            for frame in frames
        ]
        answers = iter(self._grade(due))
        found = [
            Score(failure=f"{self.name}: {frames}")
            if isinstance(frames, str)
            else scored(self.name, [next(answers) for _ in frames], sample.pixels)
            for sample, frames in zip(samples, shown, strict=True)
        ]
        return [score for score in found if score is not None]

    def prefer(self, pairs: Sequence[tuple[Sample, Sample]]) -> list[Answered[Preference]]:
        """Which of two pictures of one prompt is better; one answer a pair, in order.

        Args:
            pairs: finished pictures; of videos the middle frame is looked at.
        """
        found: list[Answered[Preference] | None] = []
        due: list[tuple[Pixels, Pixels, str]] = []
        for one, other in pairs:
            first, second = frames_of(one, 1), frames_of(other, 1)
            if isinstance(first, str) or isinstance(second, str):
                found.append(Answered(failure=first if isinstance(first, str) else str(second)))
            else:
                found.append(None)
                due.append((first[0], second[0], one.prompt.text))
        answers = iter(self._compare(due))
        return [next(answers) if answer is None else answer for answer in found]

    def _graded(self, items: Sequence[tuple[Pixels, str]]) -> list[Answered[Grades]]:
        texts = [f"{GRADE}\n{grade_text(prompt)}" for _, prompt in items]
        said = self._written(texts, [[pixels] for pixels, _ in items], self._grading)
        return [_answered(Grades, text) for text in said]

    def _compared(self, items: Sequence[tuple[Pixels, Pixels, str]]) -> list[Answered[Preference]]:
        texts = [f"{COMPARE}\n{compare_text(prompt)}" for _, _, prompt in items]
        pairs = [[first, second] for first, second, _ in items]
        return [_answered(Preference, t) for t in self._written(texts, pairs, self._comparing)]

    def _written(
        self, texts: Sequence[str], pictures: Sequence[Sequence[Pixels]], form: Form
    ) -> list[str]:
        """What the model writes into a form, in one batch."""
        import torch
        from transformers import GenerationConfig

        from noise_search.verifiers.process_models import quietly

        questions = [
            self._model.question(text, len(row)) for text, row in zip(texts, pictures, strict=True)
        ]
        inputs = self._model.encoded(questions, pictures)
        writing = _Writing(form, len(texts))
        how = GenerationConfig(
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            max_new_tokens=form.longest,
            eos_token_id=form.end,
            pad_token_id=form.end,
        )
        with torch.inference_mode(), quietly():
            self._model.model.generate(**inputs, generation_config=how, logits_processor=[writing])
        return [form.text(tokens) for tokens in writing.written]


def _answered(kind: type[A], text: str) -> Answered[A]:
    try:
        return Answered(read(kind, text), said=text, heard=True)
    except ValueError as error:
        return Answered(failure=str(error), said=text, heard=True)


@dataclass(frozen=True)
class _Given:
    """Tokens that stand there whatever the model thinks."""

    tokens: tuple[int, ...]

    def next(self, so_far: tuple[int, ...]) -> set[int]:
        return set(self.tokens[len(so_far) : len(so_far) + 1])

    def may_end(self, so_far: tuple[int, ...]) -> bool:
        return len(so_far) == len(self.tokens)


@dataclass(frozen=True)
class _One:
    """One of several sequences of tokens."""

    choices: frozenset[tuple[int, ...]]

    def next(self, so_far: tuple[int, ...]) -> set[int]:
        here = len(so_far)
        return {c[here] for c in self.choices if len(c) > here and c[:here] == so_far}

    def may_end(self, so_far: tuple[int, ...]) -> bool:
        return so_far in self.choices


@dataclass(frozen=True)
class _Free:
    """So many tokens at most, up to the first that would end a JSON string."""

    most: int

    def next(self, so_far: tuple[int, ...]) -> set[int]:
        return set()  # the model's own, see `_Writing`

    def may_end(self, so_far: tuple[int, ...]) -> bool:
        return True


_Piece = _Given | _One | _Free


class Form:
    """The form of an answer, in the tokens of a model.

    Numbers are whole ones, spelled in any way that the tokenizer has tokens of digits for.

    Args:
        tokenizer: the model's own.
        answer: what is to be written.
        words: tokens of its reasons, at most.

    Attributes:
        end: the token that ends it.
        longest: tokens that it can have.

    Raises:
        UserError: the tokenizer has no tokens for digits.
    """

    def __init__(self, tokenizer: Any, answer: type[BaseModel], words: int) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._special = {number for number, token in added if token.special}
        digits = _digits(tokenizer)
        self.pieces: list[_Piece] = []
        before = "{"
        for key, kind in schema_of(answer)["properties"].items():
            lead = f'{before}"{key}": '
            if key == "reason":
                self.pieces += [self._given(f'{lead}"'), _Free(words)]
                before = '", '
            elif "enum" in kind:
                choices = frozenset(self._given(word).tokens for word in kind["enum"])
                self.pieces += [self._given(f'{lead}"'), _One(choices)]
                before = '", '
            else:
                self.pieces += [self._given(lead), _One(_spellings(kind["maximum"], digits))]
                before = ", "
        self.pieces.append(self._given(before.rstrip(", ") + "}"))
        ends = tokenizer.eos_token_id
        self.end: int = 0 if ends is None else ends
        self.longest = 1 + sum(_most(piece) for piece in self.pieces)

    def _given(self, text: str) -> _Given:
        return _Given(tuple(self._tokenizer(text, add_special_tokens=False).input_ids))

    def ends_words(self, token: int) -> bool:
        """Whether a token cannot stand within a JSON string."""
        text: str = self._tokenizer.decode([token])
        return token in self._special or not text or any(c in '"\\' or c < " " for c in text)

    def text(self, tokens: Sequence[int]) -> str:
        """What some tokens spell."""
        kept = [token for token in tokens if token != self.end]
        spelled: str = self._tokenizer.decode(kept, clean_up_tokenization_spaces=False)
        return spelled


class _Writing:
    """Holds the rows of one batch to a form; transformers calls it with the logits of each step.

    Args:
        form: to be filled in.
        rows: of the batch.

    Attributes:
        written: the tokens of each row so far.
    """

    def __init__(self, form: Form, rows: int) -> None:
        self._form = form
        self._at: list[tuple[int, tuple[int, ...]]] = [(0, ())] * rows
        self.written: list[list[int]] = [[] for _ in range(rows)]

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        """Logits (rows, words) of which only one, the chosen token's, is not minus infinity."""
        import torch

        held = torch.full_like(logits, -torch.inf)
        for row, best in enumerate(logits.argmax(-1).tolist()):
            moves = dict(self._moves(*self._at[row], best))
            tokens = list(moves)
            token = tokens[int(logits[row, tokens].argmax())]
            self._at[row] = moves[token]
            self.written[row].append(token)
            held[row, token] = 0.0
        return held

    def _moves(
        self, number: int, so_far: tuple[int, ...], best: int
    ) -> Iterator[tuple[int, tuple[int, tuple[int, ...]]]]:
        """The tokens that may come next, and where each leads."""
        if number == len(self._form.pieces):
            yield self._form.end, (number, ())
            return
        piece = self._form.pieces[number]
        free = isinstance(piece, _Free) and len(so_far) < piece.most
        if free and not self._form.ends_words(best):
            yield best, (number, (*so_far, best))
            return
        for token in sorted(piece.next(so_far)):
            yield token, (number, (*so_far, token))
        if piece.may_end(so_far):
            yield from self._moves(number + 1, (), best)


def _most(piece: _Piece) -> int:
    if isinstance(piece, _Free):
        return piece.most
    return len(piece.tokens) if isinstance(piece, _Given) else max(map(len, piece.choices))


def _digits(tokenizer: Any) -> dict[str, int]:
    """The tokens that spell nothing but digits, by what they spell.

    Raises:
        UserError: a digit has none.
    """
    words: dict[str, int] = tokenizer.get_vocab()
    found = {text: words[text] for text in map(str, range(101)) if text in words}
    if missing := [digit for digit in "0123456789" if digit not in found]:
        raise UserError(f"its tokenizer has no token for the digit {missing[0]}")
    return found


def _spellings(most: int, digits: dict[str, int]) -> frozenset[tuple[int, ...]]:
    """All ways to spell the whole numbers from 0 to `most`."""

    def ways(text: str) -> Iterator[tuple[int, ...]]:
        if not text:
            yield ()
        for length in range(1, len(text) + 1):
            if text[:length] in digits:
                for rest in ways(text[length:]):
                    yield (digits[text[:length]], *rest)

    return frozenset(way for number in range(most + 1) for way in ways(str(number)))
