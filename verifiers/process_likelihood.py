"""A process reward model on a frozen language model: a linear head on what it thinks of a text.

The head reads, at the last token of each step, the model's hidden state and how likely the model
holds the solution: that a model's own likelihood is a process reward to begin with is shown by
Yuan et al. 2024 (implicit process rewards, arXiv:2412.01981). Only the head is learnt, by logistic
regression on soft labels, so a training takes minutes on any backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

from noise_search.errors import UserError
from noise_search.verifiers.process_models import Encoded, TokenClassification

__all__ = ["HEAD", "Likelihood", "fit_head"]

HEAD = "head.safetensors"
"""The file of the head's weights in the folder of a model."""
LOWEST = -20.0
"""Log-probabilities below this are taken for it: one strange token says enough."""
_DECAYS = (1e-1, 1e-2, 1e-3, 1e-4)
_PASSES = 200


class Likelihood(TokenClassification):
    """A causal language model with a linear head; texts are read as by a token classifier.

    Features of a step (D + 3): the hidden state (D) at its last token; the log-probability of the
    solution so far, of its least likely token, and of the step.
    """

    name: ClassVar[str] = "likelihood"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        model.config.num_labels = 1
        super().__init__(model, tokenizer)
        width = int(model.config.get_text_config().hidden_size) + 3
        self.weight, self.bias = torch.zeros(width, dtype=torch.float64), 0.0

    @staticmethod
    def network() -> Any:
        """Any causal language model."""
        return AutoModelForCausalLM

    def features(self, encoded: Encoded) -> Tensor:
        """The features (S, D + 3) of the S steps, float64."""
        with torch.inference_mode():
            tokens = torch.tensor(encoded.tokens)
            said = self.model(input_ids=tokens[None], output_hidden_states=True)
            chances = said.logits[0, :-1].double().log_softmax(-1)
            likely = chances.gather(-1, tokens[1:, None])[:, 0].clamp(min=LOWEST)
            states = said.hidden_states[-1][0].double()
            rows: Tensor = states.new_zeros(len(encoded.ends), states.shape[-1] + 3)
            begin = last = encoded.begin
            for row, end in zip(rows, encoded.ends, strict=True):
                text, step = likely[begin - 1 : end], likely[last - 1 : end]
                row[:-3] = states[end]
                if len(text):  # a first step may be a part of the question's last token
                    row[-3:] = torch.stack([text.sum(), text.min(), step.sum()])
                last = end + 1
            return rows

    def log_odds(self, encoded: Encoded) -> list[float]:
        """The head's answers."""
        # Not a matrix product, whose last bits would depend on how many steps there are.
        odds: list[float] = ((self.features(encoded) * self.weight).sum(-1) + self.bias).tolist()
        return odds

    def write_head(self, folder: Path) -> None:
        """Write the head's weights beside the model's."""
        bias = torch.tensor([self.bias], dtype=torch.float64)
        save_file({"weight": self.weight, "bias": bias}, folder / HEAD)

    def read_head(self, folder: Path) -> None:
        """Read the head's weights.

        Raises:
            UserError: they are missing, or of another model.
        """
        if not (folder / HEAD).is_file():
            raise UserError(f"no {HEAD}")
        held = load_file(folder / HEAD)
        shapes = {name: tuple(tensor.shape) for name, tensor in held.items()}
        if shapes != {"weight": tuple(self.weight.shape), "bias": (1,)}:
            raise UserError(f"{HEAD}: expected a weight of {len(self.weight)} and a bias")
        self.weight, self.bias = held["weight"].double(), float(held["bias"])


def fit_head(
    convention: Likelihood,
    train: Sequence[tuple[Tensor, Tensor]],
    held_out: Sequence[tuple[Tensor, Tensor]],
    say: Callable[[str], object] = lambda _: None,
) -> list[tuple[float, float]]:
    """Fit the head by logistic regression; the weight decay is chosen by what is held out.

    Args:
        convention: its head is replaced.
        train: features (S, D + 3) and labels (S) of each solution.
        held_out: likewise.
        say: told of each decay that is tried.

    Returns:
        The losses of training and held-out steps, in nats a step, by decay.
    """
    x, y = (torch.cat(parts) for parts in zip(*train, strict=True))
    hx, hy = (torch.cat(parts) for parts in zip(*held_out, strict=True))
    mean, spread = x.mean(0), x.std(0).clamp(min=1e-6)
    losses: list[tuple[float, float]] = []
    best = float("inf")
    for decay in _DECAYS:
        weight, bias = _regression((x - mean) / spread, y, decay)
        found = [_loss((f - mean) / spread @ weight + bias, t) for f, t in ((x, y), (hx, hy))]
        losses.append((found[0], found[1]))
        say(f"decay {decay:g}: loss {found[0]:.4f}, held out {found[1]:.4f}")
        if found[1] < best:
            best = found[1]
            convention.weight = weight / spread
            convention.bias = float(bias - (mean / spread * weight).sum())
    return losses


def _regression(x: Tensor, y: Tensor, decay: float) -> tuple[Tensor, Tensor]:
    """Weights (F) and bias of the least mean cross-entropy plus decay times the squared norm."""
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=_PASSES, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(x @ weight + bias, y)
        loss = loss + decay * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return weight.detach(), bias.detach()


def _loss(odds: Tensor, labels: Tensor) -> float:
    return float(nn.functional.binary_cross_entropy_with_logits(odds, labels))
