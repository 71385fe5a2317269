"""Prompts are encoded once each, whatever an encoder's answer looks like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from noise_search.pipelines.embeddings import Apart, Embeddings

COPIES = 3


class Encoder:
    """Answers in many ways at once, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def encode_prompt(
        self,
        prompt: list[str],
        device: torch.device | None = None,
        guided: bool = True,
        negative_prompt: list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        template: dict[str, Any] | None = None,
    ) -> tuple[Any, ...]:
        self.asked.append(prompt)
        lengths = torch.tensor([[float(len(text)), float(len(prompt))] for text in prompt])
        negative = None
        if guided:
            texts = negative_prompt or [""] * len(prompt)
            negative = torch.tensor([[float(len(text))] for text in texts])
        return lengths, negative, torch.arange(5.0), [lengths[i] for i in range(len(prompt))], "x"

    def rows(self, prompt: list[str]) -> Tensor:
        self.asked.append(prompt)
        return torch.tensor([[float(len(text))] for text in prompt])

    def beside(self, prompt: list[str], image: Any) -> Tensor:
        """Takes one picture for each text, and so one text for a picture."""
        seen = float(image.sum()) if isinstance(image, Tensor) else 0.0
        return self.rows(prompt) + seen

    def layered(self, prompt: list[str]) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The layers of a text encoder, stacked and as lists; one has as many as there are rows."""
        rows = self.rows(prompt)[..., None] + torch.arange(4.0).reshape(1, 2, 2)
        return torch.stack([rows, rows * 2]), [rows, rows * 2], [rows, rows * 2, rows * 3]

    def doubled(self, prompt: list[str]) -> tuple[Tensor, Tensor]:
        rows = self.rows(prompt)
        return rows, torch.cat([rows - 1, rows])


def test_rows_are_put_together_in_the_order_asked() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES).remembering(encoder.encode_prompt)
    lengths, negative, shared, listed, word = encode(["aa", "b", "aa", "cccc"], guided=True)
    assert lengths.tolist() == [[2, COPIES], [1, COPIES], [2, COPIES], [4, COPIES]]
    assert negative.tolist() == [[0]] * 4
    assert shared.tolist() == [0, 1, 2, 3, 4]
    assert [row.tolist() for row in listed] == lengths.tolist()
    assert word == "x"
    assert encoder.asked == [["aa"] * COPIES, ["b"] * COPIES, ["cccc"] * COPIES]
    encode(["b", "aa"])
    assert len(encoder.asked) == 3 + 2  # the same prompts, but guidance by default is another call
    encode(["aa", "b"])
    assert len(encoder.asked) == 5


def test_negative_prompts_belong_to_their_prompts() -> None:
    encode = Embeddings(COPIES).remembering(Encoder().encode_prompt)
    _, negative, *_ = encode(["a", "a"], None, True, ["bbb", "c"])
    assert negative.tolist() == [[3], [1]]
    _, nothing, *_ = encode(["a", "a"], None, False)
    assert nothing is None


def test_answers_that_are_no_tuple() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES).remembering(encoder.rows)
    assert encode(["aa", "b"]).tolist() == [[2], [1]]
    encode(["b"])
    assert len(encoder.asked) == 2


def test_layers_are_not_taken_for_rows() -> None:
    """Prompts have rows along a later axis, and in each tensor of a list."""
    encoder = Encoder()
    stacked, two, three = Embeddings(COPIES).remembering(encoder.layered)(["aa", "b"])
    wanted = torch.stack([_layer("aa"), _layer("b")])
    assert torch.equal(stacked, torch.stack([wanted, wanted * 2]))
    for layers in (two, three):
        for times, layer in enumerate(layers, 1):
            assert torch.equal(layer, wanted * times)


def _layer(text: str) -> Tensor:
    return len(text) + torch.arange(4.0).reshape(2, 2)


def test_what_cannot_share_a_batch_is_told_and_other_arguments_are_left_alone() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES).remembering(encoder.doubled)
    with pytest.raises(Apart):
        encode(["aa", "b"])
    encode = Embeddings(COPIES).remembering(encoder.encode_prompt)
    encode(["a"], prompt_embeds=torch.zeros(1))
    assert encoder.asked[-1] == ["a"]


def test_a_text_that_is_read_beside_a_picture_is_encoded_alone_and_once() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES).remembering(encoder.beside)
    one, other = torch.ones(3, 2, 2), torch.zeros(3, 2, 2)
    assert encode(["aa", "b", "aa"], one).tolist() == [[14], [13], [14]]
    assert encode(["aa"], one.clone()).tolist() == [[14]]
    assert encode(["aa"], other).tolist() == [[2]]
    assert encoder.asked == [["aa"], ["b"], ["aa"]]
    encode(["aa"], Encoder())  # nobody can tell whether it is the same
    encode(["aa"], Encoder())
    assert len(encoder.asked) == 5


def test_arguments_that_hold_several_plain_values_are_told_apart() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES).remembering(encoder.encode_prompt)
    for template in ({"text": "{}", "layers": [1, 2]}, {"text": "{}", "layers": [1, 3]}):
        for _ in range(2):
            encode(["aa"], template=template)
    assert encoder.asked == [["aa"] * COPIES] * 2


def test_the_oldest_are_let_go() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES, keep=20).remembering(encoder.rows)
    for text in ("a", "b", "c", "d", "e", "f", "a", "f"):
        encode([text])
    assert [asked[0] for asked in encoder.asked] == ["a", "b", "c", "d", "e", "f", "a"]


def test_plain_answers_that_differ_by_prompt_are_not_shared() -> None:
    def encode(prompt: list[str]) -> tuple[Tensor, int, np.ndarray[Any, Any]]:
        length = max(map(len, prompt))
        return torch.ones(len(prompt), 2), length, np.full(5, len(set(prompt)))

    remembered = Embeddings(COPIES).remembering(encode)
    assert remembered(["ab", "cd"])[1] == 2
    with pytest.raises(Apart):
        remembered(["ab", "cde"])


def test_embeddings_beside_texts_are_encoded_with_them() -> None:
    encoder = Encoder()
    encode = Embeddings(COPIES).remembering(encoder.encode_prompt)
    encode(["a", "bc"], prompt_embeds=torch.ones(2, 3))
    assert encoder.asked == [["a", "bc"]]
