"""Write trained weights as a pipeline folder in half precision."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from noise_search.pipelines.shapes.components import ddim_scheduler, flow_scheduler, new_tokenizer
from noise_search.pipelines.shapes.losses import Denoiser, new_denoiser
from noise_search.pipelines.shapes.pipeline import ShapesPipeline

__all__ = ["export"]


def export(model: Denoiser, kind: str, folder: Path) -> None:
    """Save ``model`` under ``folder`` with the scheduler of its kind, "flow" or "ddim"."""
    scheduler = flow_scheduler() if kind == "flow" else ddim_scheduler()
    transformer, text_encoder = model.transformer.half(), model.text_encoder.half()
    pipeline = ShapesPipeline(new_tokenizer(), text_encoder, transformer, scheduler)
    pipeline.save_pretrained(folder, safe_serialization=True)
    for name in ("model_index.json", "tokenizer/tokenizer_config.json"):
        file = folder / name
        # transformers 5 writes a class name that transformers 4 lacks; both know the older one.
        text = file.read_text("utf-8").replace("TokenizersBackend", "PreTrainedTokenizerFast")
        file.write_text(text, "utf-8")
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # Written for the owner only, which a package would keep.


def main() -> None:
    """Turn a training checkpoint into a pipeline folder."""
    parser = argparse.ArgumentParser(description="Write a training checkpoint as a pipeline.")
    parser.add_argument("kind", choices=("flow", "ddim"))
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    saved = torch.load(arguments.checkpoint, weights_only=True)
    model = new_denoiser(seed=0)
    model.load_state_dict(saved["average"]["weights"])
    export(model, arguments.kind, arguments.folder)
    sys.stdout.write(f"step {saved['step']}: {arguments.folder}\n")


if __name__ == "__main__":
    main()
