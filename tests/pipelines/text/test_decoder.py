"""What the decoder promises: exact texts, shared prefixes, no idle rows, right frequencies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from noise_search.errors import UserError
from noise_search.pipelines.text.decoder import Decoder
from tests.pipelines.text.models import VOCABULARY, Writer, prompts, wide

Checkpoint = Callable[[str], Any]
LENGTHS = (1, 2, 3, 9, 9, 9, 26, 40, 9, 71, 26, 5)
SIZES = [5 + 7 * (i % 5) for i in range(len(LENGTHS))]


class Watched(Decoder):
    """Keeps the logits that decided each token."""

    def _write(self, logits: Tensor, live: list[Any]) -> list[bool]:
        for row, own in zip(live, logits, strict=True):
            row.cursor.logits.append(own.clone())
        return super()._write(logits, live)


class Noting(Writer):
    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.logits: list[Tensor] = []


def writers() -> list[Noting]:
    """Texts of many lengths; row 3 is greedy."""
    return [
        Noting(prompt, size, None if i == 3 else i + 1)
        for i, (prompt, size) in enumerate(zip(prompts(LENGTHS), SIZES, strict=True))
    ]


def assert_same(found: Sequence[Noting], right: Sequence[Noting], begin: int = 0) -> None:
    for a, b in zip(found, right, strict=True):
        assert a.new == b.new[begin:]
        assert torch.equal(torch.stack(a.logits), torch.stack(b.logits[begin:]))


@pytest.fixture(params=["llama", "llama-untied", "gpt2", "mistral"])
def model(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> Any:
    return checkpoint(request.param)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Exactness is a matter of the number of threads; with one, it holds for all of these."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_text_has_the_same_bits_in_every_batch(model: Any) -> None:
    right = writers()
    Watched(model, width=12).extend(right)
    assert [len(w.new) for w in right] == SIZES
    decoder = Watched(model, width=12)
    assert decoder.exact
    numbers = np.random.default_rng(0)
    for size in (1, 2, 3, 5, 12):
        fresh = writers()
        order = numbers.permutation(12).tolist()
        for start in range(0, 12, size):
            decoder.extend([fresh[i] for i in order[start : start + size]])
        assert_same(fresh, right)


def test_many_heads_a_key_and_long_texts_are_exact_too(tmp_path: Path) -> None:
    model = wide(tmp_path)
    texts = prompts([3, 120, 190, 300, 400, 70])
    right = [Noting(p, 30, i + 1) for i, p in enumerate(texts)]
    Watched(model, width=8).extend(right)
    alone = [Noting(p, 30, i + 1) for i, p in enumerate(texts)]
    decoder = Watched(model, width=8)
    assert decoder.exact
    for text in alone:
        decoder.extend([text])
    assert_same(alone, right)


@pytest.mark.parametrize("keep", [0, 40_000, 1 << 28])
def test_rewinds_and_lost_prefixes_leave_the_bits_as_they_are(model: Any, keep: int) -> None:
    right = writers()
    Watched(model, width=12).extend(right)
    decoder = Watched(model, width=12, keep=keep)
    decoder.extend(writers())
    for begin in (4, 1, 3):
        again = [
            Noting(w.context, len(w.new) - begin, None if i == 3 else i + 1, w.new[:begin])
            for i, w in enumerate(right)
        ]
        decoder.extend(again[:7])
        decoder.extend(again[7:])
        assert_same(again, right, begin)


def test_a_new_decoder_makes_the_rest_of_a_text_alike(model: Any) -> None:
    right = writers()
    Watched(model, width=12).extend(right)
    rest = [Noting(w.context, len(w.new) - 4, i + 1, w.new[:4]) for i, w in enumerate(right)]
    decoder = Watched(model, width=12)
    decoder.extend(rest[4:9])
    assert_same(rest[4:9], right[4:9], 4)
    # The prompt's last token and all but the last of those written were fed again.
    assert decoder.fed == sum(4 + len(w.new) for w in rest[4:9])


def test_siblings_share_what_they_come_from(model: Any) -> None:
    decoder = Decoder(model, width=8)
    [one, other] = prompts([20, 31])
    decoder.extend([Writer(one if i % 2 else other, 6, i + 1) for i in range(8)])
    assert (decoder.read, decoder.fed) == (19 + 30, 8 * 6)
    parent = Writer(one, 10, 99)
    decoder.extend([parent])
    assert (decoder.read, decoder.fed) == (49, 58)
    decoder.extend([Writer(one, 3, i + 1, parent.new) for i in range(8)])
    assert (decoder.read, decoder.fed) == (49, 58 + 24)
    decoder.extend([Writer(one, 1, i + 1, parent.new[:i]) for i in range(8)])
    assert (decoder.read, decoder.fed) == (49, 82 + 8)


def test_siblings_of_a_lost_parent_make_it_again_once(model: Any) -> None:
    decoder = Decoder(model, width=8, keep=0)
    [prompt, written] = prompts([20, 10])
    decoder.extend([Writer(prompt, 2, i + 1, written) for i in range(8)])
    assert (decoder.read, decoder.fed) == (19, 10 + 8 * 2)


def test_what_is_kept_stays_within_its_limit(model: Any) -> None:
    decoder = Decoder(model, width=4, keep=30_000)
    for seed in range(1, 6):
        [prompt] = prompts([20], seed)
        decoder.extend([Writer(prompt, 12, 4 * seed + i) for i in range(4)])
        assert 0 < decoder._prefixes.size <= 30_000
    read = decoder.read
    [first, last] = prompts([20], 1) + prompts([20], 5)
    decoder.extend([Writer(last, 1, 1)])
    assert decoder.read == read
    decoder.extend([Writer(first, 1, 1)])
    assert decoder.read == read + 19


class Embedded(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the tokens that any forward looks up."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tokens = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.embedding.default:
            self.tokens += args[1].numel()
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
@pytest.mark.parametrize("fast", [False, True])
def test_rows_that_have_ended_cost_nothing(checkpoint: Checkpoint, family: str, fast: bool) -> None:
    decoder = Decoder(checkpoint(family), width=12, fast=fast)
    given = writers()
    with Embedded() as embedded:
        decoder.extend(given)
    assert decoder.fed == sum(SIZES)
    assert decoder.read == sum(n - 1 for n in LENGTHS)
    assert embedded.tokens == decoder.read + decoder.fed + decoder.padded
    if fast:
        assert decoder.padded == 0
    elif family == "llama":
        assert decoder.padded < decoder.tile * max(SIZES)


def probabilities(model: Any, context: Sequence[int], temperature: float) -> np.ndarray[Any, Any]:
    with torch.inference_mode():
        logits = model(torch.tensor([context])).logits[0, -1].double()
    return cast("np.ndarray[Any, Any]", (logits / temperature).softmax(-1).numpy())


def drawn(decoder: Decoder, context: Sequence[int], count: int) -> np.ndarray[Any, Any]:
    """How often each token comes first."""
    texts = [Writer(context, 1, seed) for seed in range(1, count + 1)]
    for start in range(0, count, decoder.width):
        decoder.extend(texts[start : start + decoder.width])
    return np.bincount([t.new[0] for t in texts], minlength=VOCABULARY)


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.5])
def test_tokens_are_as_frequent_as_they_are_probable(
    checkpoint: Checkpoint, temperature: float
) -> None:
    model, [context] = checkpoint("llama"), prompts([12])
    decoder = Decoder(model, width=64, temperature=temperature)
    seen, wanted = drawn(decoder, context, 6400), 6400 * probabilities(model, context, temperature)
    often = wanted >= 5
    if not often.all():
        seen = np.append(seen[often], seen[~often].sum())
        wanted = np.append(wanted[often], wanted[~often].sum())
    assert stats.chisquare(seen, wanted).pvalue > 0.01


def test_the_number_points_into_the_cumulative_mass(checkpoint: Checkpoint) -> None:
    model, [context] = checkpoint("gpt2"), prompts([12])
    mass = probabilities(model, context, 1.0).cumsum()
    some = np.random.default_rng(0).random(200)
    near = np.abs(some[:, None] - mass).min(axis=1) < 1e-5
    numbers = [0.0, *some[~near].tolist(), 1.0 - 2**-53]
    texts = [Writer(context, 1, 1) for _ in numbers]
    for text, number in zip(texts, numbers, strict=True):
        text._left = [number]
    Decoder(model, width=256).extend(texts)
    assert [t.new[0] for t in texts] == [
        int(np.searchsorted(mass[:-1], number, side="right")) for number in numbers
    ]


def test_only_the_nucleus_is_drawn_from(checkpoint: Checkpoint) -> None:
    model, [context] = checkpoint("llama"), prompts([12])
    chances = probabilities(model, context, 1.0)
    order = np.argsort(-chances)
    size = int(np.searchsorted(chances[order].cumsum(), 0.6)) + 1
    nucleus = order[:size]
    assert 1 < size < VOCABULARY
    seen = drawn(Decoder(model, width=64, top_p=0.6), context, 2560)
    assert set(np.flatnonzero(seen)) <= set(nucleus)
    wanted = 2560 * chances[nucleus] / chances[nucleus].sum()
    assert stats.chisquare(seen[nucleus], wanted).pvalue > 0.01


def test_without_temperature_no_number_is_asked_for(checkpoint: Checkpoint) -> None:
    model = checkpoint("llama")
    [prompt] = prompts([9])
    cold, plain = Writer(prompt, 20, 5), Writer(prompt, 20)
    cold.uniform = None  # type: ignore[assignment,method-assign]
    Decoder(model, width=1, temperature=0.0).extend([cold])
    Decoder(model, width=1).extend([plain])
    assert cold.new == plain.new


def test_a_text_ends_where_the_model_does(model: Any) -> None:
    decoder = Decoder(model, width=4)
    assert decoder.room == 128
    texts = [Writer(p, 500, i + 1) for i, p in enumerate(prompts([100, 127, 128, 150]))]
    decoder.extend(texts)
    assert [len(t.new) for t in texts] == [28, 1, 0, 0]


def test_nothing_to_write_is_fine(model: Any) -> None:
    decoder = Decoder(model, width=4)
    decoder.extend([])
    assert (decoder.read, decoder.fed, decoder.padded) == (0, 0, 0)


def test_bad_numbers_are_refused(checkpoint: Checkpoint) -> None:
    model = checkpoint("llama")
    with pytest.raises(UserError, match="at least one row"):
        Decoder(model, width=0)
    for temperature in (-1.0, float("nan")):
        with pytest.raises(UserError, match="temperature"):
            Decoder(model, width=1, temperature=temperature)
    for top_p in (0.0, 1.1):
        with pytest.raises(UserError, match="top_p"):
            Decoder(model, width=1, top_p=top_p)
    with pytest.raises(ValueError, match="do not fit"):
        Decoder(model, width=1).extend([Writer([1], 1), Writer([1], 1)])
    with pytest.raises(ValueError, match="at least one token"):
        Decoder(model, width=1).extend([Writer([], 1)])


def test_logits_that_are_not_numbers_give_some_token(checkpoint: Checkpoint) -> None:
    broken = type(whole := checkpoint("gpt2"))(whole.config)
    torch.nn.init.constant_(broken.transformer.wte.weight, float("nan"))
    text = Writer([1, 2], 3, 1)
    Decoder(broken, width=1).extend([text])
    assert all(0 <= token < VOCABULARY for token in text.new)
