"""The optimiser of the shapes models: Muon on matrices of the blocks, AdamW on the rest."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["ExponentialAverage", "Optimizers", "learning_rate_factor"]


def learning_rate_factor(step: int, steps: int, decay: int, warmup: int = 100) -> float:
    """Linear warm-up, a constant, linear decay over the last ``decay`` steps.

    The warm-up-stable-decay schedule (Hu et al. 2024, arXiv:2404.06395).
    """
    return min(1.0, (step + 1) / warmup, (steps - step) / decay)


class Optimizers:
    """Two optimisers stepped as one under one learning-rate schedule.

    Muon orthogonalises the update of a matrix (Jordan et al. 2024); its step is scaled to match
    AdamW's root mean square (Liu et al. 2025, arXiv:2502.16982).
    """

    def __init__(
        self, module: nn.Module, muon: float, adamw: float, weight_decay: float = 0.01
    ) -> None:
        matrices: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            in_block = "transformer_blocks." in name or "transformer.layer." in name
            is_matrix = parameter.ndim == 2 and "table" not in name
            (matrices if in_block and is_matrix else rest).append(parameter)
        self._parts = [
            torch.optim.Muon(
                matrices, lr=muon, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"
            ),
            torch.optim.AdamW(rest, lr=adamw, weight_decay=weight_decay, betas=(0.9, 0.98)),
        ]
        self._rates = [muon, adamw]
        self._parameters = [*matrices, *rest]

    def step(self, factor: float) -> None:
        """Clip the gradient to norm 1, step at ``factor`` times the base rates, clear it."""
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        for part, rate in zip(self._parts, self._rates, strict=True):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state(self) -> list[dict[str, object]]:
        """What a checkpoint keeps."""
        return [part.state_dict() for part in self._parts]

    def load(self, state: Iterable[dict[str, object]]) -> None:
        """Go on from :meth:`state`."""
        for part, saved in zip(self._parts, state, strict=True):
            part.load_state_dict(saved)


class ExponentialAverage:
    """A moving average of the weights, warmed up so that the zero start is forgotten early."""

    def __init__(self, module: nn.Module, decay: float = 0.998) -> None:
        self._decay = decay
        self._steps = 0
        self.weights = {k: v.detach().clone() for k, v in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Move towards the present weights."""
        self._steps += 1
        keep = min(self._decay, (1 + self._steps) / (10 + self._steps))
        now: dict[str, Tensor] = module.state_dict()
        for name, mean in self.weights.items():
            if mean.is_floating_point():
                mean.lerp_(now[name], 1.0 - keep)

    def state(self) -> dict[str, object]:
        """What a checkpoint keeps."""
        return {"steps": self._steps, "weights": self.weights}

    def load(self, state: dict[str, object]) -> None:
        """Go on from :meth:`state`."""
        steps, weights = state["steps"], state["weights"]
        if not isinstance(steps, int) or not isinstance(weights, dict):
            raise ValueError("not the state of a weight average")
        self._steps, self.weights = steps, weights
