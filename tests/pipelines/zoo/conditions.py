"""Stable Diffusion and its kin with what users add to them: ControlNet, IP-Adapter, LoRA.

Each is saved in the format it is published in, and loaded by the pipeline's own methods.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor

from tests.pipelines.zoo.flows import SIZE as TOKENS
from tests.pipelines.zoo.flows import flux_parts, sd3
from tests.pipelines.zoo.kind import Kind
from tests.pipelines.zoo.pictures import picture
from tests.pipelines.zoo.unets import GUIDED, sd_parts, sdxl_parts
from tests.pipelines.zoo.weights import build

library: Any = diffusers
readers: Any = transformers

FEATURES = 8
"""Of the IP-Adapter's vision encoder."""


def controlnet(*, context: int = 16, **more: Any) -> Any:
    """A ControlNet for the zoo's U-Nets."""
    return build(
        lambda: library.ControlNetModel(
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=context,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            conditioning_embedding_out_channels=(8, 8, 8, 8),
            **more,
        ),
        seed=6,
    )


def sd_controlnet() -> Any:
    return library.StableDiffusionControlNetPipeline(**sd_parts(), controlnet=controlnet())


def sd_controlnets() -> Any:
    """Two ControlNets at once."""
    both = [controlnet(), controlnet()]
    return library.StableDiffusionControlNetPipeline(**sd_parts(), controlnet=both)


def sdxl_controlnet() -> Any:
    model = controlnet(
        context=32,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 16,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
    )
    return library.StableDiffusionXLControlNetPipeline(**sdxl_parts(), controlnet=model)


def sd3_controlnet() -> Any:
    """SD3's, which samples the latents of its control picture with no generator."""
    model = build(
        lambda: library.SD3ControlNetModel(
            sample_size=8,
            patch_size=2,
            in_channels=16,
            out_channels=16,
            num_layers=1,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=32,
            caption_projection_dim=16,
            pooled_projection_dim=32,
            pos_embed_max_size=16,
        ),
        seed=6,
    )
    return library.StableDiffusion3ControlNetPipeline(**sd3().components, controlnet=model)


def flux_controlnet() -> Any:
    model = build(
        lambda: library.FluxControlNetModel(
            patch_size=1,
            in_channels=64,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=16,
            pooled_projection_dim=16,
            guidance_embeds=True,
            axes_dims_rope=(4, 6, 6),
        ),
        seed=6,
    )
    return library.FluxControlNetPipeline(**flux_parts(), controlnet=model)


def t2i_adapter() -> Any:
    """A T2I-Adapter; its features are as large as those of a U-Net that attends first."""
    adapter = build(
        lambda: library.T2IAdapter(
            in_channels=3,
            channels=(8, 16),
            num_res_blocks=1,
            downscale_factor=8,
            adapter_type="full_adapter",
        ),
        seed=7,
    )
    unet = build(
        lambda: library.UNet2DConditionModel(
            sample_size=8,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=16,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        )
    )
    return library.StableDiffusionAdapterPipeline(**sd_parts(unet=unet), adapter=adapter)


def save_ip_adapter(folder: Path, pipe: Any, tokens: int = 4) -> None:
    """An IP-Adapter for a U-Net of width 16, as h94/IP-Adapter lies on the hub."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "image_size": 32, "patch_size": 8}
    config = readers.CLIPVisionConfig(
        **sizes, num_hidden_layers=2, num_attention_heads=2, projection_dim=FEATURES
    )
    encoder = build(lambda: readers.CLIPVisionModelWithProjection(config), seed=8)
    encoder.save_pretrained(folder / "models" / "image_encoder")
    draws = torch.Generator().manual_seed(9)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws) / math.sqrt(shape[-1])

    weights = {
        "image_proj.proj.weight": drawn(tokens * 16, FEATURES),
        "image_proj.proj.bias": drawn(tokens * 16) * 0.1,
        "image_proj.norm.weight": torch.ones(16),
        "image_proj.norm.bias": torch.zeros(16),
    }
    crosses = [name for name in pipe.unet.attn_processors if "attn2" in name]
    for place, name in enumerate(crosses):
        width = pipe.unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * place + 1}.{part}.weight"] = drawn(width, 16)
    save_file(weights, folder / "models" / "ip-adapter_sd15.safetensors")


def load_ip_adapter(folder: Path, pipe: Any, scale: float = 0.8) -> None:
    """As a user loads one."""
    pipe.load_ip_adapter(
        str(folder),
        subfolder="models",
        weight_name="ip-adapter_sd15.safetensors",
        local_files_only=True,
    )
    pipe.set_ip_adapter_scale(scale)


def save_lora(folder: Path, pipe: Any, denoiser: str = "unet", seed: int = 11) -> None:
    """A LoRA of rank 2 for the attention of a pipeline's denoiser; the pipeline is spoiled."""
    network = getattr(pipe, denoiser)
    layers = ["to_q", "to_k", "to_v", "to_out.0"]
    network.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=layers))
    draws = torch.Generator().manual_seed(seed)
    weights = {
        key: torch.randn(tensor.shape, generator=draws) * 0.5
        for key, tensor in get_peft_model_state_dict(network).items()
    }
    pipe.save_lora_weights(folder, **{f"{denoiser}_lora_layers": weights})


CONTROL = {**GUIDED, "image": picture(), "controlnet_conditioning_scale": 0.7}
TOKEN_CONTROL = {**TOKENS, "control_image": picture(), "controlnet_conditioning_scale": 0.7}
BOTH = {"image": [picture(), picture()], "controlnet_conditioning_scale": [0.7, 0.3]}
CONTROLLED = [
    Kind("sd15-controlnet", sd_controlnet, CONTROL, each_commit=True),
    Kind("sd15-two-controlnets", sd_controlnets, {**CONTROL, **BOTH}),
    Kind("sdxl-controlnet", sdxl_controlnet, CONTROL),
    Kind("sd3-controlnet", sd3_controlnet, {**TOKEN_CONTROL, "guidance_scale": 4.0}),
    Kind("flux-controlnet", flux_controlnet, {**TOKEN_CONTROL, "guidance_scale": 3.5}),
]
ADAPTER = Kind("sd15-t2i-adapter", t2i_adapter, {"guidance_scale": 4.0, "image": picture()})
