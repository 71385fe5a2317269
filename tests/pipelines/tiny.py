"""The shapes pipeline with tiny random weights, in the real format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.transformers.pixart_transformer_2d import PixArtTransformer2DModel
from transformers import DistilBertConfig, DistilBertModel

from noise_search.pipelines.shapes.components import (
    ddim_scheduler,
    flow_scheduler,
    new_tokenizer,
)
from noise_search.pipelines.shapes.pipeline import ShapesPipeline

SCHEDULERS = {"flow": flow_scheduler, "ddim": ddim_scheduler}


def save_tiny(kind: str, folder: Path) -> Path:
    """Save a pipeline, "flow" or "ddim", as a folder in diffusers' format."""
    ShapesPipeline(*_tiny_parts(), SCHEDULERS[kind]()).save_pretrained(folder)
    return folder


def _tiny_parts() -> tuple[Any, Any, Any]:
    """A tokenizer, a text encoder and a transformer of random weights that do have effect."""
    tokenizer = new_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        encoder = DistilBertModel(
            DistilBertConfig(
                vocab_size=len(tokenizer),
                max_position_embeddings=tokenizer.model_max_length,
                dim=16,
                n_layers=1,
                n_heads=2,
                hidden_dim=32,
                dropout=0.0,
                attention_dropout=0.0,
                initializer_range=0.5,
                pad_token_id=0,
            )
        )
        transformer = PixArtTransformer2DModel(
            num_attention_heads=2,
            attention_head_dim=8,
            in_channels=3,
            out_channels=3,
            num_layers=2,
            cross_attention_dim=16,
            sample_size=32,
            patch_size=4,
            use_additional_conditions=False,
            caption_channels=16,
        )
    return tokenizer, encoder.eval(), transformer.eval()
