"""Warnings of the libraries on current releases, and one of our own, for `filterwarnings` marks.

A test module that runs kinds of the zoo says `pytestmark = [*KNOWN]`, more marks beside it.
"""

from __future__ import annotations

import pytest

FILTERS: dict[str, str] = {
    # NumPy 2 asks tensors for `copy`, which torch's __array__ does not take; the copy is made
    "np.array(tensor) in diffusers' schedulers": (
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    ),
    # and wants more arguments of __array_wrap__ than torch's takes
    "NumPy's functions of tensors in diffusers' schedulers": (
        "ignore:__array_wrap__ must accept context and return_scalar:DeprecationWarning"
    ),
    # Chroma takes FLUX's embedding of positions by its old name
    "FluxPosEmbed in diffusers' Chroma": "ignore:.*FluxPosEmbed.*:FutureWarning",
    # Stable Audio's autoencoder is built with torch's weight_norm of old
    "weight_norm in diffusers' AutoencoderOobleck": "ignore:.*weight_norm:FutureWarning",
    # Kolors compiles its text encoder by torch's JIT, and asks transformers' configs of old
    "torch.jit in diffusers' Kolors": "ignore:.*torch.jit.script:FutureWarning",
    # PRX takes its LoRA methods by an old name
    "LoraLoaderMixin in diffusers' PRX": "ignore:.*LoraLoaderMixin:FutureWarning",
    # InstructPix2Pix would have one picture for each prompt; it repeats it itself
    "one picture in diffusers' InstructPix2Pix": "ignore:.*initial images:FutureWarning",
    # Mochi turns autocast off by asking for single precision, which no CPU has
    "autocast in diffusers' Mochi": "ignore:In CPU autocast:UserWarning",
    # These, and none else, fail with several prompts, or with more prompts than pictures
    "rows one by one": (
        "ignore:(PRX|WanVACE|StableDiffusionUpscale|StableDiffusionAdapter)Pipeline"
        " (fails with|takes one prompt)"
        ":RuntimeWarning"
    ),
}
KNOWN = [pytest.mark.filterwarnings(text) for text in FILTERS.values()]
