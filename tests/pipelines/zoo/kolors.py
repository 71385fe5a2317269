"""Kolors: SDXL's U-Net, which reads the states of a ChatGLM through a projection of its own."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import diffusers
import sentencepiece
import torch

from tests.pipelines.zoo.kind import PROMPTS, Kind
from tests.pipelines.zoo.unets import NOISES, unet
from tests.pipelines.zoo.vaes import kl_vae
from tests.pipelines.zoo.weights import build

library: Any = diffusers


def chatglm_tokenizer() -> Any:
    """ChatGLM's tokenizer on a vocabulary of letters; it reads its file once and keeps the path."""
    from diffusers.pipelines.kolors.tokenizer import ChatGLMTokenizer

    vocabulary = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(ascii_lowercase), *PROMPTS]),
        model_writer=vocabulary,
        vocab_size=40,
        model_type="char",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    file = Path(tempfile.mkdtemp()) / "tokenizer.model"
    file.write_bytes(vocabulary.getvalue())
    return ChatGLMTokenizer(str(file))


def kolors() -> Any:
    # Here, as its import warns of an old torch.jit.
    from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel

    tokenizer = chatglm_tokenizer()
    config = ChatGLMConfig(
        num_layers=2,
        padded_vocab_size=tokenizer.vocab_size,
        hidden_size=16,
        ffn_hidden_size=32,
        kv_channels=8,
        num_attention_heads=2,
        seq_length=64,
        multi_query_attention=True,
        multi_query_group_num=1,
        add_qkv_bias=True,
        original_rope=True,
        use_cache=False,
        torch_dtype=torch.float32,
    )
    return library.KolorsPipeline(
        vae=kl_vae(scaling=0.13025),
        text_encoder=build(lambda: ChatGLMModel(config), seed=1),
        tokenizer=tokenizer,
        unet=unet(
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 16,
            use_linear_projection=True,
            encoder_hid_dim=16,
            encoder_hid_dim_type="text_proj",
        ),
        scheduler=library.EulerDiscreteScheduler(
            **NOISES, steps_offset=1, timestep_spacing="leading"
        ),
    )


KOLORS = Kind(
    "kolors",
    kolors,
    {"height": 64, "width": 64, "guidance_scale": 4.0, "max_sequence_length": 24},
)
