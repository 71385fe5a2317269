"""Both engines against transformers, against each other, and the tile that makes them exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from noise_search.errors import UserError
from noise_search.pipelines.text.decoder import Decoder
from noise_search.pipelines.text.engines import engine_of, tile_of
from noise_search.pipelines.text.generic import Generic
from noise_search.pipelines.text.llama import FusedLlama
from noise_search.pipelines.text.prefixes import Past
from tests.pipelines.text.models import FAMILIES, VOCABULARY, Writer, prompts

Checkpoint = Callable[[str], Any]
FUSED = {"llama", "llama-untied", "llama-one-key", "llama-linear"}
LENGTHS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 2, 17, 30)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"mamba"}))
def test_the_likeliest_tokens_are_those_of_generate(
    checkpoint: Checkpoint, family: str, fast: bool
) -> None:
    model = checkpoint(family)
    writers = [Writer(p, 4 + 3 * i) for i, p in enumerate(prompts(LENGTHS))]
    Decoder(model, width=12, fast=fast).extend(writers)
    for writer in writers:
        ids = torch.tensor([writer.context])
        count = len(writer.new)
        out = model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=count
        )
        assert writer.new == out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"mamba"}))
def test_plain_llamas_have_an_engine_of_their_own(checkpoint: Checkpoint, family: str) -> None:
    engine = engine_of(checkpoint(family), fast=False)
    assert isinstance(engine, FusedLlama if family in FUSED else Generic)


def logits_of(engine: Any, texts: Sequence[Sequence[int]], steps: int) -> Tensor:
    """Logits of the last `steps` tokens of texts of one length, fed one by one."""
    with torch.inference_mode():
        batch = engine.batch([[engine.read(text[:-steps])] for text in texts], 1)
        fed = [batch.step([text[len(text) - steps + i] for text in texts]) for i in range(steps)]
        return torch.stack(fed, dim=1)


@pytest.mark.parametrize("family", sorted(FUSED))
def test_engines_agree_on_logits(checkpoint: Checkpoint, family: str) -> None:
    model = checkpoint(family)
    texts = prompts([90] * 5)
    fused = logits_of(FusedLlama(model), texts, 70)
    generic = logits_of(Generic(model, ragged=True), texts, 70)
    with torch.inference_mode():
        plain = model(torch.tensor(texts)).logits[:, -70:]
    torch.testing.assert_close(fused, generic, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fused, plain, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "mistral", "gptneox", "bloom"])
def test_the_generic_engine_agrees_with_one_forward(
    checkpoint: Checkpoint, family: str, ragged: bool
) -> None:
    model = checkpoint(family)
    texts = prompts([40] * 3)
    with torch.inference_mode():
        plain = model(torch.tensor(texts)).logits[:, -39:]
    found = logits_of(Generic(model, ragged=ragged), texts, 39)
    torch.testing.assert_close(found, plain, atol=1e-4, rtol=1e-4)


def test_half_precision_is_near(checkpoint: Checkpoint) -> None:
    whole = checkpoint("llama")
    half = type(whole)(whole.config).to(torch.bfloat16)
    half.load_state_dict(whole.state_dict())
    texts = prompts([30] * 4)
    found = logits_of(FusedLlama(half), texts, 10)
    assert found.dtype == torch.bfloat16
    with torch.inference_mode():
        plain = half(torch.tensor(texts)).logits[:, -10:]
    whole_logits = logits_of(FusedLlama(whole), texts, 10)
    own, theirs = ((x.float() - whole_logits).abs().mean() for x in (found, plain))
    assert own < 1.5 * theirs


def test_a_model_without_keys_and_values_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(UserError, match="MambaForCausalLM cannot be searched"):
        Decoder(checkpoint("mamba"), width=2)


class Steps:
    """An engine whose logits have other bits unless a batch has a multiple of `grain` rows."""

    room, vocabulary, ragged = 64, VOCABULARY, True

    def __init__(self, grain: int) -> None:
        self.grain = grain

    def read(self, tokens: Sequence[int]) -> Past:
        return (torch.zeros(1, len(tokens), 1),)

    def batch(self, rows: Sequence[Sequence[Past]], tile: int) -> Any:
        del tile
        return Fed(len(rows), self.grain)


class Fed:
    def __init__(self, rows: int, grain: int) -> None:
        self.whole = rows % grain == 0

    def step(self, tokens: Sequence[int]) -> Tensor:
        found = torch.tensor(tokens, dtype=torch.float32)[:, None]
        return found if self.whole else found + torch.arange(len(tokens))[:, None]


@pytest.mark.parametrize(
    ("grain", "width", "tile"),
    [
        (1, 64, 1),
        (1, 1, 1),
        (2, 64, 4),
        (4, 64, 4),
        (4, 6, 4),
        (8, 64, 8),
        (3, 6, 6),
        (3, 64, None),
        (3, 5, None),
    ],
)
def test_the_tile_is_the_least_that_is_exact(grain: int, width: int, tile: int | None) -> None:
    assert tile_of(Steps(grain), width) == tile
