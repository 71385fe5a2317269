"""A text-to-image pipeline in the manner of diffusers, small enough for a CPU.

Pixels in [-1, 1] are the latents: there is no autoencoder.  The same class drives the rectified
flow (``FlowMatchEulerDiscreteScheduler``) and the noise-predicting model (``DDIMScheduler``); as
everywhere in diffusers, the scheduler is what tells them apart.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, PixArtTransformer2DModel
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from noise_search.pipelines.shapes.scenes import WORDS, UnknownWord

__all__ = ["ShapesPipeline"]

Generators = torch.Generator | list[torch.Generator] | None
Encoded = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
OnStepEnd = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any] | None]


class ShapesPipeline(DiffusionPipeline):
    """Draws sentences of the shapes language as 32 x 32 pictures.

    Components: ``tokenizer``, ``text_encoder``, ``transformer`` and ``scheduler``.  Guidance
    (Ho & Salimans 2022, arXiv:2207.12598) runs both predictions in one doubled batch and is
    skipped at ``guidance_scale <= 1``.
    """

    model_cpu_offload_seq = "text_encoder->transformer"
    _callback_tensor_inputs = ("latents", "prompt_embeds", "negative_prompt_embeds")

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        text_encoder: PreTrainedModel,
        transformer: PixArtTransformer2DModel,
        scheduler: Any,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            transformer=transformer,
            scheduler=scheduler,
        )
        self._guidance_scale = 1.0
        self._num_timesteps = 0
        self._interrupt = False

    @property
    def guidance_scale(self) -> float:
        """Strength of guidance of the call under way."""
        return self._guidance_scale

    @property
    def do_classifier_free_guidance(self) -> bool:
        """Whether the call under way evaluates the negative prompt as well."""
        return self._guidance_scale > 1.0

    @property
    def num_timesteps(self) -> int:
        """Denoising steps of the call under way."""
        return self._num_timesteps

    @property
    def interrupt(self) -> bool:
        """Set ``_interrupt`` in a step callback to skip the remaining steps."""
        return self._interrupt

    def check_inputs(
        self,
        prompt: str | list[str] | None,
        num_inference_steps: int = 8,
        negative_prompt: str | list[str] | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        num_images_per_prompt: int = 1,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> None:
        """Raise ``ValueError`` (:class:`UnknownWord` for a word) where a call makes no sense."""
        if num_inference_steps < 1:
            raise ValueError(f"num_inference_steps must be at least 1, not {num_inference_steps}")
        if output_type not in ("pil", "np", "pt", "latent"):
            raise ValueError(f"output_type is 'pil', 'np', 'pt' or 'latent', not {output_type!r}")
        strange = set(callback_on_step_end_tensor_inputs) - set(self._callback_tensor_inputs)
        if strange:
            raise ValueError(f"callbacks get {self._callback_tensor_inputs}, not {sorted(strange)}")
        if num_images_per_prompt < 1:
            raise ValueError(f"num_images_per_prompt must be at least 1: {num_images_per_prompt}")
        if (prompt is None) == (prompt_embeds is None):
            raise ValueError("give prompt or prompt_embeds, one of the two")
        if negative_prompt is not None and negative_prompt_embeds is not None:
            raise ValueError("give negative_prompt or negative_prompt_embeds, not both")
        for text in (*_as_list(prompt), *_as_list(negative_prompt)):
            self._check_text(text)

    def _check_text(self, text: str) -> None:
        if not isinstance(text, str):
            raise ValueError(f"a prompt is a string or a list of strings, not {type(text)}")
        words = text.strip().removesuffix(".").lower().split()
        for word in words:
            if word not in WORDS:
                raise UnknownWord(word)
        most = self.tokenizer.model_max_length - 2  # Begin and end take one each.
        if len(words) > most:
            raise ValueError(f"a prompt has at most {most} words, not {len(words)}: {text!r}")

    def encode_prompt(
        self,
        prompt: str | list[str] | None,
        do_classifier_free_guidance: bool = True,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        device: torch.device | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
    ) -> Encoded:
        """Embeddings (B, 12, 128) and masks (B, 12) of prompt and negative prompt.

        ``B`` is prompts times images; padding is embedded as zeros, which is also how it is told
        in embeddings that are passed in.  Without guidance the last two are ``None``.
        """
        device = device or self._execution_device
        if prompt_embeds is None:
            prompt_embeds = self._embed(_as_list(prompt), device)
        repeat = num_images_per_prompt
        embeds = self._per_image(prompt_embeds, repeat, device)
        if not do_classifier_free_guidance:
            return embeds, _not_padding(embeds), None, None
        if negative_prompt_embeds is None:
            negative = _as_list(negative_prompt) or [""]
            if len(negative) not in (1, len(prompt_embeds)):
                raise ValueError(f"{len(negative)} negative prompts, {len(prompt_embeds)} prompts")
            negative = negative * (len(prompt_embeds) // len(negative))
            negative_prompt_embeds = self._embed(negative, device)
        if negative_prompt_embeds.shape != prompt_embeds.shape:
            raise ValueError("prompt_embeds and negative_prompt_embeds differ in shape")
        unwanted = self._per_image(negative_prompt_embeds, repeat, device)
        return embeds, _not_padding(embeds), unwanted, _not_padding(unwanted)

    def _embed(self, texts: list[str], device: torch.device) -> Tensor:
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            return_tensors="pt",
        ).to(device)
        hidden = self.text_encoder(
            tokens.input_ids, attention_mask=tokens.attention_mask
        ).last_hidden_state
        return torch.as_tensor(hidden * tokens.attention_mask[..., None].to(hidden.dtype))

    def _per_image(self, embeds: Tensor, count: int, device: torch.device) -> Tensor:
        return embeds.to(device, self.transformer.dtype).repeat_interleave(count, dim=0)

    def prepare_latents(
        self,
        batch_size: int,
        dtype: torch.dtype,
        device: torch.device,
        generator: Generators,
        latents: Tensor | None = None,
    ) -> Tensor:
        """The initial noise (B, 3, 32, 32): ``latents``, or drawn from ``generator``."""
        config = self.transformer.config
        shape = (batch_size, config.in_channels, config.sample_size, config.sample_size)
        if isinstance(generator, list) and len(generator) != batch_size:
            raise ValueError(f"{len(generator)} generators for a batch of {batch_size}")
        if latents is None:
            latents = randn_tensor(shape, generator=generator, device=device, dtype=dtype)
        elif tuple(latents.shape) != shape:
            raise ValueError(f"latents of shape {shape} are wanted, not {tuple(latents.shape)}")
        # Flow schedulers have no initial scale: their noise has unit variance.
        scale = getattr(self.scheduler, "init_noise_sigma", 1.0)
        return latents.to(device=device, dtype=dtype) * scale

    def prepare_extra_step_kwargs(self, generator: Generators, eta: float) -> dict[str, Any]:
        """The arguments of ``scheduler.step`` that only some schedulers take."""
        accepted = inspect.signature(self.scheduler.step).parameters
        extra = {"eta": eta, "generator": generator}
        return {name: value for name, value in extra.items() if name in accepted}

    def _predict(self, latents: Tensor, t: Tensor, embeds: Tensor, mask: Tensor) -> Tensor:
        guided = self.do_classifier_free_guidance
        model_input = torch.cat([latents, latents]) if guided else latents
        if hasattr(self.scheduler, "scale_model_input"):
            model_input = self.scheduler.scale_model_input(model_input, t)
        (prediction,) = self.transformer(
            model_input.to(embeds.dtype),
            encoder_hidden_states=embeds,
            timestep=t.expand(model_input.shape[0]),
            encoder_attention_mask=mask,
            return_dict=False,
        )
        if not guided:
            return torch.as_tensor(prediction)
        unwanted, wanted = prediction.chunk(2)
        return torch.as_tensor(unwanted + self._guidance_scale * (wanted - unwanted))

    @torch.no_grad()
    def __call__(
        self,
        prompt: str | list[str] | None = None,
        num_inference_steps: int = 8,
        guidance_scale: float = 2.0,
        negative_prompt: str | list[str] | None = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Generators = None,
        latents: Tensor | None = None,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: OnStepEnd | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any]:
        """Draw ``num_images_per_prompt`` pictures a prompt, grouped by prompt."""
        self.check_inputs(
            prompt,
            num_inference_steps,
            negative_prompt,
            prompt_embeds,
            negative_prompt_embeds,
            output_type,
            num_images_per_prompt,
            callback_on_step_end_tensor_inputs,
        )
        self._guidance_scale = guidance_scale
        self._interrupt = False
        device = self._execution_device
        encoded = self.encode_prompt(
            prompt,
            guidance_scale > 1.0,
            negative_prompt,
            num_images_per_prompt,
            device,
            prompt_embeds,
            negative_prompt_embeds,
        )
        batch, dtype = encoded[0].shape[0], encoded[0].dtype
        latents = self.prepare_latents(batch, dtype, device, generator, latents)
        self._set_timesteps(num_inference_steps, device)
        extra = self.prepare_extra_step_kwargs(generator, eta)
        latents = self._denoise(
            latents, encoded, extra, callback_on_step_end, callback_on_step_end_tensor_inputs
        )
        images = latents if output_type == "latent" else _to_images(latents, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    def _set_timesteps(self, steps: int, device: torch.device) -> None:
        """Set the schedule; of a flow, sigmas from 1 to 1 / steps, as FLUX's own pipeline does.

        Left to itself, the scheduler would spend the last step between a sigma of .001 and 0.
        """
        if "sigmas" in inspect.signature(self.scheduler.set_timesteps).parameters:
            sigmas = np.linspace(1.0, 1.0 / steps, steps)
            self.scheduler.set_timesteps(sigmas=sigmas, device=device)
        else:
            self.scheduler.set_timesteps(steps, device=device)

    def _denoise(
        self,
        latents: Tensor,
        encoded: Encoded,
        extra: dict[str, Any],
        callback: OnStepEnd | None,
        callback_tensors: Sequence[str],
    ) -> Tensor:
        """All steps of the scheduler; a callback may replace the tensors it is given."""
        embeds, mask, unwanted, unwanted_mask = encoded
        timesteps = self.scheduler.timesteps
        self._num_timesteps = len(timesteps)
        with self.progress_bar(total=len(timesteps)) as progress:
            for i, t in enumerate(timesteps):
                if self.interrupt:
                    continue
                both, both_mask = embeds, mask
                if unwanted is not None and unwanted_mask is not None:
                    both = torch.cat([unwanted, embeds])
                    both_mask = torch.cat([unwanted_mask, mask])
                prediction = self._predict(latents, t, both, both_mask)
                latents = self.scheduler.step(prediction, t, latents, **extra, return_dict=False)[0]
                if callback is not None:
                    tensors = {
                        "latents": latents,
                        "prompt_embeds": embeds,
                        "negative_prompt_embeds": unwanted,
                    }
                    given = {name: tensors[name] for name in callback_tensors}
                    changed: dict[str, Any] = callback(self, i, t, given) or {}
                    latents = changed.get("latents", latents)
                    embeds = changed.get("prompt_embeds", embeds)
                    unwanted = changed.get("negative_prompt_embeds", unwanted)
                progress.update()
        return latents


def _as_list(text: str | list[str] | None) -> list[str]:
    if text is None:
        return []
    return list(text) if isinstance(text, (list, tuple)) else [text]


def _not_padding(embeds: Tensor) -> Tensor:
    """Mask (B, L) of the positions that hold a token: padding is embedded as zeros."""
    return (embeds != 0).any(dim=-1).to(torch.int64)


def _to_images(latents: Tensor, output_type: str) -> Tensor | np.ndarray | list[Image.Image]:
    """[-1, 1] to [0, 1] as (B, 3, H, W) or (B, H, W, 3), or to pictures of 8 bits."""
    unit = (latents.float() / 2 + 0.5).clamp(0, 1).cpu()
    if output_type == "pt":
        return unit
    array: np.ndarray = unit.permute(0, 2, 3, 1).numpy()
    if output_type == "np":
        return array
    return [Image.fromarray(np.rint(picture * 255).astype(np.uint8)) for picture in array]
