"""U-Nets that redraw a given picture, or that are guided in more than one way."""

from __future__ import annotations

from typing import Any

import diffusers

from tests.pipelines.zoo.edits import mask
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.unets import NOISES, sd_parts, sdxl_parts, unet
from tests.pipelines.zoo.vaes import kl_vae

library: Any = diffusers


def sdxl_image_to_image() -> Any:
    return library.StableDiffusionXLImg2ImgPipeline(**sdxl_parts())


def sdxl_inpaint() -> Any:
    """SDXL as it was published for text: after each step the rest is put back, noised."""
    return library.StableDiffusionXLInpaintPipeline(**sdxl_parts())


def instruct_pix2pix() -> Any:
    """InstructPix2Pix: the U-Net sees a picture beside the latents, and is guided twice."""
    return library.StableDiffusionInstructPix2PixPipeline(**sd_parts(unet=unet(in_channels=8)))


def sd_upscale() -> Any:
    """The upscaler of Stable Diffusion: its U-Net sees a picture of the latents' size, noised."""
    parts = sd_parts(unet=unet(in_channels=7, num_class_embeds=1000))
    del parts["requires_safety_checker"]
    return library.StableDiffusionUpscalePipeline(
        **{**parts, "vae": kl_vae(scaling=0.08333, depth=3)},
        low_res_scheduler=library.DDPMScheduler(**NOISES),
    )


def sd_pag() -> Any:
    """Perturbed-attention guidance: a third row, whose self-attention looks at nothing."""
    return library.StableDiffusionPAGPipeline(**sd_parts(), pag_applied_layers="mid")


def sdxl_pag() -> Any:
    return library.StableDiffusionXLPAGPipeline(**sdxl_parts(), pag_applied_layers="mid")


SIZE = {"height": 64, "width": 64}
GUIDED = {**SIZE, "guidance_scale": 4.0}
PART = {"image": picture(), "mask_image": mask()}
REDRAWN = [
    Kind(
        "sdxl-img2img",
        sdxl_image_to_image,
        {"image": picture(), "strength": 0.8, "guidance_scale": 4.0},
        steps=5,
    ),
    Kind("sdxl-inpaint", sdxl_inpaint, {**GUIDED, **PART, "strength": 0.9999}),
    Kind(
        "instruct-pix2pix",
        instruct_pix2pix,
        {"image": picture(), "guidance_scale": 4.0, "image_guidance_scale": 1.5},
    ),
    Kind("sd-upscale", sd_upscale, {"image": picture(16), "guidance_scale": 4.0}),
    Kind("sd15-pag", sd_pag, {**GUIDED, "pag_scale": 3.0}),
    Kind("sdxl-pag", sdxl_pag, {**GUIDED, "pag_scale": 3.0}),
]
