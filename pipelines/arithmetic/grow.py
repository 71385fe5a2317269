"""The arithmetic model with more layers on top, which begin as the identity.

    python -m noise_search.pipelines.arithmetic.grow --layers 2 --out DIR

A base for models that have to look back on what this one foresees: the layers it has foresee the
next token, and none is left to compare that with the token that came.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from noise_search.pipelines.arithmetic.model import FOLDER, load

__all__ = ["grown", "main"]


def grown(folder: Path, layers: int, seed: int = 0) -> LlamaForCausalLM:
    """The float32 model of a folder with so many layers more; it writes as before."""
    old, _ = load(folder)
    known = old.config.to_dict()
    config = LlamaConfig(**{**known, "num_hidden_layers": known["num_hidden_layers"] + layers})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).float().eval()
    model.load_state_dict(old.state_dict(), strict=False)
    with torch.no_grad():
        for layer in model.model.layers[known["num_hidden_layers"] :]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model


def main() -> None:
    """Entry point of the command line."""
    parser = argparse.ArgumentParser(description="Put layers on top of the arithmetic model.")
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model to write")
    arguments = parser.parse_args()
    grown(FOLDER, arguments.layers).save_pretrained(arguments.out)
    AutoTokenizer.from_pretrained(FOLDER).save_pretrained(arguments.out)


if __name__ == "__main__":
    main()
