"""Training losses of the two parametrisations, and the bridge between them."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, PixArtTransformer2DModel
from torch import Tensor, nn
from transformers import DistilBertModel

from noise_search.pipelines.shapes.components import new_text_encoder, new_transformer
from noise_search.pipelines.shapes.data import Batch

__all__ = ["Denoiser", "NoiseLoss", "flow_loss", "new_denoiser"]


class Denoiser(nn.Module):
    """Text encoder and transformer trained as one module."""

    def __init__(
        self, text_encoder: DistilBertModel, transformer: PixArtTransformer2DModel
    ) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.transformer = transformer

    def forward(self, noisy: Tensor, timestep: Tensor, batch: Batch) -> Tensor:
        """Prediction (B, 3, 32, 32) at ``timestep`` (B,) in 0 to 1000."""
        hidden = self.text_encoder(batch.ids, attention_mask=batch.mask).last_hidden_state
        (out,) = self.transformer(
            noisy,
            encoder_hidden_states=hidden,
            timestep=timestep,
            encoder_attention_mask=batch.mask,
            return_dict=False,
        )
        return torch.as_tensor(out, dtype=torch.float32)


def new_denoiser(seed: int) -> Denoiser:
    """Fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Denoiser(new_text_encoder(), new_transformer())


def _times(count: int, generator: torch.Generator) -> Tensor:
    u = torch.rand(count, generator=generator)
    return 3.0 * u / (1.0 + 2.0 * u)


def flow_loss(model: Denoiser, batch: Batch, generator: torch.Generator) -> Tensor:
    """Rectified flow: predict ``noise - x0`` at ``x_t = (1 - t) x0 + t noise``.

    The time density t = 3u / (1 + 2u) (Esser et al. 2024, arXiv:2403.03206, shift 3) stresses
    high noise, where layout and relations are decided.
    """
    t = _times(batch.pixels.shape[0], generator)
    noise = torch.randn(batch.pixels.shape, generator=generator)
    wide = t[:, None, None, None]
    noisy = torch.lerp(batch.pixels, noise, wide)
    predicted = model(noisy, 1000.0 * t, batch)
    return nn.functional.mse_loss(predicted, noise - batch.pixels)


class NoiseLoss:
    """DDPM's loss (Ho et al. 2020, arXiv:2006.11239): predict the noise of a VP process.

    The error is weighted by ((a + s) / a)^2, which makes it the flow's error of the same
    prediction: v = (x_t / (a + s) - x0) (a + s) / s has that many times the error of the noise.
    Unweighted, the high noise that decides the layout would count for nothing.
    """

    def __init__(self, scheduler: DDIMScheduler) -> None:
        self._signal = scheduler.alphas_cumprod.sqrt()
        self._noise = (1.0 - scheduler.alphas_cumprod).sqrt()

    def __call__(self, model: Denoiser, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean weighted squared error of the noise."""
        last = len(self._signal) - 1
        t = (_times(batch.pixels.shape[0], generator) * last).round().long()
        a = self._signal[t][:, None, None, None]
        s = self._noise[t][:, None, None, None]
        noise = torch.randn(batch.pixels.shape, generator=generator)
        predicted = model(a * batch.pixels + s * noise, t.float(), batch)
        error: Tensor = (((a + s) / a) ** 2 * (predicted - noise) ** 2).mean()
        return error
