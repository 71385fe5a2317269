"""Training of process reward models: one logit a token, read at the last token of each step.

The loss is the binary cross-entropy with soft labels (Snell et al. 2024, arXiv:2408.03314, appendix
D; Wang et al. 2024, arXiv:2312.08935, equation 4), averaged over steps.
"""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
)

from noise_search.errors import UserError
from noise_search.verifiers.process_likelihood import Likelihood
from noise_search.verifiers.process_models import Encoded, TokenClassification, quietly

__all__ = [
    "Example",
    "Fitted",
    "Plan",
    "encode",
    "fit",
    "log_odds",
    "new_likelihood",
    "new_model",
    "rate_of",
    "read_features",
]

_RATE, _WIDTH = 3e-5, 4096
_BETAS, _DROPOUT = (0.9, 0.95), 0.05
_WARMUP = 0.1
_PATIENCE = 3
_POOL = 8
_EVERY = 100
_DROPOUTS = ("classifier_dropout", "attention_dropout", "hidden_dropout")


@dataclass(frozen=True)
class Plan:
    """How a model is trained.

    Attributes:
        epochs: passes over the training solutions, at most.
        lr: AdamW's highest rate; None is `rate_of` the model's width.
        batch: solutions of a step of training.
        freeze: train the head alone.
        tails: learn from the rollouts too, whose steps are labelled by one verdict each.
        likelihood: leave the backbone as it is and learn a head on its hidden states and
            log-probabilities.
        seed: of the head's first weights, of dropout and of the order of batches.
        device: where it is trained.
    """

    epochs: int = 10
    lr: float | None = None
    batch: int = 128
    freeze: bool = False
    tails: bool = False
    likelihood: bool = False
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Example:
    """A solution as a model reads it, and the labels of its steps, or of the last ones, in [0, 1].

    What is encoded has an end a label.
    """

    encoded: Encoded
    labels: tuple[float, ...]


@dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes:
        lr: the highest rate.
        losses: of the training batches and of what was held out, in nats a step, by epoch.
        best: the epoch whose weights were kept, counted from 1.
    """

    lr: float
    losses: list[tuple[float, float]]
    best: int


def rate_of(width: int) -> float:
    """The rate of Snell et al. at a width of 4,096 or more, below it in inverse proportion.

    Adam's rate for matrices goes as one over the width (Yang et al. 2022, arXiv:2203.03466,
    table 8). The width of the paper's own model is not public; 4,096 is that of 7 B parameters.
    """
    return _RATE * max(1.0, _WIDTH / width)


def new_model(base: str | Path, seed: int) -> TokenClassification:
    """The backbone of a folder or of the local cache with a new linear head; nothing is downloaded.

    Raises:
        UserError: it is not there, or its architecture has no head for token classification.
    """
    known: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quietly(), torch.random.fork_rng(devices=[]):
            config = AutoConfig.from_pretrained(base, num_labels=1, **known)
            for name in _DROPOUTS:
                if name == "classifier_dropout" or hasattr(config, name):
                    setattr(config, name, _DROPOUT)
            tokenizer = AutoTokenizer.from_pretrained(base, **known)
            torch.manual_seed(seed)
            model = AutoModelForTokenClassification.from_pretrained(
                base, config=config, dtype=torch.float32, use_safetensors=True, **known
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(f"base {str(base)!r}: cannot be loaded as a classifier: {said}") from None
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = _DROPOUT
    model.config.use_cache = False
    return TokenClassification(model, tokenizer)


def new_likelihood(base: str | Path) -> Likelihood:
    """The causal language model of a folder or of the local cache, with a head yet to be fitted.

    Raises:
        UserError: it is not there, or no causal language model.
    """
    known: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        with quietly():
            tokenizer = AutoTokenizer.from_pretrained(base, **known)
            model = AutoModelForCausalLM.from_pretrained(
                base, dtype=torch.float32, use_safetensors=True, **known
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        raise UserError(
            f"base {str(base)!r}: cannot be loaded as a language model: {said}"
        ) from None
    return Likelihood(model.eval().requires_grad_(False), tokenizer)


def read_features(
    convention: Likelihood, examples: Sequence[Example]
) -> list[tuple[Tensor, Tensor]]:
    """Features (S, D + 3) and labels (S) of the steps of each example; equal ones are read once."""
    read: dict[Encoded, Tensor] = {}
    found: list[tuple[Tensor, Tensor]] = []
    for example in examples:
        if example.encoded not in read:
            read[example.encoded] = convention.features(example.encoded)
        labels = torch.tensor(example.labels, dtype=torch.float64)
        found.append((read[example.encoded], labels))
    return found


def encode(
    convention: TokenClassification, question: str, steps: Sequence[str], labels: Sequence[float]
) -> Example | None:
    """A labelled solution as the model reads it; None if it is empty or longer than it can read."""
    if not "".join(steps).strip():
        return None  # a model of rewards is asked about no such text
    encoded = convention.encode(question, steps)
    if convention.longest is not None and len(encoded.tokens) > convention.longest:
        return None
    ends = encoded.ends[len(steps) - len(labels) :]
    return Example(encoded._replace(ends=ends), tuple(labels))


def fit(
    convention: TokenClassification,
    train: Sequence[Example],
    held_out: Sequence[Example],
    plan: Plan,
    say: Callable[[str], object] = lambda _: None,
) -> Fitted:
    """Train in place, and keep the weights of the epoch with the least loss on what is held out.

    The rate rises over a tenth of the steps and falls linearly to zero; matrix products of training
    are in bfloat16. Training ends early when three epochs in a row have not lowered the least loss.

    Args:
        convention: model and tokenizer.
        train: what is learnt.
        held_out: what decides when to end.
        plan: how.
        say: told of each epoch.
    """
    model = convention.model.to(plan.device)
    lr = rate_of(_width(model)) if plan.lr is None else plan.lr
    if plan.freeze:
        model.base_model.requires_grad_(False)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=lr, betas=_BETAS)
    total = plan.epochs * math.ceil(len(train) / plan.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda n: _share(n, total))
    rng, losses = np.random.default_rng(plan.seed), list[tuple[float, float]]()
    kept, best = copy.deepcopy(model.state_dict()), 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        for epoch in range(1, plan.epochs + 1):
            batches = _batches(train, plan.batch, rng)
            seen = _epoch(convention, batches, optimizer, schedule, say)
            losses.append((seen, _loss_of(convention, held_out)))
            say(f"epoch {epoch}: loss {seen:.4f}, held out {losses[-1][1]:.4f}")
            if best == 0 or losses[-1][1] < losses[best - 1][1]:
                kept, best = copy.deepcopy(model.state_dict()), epoch
            elif epoch - best >= _PATIENCE:
                break
    model.load_state_dict(kept)
    model.eval().cpu().requires_grad_(False)
    return Fitted(lr, losses, best)


def log_odds(convention: TokenClassification, examples: Sequence[Example]) -> list[list[float]]:
    """The log-odds of each step of each example."""
    found: list[list[float]] = [[] for _ in examples]
    order = sorted(range(len(examples)), key=lambda i: len(examples[i].encoded.tokens))
    convention.model.eval()
    with torch.inference_mode():
        for begin in range(0, len(order), 128):
            chosen = order[begin : begin + 128]
            logits = _logits(convention, [examples[i] for i in chosen])
            counts = [len(examples[i].labels) for i in chosen]
            for i, odds in zip(chosen, logits.split(counts), strict=True):
                found[i] = odds.tolist()
    return found


def _epoch(
    convention: TokenClassification,
    batches: Iterable[list[Example]],
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    say: Callable[[str], object],
) -> float:
    """One pass; the mean loss of a step on the way."""
    convention.model.train()
    total, count, lately = 0.0, 0, deque[float](maxlen=_EVERY)
    for number, examples in enumerate(batches, 1):
        labels = _labels(examples)
        with torch.autocast(convention.model.device.type, torch.bfloat16):
            logits = _logits(convention, examples)
        loss = _entropy(logits.float().cpu(), labels, reduction="mean")
        loss.backward()
        nn.utils.clip_grad_norm_(convention.model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad(set_to_none=True)
        lately.append(float(loss.detach()))
        total, count = total + lately[-1] * len(labels), count + len(labels)
        if number % _EVERY == 0:
            say(f"{number:,} batches: loss {fmean(lately):.4f}")
    return total / count


def _batches(
    examples: Sequence[Example], size: int, rng: np.random.Generator
) -> Iterator[list[Example]]:
    """Every example once; those of about equal length together, so that little is padding."""
    order: list[int] = rng.permutation(len(examples)).tolist()
    cuts: list[list[int]] = []
    for begin in range(0, len(order), _POOL * size):
        pool = sorted(
            order[begin : begin + _POOL * size], key=lambda i: len(examples[i].encoded.tokens)
        )
        cuts += [pool[i : i + size] for i in range(0, len(pool), size)]
    for which in rng.permutation(len(cuts)).tolist():
        yield [examples[i] for i in cuts[which]]


def _loss_of(convention: TokenClassification, examples: Sequence[Example]) -> float:
    """The mean loss of a step."""
    odds = torch.tensor([odd for row in log_odds(convention, examples) for odd in row])
    return float(_entropy(odds, _labels(examples), reduction="mean"))


def _logits(convention: TokenClassification, examples: Sequence[Example]) -> Tensor:
    """The logits (S,) of the steps of all examples, in order; texts are padded at the end."""
    longest = max(len(example.encoded.tokens) for example in examples)
    pad = convention.tokenizer.pad_token_id or 0
    inputs = torch.full((len(examples), longest), pad)
    mask = torch.zeros((len(examples), longest), dtype=torch.long)
    places: list[int] = []
    for row, example in enumerate(examples):
        tokens = example.encoded.tokens
        inputs[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
        places += [row * longest + end for end in example.encoded.ends]
    device = convention.model.device
    logits: Tensor = convention.model(
        input_ids=inputs.to(device), attention_mask=mask.to(device)
    ).logits
    return logits.reshape(-1)[places]


def _labels(examples: Sequence[Example]) -> Tensor:
    return torch.tensor([label for example in examples for label in example.labels])


_entropy = nn.functional.binary_cross_entropy_with_logits


def _share(step: int, total: int) -> float:
    """Of the highest rate, at a step counted from 0."""
    rise = max(1, round(_WARMUP * total))
    return min((step + 1) / rise, max(0.0, (total - step) / max(1, total - rise)))


def _width(model: Any) -> int:
    return int(model.config.get_text_config().hidden_size)
