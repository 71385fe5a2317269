"""How a model is driven: prompts are read one at a time, texts are written one token a step.

Two engines stand behind one protocol. `FusedLlama` has a forward of its own; `Generic` calls that
of any other causal model of transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from noise_search.pipelines.text.generic import Generic
from noise_search.pipelines.text.llama import FusedLlama
from noise_search.pipelines.text.prefixes import Past, cut

__all__ = ["Batch", "Engine", "engine_of", "tile_of"]


class Batch(Protocol):
    """Rows that are written together, each at a position of its own."""

    @property
    def width(self) -> int:
        """Rows of the next forward, padding included."""
        ...

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row; the logits after it, (rows, vocabulary)."""
        ...

    def drop(self, row: int) -> None:
        """Take a row out; the last one takes its place."""
        ...

    def past(self, row: int, begin: int, end: int) -> Past:
        """A row's keys and values from one position up to another, valid until the next step."""
        ...


class Engine(Protocol):
    """A model that reads and writes."""

    room: int
    """The longest text, in tokens."""

    vocabulary: int

    ragged: bool
    """Whether rows at different positions may share a batch."""

    def read(self, tokens: Sequence[int]) -> Past:
        """The keys and values of the beginning of a text; `tokens` may be empty."""
        ...

    def batch(self, rows: Sequence[Sequence[Past]], tile: int) -> Batch:
        """Begin to write.

        Args:
            rows: what comes before, of each row, in pieces. Rows that share the same list are
                filled together.
            tile: rows are padded to a multiple of this.
        """
        ...


def engine_of(model: Any, fast: bool) -> Engine:
    """The engine that drives a model.

    Args:
        model: a causal model of transformers, wherever it lies and in whatever precision.
        fast: allow batches whose rows depend on their neighbours in the last bits.

    Raises:
        UserError: the model keeps something else than plain keys and values.
    """
    return FusedLlama(model) if FusedLlama.handles(model) else Generic(model, ragged=fast)


def tile_of(engine: Engine, width: int) -> int | None:
    """The least tile with which a row has the same bits in every batch.

    Tried on the model itself, at the present number of threads: of 1, 4, 8, 16, ..., width the
    first for which every batch of a multiple of it gives each row the logits that it has in the
    widest batch, in another place and beside other rows. An engine that cannot have rows of
    different positions side by side is told not to.

    Returns:
        The tile; None if not even the full width is one.
    """
    tiles = [1, 4]
    while tiles[-1] < width:
        tiles.append(2 * tiles[-1])
    tiles = [*(tile for tile in tiles if tile < width), width]
    found = next((tile for tile in tiles if _exact(engine, tile, width)), None)
    if found is None and engine.ragged:
        engine.ragged = False
        found = next((tile for tile in tiles if _exact(engine, tile, width)), None)
    return found


def _exact(engine: Engine, tile: int, width: int) -> bool:
    """Whether rows have the same bits in all batches of a multiple of `tile`, up to `width`."""
    most = -(-width // tile) * tile
    longest = max(0, min(engine.room - 2, 300))
    numbers = torch.Generator().manual_seed(0)
    past = engine.read(torch.randint(engine.vocabulary, (longest,), generator=numbers).tolist())
    tokens = torch.randint(engine.vocabulary, (2, most), generator=numbers)
    # The shortest rows come last and most are short, so that small batches are short ones too.
    spread = [int(longest * ((most - 1 - i) / most) ** 3) for i in range(most)]
    equal = [[longest // part] * most for part in (1, 4, 16)]
    return all(
        _alike(engine, [[cut(past, 0, n)] for n in lengths], tokens, tile)
        for lengths in ([spread] if engine.ragged else equal)
    )


def _alike(engine: Engine, rows: list[list[Past]], tokens: Tensor, tile: int) -> bool:
    """Whether the last rows are alike in the whole batch, in parts of it, and by short rows."""
    most = len(rows)
    half = most // 2
    whole = _two_steps(engine, rows, tokens, tile)
    lone = _two_steps(engine, [rows[-1]] * half + rows[half:], tokens, tile)
    # In reverse order, since a place in a batch may have bits of its own.
    back, right = tokens.flip(1), whole.flip(1)
    return torch.equal(lone[:, half:], whole[:, half:]) and all(
        torch.equal(_two_steps(engine, rows[: -n - 1 : -1], back[:, :n], tile), right[:, :n])
        for n in range(tile, most + 1, tile)
    )


def _two_steps(engine: Engine, rows: Sequence[Sequence[Past]], tokens: Tensor, tile: int) -> Tensor:
    """Logits of two steps, (2, rows, vocabulary); the second reads what the first has written."""
    batch = engine.batch(rows, tile)
    return torch.stack([batch.step(tokens[i].tolist()) for i in range(2)])
