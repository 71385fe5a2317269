"""A forward of its own for plain Llama models, with few and large operations.

The projections of queries, keys and values are one matrix, those of gate and up are another, the
weights of the norms are folded into both, and rotary pairs lie side by side so that a rotation is
one complex product. The engine holds this second copy of the layers' weights. Keys and values
stand in buffers that rows never move in but when another row has ended.

Attention is written out as products of single matrices: unlike the fused kernels, they give a row
the same bits whatever masked positions follow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from noise_search.pipelines.text.prefixes import Past, length

__all__ = ["FusedLlama"]

# What attention adds up must not depend on how much masked room follows. Below so many products
# torch has a kernel of its own; beyond some 192 terms, libraries part sums by their length.
_GRAIN = 16  # Positions in sight are a multiple of this, and of what it takes for the following.
_PRODUCTS = 400
_CHUNK = 128  # Positions whose values are added up at once.
_SPARE = 64  # Positions a buffer has beyond what it is made for.


@dataclass(frozen=True, slots=True)
class _Layer:
    """Matrices (in, out) of one layer."""

    qkv: Tensor
    out: Tensor
    gate_up: Tensor
    down: Tensor


_View = tuple[Tensor, Tensor, tuple[Tensor, ...]]


class FusedLlama:
    """Drives a `LlamaForCausalLM`.

    Args:
        model: a model for which `handles` is true.
    """

    ragged = True

    def __init__(self, model: Any) -> None:
        config = model.config
        self.room: int = config.max_position_embeddings
        self.vocabulary: int = config.vocab_size
        attention = model.model.layers[0].self_attn
        self.head: int = attention.head_dim
        self.queries: int = config.num_attention_heads
        self.keys: int = config.num_key_value_heads
        self.hidden: int = config.hidden_size
        self.stretch = math.sqrt(self.hidden)  # Of a row of unit length to one of unit variance.
        self.scale: float = attention.scaling
        each = self.head * self.queries // self.keys  # Products of one key head and position.
        self.grain = _rounded(-(-_PRODUCTS // each), _GRAIN)
        least = math.sqrt(self.hidden * config.rms_norm_eps)
        with torch.inference_mode():
            self.embed: Tensor = model.model.embed_tokens.weight
            self.norm: Tensor = model.model.norm.weight * self.stretch
            self.unembed: Tensor = model.lm_head.weight
            self.least = torch.tensor(least, device=self.embed.device)
            self.layers = [self._layer(layer) for layer in model.model.layers]
            rope = model.model.rotary_emb
            places = torch.arange(self.room, device=self.embed.device, dtype=torch.float32)
            angles = places[:, None] * rope.inv_freq.float()
            self.turns = torch.polar(torch.full_like(angles, rope.attention_scaling), angles)

    @staticmethod
    def handles(model: Any) -> bool:
        """Whether this is a Llama without biases, adapters, quantization or moving rotations."""
        if type(model).__name__ != "LlamaForCausalLM":
            return False
        config = model.config
        linear = [m for n, m in model.named_modules() if n.endswith(("_proj", "lm_head"))]
        return (
            type(model).__module__ == "transformers.models.llama.modeling_llama"
            and config.hidden_act == "silu"
            and model.model.rotary_emb.rope_type in ("default", "linear", "llama3")
            and all(type(m) is nn.Linear and m.bias is None for m in linear)
            and len({(p.dtype, p.device) for p in model.parameters()}) == 1
            and next(model.parameters()).dtype.is_floating_point
        )

    def read(self, tokens: Sequence[int]) -> Past:
        """The keys and values of a text: one tensor (layers, 2, key heads, tokens, head)."""
        count, device = len(tokens), self.embed.device
        shape = (len(self.layers), 2, self.keys, count, self.head)
        past = torch.zeros(shape, dtype=self.embed.dtype, device=device)
        if not count:
            return (past,)
        x = functional.embedding(torch.tensor(tokens, device=device), self.embed)
        turns = self.turns[:count, None]
        for layer, kept in zip(self.layers, past, strict=True):
            heads = self.project(layer, x, turns).transpose(0, 1)
            query, both = heads[: self.queries], heads[self.queries :]
            kept.copy_(both.view(kept.shape))
            found = functional.scaled_dot_product_attention(
                query[None], kept[None, 0], kept[None, 1],
                is_causal=True, scale=self.scale, enable_gqa=True,
            )  # fmt: skip
            x = self.finish(layer, x, found[0].transpose(0, 1).reshape(count, -1))
        return (past,)

    def batch(self, rows: Sequence[Sequence[Past]], tile: int) -> Rows:
        """Begin to write."""
        return Rows(self, rows, tile)

    def project(self, layer: _Layer, x: Tensor, turns: Tensor) -> Tensor:
        """Queries, keys (both rotated) and values, (rows, heads of all three, head)."""
        fused = self._normed(x) @ layer.qkv
        pairs = fused.view(x.shape[0], -1, self.head // 2, 2)
        turned = pairs[:, : self.queries + self.keys]
        if fused.dtype == torch.float32:
            torch.view_as_complex(turned).mul_(turns)
        else:
            turned.copy_(torch.view_as_real(torch.view_as_complex(turned.float()) * turns))
        return fused.view(x.shape[0], -1, self.head)

    def finish(self, layer: _Layer, x: Tensor, found: Tensor) -> Tensor:
        """The rest of a layer, from what attention has found, (rows, queries * head)."""
        x = torch.addmm(x, found, layer.out)
        gate, up = (self._normed(x) @ layer.gate_up).chunk(2, dim=-1)
        return torch.addmm(x, functional.silu(gate).mul_(up), layer.down)

    def logits(self, x: Tensor) -> Tensor:
        """What the last layer says, (rows, vocabulary)."""
        return functional.linear(self._normed(x) * self.norm, self.unembed)

    def _normed(self, x: Tensor) -> Tensor:
        """Rows of unit length, but for epsilon; the weights after it hold the rest of the norm."""
        long = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        normed: Tensor = x / long.hypot_(self.least)
        return normed.to(x.dtype)

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        turned = [self._paired(m.weight) for m in (attention.q_proj, attention.k_proj)]
        qkv = torch.cat([*turned, attention.v_proj.weight])
        qkv = qkv * (layer.input_layernorm.weight * self.stretch)
        gate_up = torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight])
        gate_up = gate_up * (layer.post_attention_layernorm.weight * self.stretch)
        matrices = (qkv, attention.o_proj.weight, gate_up, mlp.down_proj.weight)
        return _Layer(*(m.t().contiguous() for m in matrices))

    def _paired(self, weight: Tensor) -> Tensor:
        """Rows i and i + head / 2 of every head side by side."""
        halves = weight.view(-1, 2, self.head // 2, weight.shape[-1])
        return halves.transpose(1, 2).reshape_as(weight)


class Rows:
    """A batch of `FusedLlama`: rows begin at position 0 of their buffers.

    Args:
        engine: the model.
        rows: what comes before, of each row, in pieces.
        tile: rows are padded to a multiple of this, with rows that stay at position 0.
    """

    _buffer: Tensor  # (layers, key or value, slots * heads, space, head)
    _row: Tensor  # The same, (layers, key or value, slots, heads, space, head).
    _mask: Tensor  # (slots * heads, 1, space), 0 where a row has a token, else -inf.
    _sight: tuple[int, int]

    def __init__(self, engine: FusedLlama, rows: Sequence[Sequence[Past]], tile: int) -> None:
        self._engine, self._tile = engine, tile
        self._lengths = [sum(map(length, pieces)) for pieces in rows]
        self._slots = self.width  # Rows of the buffers.
        device = engine.embed.device
        self._at = torch.zeros(self._slots, dtype=torch.long, device=device)
        self._at[: len(rows)] = torch.tensor(self._lengths, device=device)
        self._space = 0
        self._grow()
        self._fill(rows)

    @property
    def width(self) -> int:
        """Rows of the next forward, padding included."""
        return -(-len(self._lengths) // self._tile) * self._tile

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Feed one token a row; the logits after it, (rows, vocabulary)."""
        engine, width, count = self._engine, self.width, len(tokens)
        if max(self._lengths) >= self._space:
            self._grow()
        ids = torch.tensor([*tokens, *[0] * (width - count)], device=self._at.device)
        at = self._at[:width]
        x = functional.embedding(ids, engine.embed)
        turns = engine.turns.index_select(0, at).unsqueeze(1)
        places = (self._places[:width] + at[:, None]).reshape(-1)
        seen = (self._seen[:width] + at[:, None]).view(-1)
        self._mask.view(-1).index_fill_(0, seen, 0.0)
        mask, views = self._window()
        for layer, (flat, keys, values) in zip(engine.layers, views, strict=True):
            heads = engine.project(layer, x, turns)
            query = heads[:, : engine.queries].reshape(keys.shape[0], -1, engine.head)
            flat.index_copy_(0, places, heads[:, engine.queries :].reshape(-1, engine.head))
            scores = torch.baddbmm(mask, query, keys, alpha=engine.scale)
            shares = scores.softmax(-1).split(_CHUNK, dim=-1)
            found = torch.bmm(shares[0], values[0])
            for share, value in zip(shares[1:], values[1:], strict=True):
                found.baddbmm_(share, value)
            x = engine.finish(layer, x, found.view(width, -1))
        at[:count] += 1
        self._lengths = [n + 1 for n in self._lengths]
        return engine.logits(x)[:count]

    def drop(self, row: int) -> None:
        """Take a row out; the last one takes its place."""
        last = len(self._lengths) - 1
        if row != last:
            end, heads = self._lengths[last], self._engine.keys
            self._row[:, :, row, :, :end] = self._row[:, :, last, :, :end]
            self._mask[row * heads : (row + 1) * heads] = self._mask[last * heads][None]
            self._at[row] = self._at[last]
            self._lengths[row] = self._lengths[last]
        self._at[last] = 0
        self._lengths.pop()

    def past(self, row: int, begin: int, end: int) -> Past:
        """A row's keys and values from one position up to another, valid until the next step."""
        return (self._row[:, :, row, :, begin:end],)

    def _window(self) -> tuple[Tensor, list[_View]]:
        """The mask, and of each layer the flat buffer and the keys and values in sight."""
        width, heads = self.width, self._engine.keys
        end = _rounded(max(self._lengths) + 1, self._engine.grain)
        if self._sight != (width, end):
            rows = width * heads
            self._sight = (width, end)
            mask = self._mask[:rows, :, :end]
            self._mask_view = mask.expand(-1, self._engine.queries // heads, -1)
            self._views = [
                (
                    both.view(-1, both.shape[-1]),
                    both[0, :rows, :end].mT,
                    both[1, :rows, :end].split(_CHUNK, dim=1),
                )
                for both in self._buffer
            ]
        return self._mask_view, self._views

    def _grow(self) -> None:
        """Make room for `_SPARE` more positions than there are, or twice as many as before."""
        engine, device = self._engine, self._at.device
        heads, before = engine.keys, self._space
        wanted = max(2 * before, max(self._lengths, default=0) + _SPARE)
        space = self._space = _rounded(wanted, engine.grain)
        shape = (len(engine.layers), 2, self._slots * heads, space, engine.head)
        buffer = torch.zeros(shape, dtype=engine.embed.dtype, device=device)
        mask = torch.full(
            (shape[2], 1, space), float("-inf"), dtype=engine.embed.dtype, device=device
        )
        if before:
            buffer[..., :before, :] = self._buffer
            mask[..., :before] = self._mask
        self._buffer, self._mask = buffer, mask
        self._row = buffer.view(*shape[:2], self._slots, heads, *shape[3:])
        self._sight = (0, 0)
        firsts = torch.arange(2 * self._slots * heads, device=device) * space
        # Row, key or value, head: the order in which a projection yields them.
        self._places = firsts.view(2, self._slots, heads).transpose(0, 1).flatten(1)
        self._seen = firsts[: self._slots * heads].view(self._slots, heads)

    def _fill(self, rows: Sequence[Sequence[Past]]) -> None:
        """Copy what comes before; a list that rows share is copied into all of them at once."""
        sharing: dict[int, list[int]] = defaultdict(list)
        for row, pieces in enumerate(rows):
            sharing[id(pieces)].append(row)
        mask = self._mask.view(self._slots, self._engine.keys, -1)
        for places in sharing.values():
            begin = 0
            for (piece,) in rows[places[0]]:
                end = begin + piece.shape[-2]
                self._row[:, :, places, :, begin:end] = piece[:, :, None]
                begin = end
            mask[places, :, :begin] = 0.0


def _rounded(count: int, grain: int) -> int:
    """The least multiple of `grain` that is not less than `count`."""
    return -(-count // grain) * grain
