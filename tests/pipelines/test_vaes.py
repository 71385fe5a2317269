"""Pictures are encoded alike in every row and call, whichever model of a pipeline encodes them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from noise_search.pipelines.shapes.components import new_tokenizer
from noise_search.pipelines.vaes import encoding_alike
from tests.pipelines.zoo.vaes import kl_vae

PICTURE = torch.linspace(-1.0, 1.0, 3 * 16 * 16).reshape(1, 3, 16, 16)


@pytest.fixture(scope="module")
def encoder() -> Any:
    return kl_vae()


def posterior(encoder: Any, rows: int = 1) -> Any:
    with torch.no_grad():
        return encoder.encode(PICTURE.expand(rows, -1, -1, -1)).latent_dist


def test_who_hands_on_no_generator_gets_equal_rows_in_all_calls(encoder: Any) -> None:
    """Nothing is known of an encoder by its name, and who encodes texts is left alone."""
    words: Any = new_tokenizer()
    parts = {"tokenizer": words, "movq": encoder, "scheduler": None}
    with encoding_alike(parts.values()):
        first, *others = posterior(encoder, rows=3).sample()
        [again] = posterior(encoder).sample()
        assert words.encode("a red circle")
    for other in (*others, again):
        torch.testing.assert_close(other, first, rtol=0, atol=1e-6)
    assert "encode" not in vars(encoder)


def test_one_generator_gives_each_row_what_a_row_alone_gets_of_it(encoder: Any) -> None:
    """Also of the picture that is encoded next."""

    def drawn(rows: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(5)
        return [posterior(encoder, rows).sample(generator) for _ in range(2)]

    alone = drawn(rows=1)
    with encoding_alike([encoder]):
        together = drawn(rows=3)
    assert not torch.equal(alone[0], alone[1])
    for rows, [row] in zip(together, alone, strict=True):
        for found in rows:
            torch.testing.assert_close(found, row, rtol=0, atol=1e-6)
