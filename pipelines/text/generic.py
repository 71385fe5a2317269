"""Any causal model of transformers that keeps keys and values, through its own forward."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from noise_search.errors import UserError
from noise_search.pipelines.text.prefixes import Past, cut, length

__all__ = ["Generic"]


class Generic:
    """Drives a model through `model.forward` with a cache of keys and values.

    Fused attention gives a row other bits when it is padded, so rows share a batch only at equal
    positions, unless exactness is waived.

    Args:
        model: a causal model of transformers.
        ragged: let rows of different positions share a batch, padded on the left.

    Raises:
        UserError: the model keeps something else than plain keys and values.
    """

    def __init__(self, model: Any, *, ragged: bool) -> None:
        self.ragged = ragged
        self.model = model
        self.device = model.device
        config = model.config.get_text_config()
        self.vocabulary: int = config.vocab_size
        # Positions that are relative, as in Bloom, have no end.
        self.room: int = getattr(config, "max_position_embeddings", None) or sys.maxsize
        self._takes = set(inspect.signature(type(model).forward).parameters)
        # Renamed within version 5 of transformers; the old name warns.
        self._cache_name = "cache" if "cache" in self._takes else "past_key_values"
        self._refuse()
        with torch.inference_mode():
            self._nothing = cut(self._read([0]), 0, 0)

    def read(self, tokens: Sequence[int]) -> Past:
        """The keys and values of a text: of each layer two tensors (heads, tokens, head)."""
        return self._read(tokens) if tokens else self._nothing

    def batch(self, rows: Sequence[Sequence[Past]], tile: int) -> Rows:
        """Begin to write."""
        return Rows(self, rows, tile)

    def forward(self, ids: Tensor, seen: Tensor, at: Tensor, cache: Any) -> Tensor:
        """The logits of the last position, (rows, vocabulary); the cache grows in place.

        Args:
            ids: (rows, new tokens).
            seen: 1 where a row has a token, 0 where it is padded, (rows, old and new positions).
            at: the positions of the new tokens, (rows, new tokens).
            cache: the keys and values of the old positions.
        """
        given = {
            "input_ids": ids,
            "attention_mask": seen,
            "position_ids": at,
            "logits_to_keep": 1,
        }
        given = {name: value for name, value in given.items() if name in self._takes}
        given[self._cache_name] = cache
        logits: Tensor = self.model(**given, use_cache=True).logits[:, -1]
        return logits

    def _read(self, tokens: Sequence[int]) -> Past:
        ids = torch.tensor([tokens], device=self.device)
        cache: Any = DynamicCache()
        at = torch.arange(len(tokens), device=self.device)[None]
        self.forward(ids, torch.ones_like(ids), at, cache)
        return tuple(part[0] for layer in cache.layers for part in (layer.keys, layer.values))

    def _refuse(self) -> None:
        name = type(self.model).__name__
        kept = DynamicCache(config=self.model.config).layers
        if (
            self.model.config.is_encoder_decoder
            or self._cache_name not in self._takes
            or any(type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer) for layer in kept)
        ):
            raise UserError(
                f"{name} cannot be searched: it is not a causal model that keeps a key and a value "
                "of each token"
            )


class Rows:
    """A batch of `Generic`, padded on the left to the longest row.

    Args:
        engine: the model.
        rows: what comes before, of each row, in pieces.
        tile: rows are padded to a multiple of this, with copies of the first.
    """

    def __init__(self, engine: Generic, rows: Sequence[Sequence[Past]], tile: int) -> None:
        self._engine, self._tile = engine, tile
        self._lengths = [sum(map(length, pieces)) for pieces in rows]
        longest = max(self._lengths)
        padded = [
            [functional.pad(part, (0, 0, longest - part.shape[-2], 0)) for part in _joined(pieces)]
            for pieces in rows
        ]
        parts = [torch.stack(part) for part in zip(*padded, strict=True)]
        self._cache: Any = DynamicCache(list(zip(parts[::2], parts[1::2], strict=True)))
        self._positions = longest
        self._order = list(range(len(rows)))  # Where each row stands in the cache.
        self._settled = False

    @property
    def width(self) -> int:
        """Rows of the next forward, padding included."""
        return -(-len(self._lengths) // self._tile) * self._tile

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row; the logits after it, (rows, vocabulary)."""
        if not self._settled:
            self._settle()
        count, device = len(tokens), self._engine.device
        spare = self.width - count
        ids = torch.tensor([*tokens, *[tokens[0]] * spare], device=device)[:, None]
        at = torch.tensor([*self._lengths, *[self._lengths[0]] * spare], device=device)[:, None]
        self._positions += 1
        places = torch.arange(self._positions, device=device)
        seen = (places >= self._positions - 1 - at).long()
        logits = self._engine.forward(ids, seen, at, self._cache)
        self._lengths = [n + 1 for n in self._lengths]
        return logits[:count]

    def drop(self, row: int) -> None:
        """Take a row out; the last one takes its place."""
        for kept in (self._order, self._lengths):
            kept[row] = kept[-1]
            kept.pop()
        self._settled = False

    def past(self, row: int, begin: int, end: int) -> Past:
        """A row's keys and values from one position up to another, valid until the next step."""
        place, pad = self._order[row], self._positions - self._lengths[row]
        parts = (part for layer in self._cache.layers for part in (layer.keys, layer.values))
        return tuple(part[place, :, pad + begin : pad + end] for part in parts)

    def _settle(self) -> None:
        """Move the rows that are left to the front of the cache, and pad."""
        order = [*self._order, *[self._order[0]] * (self.width - len(self._order))]
        places = torch.tensor(order, device=self._engine.device)
        for layer in self._cache.layers:
            layer.keys = layer.keys.index_select(0, places)
            layer.values = layer.values.index_select(0, places)
        self._order = list(range(len(self._order)))
        self._settled = True


def _joined(pieces: Sequence[Past]) -> Past:
    return tuple(torch.cat(parts, dim=-2) for parts in zip(*pieces, strict=True))
