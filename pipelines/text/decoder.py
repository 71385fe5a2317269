"""Writes texts token by token: many at once, each a pure function of its own numbers.

What was read or written stays in a tree of prefixes, so that siblings share it. A prompt but for
its last token is always read at once and alone; its last token and all that follows is always fed
one token a step, in batches in which a row's bits do not depend on its neighbours. Every key and
value is thereby the same however often it was lost and made again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import TopPLogitsWarper

from noise_search.errors import UserError
from noise_search.pipelines.text.engines import Batch, engine_of, tile_of
from noise_search.pipelines.text.prefixes import Past, Prefixes, length

__all__ = ["Cursor", "Decoder"]

_LAST = 1.0 - 2.0**-52  # Of numbers in [0, 1), the greatest whose share of a sum stays below it.


class Cursor(Protocol):
    """One text under way."""

    @property
    def context(self) -> Sequence[int]:
        """Tokens of the prompt, at least one."""
        ...

    @property
    def tokens(self) -> Sequence[int]:
        """What was written after it so far, in an earlier call."""
        ...

    def uniform(self) -> float | None:
        """The number in [0, 1) that decides the next token; None takes the likeliest."""
        ...

    def take(self, token: int) -> bool:
        """Told of the next token; False when it wants no more."""
        ...


@dataclass(eq=False, slots=True)
class _Row:
    """A text in a batch.

    Attributes:
        context: tokens of the prompt; all but the last are read at once.
        written: tokens to be fed one by one: the prompt's last, and what comes after it.
        at: how many of them have been fed.
        cursor: who is told of new tokens; None if the text is but made again.
    """

    context: tuple[int, ...]
    written: list[int]
    at: int
    cursor: Cursor | None


_Key = tuple[tuple[int, ...], tuple[int, ...]]
_Pasts = dict[_Key, list[Past]]
_Advance = Callable[[Tensor, list[_Row]], list[bool]]


class Decoder:
    """Writes with a causal model of transformers.

    Exactness holds for one machine, device, precision and number of threads.

    Args:
        model: the model, wherever it lies and in whatever precision.
        width: the most rows of a batch.
        temperature: divides the logits; 0 always takes the likeliest.
        top_p: sample from the fewest likeliest tokens with this much probability together.
        fast: do not pad; rows then depend on their neighbours in the last bits.
        keep: bytes of keys and values that are kept between calls.

    Attributes:
        read: prompt tokens read so far.
        fed: tokens fed one by one so far; each new token takes one.
        padded: rows of forwards that were padding.
        tile: forwards have a multiple of so many rows.
        exact: whether a trial found rows to be independent of their batch. Not so with `fast`, nor
            where a library's kernels give places in a batch bits of their own.

    Raises:
        UserError: a number out of its bounds, or a model without plain keys and values.
    """

    def __init__(
        self,
        model: Any,
        *,
        width: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        fast: bool = False,
        keep: int = 256 << 20,
    ) -> None:
        if width < 1:
            raise UserError(f"a batch has at least one row, not {width}")
        if not temperature >= 0.0:
            raise UserError(f"temperature must be at least 0, not {temperature}")
        if not 0.0 < top_p <= 1.0:
            raise UserError(f"top_p must lie in (0, 1], not {top_p}")
        model.eval()
        self.width = width
        self.fast = fast
        self.top_p = top_p
        self.temperature = temperature
        self.read = self.fed = self.padded = 0
        self._model = model
        self._nucleus: Any = TopPLogitsWarper(top_p) if top_p < 1.0 else None
        self._prefixes = Prefixes(keep)
        with torch.inference_mode():
            self._engine = engine_of(model, fast)
            tile = 1 if fast else tile_of(self._engine, width)
        self.exact = not fast and tile is not None
        self.tile = tile or width

    @property
    def room(self) -> int:
        """The longest text, prompt included, in tokens."""
        return self._engine.room

    def describe(self) -> dict[str, object]:
        """What decides the results, for the run's record."""
        return {
            "class": type(self._model).__name__,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "device": str(self._model.device),
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "width": self.width,
            "tile": self.tile,
            "fast": self.fast,
            "exact": self.exact,
            "temperature": self.temperature,
            "top_p": self.top_p,
        }

    def extend(self, cursors: Sequence[Cursor]) -> None:
        """Write on until no cursor wants more.

        Rows end one by one, also when their text has `room` tokens.

        Args:
            cursors: at most `width` texts.

        Raises:
            ValueError: too many cursors, or a prompt without tokens.
        """
        if len(cursors) > self.width:
            raise ValueError(f"{len(cursors)} texts do not fit into a batch of {self.width}")
        if any(len(cursor.context) == 0 for cursor in cursors):
            raise ValueError("a prompt has at least one token")
        rows = [_row(c) for c in cursors if len(c.context) + len(c.tokens) < self.room]
        with torch.inference_mode():
            pasts = self._pasts(rows)
            self._run([(row, pasts[_before(row)]) for row in rows], self._write)

    def _pasts(self, rows: Iterable[_Row]) -> _Pasts:
        """Keys and values of all but the last token of each row, read or made again if lost."""
        pasts: _Pasts = {}
        lost: list[tuple[_Row, list[Past]]] = []
        for row in rows:
            key = _before(row)
            if key not in pasts:
                pieces = pasts[key] = self._known(row.context, key[1])
                known = sum(map(length, pieces)) - len(row.context) + 1
                if known < len(key[1]):
                    lost.append((_Row(row.context, row.written[:-1], known, None), pieces))
        made: _Pasts = {}

        def again(logits: Tensor, live: list[_Row]) -> list[bool]:
            return [row.at < len(row.written) for row in live]

        self._run(lost, again, made)
        return pasts | made

    def _known(self, context: tuple[int, ...], written: tuple[int, ...]) -> list[Past]:
        """What is kept of a text; its prompt is read if need be."""
        found = self._prefixes.find(context, written)
        if found is not None:
            return found
        past = self._engine.read(context[:-1])
        self.read += len(context) - 1
        self._prefixes.put(context, (), lambda begin, end: past)
        return [past]

    def _run(
        self,
        rows: Sequence[tuple[_Row, list[Past]]],
        advance: _Advance,
        made: _Pasts | None = None,
    ) -> None:
        """Feed rows, each with what comes before, in as few batches as the engine allows."""
        groups: dict[int, list[tuple[_Row, list[Past]]]] = defaultdict(list)
        for row, pieces in rows:
            place = 0 if self._engine.ragged else len(row.context) + row.at
            groups[place].append((row, pieces))
        for group in groups.values():
            batch = self._engine.batch([pieces for _, pieces in group], self.tile)
            self._feed([row for row, _ in group], batch, advance, made)

    def _feed(self, live: list[_Row], batch: Batch, advance: _Advance, made: _Pasts | None) -> None:
        """Feed a batch until all of its rows have ended.

        Args:
            live: the rows, in the order of the batch.
            batch: their keys and values.
            advance: says which rows go on, given the logits.
            made: gets the keys and values of rows that ended, if given.
        """
        while live:
            self.fed += len(live)
            self.padded += batch.width - len(live)
            logits = batch.step([row.written[row.at] for row in live])
            for row in live:
                row.at += 1
            going = advance(logits, live)
            for i in range(len(live) - 1, -1, -1):
                if not going[i]:
                    self._keep(live[i], partial(batch.past, i), made)
                    batch.drop(i)
                    live[i] = live[-1]
                    live.pop()

    def _keep(
        self,
        row: _Row,
        cutter: Callable[[int, int], Past],
        made: _Pasts | None,
    ) -> None:
        """Keep what a row has fed."""
        fed = tuple(row.written[: row.at])
        self._prefixes.put(row.context, fed, cutter)
        if made is not None:
            whole = cutter(0, len(row.context) - 1 + row.at)
            made[row.context, fed] = [tuple(part.clone() for part in whole)]

    def _write(self, logits: Tensor, live: list[_Row]) -> list[bool]:
        """Choose a token for each row and tell its cursor; which rows go on."""
        cursors = [row.cursor for row in live if row.cursor is not None]
        uniforms: list[float | None] = [None] * len(live)
        if self.temperature > 0.0:
            uniforms = [cursor.uniform() for cursor in cursors]
        tokens = self._choose(logits, uniforms)
        going = [cursor.take(token) for cursor, token in zip(cursors, tokens, strict=True)]
        for row, token in zip(live, tokens, strict=True):
            row.written.append(token)
        return [
            more and len(row.context) - 1 + len(row.written) < self.room
            for more, row in zip(going, live, strict=True)
        ]

    def _choose(self, logits: Tensor, uniforms: Sequence[float | None]) -> list[int]:
        """The likeliest token, or the first whose cumulative probability exceeds the number."""
        if all(uniform is None for uniform in uniforms):
            return _tokens(logits.argmax(dim=-1))
        scores = logits.float() / self.temperature
        if self._nucleus is not None:
            scores = self._nucleus(None, scores)
        mass = scores.softmax(dim=-1).cumsum(dim=-1, dtype=torch.float64)
        numbers = [0.0 if u is None else min(u, _LAST) for u in uniforms]
        # Where logits are not numbers, nothing exceeds anything; a token must be one all the same.
        last = logits.shape[-1] - 1
        shares = torch.tensor(numbers, dtype=torch.float64, device=logits.device)[:, None]
        chosen = torch.searchsorted(mass, shares * mass[:, -1:], right=True)[:, 0].clamp_(max=last)
        if None in uniforms:
            greedy = torch.tensor([u is None for u in uniforms], device=logits.device)
            chosen = torch.where(greedy, logits.argmax(dim=-1), chosen)
        return _tokens(chosen)


def _tokens(chosen: Tensor) -> list[int]:
    tokens: list[int] = chosen.tolist()
    return tokens


def _row(cursor: Cursor) -> _Row:
    context = tuple(cursor.context)
    written = [context[-1], *cursor.tokens]
    return _Row(context, written, len(written) - 1, cursor)


def _before(row: _Row) -> _Key:
    """The prompt, and what was fed after it, as `written` stands before the last token."""
    return row.context, tuple(row.written[:-1])
